"""The parent's side of reading files: a child reads them, and may be lost without harm.

A file may hang its parser, eat all memory or crash it. That costs the child and this one file;
the next file gets a new child.
"""

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, cast

from core.errors import DocumentError
from retrieval.loading.frames import LENGTH, pack
from retrieval.loading.model import LoadedDocument

PROJECT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.2
START_SECONDS = 60.0
CHUNK = 1024 * 1024
LARGEST_ANSWER = 1024 * CHUNK
KEPT_COMPLAINTS = 4000

MEGABYTES_FOR_ONCE_MORE = 4
"""A file of so many megabytes may take twice as long as a small one, and so on."""
PDF_TIMES = 4
"""A page of a PDF is drawn to find its words."""
WAITING_TIMES = 4
"""A processor shared with others gives its seconds slowly."""
SHORTEST_WAIT = 60.0


@dataclass(frozen=True)
class Limits:
    """What reading one file may take."""

    seconds: float = 30.0
    """Of a processor, for a small file."""
    megabytes: int = 2048
    """Of memory."""

    def seconds_for(self, name: str, size: int) -> float:
        """Seconds of a processor that a file of this name and size may take."""
        times = PDF_TIMES if PurePosixPath(name).suffix.lower() == ".pdf" else 1
        return self.seconds * times * (1 + size / (MEGABYTES_FOR_ONCE_MORE * 1024 * 1024))


class Sandbox:
    """Reads files one after another in a child process."""

    def __init__(self, limits: Limits, check: Callable[[], None] | None = None) -> None:
        """`check` is called several times a second while a file is read; it may raise to stop."""
        self._limits = limits
        self._check = check or _nothing
        self._child: _Child | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._end()

    def load(self, name: str, content: bytes) -> LoadedDocument:
        """Turn a file's bytes into titled sections of text, as `load_document` does.

        Raises:
            DocumentError: naming the file, what is wrong with it, and the remedy.
        """
        seconds = self._limits.seconds_for(name, len(content))
        try:
            child = self._child = self._child or _Child.start(self._limits.megabytes, self._check)
            header = json.dumps({"name": name, "seconds": seconds}).encode()
            patience = max(SHORTEST_WAIT, WAITING_TIMES * seconds)
            answer = child.ask([pack(header), pack(content)], patience, self._check)
        except _Lost as lost:
            self._end()
            raise DocumentError(f"'{name}': {self._reason(lost, seconds)}") from lost
        except BaseException:
            self._end()
            raise
        if answer["last"]:
            self._end()
        if "error" in answer:
            raise DocumentError(answer["error"])
        if "memory" in answer:
            raise DocumentError(f"'{name}': {self._too_large()}")
        return LoadedDocument.from_json(answer["document"])

    def watched(self, count: Callable[[str], int]) -> Callable[[str], int]:
        """Return `count`, asking before each call whether to stop: long texts take long to cut."""

        def counted(text: str) -> int:
            self._check()
            return count(text)

        return counted

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _reason(self, lost: "_Lost", seconds: float) -> str:
        if lost.code in (None, -signal.SIGXCPU):
            return (
                f"reading it takes longer than the {seconds:,.0f} seconds that a file of its size "
                "may take. Split it, save it again in its own program, or raise "
                "INHOUSE_READING_SECONDS."
            )
        if lost.code == -signal.SIGKILL:
            return self._too_large()
        return (
            f"the program that reads it was ended by it ({_named(lost.code)}). "
            "Open it in its own program and save it again, or leave it out."
        )

    def _too_large(self) -> str:
        return (
            f"reading it takes more memory than the {self._limits.megabytes:,} MB that a file may "
            "take. Split it, or raise INHOUSE_READING_MEGABYTES."
        )


class _Lost(Exception):
    """The child is gone in the midst of a file; without a code it was too slow."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class _Child:
    """One child process and its pipes, none of which may block this process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        pipes = (process.stdin, process.stdout, process.stderr)
        self._pipes = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", pipes)
        self._received = bytearray()
        self._complaints = b""
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)

    @staticmethod
    def start(megabytes: int, check: Callable[[], None]) -> "_Child":
        """Start a child and wait until it is ready."""
        # Nothing of this process's environment, which may hold a database's password.
        environment = {"PATH": os.defpath, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1",
                       "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        process = subprocess.Popen(  # noqa: S603 - an argument list of our own
            [sys.executable, "-m", "retrieval.loading.child", str(megabytes)],
            cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        child = _Child(process)
        try:
            child.ask([], START_SECONDS, check)
        except _Lost as lost:
            child.end()
            raise RuntimeError(f"The reader of files does not start: {child.said}") from lost
        except BaseException:
            child.end()
            raise
        return child

    @property
    def said(self) -> str:
        """The end of what it wrote to stderr."""
        return self._complaints.decode("utf-8", "replace").strip()

    def ask(self, frames: list[bytes], seconds: float, check: Callable[[], None]) -> dict[str, Any]:
        """Send `frames` and return the answer.

        Raises:
            _Lost: the child ended, or took longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        waiting = [memoryview(frame) for frame in frames]
        stdin, stdout, stderr = self._pipes
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            if waiting:
                selector.register(stdin, selectors.EVENT_WRITE)
            while (answer := self._answer()) is None:
                check()
                if time.monotonic() > deadline:
                    raise _Lost(None)
                for key, _ in selector.select(POLL_SECONDS):
                    if key.fileobj is stdin:
                        self._send(waiting)
                        if not waiting:
                            selector.unregister(stdin)
                    elif key.fileobj is stdout:
                        self._receive()
                    elif not self._listen():
                        selector.unregister(stderr)
        return answer

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()

    def _send(self, waiting: list[memoryview]) -> None:
        try:
            sent = os.write(self._pipes[0].fileno(), waiting[0][:CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            raise self._lost() from None
        waiting[0] = waiting[0][sent:]
        if not waiting[0]:
            waiting.pop(0)

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            received = os.read(self._pipes[1].fileno(), CHUNK)
            if not received:
                raise self._lost()
            self._received += received

    def _listen(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            heard = os.read(self._pipes[2].fileno(), CHUNK)
            self._complaints = (self._complaints + heard)[-KEPT_COMPLAINTS:]
            return bool(heard)
        return True

    def _answer(self) -> dict[str, Any] | None:
        if len(self._received) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._received)
        if length > LARGEST_ANSWER:
            raise _Lost(-signal.SIGKILL)
        if len(self._received) < LENGTH.size + length:
            return None
        answer: dict[str, Any] = json.loads(self._received[LENGTH.size :])
        self._received.clear()
        return answer

    def _lost(self) -> _Lost:
        try:
            code = self._process.wait(POLL_SECONDS * 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listen()
        logging.getLogger(__name__).warning("The reader of files ended (%s): %s", code, self.said)
        return _Lost(code)


def _named(code: int | None) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-(code or 0)).name
    return f"exit code {code}"


def _nothing() -> None:
    """Nobody can ask to stop."""
