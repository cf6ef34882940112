"""Which files a list of paths means, and which of them are left out, and why."""

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import DocumentError

LONGEST_PATH = 1024


@dataclass(frozen=True)
class Source:
    """A file to ingest."""

    path: str
    """Relative to the folder that was named; the file's own name where it was named itself."""
    file: Path
    collection: str
    """Where it came from: the folder, unless it was given a name."""


@dataclass(frozen=True)
class Failure:
    """A file that did not go in."""

    path: str
    reason: str


def discover(
    paths: Iterable[Path], excluded: Path, collection: str = ""
) -> Iterator[Source | Failure]:
    """Walk folders in a fixed order; nothing is passed over in silence.

    Args:
        paths: folders and files.
        excluded: a folder that is never entered: the workspace itself.
        collection: of all that is found; '' for the folder each file was found in.

    Raises:
        DocumentError: a named path is not there.
    """
    roots = [path.expanduser() for path in paths]
    for root in roots:
        if not root.exists():
            raise DocumentError(f"'{root}' does not exist. Check the path.")
    seen: set[tuple[str, str]] = set()
    files: set[Path] = set()
    for root in roots:
        found = (
            _walk(root.resolve(), excluded, collection or _folder(root.resolve()))
            if root.is_dir()
            else [_named(root, collection or _folder(root.absolute().parent.resolve()))]
        )
        for item in found:
            if isinstance(item, Failure):
                yield item
                continue
            if item.file in files:
                continue  # Named twice: the file itself and its folder, say.
            files.add(item.file)
            if (item.collection, item.path) in seen:
                yield Failure(
                    item.path,
                    f"'{item.path}': another file of this call has the same path in the same "
                    "collection. Rename one, or ingest the folder that holds both.",
                )
                continue
            seen.add((item.collection, item.path))
            yield item


def _named(file: Path, collection: str) -> Source | Failure:
    name = _shown(Path(file.name))
    reason = _reason_against(name, file.resolve(), None)
    return Failure(name, reason) if reason else Source(name, file.resolve(), collection)


def _walk(root: Path, excluded: Path, collection: str) -> Iterator[Source | Failure]:
    problems: list[OSError] = []
    for folder, names, files in os.walk(root, onerror=problems.append):
        base = Path(folder)
        for name in sorted(names):
            reason = _reason_against_folder(base / name, root, excluded)
            if reason:
                names.remove(name)
                yield Failure(f"{_shown((base / name).relative_to(root))}/", reason)
        names.sort()
        for name in sorted(files):
            file = base / name
            path = _shown(file.relative_to(root))
            reason = _reason_against(path, file, root)
            yield Failure(path, reason) if reason else Source(path, file, collection)
    for problem in problems:
        name = _shown(Path(problem.filename).relative_to(root))
        yield Failure(
            f"{name}/", f"'{name}/': the folder cannot be read ({problem.strerror}). Allow it."
        )


def _reason_against_folder(folder: Path, root: Path, excluded: Path) -> str:
    name = f"{_shown(folder.relative_to(root))}/"
    if folder.is_symlink():
        return f"'{name}': links to folders are not followed. Ingest the folder itself."
    if folder.name.startswith("."):
        return f"'{name}': hidden folders are left out. Rename it, or name it itself."
    if folder.resolve() == excluded:
        return f"'{name}': this is the workspace itself."
    return ""


def _reason_against(path: str, file: Path, root: Path | None) -> str:
    if "\ufffd" in path:
        return f"'{path}': its name is not valid UTF-8. Rename it."
    if len(path) > LONGEST_PATH:
        return f"'{path[:80]}…': its path is longer than {LONGEST_PATH} characters. Shorten it."
    if file.name.startswith("."):
        return f"'{path}': hidden files are left out. Rename it, or leave it."
    if root is not None and file.is_symlink() and not file.resolve().is_relative_to(root):
        return f"'{path}': it is a link that leaves the folder. Copy the file here."
    try:
        mode = file.stat().st_mode
    except OSError as error:
        return f"'{path}': it cannot be read ({error.strerror}). Check it and its rights."
    # Reading a pipe or a device could wait for ever.
    return "" if stat.S_ISREG(mode) else f"'{path}': it is not a regular file. Remove it."


def _shown(path: Path) -> str:
    """A path as it is known: composed and decomposed accents are one name."""
    return unicodedata.normalize("NFC", os.fsencode(path.as_posix()).decode("utf-8", "replace"))


def _folder(path: Path) -> str:
    # Two folders whose names are no UTF-8 must not become one by losing what tells them apart.
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
