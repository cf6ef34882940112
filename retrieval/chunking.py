"""Documents to chunks: split by heading, then by size in the embedder's own tokens.

Splitting long text is langchain's; what this adds is that a chunk knows its headings, that
small neighbours under one parent share a chunk, and that a table's parts repeat its header.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from langchain_text_splitters import RecursiveCharacterTextSplitter

from retrieval.loading import LoadedDocument, Row, Section

RECIPE = "1"
"""Raise when loading or chunking changes, so that unchanged files are read again."""

LONGEST_WORD = 200
LONGEST_LOCATION = 200
SEPARATORS = [r"\n\n", r"\n", r"(?<=[.!?])\s+", r"(?<=[;:,])\s+", r"\s+"]
# Nothing gives back what it took: a line of a million blanks is looked at once.
TABLE_RULE = re.compile(r"^\s*+\|?+\s*+:?-++:?\s*+(?:\|\s*+:?-++:?\s*+)*+\|?\s*+$")
REMEMBERED_COUNTS = 4096

Item = TypeVar("Item")
Count = Callable[[str], int]


@dataclass(frozen=True)
class Piece:
    """A chunk before it is stored."""

    location: str
    text: str


@dataclass(frozen=True)
class ChunkSize:
    """How long chunks get, in tokens of the embedder."""

    tokens: int
    overlap: int

    def __post_init__(self) -> None:
        """Refuse an overlap that would never let a splitter advance."""
        if not 0 <= self.overlap <= self.tokens // 2:
            raise ValueError(f"overlap {self.overlap} must be 0 to half of {self.tokens} tokens")


def indexed_text(title: str, location: str, text: str) -> str:
    """What is embedded and searched: a chunk says too little without its document's name."""
    heading = " > ".join(part for part in (title, location) if part)
    return f"{heading}\n{text}" if heading else text


def chunk_document(document: LoadedDocument, size: ChunkSize, count: Count) -> list[Piece]:
    """Cut a document into pieces of at most about `size.tokens` tokens.

    Every word of every section is in some piece's text or location. A piece's length is counted
    without title and location.

    Args:
        document: as loaded.
        size: longest piece and overlap of neighbours within one section.
        count: tokens of a text, as the embedder counts them.
    """
    cutter = _Cutter(size, count)
    pieces: list[Piece] = []
    group: list[Section] = []
    for section in document.sections:
        if section.rows:
            pieces += cutter.finish(group)
            pieces += cutter.rows(section)
            group = []
        elif not cutter.joins(group, section):
            pieces += cutter.finish(group)
            group = [section]
        else:
            group.append(section)
    return pieces + cutter.finish(group)


