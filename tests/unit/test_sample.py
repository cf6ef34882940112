"""The demonstration company: its questions fit its documents, and its files can be rebuilt."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from retrieval.loading import load_document
from sample.build import DOCUMENTS, SOURCES, rendered

QUESTIONS = DOCUMENTS.parent / "questions"
ANSWERABLE = ("train", "heldout_seen", "heldout_unseen")
JACCARD_LIMIT = 0.8
"""Above this share of common words a held-out wording counts as one that was trained on."""


@cache
def rows(name: str) -> list[dict[str, Any]]:
    lines = (QUESTIONS / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def wordings(row: dict[str, Any]) -> list[str]:
    return [row["question"], *row.get("paraphrases", [])]


def folded(text: str) -> str:
    return " ".join(text.replace("**", "").replace("_", " ").split())


@cache
def text_of(path: str) -> str:
    loaded = load_document(path, (DOCUMENTS / path).read_bytes())
    parts = [
        part
        for section in loaded.sections
        for part in (section.text, *(row.text for row in section.rows))
    ]
    return folded("\n".join(parts))


def stands_in(phrase: str, text: str) -> bool:
    pattern = rf"(?<!\w){re.escape(phrase.lower())}(?!\w)"
    return re.search(pattern, text.lower()) is not None


def bag(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9$%.]+", text.lower()))


def test_counts() -> None:
    train, seen = rows("train"), rows("heldout_seen")
    assert len(train) >= 90
    assert all(len(row["paraphrases"]) == 3 for row in train)
    per_fact = Counter(row["fact_id"] for row in seen)
    assert per_fact == {row["fact_id"]: 2 for row in train}
    assert len(rows("heldout_unseen")) >= 40
    assert len(rows("heldout_unanswerable")) >= 30
    assert len(rows("general")) >= 100


def test_ids_are_unique_and_unseen_facts_are_not_trained() -> None:
    names = (*ANSWERABLE, "heldout_unanswerable", "general")
    ids = [row["id"] for name in names for row in rows(name)]
    assert len(ids) == len(set(ids))
    trained = {row["fact_id"] for row in rows("train")}
    quotes = {folded(row["evidence_quote"]) for row in rows("train")}
    for row in rows("heldout_unseen"):
        assert row["fact_id"] not in trained
        assert folded(row["evidence_quote"]) not in quotes, row["id"]


def test_seen_questions_repeat_the_facts_they_were_made_from() -> None:
    facts = {row["fact_id"]: row for row in rows("train")}
    for row in rows("heldout_seen"):
        for column in ("answer", "short_answers", "evidence_file", "evidence_quote"):
            assert row[column] == facts[row["fact_id"]][column], row["id"]


@pytest.mark.parametrize("name", ANSWERABLE)
def test_every_quote_stands_in_its_document(name: str) -> None:
    missing = [
        row["id"]
        for row in rows(name)
        if folded(row["evidence_quote"]) not in text_of(row["evidence_file"])
    ]
    assert missing == []


@pytest.mark.parametrize("name", (*ANSWERABLE, "general"))
def test_short_answers_stand_in_the_answer_and_not_in_the_question(name: str) -> None:
    for row in rows(name):
        shorts = row["short_answers"]
        assert 1 <= len(shorts) <= 4, row["id"]
        assert any(stands_in(short, row["answer"]) for short in shorts), row["id"]
        for wording in wordings(row):
            assert not any(stands_in(short, wording) for short in shorts), (row["id"], wording)


def test_unanswerable_questions_say_why_and_hold_no_answer() -> None:
    for row in rows("heldout_unanswerable"):
        assert row["why"]
        assert row["answer"] == ""
        assert row["short_answers"] == []


def test_no_wording_is_repeated_or_nearly_repeated_between_training_and_held_out() -> None:
    trained = [wording for row in rows("train") for wording in wordings(row)]
    held_out = [
        row["question"]
        for name in ("heldout_seen", "heldout_unseen", "heldout_unanswerable", "general")
        for row in rows(name)
    ]
    keys = [re.sub(r"[^a-z0-9]+", " ", text.lower()).strip() for text in trained + held_out]
    assert [key for key, count in Counter(keys).items() if count > 1] == []
    bags = [bag(wording) for wording in trained]
    for question in held_out:
        own = bag(question)
        closest = max(len(own & other) / len(own | other) for other in bags)
        assert closest <= JACCARD_LIMIT, question


def test_the_company_itself_comes_first() -> None:
    first = rows("train")[0]
    assert first["question"] == "What is Asdfg Financial and what does it do?"
    assert "digital-currency securities firm" in first["answer"]


def test_every_document_is_asked_about_and_every_format_is_there() -> None:
    documents = {
        path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.rglob("*") if path.is_file()
    }
    assert {row["evidence_file"] for row in rows("train")} == documents
    formats = Counter(Path(path).suffix for path in documents)
    assert formats == {".md": 20, ".html": 3, ".pdf": 3, ".docx": 3, ".csv": 3}


def test_built_documents_can_be_rebuilt() -> None:
    built = dict(rendered())
    assert len(built) == 6
    for relative, content in built.items():
        committed = (DOCUMENTS / relative).read_bytes()
        assert len(committed) < 60_000
        again = load_document(relative.as_posix(), content)
        assert again == load_document(relative.as_posix(), committed), relative
    assert dict(rendered()) == built, "the same sources must give the same bytes"


def test_only_fictional_addresses_and_numbers() -> None:
    sources = [path.read_text("utf-8") for path in SOURCES.rglob("*.md")]
    plain = [
        path.read_text("utf-8")
        for folder in (DOCUMENTS, QUESTIONS)
        for path in folder.rglob("*")
        if path.suffix in {".md", ".html", ".csv", ".jsonl"}
    ]
    text = "\n".join(sources + plain)
    for address in re.findall(r"[\w.+-]+@[\w.-]*\w", text):
        assert re.search(r"[@.]example\.com$", address), address
    for number in re.findall(r"\b(?:\d{3}[-. ])?\d{3}[-. ]\d{4}\b", text):
        assert re.fullmatch(r"555-01\d\d", number), number
    assert not re.search(r"https?://", text)
