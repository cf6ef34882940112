"""Question sets: what is accepted, and what is said about the rest."""

import json
from pathlib import Path

import pytest

from core.errors import DatasetError
from eval.question_files import read_questions, training_wordings
from eval.questions import (
    Kind,
    check_training_overlap,
    evidence_warnings,
    merge,
    parse_questions,
    spread,
    version_of,
    weak_answers,
)

ROW = {"id": "a", "question": "How many days off?", "answer": "25 days.", "short_answers": ["25"],
       "kind": "seen", "fact_id": "f1"}  # fmt: skip


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def test_jsonl_and_csv_of_the_same_questions_have_one_version(tmp_path: Path) -> None:
    jsonl = write(tmp_path / "q.jsonl", ROW)
    table = tmp_path / "q.csv"
    table.write_text(
        "id,fact_id,question,answer,short_answers,kind\na,f1,How many days off?,25 days.,25,seen\n",
        "utf-8",
    )
    assert version_of(read_questions(jsonl)) == version_of(read_questions(table))


def test_every_wrong_line_is_named_with_a_remedy(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.jsonl",
        ROW,
        {"id": "b", "question": "Who?", "kind": "seen"},
        {"id": "c", "question": "", "answer": "x"},
        {"id": "d", "question": "Why?", "answer": "x", "kind": "unanswerable"},
        {"id": "e", "question": "Where?", "answer": "x", "kind": "hard"},
        {"id": "a", "question": "how many days OFF", "answer": "25"},
    )
    with pytest.raises(DatasetError) as caught:
        read_questions(path)
    message = caught.value.message
    for part in ("line 2: marked seen, yet has no answer", "line 3: 'question' is empty",
                 "line 4: marked unanswerable, yet has the answer 'x'", "line 5: kind 'hard'",
                 "line 6: id 'a' is also on line 1", "line 6: the same question as on line 1",
                 "set 'kind' to 'unanswerable'"):  # fmt: skip
        assert part in message


def test_broken_json_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(ROW) + "\n{broken\n[1]\n", "utf-8")
    with pytest.raises(DatasetError, match=r"line 2: not JSON(.|\n)*line 3: a list"):
        read_questions(path)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="holds no question"):
        read_questions(path)


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_questions(tmp_path / "x.jsonl")


def test_a_row_without_kind_is_unseen_and_needs_an_answer() -> None:
    assert parse_questions([(1, {"question": "Q?", "answer": "A"})], "x")[0].kind is Kind.UNSEEN
    with pytest.raises(DatasetError, match="no answer"):
        parse_questions([(1, {"question": "Q?"})], "x")


def test_trained_wordings_are_refused_and_near_ones_warned(tmp_path: Path) -> None:
    training = write(tmp_path / "t.jsonl", {"question": "x", "paraphrases": ["How many days off"]})
    questions = parse_questions([(1, ROW)], "x")
    with pytest.raises(DatasetError, match="'a': 'How many days off\\?' was trained on"):
        check_training_overlap(questions, training_wordings(training), "t.jsonl")
    long = {**ROW, "question": "How many days off do we all get in the year here now?"}
    near = "How many days off do we all get in the year here?"
    warned = check_training_overlap(parse_questions([(1, long)], "x"), [near], "t.jsonl")
    assert "close to the trained wording" in warned[0]


def test_evidence_is_looked_for_in_the_documents() -> None:
    row = {**ROW, "evidence_file": "leave.md", "evidence_quote": "You get **25 days** a year."}
    questions = parse_questions([(1, row)], "x")
    assert evidence_warnings(questions, lambda _path: "You get 25 days a year.") == []
    assert "quote is not in" in evidence_warnings(questions, lambda _path: "Nothing.")[0]
    assert "not in the workspace" in evidence_warnings(questions, lambda _path: None)[0]


def test_a_question_that_gives_its_answer_away_is_named() -> None:
    row = {**ROW, "question": "Do we get 25 days?", "short_answers": ["25 days"]}
    assert "stands in the question" in weak_answers(parse_questions([(1, row)], "x"))[0]


def test_a_limit_takes_questions_evenly() -> None:
    rows = [(n, {"id": str(n), "question": f"Q {n}?", "answer": "A"}) for n in range(10)]
    questions = parse_questions(rows, "x")
    assert [q.id for q in spread(questions, 5)] == ["0", "2", "4", "6", "8"]
    assert len(spread(questions, None)) == len(spread(questions, 50)) == 10


def test_merged_sets_keep_ids_apart() -> None:
    one = parse_questions([(1, ROW)], "x")
    assert [q.id for q in merge([one, one])] == ["a", "a/2"]


@pytest.mark.shared
def test_real_question_sets_pass(shared: Path) -> None:
    folder = shared / "qa" / "18f"
    wordings = training_wordings(folder / "train.jsonl")
    assert len(wordings) == 600
    for name, count in (("seen", 300), ("unseen", 100), ("unanswerable", 60)):
        questions = read_questions(folder / f"heldout_{name}.jsonl")
        assert len(questions) == count
        assert {q.kind for q in questions} == {Kind(name)}
        check_training_overlap(questions, wordings, "train.jsonl")
