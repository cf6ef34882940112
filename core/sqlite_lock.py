"""A lock on SQLite's files that a stray open of them in this process cannot drop.

SQLite guards its files with POSIX locks, and the system drops all of those that a process holds on
a file as soon as the process closes *any* descriptor of that file (fcntl(2); sqlite.org, "How To
Corrupt An SQLite Database File", 2.2). A library that opens and closes the database, whoever made
it do so, would leave it unguarded: the next process to close its last connection then takes itself
for the only one and deletes the journal that this one goes on writing to. What is committed
afterwards is lost when the process ends.

Locks of an open file description (F_OFD_SETLK) end with their own descriptor only. One is held on
the very bytes that have to be free for such a deletion.
"""

import contextlib
import fcntl
import os
import struct
import threading
from pathlib import Path

# Of sqlite3's os_unix.c: SHARED_FIRST and SHARED_SIZE of the database, UNIX_SHM_DMS of the index
# of the journal. Both are locked for writing by whoever believes to be alone, and only then.
_SHARED = (0x40000002, 510)
_DEADMAN = (128, 1)


class SqliteLock:
    """Says "in use" for one database in WAL mode, as long as it is held."""

    def __init__(self, database: Path) -> None:
        """Guard `database` and its `-shm` file; nothing is opened yet."""
        self._places = [(database, _SHARED), (Path(f"{database}-shm"), _DEADMAN)]
        self._handles: list[int] = []
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Take the lock, if it is not held; to be called while a connection is open."""
        with self._lock:
            if not self._handles and hasattr(fcntl, "F_OFD_SETLKW"):
                self._handles = [_locked(path, place) for path, place in self._places]

    def unlock(self) -> None:
        """Let go, so that the last connection may fold the journal into the database."""
        with self._lock:
            for handle, (_, place) in zip(self._handles, self._places, strict=False):
                _lock(handle, fcntl.F_UNLCK, place)

    def close(self) -> None:
        """Close the files; only once no connection of this process is open."""
        with self._lock:
            for handle in self._handles:
                os.close(handle)
            self._handles = []


def _locked(path: Path, place: tuple[int, int]) -> int:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    _lock(handle, fcntl.F_RDLCK, place)
    return handle


def _lock(handle: int, kind: int, place: tuple[int, int]) -> None:
    # struct flock: type, whence, start, length, process (0 for this kind of lock).
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, *place, 0)
    # Some network file systems know no such lock: there the database works as it does elsewhere.
    with contextlib.suppress(OSError):
        fcntl.fcntl(handle, fcntl.F_OFD_SETLKW, request)
