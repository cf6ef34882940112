"""Questions in the first second after a start, many starts long.

`python -m tests.faults.starts --starts 200 --asks 4` starts the real application so often, with the
real models, asks at once when it listens, and reports every answer that is not one.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from assistant.engines.embedded import EMBEDDED_NAME
from assistant.modes import AnswerMode
from core.accounts import Accounts
from core.home import open_home
from core.permissions import Role
from retrieval.service import open_retrieval
from tests.running import RunningApp
from tests.waiting import eventually
from ui.asking import Asked, ask
from ui.services import Services, open_services

PASSWORD = "forty-two open doors"
MODES = ("rag", "base", "rag", "base")
"""Of the questions, in turn: what searches and what does not race on different libraries."""
SHORT = {"INHOUSE_ANSWER_TOKENS": "4"}


@dataclass(frozen=True)
class Start:
    """What became of one start."""

    seconds: float
    """From listening to the last answer."""
    problems: list[str]


def prepare(workspace: Path, models: Path | None) -> str:
    """Make an installation with one document; return a token of somebody signed in."""
    workspace.mkdir(parents=True, exist_ok=True)
    if models is not None:
        (workspace / "models").symlink_to(models.resolve())
    home = open_home(workspace=workspace)
    accounts = Accounts(home.database, home.settings)
    accounts.create("anna", PASSWORD, Role.ADMIN)
    text = workspace.parent / "leave.md"
    text.write_text("# Leave\n\nSick leave is ten days a year.\n")
    open_retrieval(home).ingestor.ingest([text])
    token = accounts.sign_in("anna", PASSWORD, "test")
    home.database.close()
    return token


def starts(workspace: Path, token: str, count: int, asks: int) -> Iterator[Start]:
    """Start the application `count` times and ask `asks` questions at once each time."""
    for _ in range(count):
        app = RunningApp(workspace, "--no-sample", environment=SHORT)
        app.start()
        try:
            yield _asked(app, token, asks)
        finally:
            app.kill()


def loads(workspace: Path, token: str, count: int, asks: int, model: Path) -> Iterator[Start]:
    """Load everything anew `count` times in this process, and ask while it is being loaded.

    What a whole start adds, the first import of the libraries, happens once in a process.
    `model` is a small language model, so that what is measured is loading and not answering.
    """
    for _ in range(count):
        home = open_home(workspace=workspace, model=str(model), answer_tokens=4)
        services = open_services(home)
        try:
            yield _asked_within(services, token, asks)
        finally:
            services.close()


def _asked_within(services: Services, token: str, asks: int) -> Start:
    started = time.monotonic()
    account = services.accounts.by_token(token)
    assert account is not None
    services.readiness.begin()

    def answered(number: int) -> str:
        mode = AnswerMode(MODES[number % len(MODES)])
        text = f"How many days of sick leave? ({number})"
        turn = ask(services, account, Asked(text, [mode], None, None))
        eventually(lambda: turn.finished, 300)
        part = turn.parts[0]
        return part.problem or ("" if part.text else "an answer without words")

    with ThreadPoolExecutor(asks) as pool:
        problems = [problem for problem in pool.map(answered, range(asks)) if problem]
    if not services.readiness.ready:
        problems.append(f"not ready: {services.readiness.problem}")
    return Start(time.monotonic() - started, problems)


def _asked(app: RunningApp, token: str, asks: int) -> Start:
    started = time.monotonic()
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=app.url, headers=headers, timeout=300) as client:

        def answered(number: int) -> str:
            body = {"question": f"How many days of sick leave? ({number})"}
            try:
                answer = client.post("/api/ask", json={**body, "mode": MODES[number % len(MODES)]})
            except httpx.HTTPError as error:
                return repr(error)
            good = answer.is_success and answer.json()["text"]
            return "" if good else f"{answer.status_code} {answer.text}"

        with ThreadPoolExecutor(asks) as pool:
            problems = [problem for problem in pool.map(answered, range(asks)) if problem]
        ready = client.get("/api/ready")
    if not ready.is_success:
        problems.append(f"not ready: {ready.text}")
    if "Traceback" in app.output:
        problems.append(app.output)
    log = app.workspace / "logs" / "app.log"
    if log.exists():
        problems.append(log.read_text("utf-8"))
        log.unlink()
    return Start(time.monotonic() - started, problems)


def main() -> int:
    """Run the loop of the command line; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.starts")
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--asks", type=int, default=4)
    parser.add_argument("--models", type=Path, help=f"folder with {EMBEDDED_NAME}, converted")
    given = parser.parse_args()
    wrong = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        token = prepare(Path(folder) / "workspace", given.models)
        runs = starts(Path(folder) / "workspace", token, given.starts, given.asks)
        for number, start in enumerate(runs, 1):
            wrong += bool(start.problems)
            said = "; ".join(start.problems) or "good"
            _say(f"{number:4}  {start.seconds:5.1f} s  {said}")
    _say(f"{given.starts} starts with {given.asks} questions each, {wrong} with errors.")
    return 1 if wrong else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
