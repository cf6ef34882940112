"""From an adapter that was built to one on the shelf, whatever is there and whatever ends us."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from assistant.engines.adapter_files import weights_hash
from assistant.manifest import Manifest, read_manifest
from assistant.shelf import Shelf
from core.errors import AdapterError, Conflict, NotFound
from core.home import Home
from core.progress import Progress
from core.workspace import remove_folder
from training.runs import Run, Runs

_ROOM = 60
"""Characters of a name that leave space for a number."""


def built_folder(home: Home, run: Run) -> Path:
    """Where a run builds its adapter; the manifest comes last."""
    return Runs(home).folder(run.id) / "adapter"


def built_before(home: Home, run: Run) -> Manifest | None:
    """Return what an attempt built to the end that was ended before it could install it."""
    folder = built_folder(home, run)
    try:
        manifest = read_manifest(folder)
    except AdapterError:
        return None
    return manifest if weights_hash(folder) == manifest.weights_sha256 else None


def install(home: Home, run: Run, manifest: Manifest, progress: Progress) -> Manifest:
    """Put a run's built adapter onto the shelf and note it; return its manifest as it lies there.

    Where the name was taken by hand meanwhile, it gets a free one, which is said. Called again
    after it was ended anywhere, it installs nothing twice.
    """
    built, shelf = built_folder(home, run), Shelf(home)
    name = next(name for name in _names(run.name) if _put(shelf, name, built, manifest))
    if name != run.name:
        progress.log(
            f"The name '{run.name}' was taken meanwhile: the adapter is on the shelf as '{name}'."
        )
    Runs(home).finish(run.id, name, manifest.metrics)
    remove_folder(built)
    return replace(manifest, name=name)


def _names(wanted: str) -> Iterator[str]:
    yield wanted
    for number in count(2):
        yield f"{wanted[:_ROOM]}-{number}"


def _put(shelf: Shelf, name: str, built: Path, manifest: Manifest) -> bool:
    """Tell whether the adapter is on the shelf under that name: now, or by an ended attempt."""
    try:
        shelf.install(name, built)
    except Conflict:
        try:
            there = shelf.get(name).manifest
        except NotFound:
            return False
        return there is not None and replace(there, name=manifest.name) == manifest
    return True
