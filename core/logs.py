"""Faults that nobody could foresee: written to a file with an id that the person sees."""

import contextlib
import os
import secrets
import sys
import traceback
from pathlib import Path

from core.database import now
from core.disk import disk_error
from core.errors import InhouseError

LARGEST = 10_000_000


def explained(folder: Path | None, error: Exception, doing: str) -> InhouseError:
    """Return what a person is told of `error`, whatever it is.

    Its own message where it has one; the remedy where the disk is at fault; else the id under
    which it was recorded. Arguments as for `record_fault`.
    """
    if isinstance(error, InhouseError):
        return error
    found = disk_error(error, folder.parent if folder else Path.cwd())
    return found or InhouseError(fault_message(record_fault(folder, error, doing)))


def record_fault(folder: Path | None, error: BaseException, doing: str) -> str:
    """Append the traceback to `folder/app.log` and return an id for the person to quote.

    Without a folder, or when it cannot be written, the traceback goes to stderr.

    Args:
        folder: the workspace's `logs`.
        error: what was raised.
        doing: what was attempted, e.g. `job 12 (train)`; no secrets, no questions.
    """
    fault = secrets.token_hex(4)
    trace = "".join(traceback.format_exception(error))
    text = f"{now().isoformat(timespec='seconds')} {fault} pid {os.getpid()} {doing}\n{trace}\n"
    try:
        if folder is None:
            raise FileNotFoundError
        _append(folder / "app.log", text)
    except OSError:
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.write(text)
    return fault


def fault_message(fault: str) -> str:
    """The sentence a person sees for a fault."""
    return f"Internal error {fault}; the details are in logs/app.log of the workspace."


def _append(path: Path, text: str) -> None:
    if path.exists() and path.stat().st_size > LARGEST:
        path.replace(path.with_suffix(".log.1"))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, text.encode("utf-8", "backslashreplace"))
    finally:
        os.close(handle)
