"""The application, its models and its jobs open no connection to anywhere."""

import time
from pathlib import Path

import httpx

from core.accounts import Accounts
from core.home import open_home
from core.permissions import Role
from tests.running import PASSWORD, RunningApp
from tests.waiting import PATIENCE_S

WATCH = """
import os, sys

def _hook(event, arguments, _log=os.environ["CONNECTIONS"]):
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            _refuse(_log, f"connect {address!r}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        if arguments[0] not in (None, "", b"", "localhost", "127.0.0.1", "::1", b"127.0.0.1"):
            _refuse(_log, f"look up {arguments[0]!r}")
    elif event in ("socket.sendto", "socket.sendmsg"):
        _refuse(_log, f"{event} {arguments[1:]!r}")

def _refuse(log, what):
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{os.getpid()} {what}\\n".encode())
    os.close(handle)
    raise OSError(f"forbidden in this test: {what}")

sys.addaudithook(_hook)
with open(os.environ["CONNECTIONS"], "a") as log:
    log.write(f"{os.getpid()} watched\\n")
"""


def test_a_full_chat_and_an_ingest_without_a_single_outgoing_connection(
    tmp_path: Path, models: Path
) -> None:
    """Every process is watched from its first import on; any attempt raises and is recorded."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(WATCH)
    log = tmp_path / "connections.log"
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "models").symlink_to(models)
    home = open_home(workspace=workspace)
    Accounts(home.database, home.settings).create("boss", PASSWORD, Role.ADMIN)
    home.database.close()
    environment = {
        "PYTHONPATH": str(hook), "CONNECTIONS": str(log), "INHOUSE_ANSWER_TOKENS": "8",
    }  # fmt: skip
    with (
        RunningApp(workspace, "--no-sample", environment=environment) as app,
        httpx.Client(base_url=app.url, timeout=PATIENCE_S) as client,
    ):
        body = {"name": "boss", "password": PASSWORD}
        token = client.post("/api/sign-in", json=body).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        text = b"# Leave\n\nSick leave is ten days a year for everybody.\n"
        job = client.post("/api/documents", files={"files": ("leave.md", text)}).json()["job"]
        assert finished(client, job)["state"] == "succeeded"
        for mode in ("base", "rag"):
            question = {"question": "How many days of sick leave?", "mode": mode}
            answer = client.post("/api/ask", json=question)
            assert answer.status_code == 200, answer.text
            assert answer.json()["text"]
        for path in ("/", "/documents", "/training", "/evaluation", "/people"):
            client.cookies.set("inhouse_session", token)
            assert client.get(path).status_code == 200
    lines = log.read_text().splitlines()
    assert len({line.split()[0] for line in lines if line.endswith("watched")}) >= 2
    assert [line for line in lines if not line.endswith("watched")] == []


def finished(client: httpx.Client, job: int) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE_S
    found: dict[str, str] = {"state": "unknown"}
    while time.monotonic() < deadline:
        found = client.get(f"/api/jobs/{job}").json()
        if found["state"] in ("succeeded", "failed", "stopped"):
            break
        time.sleep(0.3)
    return found
