"""What a loader hands over, and the builder that loaders share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_HEADING = 500
"""What is longer is text: a heading is repeated with every section below it."""


@dataclass(frozen=True)
class Row:
    """A line of a table file, each value with its column's name."""

    number: int
    """As the file's own program shows it, from 1."""
    text: str


@dataclass(frozen=True)
class Section:
    """Text under one heading, or the rows of one sheet."""

    path: tuple[str, ...]
    """Headings from the outermost to this one; empty above the first heading."""
    text: str = ""
    rows: tuple[Row, ...] = ()
    fixed: bool = False
    """Never joined with a neighbour: a page's number must stay true."""


@dataclass(frozen=True)
class LoadedDocument:
    """A file's text."""

    title: str
    sections: tuple[Section, ...]

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to read."""
        return not any(section.text.strip() or section.rows for section in self.sections)

    def as_json(self) -> dict[str, Any]:
        """The shape that a child process hands over."""
        return {
            "title": self.title,
            "sections": [
                [
                    section.path,
                    section.text,
                    section.fixed,
                    [(r.number, r.text) for r in section.rows],
                ]
                for section in self.sections
            ],
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "LoadedDocument":
        """Read what `as_json` gave."""
        sections = (
            Section(tuple(path), text, tuple(Row(*row) for row in rows), fixed)
            for path, text, fixed, rows in values["sections"]
        )
        return LoadedDocument(values["title"], tuple(sections))


@dataclass
class SectionBuilder:
    """Collects headings and text in reading order."""

    _path: list[tuple[int, str]] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)
    _sections: list[Section] = field(default_factory=list)
    first_heading: str = ""

    def heading(self, level: int, text: str) -> None:
        """Start a section; `level` 1 is the outermost."""
        text = " ".join(text.split())
        if len(text) > LONGEST_HEADING:
            self.add(text)
            return
        self._close(next_level=level)
        if text:
            self.first_heading = self.first_heading or text
            self._path = [(depth, name) for depth, name in self._path if depth < level]
            self._path.append((level, text))

    def add(self, text: str) -> None:
        """Add text under the present heading."""
        self._text.append(text)

    def sections(self) -> tuple[Section, ...]:
        """Finish."""
        self._close(next_level=0)
        return tuple(self._sections)

    def _close(self, next_level: int) -> None:
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(self._text)).strip("\n").rstrip()
        self._text = []
        path = tuple(name for _, name in self._path)
        level = self._path[-1][0] if self._path else 0
        if text:
            self._sections.append(Section(path, text))
        elif path and next_level <= level and not self._said(path):
            # A heading with nothing beneath it is itself the only text there is.
            self._sections.append(Section(path, path[-1]))

    def _said(self, path: tuple[str, ...]) -> bool:
        return bool(self._sections) and self._sections[-1].path[: len(path)] == path


def clean(text: str) -> str:
    """Drop what a database refuses: NUL characters and halves of surrogate pairs."""
    text = text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8")
