"""`python -m core backup`: a copy of the workspace that can be taken while the app serves."""

import contextlib
import fcntl
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from core.errors import Conflict, InvalidInput
from core.home import Home
from core.workspace import Workspace, folder_written_atomically

_COPIED = ("files", "adapters", "runs", "evaluations")
"""The other folders are derived, or of no use elsewhere."""


def back_up(home: Home, target: Path) -> Path:
    """Copy the installation to `target`, which then is a workspace of its own.

    The database is copied by SQLite itself, as it is at one moment; documents that are being
    added wait until the copy is made. A PostgreSQL database is not copied.

    Raises:
        InvalidInput: `target` lies inside the workspace.
        Conflict: `target` holds something already.
    """
    source, target = home.workspace, target.expanduser().resolve()
    if target == source.root or source.root in target.parents:
        raise InvalidInput(
            f"'{target}' lies in the workspace itself. Name a folder on another disk."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _no_ingest(source), folder_written_atomically(target) as beside:
            if not home.settings.database_url:
                _copy_database(source.database, beside / source.database.name)
            for name in _COPIED:
                shutil.copytree(
                    source.root / name, beside / name, copy_function=_copy_present,
                    ignore=shutil.ignore_patterns(".*", "checkpoints"),
                )  # fmt: skip
            shutil.copy2(source.root / "workspace.json", beside)
    except FileExistsError as error:
        raise Conflict(f"'{target}' is not empty. Name a new folder for each backup.") from error
    return target


@contextlib.contextmanager
def _no_ingest(workspace: Workspace) -> Iterator[None]:
    """Hold what ingests hold, so that originals and database are of one moment."""
    with (workspace.root / "ingest.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy_present(source: str, target: str) -> None:
    # Deleted meanwhile, as the page allows: then it need not be kept.
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


def _copy_database(database: Path, target: Path) -> None:
    """Use the online backup of SQLite: other processes read and write on."""
    with (
        contextlib.closing(sqlite3.connect(database, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        # The journal mode is copied along; a backup is one file.
        copy.execute("PRAGMA journal_mode=DELETE")
