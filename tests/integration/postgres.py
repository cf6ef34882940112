"""A throw-away PostgreSQL from the system's package, for one test session."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from tests.waiting import PATIENCE_S

PROGRAMS = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, newest version first."""
    found = sorted(
        PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    if found:
        return found[0].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def server_user() -> str | None:
    """PostgreSQL refuses to run as root; then its package's own user runs it."""
    return "postgres" if os.geteuid() == 0 else None


class PostgresServer:
    """A server on a free port of 127.0.0.1, its data in a temporary folder."""

    def __init__(self) -> None:
        """Create the data folder and start.

        Skips the test when the server's programs are not installed.
        """
        folder = programs()
        if folder is None:
            pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        user = server_user()
        try:
            if user:
                pwd.getpwnam(user)
        except KeyError:
            pytest.skip(f"running as root, and there is no user '{user}' to run PostgreSQL")
        self._folder = Path(tempfile.mkdtemp(prefix="inhouse-postgres-"))
        if user:
            shutil.chown(self._folder, user)
        data = self._folder / "data"
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"],
            check=True, user=user, cwd=self._folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.port = _free_port()
        options = {
            "listen_addresses": "127.0.0.1", "port": str(self.port), "fsync": "off",
            "unix_socket_directories": str(self._folder),
        }  # fmt: skip
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(
            [folder / "postgres", "-D", data, *flags],
            user=user, cwd=self._folder, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        self._databases = 0
        self._wait()

    def new_database(self) -> str:
        """Return the SQLAlchemy URL of an empty database.

        It is a schema of its own that the URL makes the default: a hundred times fewer files
        than a whole database, and nothing can tell the difference.
        """
        self._databases += 1
        name = f"test_{self._databases}"
        with self._connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        address = f"127.0.0.1:{self.port}/postgres"
        return f"postgresql+psycopg://postgres@{address}?options=-csearch_path%3D{name}"

    def close(self) -> None:
        """Stop the server and delete its data."""
        # SIGQUIT leaves at once: nothing is worth saving, and SIGTERM would wait for clients.
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "log").read_text("utf-8", "replace")
                    self.close()
                    raise RuntimeError(f"PostgreSQL did not start:\n{log}") from None
                time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
