"""Room on the disk that is kept for putting a full disk right."""

import contextlib
import os
import shutil
import threading
from pathlib import Path

MOST = 8 << 20


class Reserve:
    """A file that only takes room, given up when the disk is full.

    Signing in and deleting write before they free anything: without this room nobody could
    put a full disk right from the pages.
    """

    def __init__(self, folder: Path) -> None:
        """Reserve room on the disk of `folder`; nothing is written yet."""
        self.file = folder / "reserve"
        self._kept = False
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Take the room, now and again whenever the disk has plenty; for the app alone."""
        self._kept = True
        self.make_room()

    def make_room(self) -> None:
        """Give the room up where the disk is full; take it again where there is plenty."""
        with self._lock, contextlib.suppress(OSError):
            disk = shutil.disk_usage(self.file.parent)
            size = min(MOST, disk.total // 8)
            if disk.free < size // 2:
                self.file.unlink(missing_ok=True)
            elif self._kept and disk.free > 4 * size and not self.file.exists():
                # Random bytes: some file systems store zeros in no room at all.
                self.file.write_bytes(os.urandom(size))