class _Cutter:
    def __init__(self, size: ChunkSize, count: Count) -> None:
        self._size = size
        self._exactly = lru_cache(maxsize=REMEMBERED_COUNTS)(count)
        self._longest = size.tokens * LONGEST_WORD

    def _count(self, text: str) -> int:
        """Tokens of a text; one that is far too long anyway is not counted but guessed."""
        if len(text) <= self._longest:
            return self._exactly(text)
        return self._size.tokens + len(text) // LONGEST_WORD

    def joins(self, group: Sequence[Section], section: Section) -> bool:
        """Tell whether `section` still fits into one chunk with its neighbours in `group`."""
        if not group or section.fixed or group[-1].fixed:
            return False
        if len(group) >= self._size.tokens:  # Texts that count as no token would join for ever.
            return False
        parent = _common([item.path for item in [*group, section]])
        if any(len(item.path) > len(parent) + 1 for item in [*group, section]):
            return False
        return self._count(_joined([*group, section], parent)) <= self._size.tokens

    def finish(self, group: Sequence[Section]) -> list[Piece]:
        """Pieces of neighbouring sections that share a chunk, or of one that may need several."""
        if len(group) == 1:
            section = group[0]
            location = _location(section.path)
            return [Piece(location, text) for text in self._split(section.text)]
        if not group:
            return []
        parent = _common([section.path for section in group])
        names = [section.path[-1] for section in group if len(section.path) > len(parent)]
        location = _location((*parent, "; ".join(names)) if names else parent)
        return [Piece(location, _joined(group, parent))]

    def rows(self, section: Section) -> Iterator[Piece]:
        """Pack rows of a sheet; a row that is too long alone is split."""
        for rows in _packed(section.rows, self._size.tokens, lambda row: self._count(row.text)):
            text = "\n".join(row.text for row in rows)
            location = _rows_location(section.path, rows)
            parts = [text] if self._count(text) <= self._size.tokens else self._split(text)
            for part in parts:
                yield Piece(location, part)

    def _split(self, text: str) -> list[str]:
        if self._count(text) <= self._size.tokens:
            return [text]
        parts: list[str] = []
        for block, is_table in _blocks(text):
            parts += self._table(block) if is_table else self._prose(block)
        packed = _packed(parts, self._size.tokens, self._count) if len(parts) > 1 else [parts]
        return ["\n\n".join(group) for group in packed if group]

    def _prose(self, text: str) -> list[str]:
        splitter = RecursiveCharacterTextSplitter(
            separators=SEPARATORS,
            is_separator_regex=True,
            keep_separator="end",
            chunk_size=self._size.tokens,
            chunk_overlap=self._size.overlap,
            length_function=self._count,
        )
        return list(splitter.split_text(_with_breakable_words(text)))

    def _table(self, text: str) -> list[str]:
        lines = text.split("\n")
        header = "\n".join(lines[:2])
        room = self._size.tokens - self._count(header)
        if room < self._size.tokens // 3:
            return self._prose(text)
        parts: list[str] = []
        for rows in _packed(lines[2:], room, self._count):
            body = "\n".join(rows)
            fits = self._count(body) <= room
            parts += [f"{header}\n{body}"] if fits else self._prose(f"{header}\n{body}")
        return parts or [header]


def _packed(items: Iterable[Item], room: int, count: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Fill groups of at most `room` tokens in order; what is longer stands alone."""
    group: list[Item] = []
    filled = 0
    for item in items:
        tokens = count(item)
        if group and filled + tokens > room:
            yield group
            group, filled = [], 0
        group.append(item)
        filled += tokens
    if group:
        yield group


def _blocks(text: str) -> Iterator[tuple[str, bool]]:
    """Yield (text, whether it is a table): a line of cells, a rule, more lines of cells."""
    lines = text.split("\n")
    prose: list[str] = []
    at = 0
    while at < len(lines):
        if "|" in lines[at] and at + 1 < len(lines) and _is_rule(lines[at + 1]):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            if any(line.strip() for line in prose):
                yield "\n".join(prose), False
            yield "\n".join(lines[at:end]), True
            prose, at = [], end
        else:
            prose.append(lines[at])
            at += 1
    if any(line.strip() for line in prose):
        yield "\n".join(prose), False


def _is_rule(line: str) -> bool:
    return "|" in line and TABLE_RULE.match(line) is not None


def _with_breakable_words(text: str) -> str:
    """Cut words no language has (hashes, minified code): a splitter cannot cut within words."""
    return re.sub(rf"\S{{{LONGEST_WORD}}}(?=\S)", lambda found: f"{found.group()} ", text)


def _rows_location(path: tuple[str, ...], rows: Sequence[Row]) -> str:
    first, last = rows[0].number, rows[-1].number
    span = f"row {first}" if first == last else f"rows {first}-{last}"
    return " ".join([*path, span])


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(paths), max(paths)
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return first[:same]


def _joined(group: Sequence[Section], parent: tuple[str, ...]) -> str:
    parts = []
    for section in group:
        own = section.path[len(parent) :]
        alone = not own or section.text == own[-1]
        parts.append(section.text if alone else f"{own[-1]}\n{section.text}")
    return "\n\n".join(parts)


def _location(path: Sequence[str]) -> str:
    text = " > ".join(path)
    return text if len(text) <= LONGEST_LOCATION else f"{text[: LONGEST_LOCATION - 1]}…"
