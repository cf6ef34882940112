"""Folders of checkpoints: sealed when they are whole, checked before use, the newest two kept."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from core.workspace import remove_folder, write_atomically

SEAL = "seal.json"
"""Length and SHA-256 of every file; written last, so what has none was not written to the end."""
KEPT = 2
_EARLIER_MARK = "complete"
"""What versions without seals wrote last."""
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_folder(parent: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies; trainers of transformers call it so too."""
    return parent / f"checkpoint-{step}"


def checkpoint_step(checkpoint: Path) -> int:
    """The steps that were done when `checkpoint` was written."""
    return int(checkpoint.name.partition("-")[2])


def seal(folder: Path) -> None:
    """Sync all files of a checkpoint, and note what they hold."""
    facts = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
            facts[file.relative_to(folder).as_posix()] = _facts(file)
    write_atomically(folder / SEAL, json.dumps(facts, indent=1).encode())


def _facts(file: Path) -> list[int | str]:
    with file.open("rb") as handle:
        return [file.stat().st_size, hashlib.file_digest(handle, "sha256").hexdigest()]


def damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint; None: it is as it was written."""
    if not (folder / SEAL).exists():
        earlier = (folder / _EARLIER_MARK).exists()
        return None if earlier else "it was not written to the end"
    try:
        sealed = json.loads((folder / SEAL).read_text("utf-8"))
        for name, facts in sealed.items():
            if _facts(folder / name) != facts:
                return f"{name} is not as it was written"
    except (OSError, ValueError, AttributeError) as error:
        return f"it cannot be read ({error})"
    return None


def newest_whole(parent: Path, log: Callable[[str], None]) -> Path | None:
    """Return the newest undamaged checkpoint, or None; newer ones are deleted, which is said."""
    for folder in _newest_first(parent):
        problem = damage(folder)
        if problem is None:
            return folder
        log(f"The checkpoint after step {checkpoint_step(folder):,} is not used: {problem}.")
        remove_folder(folder)
    return None


def keep_newest(parent: Path) -> None:
    """Delete all but the newest checkpoints. Call it when one more is sealed, not before."""
    for folder in _newest_first(parent)[KEPT:]:
        remove_folder(folder)


def _newest_first(parent: Path) -> list[Path]:
    found = [path for path in parent.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=checkpoint_step, reverse=True)
