"""Which stored document a file is: known by its collection and path, never by a bare name."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from core.errors import InvalidInput

UPLOADS = "uploads"
"""The collection of what people send through a page or the API."""
UNKNOWN = ""
"""The collection of what was stored before collections were noted."""
LONGEST_COLLECTION = 200

Place: TypeAlias = tuple[str, str]
"""Collection and path."""


class SameName(StrEnum):
    """What becomes of an upload where another file of its name is stored."""

    KEEP_BOTH = "keep_both"
    REPLACE = "replace"


@dataclass(frozen=True)
class Known:
    """A stored document, as an ingest sees it."""

    id: int
    """0: it goes in with the same ingest."""
    place: Place
    sha256: str
    recipe: str
    groups: frozenset[str]


def check_collection(name: str) -> str:
    """Return a collection's trimmed name, as a person may give it.

    Raises:
        InvalidInput: it is empty, too long, not printable or the one of uploads.
    """
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_COLLECTION or not name.isprintable() or name == UPLOADS:
        raise InvalidInput(
            f"The collection '{name[:80]}' cannot be used. Use 1 to {LONGEST_COLLECTION} visible "
            f"characters, and not '{UPLOADS}', which is for files sent through the page."
        )
    return name


def numbered(name: str, longest: int | None = None) -> Iterator[str]:
    """Yield 'a.pdf', 'a (2).pdf', 'a (3).pdf' and so on, of at most `longest` bytes."""
    yield name
    suffix = PurePosixPath(name).suffix
    stem = name.removesuffix(suffix)
    number = 2
    while True:
        mark = f" ({number})"
        room = None if longest is None else max(0, longest - len(f"{mark}{suffix}".encode()))
        yield f"{stem.encode()[:room].decode('utf-8', 'ignore')}{mark}{suffix}"
        number += 1


class Catalogue:
    """All stored documents, and what an ingest is about to add to them."""

    def __init__(self, known: Iterable[Known]) -> None:
        """Begin with `known`."""
        self._known = {one.place: one for one in known}

    def get(self, place: Place) -> Known | None:
        """Return the document at a place."""
        return self._known.get(place)

    def claim(self, place: Place, sha256: str) -> None:
        """Note that a file goes in at `place` with this ingest."""
        self._known[place] = Known(0, place, sha256, "", frozenset())

    def move(self, known: Known, collection: str) -> None:
        """Note that a document belongs to another collection than was thought."""
        place = (collection, known.place[1])
        self._known[place] = Known(known.id, place, known.sha256, known.recipe, known.groups)
        del self._known[known.place]

    def uploaded(self, name: str) -> Known | None:
        """Return the document that people know by this bare name."""
        return self.get((UPLOADS, name)) or self.get((UNKNOWN, name))

    def place_of_upload(self, name: str, sha256: str, same_name: SameName) -> Place:
        """Say where an upload belongs: to the document that it is or replaces, or a free name."""
        found = self.uploaded(name)
        if found is not None and same_name == SameName.REPLACE:
            return found.place
        copies = re.compile(_copies_of(name))
        for place, known in self._known.items():
            is_copy = place[0] in (UPLOADS, UNKNOWN) and copies.fullmatch(place[1])
            if is_copy and known.sha256 == sha256:
                return place
        free = next(one for one in numbered(name) if self.uploaded(one) is None)
        return (UPLOADS, free)

    def of(self, collection: str) -> list[Known]:
        """Return the documents of a collection."""
        return [one for one in self._known.values() if one.place[0] == collection]

    def former(self, collection: str) -> list[str]:
        """Name collections that `collection` may have been: the unknown, and folders now gone.

        A folder that was moved as a whole has no document under its new name yet.
        """
        names = {place[0] for place in self._known}
        gone = [
            one for one in sorted(names - {collection, UNKNOWN, UPLOADS})
            if Path(one).is_absolute() and not Path(one).exists()
        ]  # fmt: skip
        return [UNKNOWN, *([] if collection in names else gone)]


def _copies_of(name: str) -> str:
    suffix = PurePosixPath(name).suffix
    return rf"{re.escape(name.removesuffix(suffix))}( \(\d+\))?{re.escape(suffix)}"
