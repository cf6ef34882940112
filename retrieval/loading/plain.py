"""Plain text and comma-separated values."""

import csv
import io
import statistics
from collections.abc import Iterable, Iterator, Mapping

from retrieval.loading.guard import Meter, Unreadable, decode
from retrieval.loading.model import LoadedDocument, Row, Section

DELIMITERS = ",;\t|"
SNIFFED_ROWS = 50
LONGEST_NAME = 200
"""Of a column, as it is repeated with every value; in characters."""


def load_text(content: bytes) -> LoadedDocument:
    """A text file is one section."""
    return LoadedDocument("", (Section((), decode(content).strip("\r\n")),))


def load_csv(content: bytes) -> LoadedDocument:
    """Each row becomes `column: value; column: value`; the delimiter is sniffed."""
    text = decode(content)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=sniff_delimiter(text))
        lines = ((number, dict(enumerate(cells, 1))) for number, cells in enumerate(reader, 1))
        rows = tuple(named_rows(lines, Meter(len(content))))
    except csv.Error as error:
        raise Unreadable(
            f"its rows cannot be told apart ({error}). Save it again as CSV with UTF-8."
        ) from error
    return LoadedDocument("", (Section((), rows=rows),))


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


def named_rows(lines: Iterable[tuple[int, Mapping[int, str]]], meter: Meter) -> Iterator[Row]:
    """Give every value the name of its column, taken from the first row that has any value.

    Args:
        lines: pairs of a row's number and its cells by column, counted from 1.
        meter: adds up the text: names are repeated in every row.

    Yields:
        Rows with text. A table of only a header yields that header.
    """
    header: dict[int, str] | None = None
    header_number, rows = 0, 0
    for number, cells in lines:
        values = {
            column: text
            for column, cell in sorted(cells.items())
            if (text := " ".join(cell.split()))
        }
        if not values:
            continue
        if header is None:
            header, header_number = values, number
            continue
        rows += 1
        if rows == 1 and header.keys() - values.keys():
            # Names of columns that hold no value anywhere would otherwise vanish: with a value in
            # the first row a name is repeated, without one it is only in this line.
            yield Row(header_number, "Columns: " + "; ".join(header.values()))
        yield Row(number, meter.passed(_named(header, values)))
    if header is not None and not rows:
        yield Row(header_number, "; ".join(header.values()))


def _named(header: Mapping[int, str], values: Mapping[int, str]) -> str:
    return "; ".join(
        f"{header.get(column, f'column {column}')[:LONGEST_NAME]}: {value}"
        for column, value in values.items()
    )
