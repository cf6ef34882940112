"""What every command line shares: flags, progress, Ctrl-C, exit codes.

A package's `__main__.py`::

    commands = CommandLine("python -m retrieval", "Ingest documents and search them.")
    ingest = commands.add("ingest", _ingest, "Ingest files or folders.")
    ingest.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    raise SystemExit(commands.run())

    def _ingest(call: Call) -> Report:
        report = ingestor.ingest(call.arguments.paths, progress=call.progress)
        return Report(report.as_json(), text=f"{report.documents} documents.")
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from core.errors import InhouseError, WorkspaceError
from core.home import First, Home, open_home
from core.logs import explained
from core.values import plain

FAULT_EXIT = 70
INTERRUPT_EXIT = 130


@dataclass(frozen=True)
class Report:
    """What a command found: `data` for `--json`, `text` for people ('' when already shown)."""

    data: Any
    text: str = ""
    exit_code: int = 0
    """Not 0 where programs that call it shall notice what was found."""


class TerminalProgress:
    """A bar on stderr when that is a terminal, else silent. Ctrl-C asks the work to stop."""

    def __init__(self) -> None:
        """Show nothing until the first report."""
        self._bar: tqdm[Any] | None = None
        self._stop = threading.Event()

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        """Move the bar to `done` of `total` and show `note` beside it."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = tqdm(file=sys.stderr, leave=False, dynamic_ncols=True, unit="")
        self._bar.total = total
        self._bar.n = done
        left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
        self._bar.set_description_str(f"{note}{left}", refresh=False)
        self._bar.refresh()

    def log(self, line: str) -> None:
        """Print `line` above the bar, on a terminal."""
        if sys.stderr.isatty():
            tqdm.write(line, file=sys.stderr)

    def stop_requested(self) -> bool:
        """Tell whether Ctrl-C was pressed."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask the work to save what it has and stop."""
        self._stop.set()

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@dataclass(frozen=True)
class Call:
    """One use of a command: its arguments, the opened installation, where progress goes."""

    arguments: argparse.Namespace
    home: Home
    progress: TerminalProgress

    @property
    def json(self) -> bool:
        """Tell whether `--json` was given: then nothing but the report goes to stdout."""
        return bool(self.arguments.json)


Handler = Callable[[Call], Report]


class CommandLine:
    """A program with subcommands that all take `--workspace` and `--json`."""

    def __init__(self, program: str, description: str) -> None:
        """`program` is how people call it, e.g. `python -m retrieval`."""
        self._parser = argparse.ArgumentParser(prog=program, description=description)
        _add_common(self._parser, None, False)
        self._commands = self._parser.add_subparsers(
            required=True, metavar="COMMAND", title="commands"
        )

    def add(
        self, name: str, handler: Handler, summary: str, first: First | None = None
    ) -> argparse.ArgumentParser:
        """Add a subcommand and return its parser; `first` runs before the database is opened."""
        parser = self._commands.add_parser(name, help=summary, description=summary)
        _add_common(parser, argparse.SUPPRESS, argparse.SUPPRESS)
        parser.set_defaults(handler=handler, first=first)
        return parser

    def run(self, argv: Sequence[str] | None = None) -> int:
        """Parse, open the installation, call the handler, print; return the exit code."""
        arguments = self._parser.parse_args(argv)
        return guarded(lambda: _call(arguments), arguments.workspace)


def guarded(action: Callable[[], int], workspace: Path | None = None) -> int:
    """Run `action`; turn what it raises into a message on stderr and an exit code.

    A person's mistake shows its message; anything else is logged and shown as an id.
    """
    try:
        return action()
    except InhouseError as error:
        _say(error.message)
        return error.exit_code
    except KeyboardInterrupt:
        _say("Interrupted.")
        return INTERRUPT_EXIT
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last net: logged with an id
        told = explained(_logs(workspace), error, " ".join(sys.argv[:2]))
        _say(told.message)
        return told.exit_code if isinstance(told, WorkspaceError) else FAULT_EXIT


@contextlib.contextmanager
def interruptible(progress: TerminalProgress) -> Iterator[None]:
    """Let the first Ctrl-C ask for a stop; a second one interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if progress.stop_requested():
            raise KeyboardInterrupt
        progress.request_stop()
        _say("Stopping; press Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _call(arguments: argparse.Namespace) -> int:
    home = open_home(arguments.first, workspace=arguments.workspace)
    progress = TerminalProgress()
    # Libraries print where they like; a program that reads our JSON must not see it.
    quiet = contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext()
    try:
        with interruptible(progress), quiet:
            report: Report = arguments.handler(Call(arguments, home, progress))
    finally:
        progress.close()
        home.database.close()
    if arguments.json:
        print(json.dumps(plain(report.data), ensure_ascii=False), flush=True)
    elif report.text:
        print(report.text, flush=True)
    return report.exit_code


def _add_common(parser: argparse.ArgumentParser, workspace: Any, as_json: Any) -> None:
    parser.add_argument(
        "--workspace", type=Path, metavar="DIR", default=workspace,
        help="folder that holds all state (default: INHOUSE_WORKSPACE or ./workspace)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", default=as_json, help="print one JSON object and no more"
    )


def _logs(workspace: Path | None) -> Path | None:
    folder = (workspace or Path(os.environ.get("INHOUSE_WORKSPACE", "workspace"))) / "logs"
    return folder if folder.is_dir() else None


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
