"""The first look at a data file: bytes become raw rows, and every broken line is named.

The file is only ever read. Line numbers are those a text editor shows.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.bounds import nested_too_deeply, read_bounded
from core.errors import DatasetError


class Severity(StrEnum):
    """Whether a row is lost."""

    ERROR = "error"
    """The row cannot be used; training waits for a person to fix it or to leave it out."""
    WARNING = "warning"
    """Training can go on; a person should know."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a data file."""

    severity: Severity
    reason: str
    """A few words, the same for all problems of this sort: rows are counted by it."""
    message: str
    """Names the line, what was found and the remedy."""
    line: int | None = None


@dataclass(frozen=True)
class RawRow:
    """A row whose fields have names but are not checked yet."""

    line: int
    values: dict[str, Any]


@dataclass
class Reading:
    """What became of a file."""

    rows: list[RawRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lines: int = 0
    """Rows the file holds, broken ones included."""

    def reject(self, line: int, reason: str, found: str, remedy: str) -> None:
        """Note a row that cannot be used."""
        self.problems.append(
            Problem(Severity.ERROR, reason, f"line {line:,}: {found}. {remedy}", line)
        )


_LIST_FIELDS = ("paraphrases", "wordings", "short_answers")
_SHOWN = 60


def read_rows(path: Path) -> Reading:
    """Read JSONL, or CSV when the name ends in .csv or .tsv.

    Raises:
        DatasetError: missing, empty, binary, or of a form that holds no rows.
    """
    content = _read_bytes(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return _read_csv(path, content)
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json", ".txt", ""):
        return _read_jsonl(path, content)
    raise DatasetError(
        f"'{path.name}' ends in '{path.suffix}'. Training data is JSONL (.jsonl) or CSV (.csv): "
        "save or export it as one of these."
    )


def _read_bytes(path: Path) -> bytes:
    try:
        content = read_bounded(path)
    except FileNotFoundError:
        raise DatasetError(f"There is no file '{path}'. Check the path.") from None
    except IsADirectoryError:
        raise DatasetError(f"'{path}' is a folder. Name one JSONL or CSV file.") from None
    except OSError as error:
        raise DatasetError(f"'{path}' cannot be read: {error.strerror}.") from error
    if not content.strip():
        raise DatasetError(
            f"'{path.name}' is empty. It must hold questions and answers, one row each."
        )
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            try:
                return content.decode(encoding).encode("utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"'{path.name}' starts as UTF-16 but is broken at byte {error.start}. "
                    "Save it again as UTF-8."
                ) from error
    if b"\0" in content:
        raise DatasetError(
            f"'{path.name}' is not a text file (it holds NUL bytes). "
            "Save it as JSONL or CSV in UTF-8; a spreadsheet must be exported as CSV."
        )
    return content.removeprefix(codecs.BOM_UTF8)


def _decoded(line: bytes, number: int, reading: Reading) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = f"byte 0x{line[error.start]:02X} at position {error.start + 1}"
        reading.reject(
            number, "not UTF-8", f"not UTF-8 ({shown})", "Save the file with the encoding UTF-8."
        )
        return None


def _read_jsonl(path: Path, content: bytes) -> Reading:
    if content.lstrip().startswith(b"[") and not content.lstrip().startswith(b"[]\n"):
        raise DatasetError(
            f"'{path.name}' is one JSON array. Write one object per line instead, "
            "e.g. with: jq -c '.[]' file.json > file.jsonl"
        )
    reading = Reading()
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        reading.lines += 1
        text = _decoded(line, number, reading)
        if text is not None:
            _parse_json_line(text, number, reading)
    return reading


def _parse_json_line(text: str, number: int, reading: Reading) -> None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        column = error.colno if isinstance(error, json.JSONDecodeError) else 1
        start = text.strip()[:_SHOWN]
        reading.reject(
            number,
            "not JSON",
            f"not JSON ({why} at column {column}): {start!r}",
            "Write one complete JSON object per line, or leave the line out.",
        )
        return
    if not isinstance(values, dict):
        reading.reject(
            number,
            "not an object",
            f"a JSON {type(values).__name__}, not an object",
            'Write {"question": ..., "answer": ...}.',
        )
        return
    if nested_too_deeply(values):
        reading.reject(
            number, "nested too deeply", "lists or objects within each other",
            "Write fields that hold texts, or lists of texts.",
        )  # fmt: skip
        return
    reading.rows.append(RawRow(number, values))


def _read_csv(path: Path, content: bytes) -> Reading:
    reading = Reading()
    lines = []
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        text = _decoded(line, number, reading)
        # An unreadable line keeps its place, so that the numbers of later lines stay right.
        lines.append("\n" if text is None else text)
    header = lines[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, strict=True)
    reading.lines = len(reading.problems)
    names = [name.strip().lower() for name in next(rows, [])]
    missing = {"question", "answer"} - set(names)
    if missing:
        raise DatasetError(
            f"'{path.name}' lacks the column {' and '.join(sorted(missing))}. Its first line is "
            f"{header.strip()[:_SHOWN]!r}; it must name the columns question and answer."
        )
    for number, cells in _csv_rows(rows, reading):
        reading.lines += 1
        while len(cells) > len(names) and not cells[-1].strip():
            # Spreadsheets end rows with the delimiters of columns that were once there.
            cells.pop()
        if len(cells) != len(names):
            found = f"{len(cells)} cells where the first line names {len(names)} columns"
            reading.reject(
                number, "wrong number of cells", found, 'Put texts that hold commas in "quotes".'
            )
            continue
        values: dict[str, Any] = dict(zip(names, cells, strict=True))
        for name in _LIST_FIELDS:
            if name in values:
                values[name] = [part.strip() for part in values[name].split("|") if part.strip()]
        reading.rows.append(RawRow(number, values))
    return reading


def _csv_rows(rows: Any, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    while True:
        number = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            reading.lines += 1
            reading.reject(number, "not CSV", f"not CSV ({error})", "Check its quotes.")
            continue
        if any(cell.strip() for cell in cells):
            yield number, cells
