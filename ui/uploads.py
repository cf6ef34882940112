"""Files that people send: their names, where they wait, and the job that reads them."""

import contextlib
import os
import secrets
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fastapi import UploadFile

from core.errors import Conflict, InvalidInput
from core.job_store import RETRYABLE
from core.jobs import Job, JobState
from core.permissions import Account
from core.values import storable
from core.workspace import remove_folder, sync_folder
from retrieval.origins import SameName, numbered
from ui.services import Services

KIND = "ingest"
LONGEST_NAME = 255
"""Bytes that a file system allows."""
NAMED = 200
"""Files that an entry of the audit log names."""


def clean_name(name: str) -> str:
    """Return the bare name of a file that was sent, composed and without outer space.

    Raises:
        InvalidInput: nothing is left, or no file can be called so.
    """
    bare = PurePosixPath(name.replace("\\", "/")).name
    bare = unicodedata.normalize("NFC", bare).strip()
    shown = storable(bare, 80)
    if bare in ("", ".", "..") or any(unicodedata.category(c) in ("Cc", "Cs") for c in bare):
        raise InvalidInput(f"A file cannot be named '{shown}'. Send each file with its name.")
    if len(bare.encode()) > LONGEST_NAME:
        raise InvalidInput(f"The name '{shown}' is longer than {LONGEST_NAME} bytes. Shorten it.")
    return bare


def keep(paths: Sequence[Path], uploads: Path, same_name: SameName = SameName.KEEP_BOTH) -> Path:
    """Move files that just arrived into a folder of their own; same names get a number.

    Raises:
        InvalidInput: a name that cannot be, or two files of one name where each would replace
            what is stored under it.
    """
    names = [clean_name(path.name) for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice and same_name == SameName.REPLACE:
        raise InvalidInput(
            f"Two of these files are named '{twice}': one would replace the other. Send them one "
            "after the other, or keep both."
        )
    folder = uploads / secrets.token_hex(8)
    folder.mkdir(parents=True)
    for path, name in zip(paths, names, strict=True):
        free = (folder / one for one in numbered(name, LONGEST_NAME))
        target = next(one for one in free if not one.exists())
        shutil.move(path, target)
        # Once the job is there, a power cut must not take the files.
        with target.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    sync_folder(uploads)
    return folder


@contextlib.contextmanager
def received(files: Sequence[UploadFile], uploads: Path) -> Iterator[list[Path]]:
    """Write files of a request below `uploads`; what nobody moved away is removed.

    Raises:
        InvalidInput: a file without a name, or with one that cannot be.
    """
    with tempfile.TemporaryDirectory(dir=uploads) as arriving:
        paths = []
        for number, file in enumerate(files):
            path = Path(arriving) / str(number) / clean_name(file.filename or "")
            path.parent.mkdir()
            with path.open("wb") as target:
                shutil.copyfileobj(file.file, target)
            paths.append(path)
        yield paths


def queue(
    services: Services,
    account: Account,
    paths: Sequence[Path],
    groups: frozenset[str],
    same_name: SameName,
) -> int:
    """Keep files and queue the job that reads them; return its id.

    Raises:
        InvalidInput: as `keep`.
    """
    names = [clean_name(path.name) for path in paths]
    folder = keep(paths, services.home.workspace.uploads, same_name)
    payload = {"paths": [str(folder)], "groups": sorted(groups), "same_name": same_name.value}
    title = f"Reading {names[0]}" if len(names) == 1 else f"Reading {len(names)} files"
    job_id = services.jobs.submit(KIND, payload, title=title, account_id=account.id)
    detail = {"job": job_id, "groups": sorted(groups), "same_name": same_name.value}
    services.audit.record(account.name, "documents.add", ", ".join(names[:NAMED]), detail)
    return job_id


def waiting(job: Job, uploads: Path) -> list[Path]:
    """Return the folders of files that a failed or stopped upload still has."""
    if job.kind != KIND or job.state not in RETRYABLE:
        return []
    folders = [Path(path) for path in job.payload.get("paths", ())]
    return [folder for folder in folders if folder.parent == uploads and folder.is_dir()]


def try_again(services: Services, account: Account, job_id: int) -> None:
    """Read the files of an upload that failed once more.

    Raises:
        NotFound: there is no such job.
        Conflict: it does not wait for that, or its files are gone.
    """
    job = services.jobs.get(job_id)
    _require_files(services, job)
    services.jobs.try_again(job_id)
    services.audit.record(account.name, "documents.try_again", job.title, {"job": job_id})


def discard(services: Services, account: Account, job_id: int) -> None:
    """Remove the files of an upload that failed. Raises as `try_again`."""
    job = services.jobs.get(job_id)
    for folder in _require_files(services, job):
        remove_folder(folder)
    services.audit.record(account.name, "documents.discard", job.title, {"job": job_id})


def _require_files(services: Services, job: Job) -> list[Path]:
    found = waiting(job, services.home.workspace.uploads)
    if not found:
        raise Conflict(
            f"Job {job.id} '{job.title}' is {job.state} and keeps no files. "
            "Only an upload that failed or was stopped can be tried again; else send the files."
        )
    return found


def forget_uploads(uploads: Path, jobs: Sequence[Job]) -> None:
    """Remove files that people sent and no job will read any more; for the start of the app.

    What a stopped ingest left, and training data that was only looked at, should not stay:
    a document that was never stored cannot be deleted by anybody either. What a failed one
    left waits to be tried again, or for somebody to discard it.
    """
    kept = {
        path
        for job in jobs
        if job.active or (job.kind == KIND and job.state is JobState.FAILED)
        for path in job.payload.get("paths", ())
    }
    for folder in uploads.iterdir():
        if folder.name != "held-out" and str(folder) not in kept:
            remove_folder(folder)
