"""Question sets in the database and as files: versions, edits, what two people do at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Conflict, DatasetError, InvalidInput, NotFound
from core.home import Home, open_home
from eval.question_files import read_questions, write_csv, write_jsonl
from eval.question_sets import QuestionSets, free_id
from eval.questions import ColumnError, join_list, parse_questions, split_list, version_of
from eval.texts import words

ROW = {"id": "a", "question": "How many days off?", "answer": "25 days.", "short_answers": ["25"],
       "kind": "seen", "fact_id": "f1"}  # fmt: skip
OTHER = {"id": "b", "question": "Who signs for travel?", "answer": "Your manager."}
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)

TEXT = st.text(max_size=30)
QUESTION = TEXT.filter(lambda text: bool(words(text)))
ANSWER = TEXT.filter(lambda text: bool(text.encode("utf-8", "replace").decode().strip()))


@st.composite
def sets_of_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    wordings = draw(st.lists(QUESTION, min_size=1, max_size=5,
                             unique_by=lambda text: tuple(words(text))))  # fmt: skip
    return [
        {"id": f"q{n}", "question": wording, "answer": draw(ANSWER),
         "short_answers": draw(st.lists(TEXT, max_size=3)),
         "tags": draw(st.lists(TEXT, max_size=3)),
         "evidence_quote": draw(TEXT), "evidence_file": draw(TEXT), "why": draw(TEXT)}
        for n, wording in enumerate(wordings)
    ]  # fmt: skip


@QUIET
@given(sets_of_rows())
def test_a_set_written_as_a_file_is_read_back_as_the_same_version(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    questions = parse_questions(enumerate(rows, start=1), "x")
    folder = tmp_path_factory.mktemp("files")
    for name, content in (("s.jsonl", write_jsonl(questions)), ("s.csv", write_csv(questions))):
        (folder / name).write_bytes(content)
        assert version_of(read_questions(folder / name)) == version_of(questions)
    shutil.rmtree(folder)


@given(st.lists(st.text(alphabet="a|\\ ", max_size=6).filter(bool)))
def test_a_list_in_a_cell_is_read_back_whatever_it_holds(texts: list[str]) -> None:
    assert split_list(join_list(texts)) == (texts or [""])


@pytest.mark.parametrize(("header", "row", "said"), [
    ("question,answer", 'Who pays?,"We, of course",and more', "line 2: 3 cells where"),
    ("frage,antwort", "Who?,We", "lacks the column 'question'. Its first line is 'frage,antwort'"),
    ("question,answer", 'Who pays?,"We', "is no CSV: line"),
])  # fmt: skip
def test_a_table_that_would_be_misread_is_refused(
    tmp_path: Path, header: str, row: str, said: str
) -> None:
    path = tmp_path / "q.csv"
    path.write_text(f"{header}\n{row}\n", "utf-8")
    with pytest.raises(DatasetError, match=said):
        read_questions(path)


def test_tables_of_a_spreadsheet_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_bytes("\ufeffQuestion; Answer ;tags\r\n\r\nWho pays?;We;pay|law\r\n".encode())
    found = read_questions(path)[0]
    assert (found.question, found.answer, found.tags) == ("Who pays?", "We", ("pay", "law"))


def test_a_line_end_inside_a_json_text_is_no_line_end(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({**ROW, "answer": "a\u2028b"}, ensure_ascii=False), "utf-8")
    assert read_questions(path)[0].answer == "a\u2028b"


def test_content_that_is_stored_is_not_stored_again(home: Home) -> None:
    sets = QuestionSets(home)
    first = sets.add([ROW], "leave", author="anna")
    assert (first.number, first.author) == (1, "anna")
    assert sets.add([ROW], " leave ").id == first.id
    second = sets.add([ROW, OTHER], "leave")
    assert (second.number, second.counts) == (2, {"seen": 1, "unseen": 1})
    assert sets.add([ROW], "leave").id == first.id
    assert [one.id for one in sets.list()] == [second.id]
    assert [one.number for one in sets.versions("leave")] == [2, 1]


def test_every_change_is_a_version_and_the_old_ones_stay(home: Home) -> None:
    sets = QuestionSets(home)
    first = sets.add([ROW], "leave")
    changed = sets.put(first.id, {**ROW, "answer": "30 days.", "short_answers": ["30"]},
                       question_id="a", author="anna")  # fmt: skip
    added = sets.put(changed.id, {"question": "Who signs?", "answer": "Your manager."})
    removed = sets.remove(added.id, "a")
    restored = sets.restore(first.id)
    assert [(one.number, one.change) for one in sets.versions("leave")] == [
        (5, "version 1 restored"), (4, "deleted 'a'"), (3, "added 'q2'"), (2, "changed 'a'"),
        (1, "")]  # fmt: skip
    assert sets.get(first.id).questions[0].short_answers == ("25",)
    assert changed.author == "anna"
    assert [question.id for question in removed.questions] == ["q2"]
    assert restored.version == first.version


def test_the_second_of_two_people_is_refused_and_nothing_is_overwritten(home: Home) -> None:
    sets = QuestionSets(home)
    first = sets.add([ROW, OTHER], "leave")
    sets.put(first.id, {**ROW, "answer": "30 days."}, question_id="a", author="anna")
    said = "changed meanwhile by 'anna': you looked at version 1, the newest is version 2"
    attempts: list[Callable[[], object]] = [
        lambda: sets.put(first.id, {**OTHER, "answer": "Nobody."}, question_id="b"),
        lambda: sets.put(first.id, {"question": "What?", "answer": "x"}),
        lambda: sets.remove(first.id, "b"),
    ]
    for attempt in attempts:
        with pytest.raises(Conflict, match=said):
            attempt()
    assert sets.newest(first.id).questions[0].answer == "30 days."
    assert len(sets.versions("leave")) == 2


@pytest.mark.parametrize(("change", "column", "said"), [
    ({"question": " "}, "question", "'question' is empty"),
    ({"answer": "", "short_answers": []}, "answer", "marked seen, yet has no answer"),
    ({"kind": "unanswerable"}, "answer", "marked unanswerable, yet has the answer '25 days.'"),
    ({"kind": "hard"}, "kind", "kind 'hard' is unknown"),
])  # fmt: skip
def test_a_wrong_edit_names_its_column_and_stores_nothing(
    home: Home, change: dict[str, Any], column: str, said: str
) -> None:
    sets = QuestionSets(home)
    first = sets.add([ROW, OTHER], "leave")
    with pytest.raises(ColumnError, match=said) as caught:
        sets.put(first.id, {**ROW, **change}, question_id="a")
    assert caught.value.column == column
    assert [one.id for one in sets.versions("leave")] == [first.id]


def test_edits_that_cannot_be_are_refused(home: Home) -> None:
    sets = QuestionSets(home)
    first = sets.add([ROW, OTHER], "leave")
    with pytest.raises(InvalidInput, match="Nothing is different from version 1"):
        sets.put(first.id, ROW, question_id="a")
    with pytest.raises(DatasetError, match="the same question as on line 1"):
        sets.put(first.id, {**OTHER, "question": ROW["question"]}, question_id="b")
    with pytest.raises(NotFound, match="no question 'zzz'"):
        sets.put(first.id, ROW, question_id="zzz")
    with pytest.raises(InvalidInput, match="Use 1 to 200"):
        sets.add([ROW], "  ")
    only = sets.remove(first.id, "b")
    with pytest.raises(InvalidInput, match="Delete the whole set"):
        sets.remove(only.id, "a")


def test_deleting_a_set_deletes_its_versions_only(home: Home) -> None:
    sets = QuestionSets(home)
    first, other = sets.add([ROW], "leave"), sets.add([OTHER], "travel")
    second = sets.put(first.id, OTHER)
    assert sets.delete(second.id) == 2
    for gone in (first, second):
        with pytest.raises(NotFound, match="no question set"):
            sets.get(gone.id)
    assert [one.id for one in sets.list()] == [other.id]


@settings(QUIET, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["add", "change", "remove"]), st.integers(0, 9)),
                max_size=8))  # fmt: skip
def test_numbers_count_up_and_no_version_ever_changes(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, deeds: list[tuple[str, int]]
) -> None:
    workspace = tmp_path_factory.mktemp("versions")
    shutil.copy(migrated, workspace)
    home = open_home(workspace=workspace)
    sets = QuestionSets(home)
    seen = [sets.add([ROW, OTHER], "s")]
    for step, (deed, at) in enumerate(deeds):
        base = seen[-1]
        target = base.questions[at % len(base.questions)].id
        row = {"question": f"Question number {step} of them?", "answer": f"{step}"}
        if deed == "add":
            seen.append(sets.put(base.id, row))
        elif deed == "change":
            seen.append(sets.put(base.id, row, question_id=target))
        elif len(base.questions) > 1:
            seen.append(sets.remove(base.id, target))
    assert sets.versions("s") == seen[::-1]
    assert [one.number for one in seen] == list(range(1, len(seen) + 1))
    assert all(len({q.id for q in one.questions}) == len(one.questions) for one in seen)
    home.database.close()
    home.database.close()
    shutil.rmtree(workspace)


def test_a_free_id_is_free() -> None:
    taken = parse_questions([(1, {**ROW, "id": "q2"})], "x")
    assert free_id(taken) == "q3"


def trained_on(home: Home, run: int, *wordings: str) -> None:
    folder = home.workspace.runs / str(run)
    folder.mkdir(parents=True)
    rows = [{"question": wording, "answer": "x"} for wording in wordings]
    (folder / "dataset.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")


def test_what_a_stored_run_was_trained_on_is_refused_on_arrival(home: Home) -> None:
    trained_on(home, 3, "How many days off", "Who, then, signs for travel here in the year now?")
    sets = QuestionSets(home)
    with pytest.raises(DatasetError, match=r"training run 3(.|\n)*'a': 'How many days off\?'"):
        sets.add([ROW], "leave")
    assert sets.list() == []
    near = {**OTHER, "question": "Who signs for travel here in the year now, then"}
    fine = sets.add([{**near, "question": near["question"] + " today"}], "travel")
    assert any("close to the trained wording" in one for one in fine.warnings)


def test_training_on_a_stored_set_does_not_lock_it(home: Home) -> None:
    sets = QuestionSets(home)
    first = sets.add([ROW, OTHER], "leave")
    trained_on(home, 1, "How many days off?", "What is new?")
    second = sets.put(first.id, {**OTHER, "answer": "Anna."}, question_id="b")
    assert any("was trained on" in one for one in second.warnings)
    with pytest.raises(DatasetError, match="training run 1"):
        sets.put(second.id, {**OTHER, "question": "What is new?"}, question_id="b")


def test_training_data_that_cannot_be_read_is_said(home: Home) -> None:
    folder = home.workspace.runs / "7"
    folder.mkdir(parents=True)
    (folder / "dataset.jsonl").write_bytes(b"\xff\xfe")
    warned = QuestionSets(home).add([ROW], "leave").warnings
    assert any("training run 7 is not checked" in one for one in warned)


def test_a_small_set_and_lost_evidence_are_remarked(home: Home) -> None:
    row = {**ROW, "evidence_file": "gone.md", "evidence_quote": "25 days."}
    added = QuestionSets(home).add([row, OTHER], "leave")
    assert any("holds 2 questions: below 30" in one for one in added.warnings)
    assert any("the workspace holds no documents" in one for one in added.warnings)
