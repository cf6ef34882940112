"""Looks into SQLite's journal (WAL) before SQLite does.

From the first frame whose checksum is wrong SQLite drops all that follows, without a word: so it
tells a write that was cut short from those that were finished. Here the two are told apart: a
commit beyond such a frame was acknowledged, and would vanish. Format: sqlite.org/fileformat2.html
and sqlite.org/walformat.html.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER = 32
_FRAME = 24
_MAGIC = {0x377F0682: "<u4", 0x377F0683: ">u4"}
"""Little- or big-endian words under the checksum; the fields themselves are big-endian."""
_AT_ONCE = 256
_FRAME_FIELDS = 8
"""Bytes of a frame's header under its checksum; then come salts and checksum themselves."""

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Shared:
    """What the shared-memory file (-shm) remembers of the journal, until the machine restarts."""

    committed: int
    """Frames up to the last commit."""
    folded: int
    """Frames that are in the database file already."""
    salts: bytes


def lost_commits(database: Path) -> str:
    """Say what SQLite would drop from the journal of `database` without a word; '' if nothing.

    To be called while this process has no connection: closing a file drops SQLite's locks on it.
    """
    shared_file = database.with_name(f"{database.name}-shm")
    for _ in range(3):
        before = _read(shared_file, 136)
        found = _lost(database.with_name(f"{database.name}-wal"), _shared(before))
        # A job may be writing: what is said must be true of one moment.
        if not found or before == _read(shared_file, 136):
            return found
    return ""


def _lost(journal: Path, shared: Shared | None) -> str:
    header = _read(journal, _HEADER)
    unfolded = shared.committed - shared.folded if shared else 0
    if len(header) < _HEADER:
        name = journal.name
        return f"'{name}' is gone or cut off: {_commits(unfolded)}" if unfolded > 0 else ""
    page = int.from_bytes(header[8:12], "big")
    order = _order(header)
    if order is None:
        # SQLite writes the header before all frames: with frames behind it, it was whole once.
        held = journal.stat().st_size >= _HEADER + _FRAME + 512
        lost = unfolded > 0 if shared else held
        return f"the header of '{journal.name}' is garbled: {_commits(unfolded)}" if lost else ""
    usable, last = _frames(journal, page, order, header)
    # After a power cut the shared memory may be older than the journal; newer it never is.
    if shared and shared.salts == header[16:24] and shared.committed >= usable:
        last = shared.committed
    if last <= usable:
        return ""
    return f"'{journal.name}' is damaged behind frame {usable}: {_commits(last - usable)}"


def _commits(frames: int) -> str:
    what = f"{frames:,} written pages" if frames > 0 else "written pages, nobody can say how many,"
    return f"{what} that were stored and acknowledged cannot be read"


def _frames(journal: Path, page: int, order: str, header: bytes) -> tuple[int, int]:
    """Return how many frames SQLite would use, and the last commit that was ever written.

    A checksum goes on from the one before. So a frame that fits the *stored* checksum of its
    predecessor is whole, whatever lies before it.
    """
    width = _FRAME + page
    count = (journal.stat().st_size - _HEADER) // width
    if not count:
        return 0, 0
    data = np.memmap(journal, np.uint8, "r", _HEADER, (count, width))
    state = np.frombuffer(header, ">u4", 2, 24).astype(np.uint32)
    stored = state
    usable, last, running = 0, 0, True
    for start in range(0, count, _AT_ONCE):
        block = np.ascontiguousarray(data[start : start + _AT_ONCE])
        fields = block[:, :_FRAME].copy().view(">u4").astype(np.uint32)
        covered = np.concatenate([block[:, :_FRAME_FIELDS], block[:, _FRAME:]], axis=1)
        parts = _parts(covered.view(order))
        own = (block[:, 8:16] == np.frombuffer(header, np.uint8, 8, 16)).all(axis=1)
        for row in range(len(block)):
            said = fields[row, 4:6]
            here = start + row + 1
            running = running and bool(own[row]) and _follows(state, parts[row], said, covered)
            state = said
            if fields[row, 1] and own[row]:
                if running:
                    usable = here
                elif _follows(stored, parts[row], said, covered):
                    last = here
            stored = said
    return usable, max(usable, last)


def _follows(before: Words, part: Words, said: Words, covered: NDArray[np.uint8]) -> bool:
    return bool((_carried(before, covered.shape[1] // 4) + part == said).all())


def _order(header: bytes) -> str | None:
    """Return the byte order of the words under the checksums; None for a garbled header."""
    order = _MAGIC.get(int.from_bytes(header[:4], "big"))
    page = int.from_bytes(header[8:12], "big")
    if order is None or not 512 <= page <= 65536 or page & (page - 1):
        return None
    sums = np.frombuffer(header, ">u4", 2, 24)
    whole = (_parts(np.frombuffer(header[:24], order)[None])[0] == sums).all()
    return order if whole else None


def _parts(words: NDArray[np.uint32]) -> Words:
    """(n, 2) what rows of words add to a checksum.

    SQLite's loop `s1 += x0 + s2; s2 += x1 + s1` is linear, with Fibonacci numbers as weights.
    """
    length = words.shape[1]
    numbers = _fibonacci(length)
    weights = np.stack([numbers[length - 1 :: -1], numbers[length:0:-1]], axis=1)
    return words.astype(np.uint32) @ weights


def _carried(state: Words, length: int) -> Words:
    """(2,) what is left of `state` after `length` words."""
    numbers = _fibonacci(length + 1)[length - 1 :]
    return np.array([numbers[:2], numbers[1:]], np.uint32) @ state


@lru_cache(maxsize=4)
def _fibonacci(length: int) -> Words:
    numbers = [0, 1]
    while len(numbers) <= length:
        numbers.append((numbers[-1] + numbers[-2]) & 0xFFFFFFFF)
    return np.array(numbers, np.uint32)


def _shared(content: bytes) -> Shared | None:
    """Parse the head of the -shm file, which is in this machine's own byte order."""
    if len(content) < 136 or content[:48] != content[48:96]:
        return None
    words = np.frombuffer(content, np.uint32)
    little = np.frombuffer(content[:40], np.uint32)[None]
    if int(words[0]) != 3007000 or not (_parts(little)[0] == words[10:12]).all():
        return None
    return Shared(int(words[4]), int(words[24]), content[32:40])


def _read(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as handle:
            return handle.read(size)
    except FileNotFoundError:
        return b""
