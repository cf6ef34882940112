"""Files of rows that would blow up whoever parses them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import DatasetError
from eval.question_files import read_questions, training_wordings
from training.rows import read_rows

READERS: list[Callable[[Path], object]] = [read_rows, read_questions, training_wordings]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n" * 1_000_001, "at most 1,000,000 can be read"),
        (b'{"question": "' + b"x" * 1_100_000 + b'"}', "line 1: it has 1,100,016 bytes"),
        (b"a\n" + b"[]," * 400_000, "line 2: it has 1,200,000 bytes"),
    ],
)
def test_what_takes_far_more_memory_than_its_size_is_refused(
    tmp_path: Path, read: Callable[[Path], object], content: bytes, reason: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    with pytest.raises(DatasetError) as refused:
        read(file)
    assert "rows.jsonl" in refused.value.message
    assert reason in refused.value.message


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(DatasetError, match="not a regular file"):
        read(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("depth", [30, 900, 100_000])
def test_deep_nesting_costs_its_row(tmp_path: Path, depth: int) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps({"question": "Who?", "answer": "Ann."})
    nested = '{"question": ' + "[" * depth + "]" * depth + "}"
    file.write_text(f"{good}\n{nested}\n{good}\n")
    reading = read_rows(file)
    assert len(reading.rows) == 2
    assert [problem.line for problem in reading.problems] == [2]
    with pytest.raises(DatasetError, match="line 2: "):
        read_questions(file)
