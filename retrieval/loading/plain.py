"""Plain text and comma-separated values."""

import csv
import io
import statistics
from collections.abc import Iterable, Sequence

from retrieval.loading.guard import Unreadable, decode
from retrieval.loading.model import LoadedDocument, Row, Section

DELIMITERS = ",;\t|"
SNIFFED_ROWS = 50


def load_text(content: bytes) -> LoadedDocument:
    """A text file is one section."""
    return LoadedDocument("", (Section((), decode(content).strip("\r\n")),))


def load_csv(content: bytes) -> LoadedDocument:
    """Each row becomes `column: value; column: value`; the delimiter is sniffed."""
    text = decode(content)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=sniff_delimiter(text)))
    except csv.Error as error:
        raise Unreadable(
            f"its rows cannot be told apart ({error}). Save it again as CSV with UTF-8."
        ) from error
    return LoadedDocument("", (Section((), rows=tuple(named_rows(enumerate(lines, 1)))),))


def sniff_delimiter(text: str) -> str:
    """The separator that splits the first rows into equally many columns, most of them."""

    def evenness(delimiter: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            widths = [len(row) for row, _ in zip(reader, range(SNIFFED_ROWS), strict=False) if row]
        except csv.Error:
            return (0.0, 0)
        if not widths or max(widths) == 1:
            return (0.0, 0)
        usual = statistics.mode(widths)
        return (widths.count(usual) / len(widths) if usual > 1 else 0.0, usual)

    return max(DELIMITERS, key=evenness)


def named_rows(lines: Iterable[tuple[int, Sequence[str]]]) -> Iterable[Row]:
    """Give every value the name of its column, taken from the first row that has any value.

    Args:
        lines: pairs of a row's number and its cells.

    Yields:
        Rows with text. A table of only a header yields that header.
    """
    header: Sequence[str] | None = None
    header_number, rows = 0, 0
    for number, cells in lines:
        values = [" ".join(cell.split()) for cell in cells]
        if not any(values):
            continue
        if header is None:
            header, header_number = values, number
            continue
        rows += 1
        if rows == 1:
            yield from _unnamed_header(header, header_number, values)
        yield Row(number, _named(header, values))
    if header is not None and not rows:
        yield Row(header_number, "; ".join(value for value in header if value))


def _unnamed_header(header: Sequence[str], number: int, first: Sequence[str]) -> Iterable[Row]:
    # Names of columns that hold no value anywhere would otherwise vanish: with a value in the
    # first row a name is repeated, without one it is only in this line.
    if any(name and not (first[i] if i < len(first) else "") for i, name in enumerate(header)):
        yield Row(number, "Columns: " + "; ".join(name for name in header if name))


def _named(header: Sequence[str], values: Sequence[str]) -> str:
    parts = []
    for position, value in enumerate(values):
        if value:
            name = header[position] if position < len(header) else ""
            parts.append(f"{name or f'column {position + 1}'}: {value}")
    return "; ".join(parts)
