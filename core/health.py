"""Is the database what Inhouse wrote? Asked before the app serves, and by `core check`."""

import contextlib
import shutil
import sqlite3
import sys
from pathlib import Path
from urllib.parse import quote

from core.database import now
from core.disk import disk_error
from core.errors import DamageError
from core.modes import tighten
from core.settings import Settings
from core.wal import lost_commits
from core.workspace import Workspace, folder_written_atomically

THOROUGH = 128 << 20
"""Up to this size indexes are compared with their tables as well; larger databases take longer."""
LARGEST = 4 << 30
"""Beyond it the start does not wait: a person runs `python -m core check`."""
MOST_NAMED = 5


def start_check(settings: Settings, workspace: Workspace, *, accept: bool) -> None:
    """Look after the workspace before anything opens its database; for the app alone.

    Args:
        settings: of the installation.
        workspace: opened.
        accept: go on with a damaged database, as a person decided.

    Raises:
        DamageError, StorageError: as `check_database`.
    """
    tighten(workspace)
    workspace.reserve.make_room()
    try:
        check_database(settings, workspace, LARGEST)
    except DamageError as error:
        if not accept:
            raise
        sys.stderr.write(f"{error.message}\nStarting without what cannot be read.\n")


def check_database(settings: Settings, workspace: Workspace, largest: int = sys.maxsize) -> None:
    """Look for damage of the SQLite database; what is damaged is copied aside first of all.

    Must run before this process opens the database, else it would drop SQLite's locks.

    Args:
        settings: of the installation; PostgreSQL looks after itself.
        workspace: with the database.
        largest: bytes; the pages of a larger database are not looked at.

    Raises:
        DamageError: says what is lost or doubtful, where the files were copied, and what to do.
        StorageError: the disk does not let the check be made.
    """
    found = [] if settings.database_url else _damage(workspace, largest)
    if found:
        raise DamageError(_told(workspace, found, _copied_aside(workspace)))


def _damage(workspace: Workspace, largest: int) -> list[str]:
    database = workspace.database
    size = database.stat().st_size if database.exists() else 0
    lost = lost_commits(database)
    if lost:
        return [lost]
    if size:
        return _damaged_pages(workspace, thorough=size <= THOROUGH) if size <= largest else []
    held = [folder.name for folder in (workspace.files, workspace.adapters) if _holds(folder)]
    state = "empty" if database.exists() else "gone"
    return [f"'{database.name}' is {state}, but '{held[0]}/' is not"] if held else []


def _holds(folder: Path) -> bool:
    return any(not path.name.startswith(".") for path in folder.iterdir())


def _damaged_pages(workspace: Workspace, *, thorough: bool) -> list[str]:
    """Have SQLite read every page; nothing is changed."""
    check = "integrity_check" if thorough else "quick_check"
    address = f"file:{quote(str(workspace.database))}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
            # `check` may report a page in many lines; the first of them name it.
            rows = connection.execute(f"PRAGMA {check}({MOST_NAMED})").fetchall()
    except sqlite3.DatabaseError as error:
        trouble = disk_error(error, workspace.root)
        if trouble is not None and not isinstance(trouble, DamageError):
            raise trouble from error
        return [f"'{workspace.database.name}' cannot be read: {error}"]
    lines = [line for (text,) in rows for line in str(text).splitlines() if line != "ok"]
    return [f"'{workspace.database.name}': {line.strip(' *')}" for line in lines[:MOST_NAMED]]


def _copied_aside(workspace: Workspace) -> Path:
    """Keep the files as they were found: SQLite changes them as soon as it opens them."""
    database = workspace.database
    files = [file for file in database.parent.glob(f"{database.name}*") if file.is_file()]
    kept = sorted(workspace.root.glob("damaged-*"))
    for folder in kept:
        # Started again and again: one copy is enough.
        if all(_same(file, folder / file.name) for file in files):
            return folder
    target = workspace.root / f"damaged-{now():%Y-%m-%d-%H%M%S}"
    with folder_written_atomically(target) as beside:
        for file in files:
            shutil.copy2(file, beside / file.name)
    return target


def _same(file: Path, copy: Path) -> bool:
    if not copy.is_file():
        return False
    one, other = file.stat(), copy.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _told(workspace: Workspace, found: list[str], copied: Path) -> str:
    lines = "\n".join(f"  - {line}" for line in found)
    return (
        f"The database of the workspace '{workspace.root}' is damaged:\n"
        f"{lines}\n"
        f"The files are kept as they were found in '{copied}'. Either\n"
        "  1. restore the newest backup (docs/operations.md, 'Restore'); or\n"
        "  2. go on without what cannot be read: start once more with --accept-damage; or\n"
        f"  3. have SQLite salvage what it can from the copy:\n"
        f"     sqlite3 '{copied / workspace.database.name}' .recover | sqlite3 salvaged.db\n"
        "     and put salvaged.db in the place of inhouse.db, without -wal and -shm files."
    )
