"""Starts the real application as people do, and stops it as they do."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "seven quiet lamps at noon"
"""What the tests choose at the first sign-in."""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RunningApp:
    """`python app.py` in a process of its own."""

    def __init__(
        self, workspace: Path, *flags: str, environment: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.workspace = workspace
        self._command = [
            sys.executable, "app.py", "--port", str(self.port),
            "--workspace", str(workspace), *flags,
        ]  # fmt: skip
        self._environment = {**os.environ, **(environment or {})}
        self.output = ""

    def __enter__(self) -> "RunningApp":
        self.start()
        return self

    def start(self) -> None:
        """Start and wait until it serves."""
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"The application does not serve:\n{self.output}")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    @property
    def first_password(self) -> str:
        """The password that was printed at the first start."""
        found = re.search(r"password '([^']+)'", self.output)
        assert found, self.output
        return found[1]

    def stop(self) -> int:
        """Press Ctrl-C and wait."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def kill(self) -> None:
        """Let the application die without a word; what it started lives on."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()
