"""Our own questions: without the handbooks' words in them, and whole again beside a handbook."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.held_back import SOURCES
from benchmarks.own_questions import HANDBOOKS, PACKED, filled, packed, rows_of

MEASURED_ON = (*SOURCES, "18f-handbook")
ROW = {
    "id": "a",
    "question": "How much leave?",
    "answer": "Thirty days.",
    "evidence_file": "firm/leave.md",
    "evidence_quote": "Everybody gets 30 days of leave.",
}


@pytest.fixture
def handbooks(tmp_path: Path) -> Path:
    (tmp_path / "firm").mkdir()
    page = "# Leave\n\nEverybody gets\n30 days of leave. Ask early.\n"
    (tmp_path / "firm" / "leave.md").write_text(page)
    return tmp_path


def test_the_place_stands_for_the_words(handbooks: Path) -> None:
    short = packed(ROW, handbooks)
    assert "evidence_quote" not in short
    assert short["evidence_at"][:2] == [9, 32]
    whole = filled(short, handbooks)
    assert whole["evidence_quote"].split() == str(ROW["evidence_quote"]).split()
    assert {**whole, "evidence_quote": ROW["evidence_quote"]} == ROW
    nothing = {"id": "b", "question": "A gym?", "near_file": "firm/leave.md"}
    assert filled(packed(nothing, handbooks), handbooks) == nothing


def test_an_answer_in_the_page_s_words_is_a_place_too(handbooks: Path) -> None:
    said = {**ROW, "answer": "Everybody gets 30 days of leave"}
    short = packed(said, handbooks)
    assert (short["answer"], short["answer_at"][0]) == ("", 9)
    assert filled(short, handbooks)["answer"].split() == str(said["answer"]).split()


def test_another_version_of_a_page_is_noticed(handbooks: Path) -> None:
    short = packed(ROW, handbooks)
    page = handbooks / "firm" / "leave.md"
    page.write_text(page.read_text().replace("30", "25"))
    with pytest.raises(ValueError, match=r"leave\.md is another version"):
        filled(short, handbooks)
    with pytest.raises(ValueError, match="does not stand in"):
        packed(ROW, handbooks)


def all_rows() -> list[dict[str, Any]]:
    return [row for file in sorted(PACKED.glob("*.jsonl")) for row in rows_of(file)]


def test_what_is_written_is_complete_and_spares_what_is_measured_on() -> None:
    rows = all_rows()
    assert len(rows) > 3000
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        answerable = "evidence_at" in row
        assert "evidence_quote" not in row, row["id"]
        assert len({row["question"], *row["wordings"]}) == 1 + len(row["wordings"]) >= 3, row["id"]
        answered = bool(row["answer"] or "answer_at" in row)
        assert answered is bool(row["short_answers"]) is answerable, row["id"]
        page = row["evidence_file"] if answerable else row["near_file"]
        assert not page.startswith(MEASURED_ON), row["id"]


@pytest.mark.skipif(not HANDBOOKS.is_dir(), reason=f"no handbooks in '{HANDBOOKS}'")
def test_every_quotation_is_found_in_its_handbook() -> None:
    rows = [filled(row) for row in all_rows()]
    assert all(bool(row.get("evidence_quote")) is bool(row["answer"]) for row in rows)
