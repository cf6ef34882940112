"""One app a workspace. Commands may run beside it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from core.errors import Conflict
from core.workspace import Workspace


@contextlib.contextmanager
def serving(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace for one app; the system lets go of it even when we are killed.

    Raises:
        Conflict: another app holds it; names its process.
    """
    handle = os.open(workspace.root / "app.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            raise Conflict(
                f"The workspace '{workspace.root}' is in use by another app, process {holder}. "
                "Stop that one, or name another workspace with --workspace."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
