"""Killing and stopping the app in the middle of an answer: what was accepted is still there."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import STOPPING
from assistant.conversations import Conversation, Conversations
from core.accounts import Accounts
from core.home import Home, open_home
from core.permissions import Account, Role
from tests.running import ROOT, free_port
from tests.waiting import PATIENCE_S, eventually

PASSWORD = "forty-two open doors"


class SlowApp:
    """`tests.faults.slow_app` in a process of its own, and somebody signed in."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self.home: Home = open_home(workspace=workspace)
        accounts = Accounts(self.home.database, self.home.settings)
        self.account: Account = accounts.create("anna", PASSWORD, Role.EMPLOYEE)
        self._token = accounts.sign_in("anna", PASSWORD, "test")
        self.output = ""

    def start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            sys.executable, "-m", "tests.faults.slow_app", str(self._workspace), str(port),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + PATIENCE_S
        # One client: each one reads all the certificates that there are.
        with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    if client.get("/api/health").is_success:
                        return
                except httpx.TransportError:
                    time.sleep(0.1)
        raise AssertionError(f"The application does not serve:\n{self.output}")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)

    def client(self) -> httpx.Client:
        cookies = {"inhouse_session": self._token}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=PATIENCE_S)

    def newest(self) -> Conversation:
        conversations = Conversations(self.home.database)
        return conversations.get(conversations.list(self.account)[0].id, self.account)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[SlowApp]:
    made = SlowApp(tmp_path / "workspace")
    made.start()
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait(PATIENCE_S)
    made.home.database.close()


@contextmanager
def answering(app: SlowApp, words: int) -> Iterator[None]:
    """Ask, and hold the stream open after so many pieces of the answer."""
    body = {"question": "What survives?", "mode": "base", "stream": True}
    with app.client() as client, client.stream("POST", "/api/ask", json=body) as stream:
        lines = (line for line in stream.iter_lines() if line == "event: delta")
        for _ in range(words):
            next(lines)
        yield


def event_number(config: dict[str, Any], trigger: str, inputs: int, outputs: int) -> int:
    """The number of the page event with so many inputs and outputs."""
    return next(
        int(one["id"])
        for one in config["dependencies"]
        if (len(one["inputs"]), len(one["outputs"])) == (inputs, outputs)
        and one["targets"][0][1] == trigger
    )


def shown_by(client: httpx.Client, number: int, data: list[Any], until: str) -> str:
    """Fire a page event and return what came until `until` did."""
    session = f"s{time.monotonic_ns()}"
    joined = client.post(
        "/gradio_api/queue/join",
        json={"data": data, "fn_index": number, "session_hash": session},
    )
    assert joined.is_success, joined.text
    came = ""
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            came += line
            if until in line or "process_completed" in line:
                break
    return came


def killed_while_answering(app: SlowApp) -> Conversation:
    with answering(app, words=80):  # longer than the pace at which it is stored
        app.end(signal.SIGKILL)
    left = app.newest()
    (answer,) = left.turns[0].answers
    assert left.turns[0].question == "What survives?"
    assert answer.unfinished
    assert answer.answer.text.startswith("word1 word2 ")
    return left


def asked_again_from_the_page(app: SlowApp, client: httpx.Client, left: Conversation) -> None:
    config = client.get("/config").json()
    opening = event_number(config, "load", inputs=1, outputs=10)
    page = shown_by(client, opening, [left.id], "process_completed")
    assert "What survives?" in page
    assert "This answer was interrupted." in page
    again = event_number(config, "click", inputs=1, outputs=10)
    assert "word1" in shown_by(client, again, [left.id], "word1")
    eventually(lambda: not app.newest().turns[0].answers[0].unfinished)
    (turn,) = app.newest().turns
    assert [one.unfinished for one in turn.answers] == [False]


def stopped_with_a_page_open(app: SlowApp, client: httpx.Client) -> None:
    session = "open-page"
    asking = event_number(client.get("/config").json(), "click", inputs=4, outputs=10)
    data = {"data": ["From the page?", "base", None, None], "session_hash": session}
    beats = client.stream("GET", f"/gradio_api/heartbeat/{session}")
    with answering(app, words=3), beats as heartbeat:
        next(heartbeat.iter_lines())
        assert client.post("/gradio_api/queue/join", json={**data, "fn_index": asking}).is_success
        shown = client.stream("GET", f"/gradio_api/queue/data?session_hash={session}")
        with shown as stream:
            assert any("word" in line for line in stream.iter_lines())
            app.end(signal.SIGTERM)


def test_what_was_accepted_survives_a_kill_and_a_stop(app: SlowApp) -> None:
    left = killed_while_answering(app)
    app.start()
    app.output = ""
    with app.client() as client:
        asked_again_from_the_page(app, client, left)
        stopped_with_a_page_open(app, client)
    assert app.output == f"{STOPPING}\n"  # no fault, and nothing cut off, is printed
    conversations = Conversations(app.home.database)
    threads = conversations.list(app.account)
    assert len(threads) == 3
    for one in threads:
        (turn,) = conversations.get(one.id, app.account).turns
        (answer,) = turn.answers
        assert answer.answer.text.startswith("word1")
        assert answer.answer.cut_off
        assert not answer.unfinished
