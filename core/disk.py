"""The disk below the workspace: what its faults mean, and what to do."""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from core.errors import DamageError, StorageError, WorkspaceError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SQLITE_FULL = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE,
}  # fmt: skip
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_POSTGRES_FULL = "53100"
_POSTGRES_READ_ONLY = "25006"
_POSTGRES_DAMAGED = {"XX001", "XX002"}
_NOTHING = 1 << 20
"""With less than this much left a disk counts as full, whatever the error was called."""


def disk_error(error: BaseException, folder: Path) -> WorkspaceError | None:
    """Return what to tell a person where `error` comes from the disk; None where it does not.

    Args:
        error: what was raised, by files or by a database.
        folder: the workspace.
    """
    for one in _chain(error):
        if isinstance(one, OSError):
            found = _of_system(one, folder)
        elif isinstance(one, sqlite3.Error):
            found = _of_sqlite(one, folder)
        else:
            found = _of_postgres(str(getattr(one, "sqlstate", "")))
        if found is not None:
            return found
    return None


def _of_system(error: OSError, folder: Path) -> WorkspaceError | None:
    if error.errno == errno.EROFS:
        return _read_only(folder)
    return _full(folder, error.filename) if error.errno in _FULL else None


def _of_sqlite(error: sqlite3.Error, folder: Path) -> WorkspaceError | None:
    code: int = getattr(error, "sqlite_errorcode", None) or 0
    kind = code & 0xFF
    if kind in _SQLITE_DAMAGED:
        return damaged(folder, str(error))
    if code in _SQLITE_FULL:
        return _full(folder)
    if kind == sqlite3.SQLITE_READONLY:
        return _read_only(folder)
    if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _free(folder) < _NOTHING:
        return _full(folder)
    return None


def _of_postgres(state: str) -> WorkspaceError | None:
    if state == _POSTGRES_FULL:
        return StorageError(
            "The disk of the database server is full. Free some space there, then try again; "
            "no restart is needed. What was stored before is safe."
        )
    if state == _POSTGRES_READ_ONLY:
        return StorageError(
            "The database server takes no changes: it is read-only. Check that "
            "INHOUSE_DATABASE_URL names the primary server, then try again."
        )
    if state in _POSTGRES_DAMAGED:
        return DamageError(
            "The database server reports damaged data. Stop Inhouse, look into the server's log, "
            "and restore a backup; docs/operations.md says how."
        )
    return None


def damaged(folder: Path, reason: str) -> DamageError:
    """Return the error for a database in `folder` that SQLite cannot read."""
    return DamageError(
        f"The database in '{folder}' is damaged ({reason}). Stop Inhouse and run "
        f"`python -m core check --workspace {folder}`; docs/operations.md says how to recover."
    )


def _full(folder: Path, named: object = None) -> StorageError:
    places = [folder, Path(tempfile.gettempdir())]
    if isinstance(named, str | bytes):
        places.insert(0, Path(os.fsdecode(named)).parent)
    place = next((place for place in places if _free(place) < _NOTHING), folder)
    return StorageError(
        f"The disk of '{place}' is full: {_free(place) / 1e6:,.1f} MB are free. Delete documents, "
        "training runs or evaluations that nobody needs, or other files on that disk, then try "
        "again; no restart is needed. What was stored before is safe."
    )


def _read_only(folder: Path) -> StorageError:
    return StorageError(
        f"'{folder}' cannot be written: its file system or database file is read-only. Systems "
        "switch to that when a disk fails: look into the system's log, make it writable again, "
        "then try again."
    )


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return _NOTHING


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what led to it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        before = None if one.__suppress_context__ else one.__context__
        waiting += [before, one.__cause__, getattr(one, "orig", None)]
