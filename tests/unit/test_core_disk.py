"""What a fault of the disk is called, wherever it arises; the room kept for putting it right."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from psycopg import errors as postgres
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.cli import guarded
from core.database import Database
from core.disk import disk_error
from core.errors import DamageError, InhouseError, StorageError
from core.home import Home, open_home
from core.job_child import JobProgress, _outcome
from core.job_store import JobState, JobStore
from core.logs import explained
from core.reserve import MOST, Reserve
from ui.guard import Guard


def full_database(folder: Path) -> OperationalError:
    """The very error of a database that may not grow."""
    database = Database(f"sqlite:///{folder / 'small.db'}")
    with pytest.raises(OperationalError) as caught, database.session() as session:
        session.execute(text("PRAGMA max_page_count=2"))
        for number in range(9):
            session.execute(text(f"CREATE TABLE t{number} (a)"))
    database.close()
    return caught.value


def wrapped(error: Exception) -> Exception:
    """`error` as a library passes it on."""
    try:
        raise ValueError("cannot save") from error
    except ValueError as outer:
        return outer


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_its_remedy(tmp_path: Path, number: int) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path / "x"))
    for one in (error, wrapped(error), wrapped(wrapped(error))):
        found = disk_error(one, tmp_path)
        assert isinstance(found, StorageError)
        assert str(tmp_path) in found.message
        assert "MB are free" in found.message
        assert "Delete documents" in found.message


def test_a_full_database_is_a_full_disk(tmp_path: Path) -> None:
    assert isinstance(disk_error(full_database(tmp_path), tmp_path), StorageError)


def test_a_read_only_place_is_told(tmp_path: Path) -> None:
    found = disk_error(OSError(errno.EROFS, "read-only"), tmp_path)
    assert isinstance(found, StorageError)
    assert "read-only" in found.message
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    only_read = sqlite3.connect(f"file:{tmp_path / 'x.db'}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        only_read.execute("INSERT INTO t VALUES (1)")
    assert "read-only" in str(disk_error(caught.value, tmp_path))


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (postgres.DiskFull("no space left on device"), StorageError),
        (postgres.ReadOnlySqlTransaction("read-only"), StorageError),
        (postgres.DataCorrupted("invalid page"), DamageError),
        (postgres.IndexCorrupted("invalid page"), DamageError),
    ],
)
def test_postgresql_says_the_same_by_other_codes(
    tmp_path: Path, raised: Exception, kind: type[InhouseError]
) -> None:
    assert isinstance(disk_error(OperationalError("x", {}, raised), tmp_path), kind)


def test_a_damaged_database_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        sqlite3.connect(tmp_path / "x.db").execute("SELECT * FROM sqlite_master")
    found = disk_error(caught.value, tmp_path)
    assert isinstance(found, DamageError)
    assert "python -m core check" in found.message


@pytest.mark.parametrize(
    "other", [ValueError("x"), PermissionError(errno.EACCES, "no"), sqlite3.OperationalError("x")]
)
def test_other_faults_keep_their_id(tmp_path: Path, other: Exception) -> None:
    assert disk_error(other, tmp_path) is None
    (tmp_path / "logs").mkdir()
    assert explained(tmp_path / "logs", other, "a test").message.startswith("Internal error")
    known = InhouseError("Known.")
    assert explained(tmp_path / "logs", known, "a test") is known


def test_every_net_tells_it(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_anything: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert guarded(full, home.workspace.root) == StorageError.exit_code
    assert "is full" in capsys.readouterr().err
    store = JobStore(home.database)
    progress = JobProgress(store, store.add("x", {}, "x", None), 1)
    state, said, _ = _outcome(home, {}, full, progress)  # type: ignore[arg-type]
    assert (state, "is full" in said) == (JobState.FAILED, True)
    guard = Guard(None, home.workspace.logs)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space") as caught:
        full()
    assert "is full" in str(guard._shown(caught.value, full))


def test_opening_tells_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = full_database(tmp_path)

    def full(_self: Database) -> None:
        raise error

    monkeypatch.setattr(Database, "migrate", full)
    with pytest.raises(StorageError, match="is full"):
        open_home(workspace=tmp_path / "workspace")


class Disk:
    """Stands in for `shutil.disk_usage`."""

    total = 100 * MOST

    def __init__(self, free: int) -> None:
        self.free = free

    def __call__(self, _folder: Path) -> "Disk":
        return self


def test_room_is_kept_given_up_and_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(free=10 * MOST)
    monkeypatch.setattr("core.reserve.shutil.disk_usage", disk)
    reserve = Reserve(tmp_path)
    reserve.make_room()
    assert not reserve.file.exists(), "commands and jobs take none"
    reserve.keep()
    assert reserve.file.stat().st_size == MOST
    disk.free = MOST
    reserve.make_room()
    assert reserve.file.exists(), "enough is left for a sign-in"
    disk.free = 0
    reserve.make_room()
    assert not reserve.file.exists()
    disk.free = MOST
    reserve.make_room()
    assert not reserve.file.exists(), "what was just given up is not taken back at once"
    disk.free = 10 * MOST
    reserve.make_room()
    assert reserve.file.exists()
