"""Question sets as files: JSONL and CSV, read and written."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.bounds import nested_too_deeply, read_bounded
from core.errors import DatasetError
from core.spreadsheet import restored, write_table
from eval.questions import (
    COLUMNS,
    HeldOutQuestion,
    join_list,
    listing,
    parse_questions,
    split_list,
)

_SHOWN = 60

Rows = list[tuple[int, Mapping[str, Any]]]


def read_questions(path: Path) -> list[HeldOutQuestion]:
    """Read a JSONL or CSV file and check it.

    Raises:
        DatasetError: every wrong line (the first 20) with what to do about it.
    """
    name = f"The question set '{path.name}'"
    try:
        # Not as text: what is a line, and what stands inside a cell, the formats say themselves.
        text = read_bounded(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"The question set '{path}' does not exist. Check the path.") from None
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{name} is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None
    except OSError as error:
        raise DatasetError(f"The question set '{path}' cannot be read: {error.strerror}.") from None
    if path.suffix.lower() in (".csv", ".tsv"):
        return parse_questions(_csv_rows(text, name), name)
    return parse_questions(_jsonl_rows(text, name), name)


def write_jsonl(questions: Sequence[HeldOutQuestion]) -> bytes:
    """One JSON object a line; `read_questions` reads the same version back."""
    lines = (json.dumps(question.as_json(), ensure_ascii=False) for question in questions)
    return "".join(f"{line}\n" for line in lines).encode()


def write_csv(questions: Sequence[HeldOutQuestion]) -> bytes:
    """The same as CSV, with no formula in any cell; `read_questions` reads the same back."""
    return write_table([COLUMNS, *(_cells(question.as_json()) for question in questions)])


def _cells(row: Mapping[str, Any]) -> list[str]:
    values = (row[name] for name in COLUMNS)
    return [join_list(value) if isinstance(value, list) else str(value) for value in values]


def training_wordings(path: Path) -> list[str]:
    """Every wording of a training file (JSONL or CSV): `question`, `paraphrases`, `wordings`.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        text = read_bounded(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The training file '{path}' cannot be read: {error}.") from None
    name = f"The training file '{path}'"
    table = path.suffix.lower() in (".csv", ".tsv")
    found: list[str] = []
    for _, row in _csv_rows(text, name) if table else _jsonl_rows(text, name):
        found.append(str(row.get("question") or ""))
        for column in ("paraphrases", "wordings"):
            value = row.get(column) or []
            found += split_list(value) if isinstance(value, str) else map(str, value)
    return [wording for wording in found if wording.strip()]


def _jsonl_rows(text: str, name: str) -> Rows:
    rows: Rows = []
    problems = []
    # Not splitlines(): a JSON text may hold other line ends, such as U+2028, as they are.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            problems.append(f"line {line}: not JSON ({error}). Write one JSON object a line.")
            continue
        if not isinstance(row, dict):
            problems.append(f"line {line}: a {type(row).__name__}, not an object with 'question'.")
            continue
        if nested_too_deeply(row):
            problems.append(f"line {line}: nested too deeply. Write texts, or lists of texts.")
            continue
        rows.append((line, row))
    if problems:
        raise DatasetError(listing(f"{name} cannot be used", problems))
    return rows


def _csv_rows(text: str, name: str) -> Rows:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    cells = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        numbered = list(_numbered(cells))
    except csv.Error as error:
        raise DatasetError(
            f"{name} is no CSV: line {cells.line_num}: {error}. Check the quotes there."
        ) from None
    if not numbered:
        return []
    columns = [column.strip().lower() for column in numbered[0][1]]
    if "question" not in columns:
        raise DatasetError(
            f"{name} lacks the column 'question'. Its first line is {header.strip()[:_SHOWN]!r}; "
            "it must name the columns."
        )
    for _, row in numbered[1:]:
        while len(row) > len(columns) and not row[-1].strip():
            # Spreadsheets end rows with the delimiters of columns that were once there.
            row.pop()
    problems = [
        f"line {line}: {len(row)} cells where the first line names {len(columns)} columns. "
        'Put texts that hold commas in "quotes".'
        for line, row in numbered[1:]
        if len(row) > len(columns)
    ]
    if problems:
        raise DatasetError(listing(f"{name} cannot be used", problems))
    return [
        (line, dict(zip(columns, map(restored, row), strict=False))) for line, row in numbered[1:]
    ]


def _numbered(cells: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold anything, each with the line it begins on."""
    line = 1
    for row in cells:
        if any(cell.strip() for cell in row):
            yield line, row
        line = cells.line_num + 1
