"""The workspace: the folder that holds all state of one installation."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.errors import WorkspaceError
from core.reserve import Reserve

FORMAT = 1

UMASK = 0o077
"""Bits that are never set on what Inhouse creates: the group's and everybody's."""

_FILES = ("inhouse.db", "workspace.json", "app.lock", "ingest.lock", "reserve", "damaged-")
"""How the names of what lies beside the folders begin."""


class Workspace:
    """Paths inside the workspace. Opening creates what is missing."""

    def __init__(self, root: Path) -> None:
        """Open `root`, making it if needed.

        Raises:
            WorkspaceError: not a folder, not writable, or written by a newer version.
        """
        self.root = root.expanduser().resolve()
        self.reserve = Reserve(self.root)
        try:
            self.root.mkdir(0o700, parents=True, exist_ok=True)
            for folder in self._folders():
                folder.mkdir(0o700, exist_ok=True)
            self._check_writable()
        except (FileExistsError, NotADirectoryError) as error:
            raise WorkspaceError(
                f"The workspace '{self.root}' is a file, not a folder. "
                "Name another with --workspace."
            ) from error
        except OSError as error:
            raise WorkspaceError(
                f"The workspace '{self.root}' cannot be written ({error.strerror}). "
                "Make it writable or name another with --workspace."
            ) from error
        self._check_format()

    def _folders(self) -> list[Path]:
        return [
            self.files, self.index, self.models, self.adapters, self.runs,
            self.evaluations, self.logs, self.uploads,
        ]  # fmt: skip

    def _check_writable(self) -> None:
        probe = self.root / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()

    def _check_format(self) -> None:
        marker = self.root / "workspace.json"
        if not marker.exists():
            write_atomically(marker, json.dumps({"format": FORMAT}).encode())
            return
        try:
            found = json.loads(marker.read_text("utf-8"))["format"]
            if type(found) is not int or found < 1:
                raise ValueError(found)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise WorkspaceError(
                f"'{marker}' is damaged. Restore it from a backup, "
                f'or write {{"format": {FORMAT}}} into it if nothing else is.'
            ) from error
        if found > FORMAT:
            raise WorkspaceError(
                f"The workspace '{self.root}' has format {found}; "
                f"this version reads up to {FORMAT}. "
                "Install the newer version of Inhouse, or name another workspace."
            )

    def own(self) -> list[Path]:
        """What Inhouse keeps in the workspace, as far as it is there."""
        files = [path for path in self.root.iterdir() if path.name.startswith(_FILES)]
        return [*self._folders(), *files]

    @property
    def database(self) -> Path:
        """The default SQLite database; beside it lie its journal (-wal) and index (-shm)."""
        return self.root / "inhouse.db"

    @property
    def database_url(self) -> str:
        """Its URL."""
        return f"sqlite:///{self.database}"

    @property
    def files(self) -> Path:
        """Original bytes of documents, one folder a document."""
        return self.root / "files"

    @property
    def index(self) -> Path:
        """FAISS and BM25 files; derived, may be deleted."""
        return self.root / "index"

    def forget_derived(self) -> None:
        """Delete what holds words of documents and is made anew from the database when needed.

        That is the index, and the reports of evaluations; audits quote no document.
        """
        for folder in self.index.iterdir():
            remove_folder(folder)
        # Not the folders, nor what is being written: an evaluation may end at this moment.
        for report in self.evaluations.glob("[0-9]*/[!.]*"):
            report.unlink(missing_ok=True)

    @property
    def models(self) -> Path:
        """Converted language models; derived, may be deleted."""
        return self.root / "models"

    @property
    def adapters(self) -> Path:
        """One folder an adapter."""
        return self.root / "adapters"

    @property
    def runs(self) -> Path:
        """Checkpoints of training runs, one folder a run."""
        return self.root / "runs"

    @property
    def evaluations(self) -> Path:
        """Reports, one folder an evaluation."""
        return self.root / "evaluations"

    @property
    def logs(self) -> Path:
        """Logs of the app and of jobs."""
        return self.root / "logs"

    @property
    def uploads(self) -> Path:
        """Files that arrived through a page and wait for their job."""
        return self.root / "uploads"


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, fsync, rename: a reader sees the old file or the new one, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def folder_written_atomically(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target`; on success fsync its files and rename it into place.

    Raises:
        FileExistsError: `target` exists and is not empty.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    remove_folder(beside)
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        if target.exists() and any(target.iterdir()):
            raise FileExistsError(str(target))
        beside.replace(target)
        sync_folder(target.parent)
    finally:
        remove_folder(beside)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_folder(folder: Path) -> None:
    """Delete a folder and what is in it, if it exists."""
    shutil.rmtree(folder, ignore_errors=True)
