"""Seals: a folder of derived files says their hashes, so that a garbled one is never used."""

import hashlib
import json
from pathlib import Path

SEAL = "complete.json"


def seal(folder: Path) -> None:
    """Write the hashes of all files in `folder` beside them, last of all."""
    (folder / SEAL).write_text(json.dumps(_hashes(folder)), "utf-8")


def sealed(folder: Path) -> bool:
    """Tell whether the files in `folder` are those that were sealed, to the byte."""
    try:
        stored = json.loads((folder / SEAL).read_text("utf-8"))
        return bool(stored == _hashes(folder))
    except (OSError, ValueError, RecursionError):
        return False


def file_hash(file: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file_hash(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / SEAL
    }
