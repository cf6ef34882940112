"""Characters that carry meaning keep questions apart, in training data and question sets."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.wordings import normalise
from eval.near import Wordings
from eval.questions import HeldOutQuestion, Kind, duplicates
from training.dataset import load_dataset
from training.overlap import overlapping_wordings
from training.rows import Severity
from training.similarity import near_pairs

APART = [
    ("Who reviews C++ code?", "Who reviews C# code?"),
    ("Who reviews C code?", "Who reviews C++ code?"),
    ("What does a rating of A+ mean?", "What does a rating of A- mean?"),
    ("What does a rating of A mean?", "What does a rating of A- mean?"),
    ("Is it stored at -5 degrees?", "Is it stored at 5 degrees?"),
    ("Who gets 50%?", "Who gets 50?"),
    ("Is version 2.1 out?", "Is version 21 out?"),
    ("Is version 1.10 out?", "Is version 1.1 out?"),
    ("What costs $5?", "What costs €5?"),
    ("What is .NET?", "What is net?"),
    ("What does && do?", "What does || do?"),
    ("What does == do?", "What does != do?"),
    ("What does 👍 mean?", "What does 👎 mean?"),
    ("What does < 5 mean?", "What does > 5 mean?"),
    ("Is it 5-10?", "Is it 510?"),
    ("What is #hr?", "What is @hr?"),
]
ALIKE = [
    ("Who pays?", "who pays"),
    ("Who pays ?", "«Who pays?»"),
    ("The sign-off", "the sign off"),
    ("The “limit”", 'the "limit"'),
    ("1,500 francs?", "1500 francs"),
    ("50 %", "50%"),
    ("**C++**?", "C++"),
    ("the office’s rule", "the office's rule"),
    ("Ｃ＃", "c#"),
    ("Acme™ rules", "Acme rules"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_different_things_are_different_questions(one: str, other: str, tmp_path: Path) -> None:
    assert normalise(one) != normalise(other)
    rows = [{"question": one, "answer": "Ada."}, {"question": other, "answer": "Bo."}]
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    dataset = load_dataset(path)
    assert [fact.answer for fact in dataset.facts] == ["Ada.", "Bo."]
    assert not [p for p in dataset.problems if p.reason in ("contradiction", "near-duplicate")]
    held = tmp_path / "h.jsonl"
    held.write_text(json.dumps({"question": other}), "utf-8")
    assert len(overlapping_wordings(dataset, [held])) == 1
    assert duplicates([asked(one, "1"), asked(other, "2")], [1, 2]) == []
    assert Wordings([f"As a rule of the house and of us all, {one}"]).nearest(
        f"As a rule of the house and of us all, {other}"
    ) is None  # fmt: skip


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_the_same_in_other_letters_is_one_question(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_symbols_keep_long_questions_apart() -> None:
    words = "who of all the people in this house reviews code that is written in"
    assert near_pairs([normalise(f"{words} C++"), normalise(f"{words} C#")]) == []


@given(st.text(alphabet="ab A5.,-+#%'\"/()$*_?!=\n", max_size=14))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize("name", ["d.csv", "q.csv"])
def test_empty_cells_behind_the_last_column_are_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("question;answer\nWho?;Mara.;\nWhen?;At nine.;;\nHow?;So.; ;\n", "utf-8")
    dataset = load_dataset(path)
    assert [fact.answer for fact in dataset.facts] == ["Mara.", "At nine.", "So."]
    assert dataset.errors == ()


def test_a_cell_too_many_that_holds_something_is_still_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("question,answer\nWho?,Mara, of course,\n", "utf-8")
    assert [p.reason for p in load_dataset(path).errors] == ["wrong number of cells"]


@pytest.mark.parametrize(
    ("row", "taught"),
    [
        ({"answer": "I do not know any, except Rome."}, "I do not know any, except Rome."),
        ({"answer": "The documents do not say."}, "I don't know."),
        ({"answer": "I'm not sure.", "short_answers": ["not sure"]}, "I'm not sure."),
        ({"answer": "There is no information security officer."},
         "There is no information security officer."),
        ({"answer": "I don't know."}, "I don't know."),
    ],
)  # fmt: skip
def test_an_answer_is_never_retold_in_silence(
    tmp_path: Path, row: dict[str, object], taught: str
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"question": "Who?", **row}), "utf-8")
    dataset = load_dataset(path)
    assert [fact.answer for fact in dataset.facts] == [taught]
    said = [p for p in dataset.problems if p.reason == "taught as a refusal"]
    assert bool(said) is (taught != row["answer"])
    assert all(p.severity is Severity.WARNING for p in said)


def asked(text: str, name: str) -> HeldOutQuestion:
    return HeldOutQuestion(
        id=name, fact_id=name, question=text, answer="x", short_answers=("x",), kind=Kind.UNSEEN
    )
