"""A database that is opened and closed by something else in this process stays guarded."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from core.database import Database
from tests.waiting import PATIENCE_S

_APP = """
import os, subprocess, sys
from sqlalchemy import text
from core.database import Database

path, other = sys.argv[1:]
database = Database(f"sqlite:///{path}")
with database.session() as session:
    session.execute(text("CREATE TABLE kept (x INTEGER)"))
for suffix in ("", "-wal", "-shm"):
    open(path + suffix, "rb").close()
subprocess.run([sys.executable, "-c", other, path], check=True)
for number in range(20):
    with database.session() as session:
        session.execute(text(f"INSERT INTO kept VALUES ({number})"))
    print(number, flush=True)
os.kill(os.getpid(), 9)
"""
_OTHER = """
import sys
from sqlalchemy import text
from core.database import Database

database = Database(f"sqlite:///{sys.argv[1]}")
with database.session() as session:
    session.execute(text("INSERT INTO kept VALUES (-1)"))
database.close()
"""


def test_nothing_acknowledged_is_lost_after_a_stray_open_another_process_and_kill(
    tmp_path: Path,
) -> None:
    path = tmp_path / "kept.db"
    app = subprocess.run(
        [sys.executable, "-c", _APP, str(path), _OTHER],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert app.returncode == -signal.SIGKILL, app.stderr
    acknowledged = [int(line) for line in app.stdout.split()]
    assert acknowledged == list(range(20))
    assert rows(path) == [-1, *acknowledged]


def test_the_last_close_still_folds_the_journal_into_the_database(tmp_path: Path) -> None:
    path = tmp_path / "folded.db"
    first, second = Database(f"sqlite:///{path}"), Database(f"sqlite:///{path}")
    with first.session() as session:
        session.execute(text("CREATE TABLE kept (x INTEGER)"))
    with second.session() as session:
        session.execute(text("INSERT INTO kept VALUES (1)"))
    first.close()
    assert Path(f"{path}-wal").exists()
    second.close()
    assert not Path(f"{path}-wal").exists()
    assert rows(path) == [1]


def test_closing_opens_no_file_twice_and_leaves_none_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files cannot be listed: /proc/self/fd is missing")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        database = Database(f"sqlite:///{tmp_path / str(number)}.db")
        with database.session() as session:
            session.execute(text("CREATE TABLE kept (x INTEGER)"))
        database.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def rows(path: Path) -> list[int]:
    database = Database(f"sqlite:///{path}")
    with database.session() as session:
        found = [row[0] for row in session.execute(text("SELECT x FROM kept ORDER BY x"))]
    database.close()
    return found
