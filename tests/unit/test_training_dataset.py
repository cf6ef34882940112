"""Training data: every kind of bad input is named with its line, and nothing is lost silently."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.prompts import REFUSAL
from core.errors import DatasetError
from core.wordings import normalise
from training.config import PersonalData
from training.dataset import Checks, Dataset, load_dataset, require_usable
from training.overlap import (
    overlapping_wordings,
    refuse_overlap,
    restricted_problems,
    same_document,
)
from training.rows import Severity
from training.similarity import near_pairs


def row(number: int, **changes: Any) -> dict[str, Any]:
    subject = "abcdefghijklmnopqrstuvwxyz"[number % 26] * 4 + str(number)
    return {
        "question": f"How long is the {subject} leave?",
        "paraphrases": [f"length of {subject} leave", f"{subject} leave, how many days?"],
        "answer": f"The {subject} leave has {number} days.",
        **changes,
    }


def write(path: Path, rows: list[Any]) -> Path:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def messages(dataset: Dataset, severity: Severity = Severity.ERROR) -> str:
    return "\n".join(p.message for p in dataset.problems if p.severity is severity)


def test_good_file(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [row(n) for n in range(6)])
    dataset = load_dataset(path)
    assert dataset.problems == ()
    assert dataset.summary.facts == dataset.summary.rows == 6
    assert dataset.summary.wordings == 18
    require_usable(dataset, skip_bad_rows=False)


def test_broken_line_4017_is_named(tmp_path: Path) -> None:
    rows: list[Any] = [row(n) for n in range(4016)]
    path = write(tmp_path / "d.jsonl", [*rows, '{"question": "x", "answ', row(5000)])
    before = path.read_bytes()
    dataset = load_dataset(path)
    assert "line 4,017: not JSON" in messages(dataset)
    assert len(dataset.facts) == 4017
    with pytest.raises(DatasetError, match=r"1 of 4,018 rows.*\n.*line 4,017"):
        require_usable(dataset, skip_bad_rows=False)
    require_usable(dataset, skip_bad_rows=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("[1, 2]", "a JSON list, not an object"),
        ({"answer": "x"}, "no field 'question'"),
        ({"question": "x"}, "no field 'answer'"),
        ({"question": " ?! ", "answer": "x"}, "the question is empty"),
        ({"question": "What?", "answer": "  "}, "no answer to 'What?'"),
        ({"question": "What?", "answer": None}, "no answer to 'What?'"),
        ({"question": 3, "answer": "x"}, "'question' is int, not text"),
        ({"question": "What?", "answer": "x", "wordings": "y"}, "'wordings' is not a list"),
        ({"question": "w" * 5000, "answer": "x"}, "5,000 characters"),
        ({"question": "What?", "answer": "long " * 9000}, "the model's context"),
        ("[" * 5000, "not JSON"),
    ],
)
def test_bad_rows(tmp_path: Path, bad: Any, words: str) -> None:
    path = write(tmp_path / "d.jsonl", [row(1), bad, row(2)])
    dataset = load_dataset(path)
    assert len(dataset.facts) == 2
    assert "line 2: " in messages(dataset)
    assert words in messages(dataset)
    assert sum(dataset.summary.dropped.values()) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.jsonl", b"", "is empty"),
        ("d.jsonl", b" \n\n ", "is empty"),
        ("d.jsonl", b"\x00\x01\x02", "not a text file"),
        ("d.csv", b"PK\x03\x04\x00\x00", "not a text file"),
        ("d.xlsx", b"PK\x03\x04", "ends in '.xlsx'"),
        ("d.json", b'[{"question": "a", "answer": "b"}]', "one JSON array"),
        ("d.csv", b"frage,answer\na,b\n", "lacks the column question"),
        ("d.jsonl", b"\xff\xfeq\x00\x00", "UTF-16"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=words):
        load_dataset(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no file"):
        load_dataset(tmp_path / "no.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DatasetError, match="is a folder"):
        load_dataset(tmp_path / "folder.jsonl")


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_facts(tmp_path: Path, count: int) -> None:
    dataset = load_dataset(write(tmp_path / "d.jsonl", [row(n) for n in range(count)]))
    with pytest.raises(DatasetError, match=rf"{count} usable facts?; .* at least 5"):
        require_usable(dataset, skip_bad_rows=False)


def test_encodings(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row(n, answer=f"Ja, {n} Übermäßig."), ensure_ascii=False)
                     for n in range(3))  # fmt: skip
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path = tmp_path / "d.jsonl"
        path.write_bytes(text.encode(encoding))
        assert "Übermäßig" in load_dataset(path).facts[0].answer
    path.write_bytes(text.encode("latin-1"))
    dataset = load_dataset(path)
    assert not dataset.facts
    assert "line 1: not UTF-8 (byte 0xDC" in messages(dataset)


def test_duplicates_and_contradictions(tmp_path: Path) -> None:
    same = row(1, question=" HOW long is the bbbb1 leave", paraphrases=[])
    other = row(2, question="How long is the cccc2 leave?", answer="Other.", paraphrases=[])
    dataset = load_dataset(write(tmp_path / "d.jsonl", [row(1), row(2), same, other, row(3)]))
    assert [fact.line for fact in dataset.facts] == [1, 5]
    assert "line 3: repeats line 1" in messages(dataset, Severity.WARNING)
    assert "line 4: " in messages(dataset)
    assert "line 2, with another answer" in messages(dataset)


def test_rows_of_one_fact_are_joined(tmp_path: Path) -> None:
    rows = [
        {"fact_id": "f", "question": "Where?", "answer": "Here."},
        {"fact_id": "f", "question": "At which place?", "answer": "Here."},
    ]
    (fact,) = load_dataset(write(tmp_path / "d.jsonl", rows)).facts
    assert fact.wordings == ("Where?", "At which place?")


def test_near_duplicates_and_few_wordings(tmp_path: Path) -> None:
    words = "please tell me how many days of paid sick leave an employee gets each"
    rows = [
        row(1, question=f"{words} year", paraphrases=[]),
        row(2, question=f"{words} calendar year", paraphrases=[]),
    ]
    warnings = messages(load_dataset(write(tmp_path / "d.jsonl", rows)), Severity.WARNING)
    assert "line 2: nearly the same question as line 1" in warnings
    assert "2 facts of 2 with fewer than 3 wordings" in warnings


def test_unanswerable_rows(tmp_path: Path) -> None:
    rows = [
        row(1, answer="", kind="unanswerable"),
        row(2, answer="", short_answers=[]),
        row(3, answer="I don't know."),
    ]
    dataset = load_dataset(write(tmp_path / "d.jsonl", rows))
    assert not dataset.errors
    assert {fact.answer for fact in dataset.facts} == {REFUSAL}
    assert dataset.summary.unanswerable == 3


def test_personal_data(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", [row(1), row(2, answer="Ask jo@mail.example.")])
    kept, masked, dropped = (
        load_dataset(path, Checks(personal_data=treatment)) for treatment in PersonalData
    )
    assert "line 2: e-mail address (kept)" in messages(kept, Severity.WARNING)
    assert "jo@mail" in kept.facts[1].answer
    assert masked.facts[1].answer == "Ask [e-mail address removed]."
    assert len(dropped.facts) == 1
    assert dropped.summary.dropped == {"personal data": 1}


def test_long_answers_are_told(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "d.jsonl", [row(1, answer="word " * 200)]))
    assert "the assistant stops after 128" in messages(dataset, Severity.WARNING)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(
        "Question;Answer;paraphrases\r\n"
        'a?;"one; two";b?|c?\r\n'
        "\r\n"
        "d?;three\r\n"
        'e?;"four\r\nlines";\r\n'
        "f?;caf\xe9;\r\n".encode("latin-1")
    )
    dataset = load_dataset(path)
    assert [fact.wordings for fact in dataset.facts] == [("a?", "b?", "c?"), ("e?",)]
    assert dataset.facts[0].answer == "one; two"
    assert "line 4: 2 cells where the first line names 3" in messages(dataset)
    assert "line 7: not UTF-8" in messages(dataset)
    assert dataset.summary.rows == 4


@given(st.lists(st.text(), max_size=8), st.sampled_from([".jsonl", ".csv"]))
def test_any_text_is_rows_problems_or_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"d{suffix}"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        dataset = load_dataset(path)
    except DatasetError:
        return
    assert len(dataset.facts) <= dataset.rows


def test_overlap_with_question_sets(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "d.jsonl", [row(n) for n in range(6)]))
    held = write(tmp_path / "held.jsonl", [{"question": "BBBB1 leave: length, of!", "answer": ""}])
    (problem,) = overlapping_wordings(dataset, [held])
    assert "held.jsonl, line 1" in problem.message
    with pytest.raises(DatasetError, match="--allow-overlap"):
        refuse_overlap(dataset, [held])
    refuse_overlap(dataset, [write(tmp_path / "o.jsonl", [{"question": "Else?", "answer": "x"}])])


def test_restricted_documents(tmp_path: Path) -> None:
    rows = [row(1, evidence_file="hr/pay.md"), row(2, evidence_file="it/vpn.md")]
    dataset = load_dataset(write(tmp_path / "d.jsonl", rows))
    (problem,) = restricted_problems(dataset, {"docs/hr/pay.md": frozenset({"hr"})})
    assert "line 1" in problem.message
    assert "hr only" in problem.message


def test_same_document() -> None:
    assert same_document("a/b.md", "docs/a/b.md")
    assert same_document("docs\\a\\b.md", "a/b.md")
    assert not same_document("aa/b.md", "a/b.md")


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=6).map(" ".join)))
def test_near_pairs_finds_all_pairs(texts: list[str]) -> None:
    sets = [set(text.split()) for text in texts]
    wanted = [
        (i, j)
        for j in range(len(sets))
        for i in range(j)
        if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.85
    ]
    assert near_pairs(texts) == wanted


def test_numbers_keep_questions_apart() -> None:
    words = "what is due when there are pay periods left in a term of mine"
    assert near_pairs([f"{words} 13", f"{words} 26"]) == []


@given(st.text())
def test_normalise_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
