"""Pure translations: answers, sources, documents, targets of redirects, requests' origin."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from assistant.conversations import Conversation, StoredAnswer
from assistant.conversations import Turn as StoredTurn
from assistant.modes import Answer, AnswerMode, Timing
from core.database import now
from core.errors import InvalidInput
from core.job_store import Job, JobState
from retrieval.kept import GONE
from retrieval.library import Chunk
from retrieval.passages import Passage
from training.config import TrainingConfig, preset
from ui.chat_view import (
    COMPARE,
    cards,
    conversation_html,
    interrupted,
    modes_of,
    snippet,
    turn_html,
    view_of_answer,
    view_of_part,
    view_of_stored,
    without,
)
from ui.gate import content_policy, is_open, same_origin, token_of
from ui.parts import groups_of
from ui.shell import dress
from ui.sign_in import local
from ui.sources import overlap, paragraphs
from ui.training import FIELDS, config_of, suggested_name
from ui.turns import Part, Stage
from ui.uploads import forget_uploads


def passage(number: int) -> Passage:
    return Passage(number, 9, "a/leave.md", "Leave", "Leave > Sick", f"text {number}", 0.5)


def answer(text: str = "Ten days [2].", cited: tuple[int, ...] = (2,)) -> Answer:
    return Answer(
        text, AnswerMode.RAG, (passage(1), passage(2)), cited, None,
        {"model": "tiny", "index_version": "abc", "sampling": {"temperature": 0, "max_tokens": 9}},
        Timing(0.1, 0.4, 2.0, 300, 12),
    )  # fmt: skip


def test_cited_sources_come_first_with_their_own_numbers() -> None:
    view = view_of_answer(answer(), 5)
    assert [card.number for card in view.cited] == [2]
    assert [card.number for card in view.uncited] == [1]
    assert view.cited[0].href == "/source/2?document=9&answer=5#passage"
    assert view.cited[0].location == "Sick"


def test_a_withheld_answer_keeps_its_place_and_says_why() -> None:
    nothing = Answer("", AnswerMode.RAG, (), (), None)
    html = turn_html("Why?", [view_of_stored(StoredAnswer(5, nothing, 1, now(), withheld=True))])
    assert "Why?" in html
    assert "made from documents that are no longer open to you" in html
    assert "data-rate" not in html
    assert "How this answer was made" not in html


def test_a_passage_of_a_deleted_document_is_named_and_leads_nowhere() -> None:
    gone = Passage(1, 9, "", GONE, "", "", 0.5)
    html = turn_html("Why?", [view_of_answer(replace(answer(), passages=(gone, passage(2))), 5)])
    assert GONE in html
    assert "/source/1" not in html
    assert "/source/2" in html


def test_how_an_answer_was_made_names_only_what_is_known() -> None:
    rows = dict(view_of_answer(answer(), 5).provenance)
    assert rows["Model"] == "tiny"
    assert rows["Decoding"] == "greedy, at most 9 tokens"
    assert "Adapter" not in rows


def test_an_answer_under_way_shows_its_stage_and_no_rating() -> None:
    html = turn_html("Why?", [view_of_part(Part(AnswerMode.RAG, Stage.SEARCHING))])
    assert "searching" in html
    assert "data-rate" not in html


def test_an_interrupted_answer_says_so_and_keeps_its_words() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    left = StoredAnswer(5, answer("Ten days"), 0, at, unfinished=True)
    whole = StoredAnswer(4, answer(), 0, at)
    thread = Conversation(
        1, "Leave", at, at, (StoredTurn(1, "Who?", (whole,)), StoredTurn(2, "Why?", (left,)))
    )
    html = conversation_html(thread)
    assert html.count("This answer was interrupted.") == 1
    assert "Ten days" in html
    assert interrupted(thread) == thread.turns[1]
    meanwhile = conversation_html(thread, answering=True)
    assert "interrupted" not in meanwhile
    assert "writing" in meanwhile
    assert without(thread, [5]).turns == thread.turns[:1]
    assert interrupted(without(thread, [5])) is None


def test_comparing_asks_in_all_modes() -> None:
    assert modes_of(COMPARE) == list(AnswerMode)
    assert modes_of("tuned") == [AnswerMode.TUNED]


def test_snippets_end_between_words() -> None:
    assert snippet("word " * 100).endswith("word …")


def test_overlapping_chunks_are_read_once_and_the_marked_one_is_whole() -> None:
    chunks = [
        Chunk(1, 0, "A", "one two three"),
        Chunk(2, 1, "A", "three four five"),
        Chunk(3, 2, "B", "five six"),
    ]
    parts = paragraphs(chunks, marked=2)
    assert [part.text for part in parts] == ["one two ", "three four five", " six"]
    assert [part.marked for part in parts] == [False, True, False]
    assert [part.location for part in parts] == ["A", "", "B"]


def test_the_sentence_that_was_used_is_marked_within_its_passage() -> None:
    chunks = [Chunk(2, 0, "A", "\nAsk first. You get 9 days.\nCall HR.\n")]
    (part,) = paragraphs(chunks, 2, "You get 9 days.")
    assert part.is_precise
    assert part.runs == (("Ask first. ", False), ("You get 9 days.", True), ("\nCall HR.", False))
    (whole,) = paragraphs(chunks, 2, chunks[0].text)
    (unknown,) = paragraphs(chunks, 2)
    assert whole.runs == unknown.runs == ((chunks[0].text.strip("\n"), False),)
    assert not whole.is_precise


def test_a_card_of_an_answer_knows_which_answer_it_stands_below() -> None:
    passage = Passage(3, 1, "a.md", "A", "", "Text.", 0.5)
    assert cards([passage], [1], 7)[0].href == "/source/3?document=1&answer=7#passage"
    assert cards([passage], [1])[0].href == "/source/3?document=1#passage"


def test_overlap_is_the_longest() -> None:
    assert overlap("abab", "abab cd") == 4
    assert overlap("abc", "xyz") == 0


@pytest.mark.parametrize(
    ("target", "goes"),
    [
        ("/source/3?document=1", "/source/3?document=1"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_signing_in_leads_nowhere_else(target: str, goes: str) -> None:
    assert local(target) == goes


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"host": "a:1", "origin": "http://a:1"}, True),
        ({"host": "a:1", "origin": "http://b:1"}, False),
        ({"host": "a:1", "origin": "null"}, False),
        ({"host": "a:1"}, True),
        ({"host": "a:1", "sec-fetch-site": "cross-site"}, False),
        ({"host": "a:1", "sec-fetch-site": "same-site"}, False),
    ],
)
def test_changes_come_from_our_own_page(headers: dict[str, str], ours: bool) -> None:
    assert same_origin(Headers(headers)) is ours


def test_tokens_come_from_cookie_or_bearer() -> None:
    assert token_of(Headers({"cookie": "a=b; inhouse_session=tok"})) == "tok"
    assert token_of(Headers({"authorization": "Bearer tok"})) == "tok"
    assert token_of(Headers({"authorization": "Basic dXNlcg=="})) is None


def test_only_little_is_open_before_signing_in() -> None:
    assert is_open("/sign-in")
    assert is_open("/assets/index.js")
    for path in ("/", "/api/ask", "/gradio_api/queue/join", "/config", "/document/1"):
        assert not is_open(path)


def test_dressing_hashes_inline_scripts_and_drops_foreign_addresses() -> None:
    html = (
        '<html><head><meta property="og:url" content="https://gradio.app/" />'
        '<link rel="manifest" href="/manifest.json" /><script>let a = 1;</script></head>'
        '<body style="x"><p>hi</p></body></html>'
    )
    dressed, hashes = dress(html, None, "/")
    assert "gradio.app" not in dressed
    assert "manifest" not in dressed
    assert len(hashes) == 1
    assert "'unsafe-inline'" not in content_policy(hashes).split("style-src")[0]
    assert dressed.index('<header class="bar">') > dressed.index("<body")


def test_every_hyper_parameter_is_on_the_form() -> None:
    assert {*FIELDS, "preset", "method"} == set(TrainingConfig.model_fields)
    values = preset("quick").model_dump(mode="json")
    config = config_of("quick", "qlora", *(values[name] for name in FIELDS))
    assert config == preset("quick", method="qlora")


def test_an_impossible_value_is_named() -> None:
    values = {**preset("quick").model_dump(mode="json"), "rank": 0}
    with pytest.raises(InvalidInput, match="rank=0"):
        config_of("quick", "lora", *(values[name] for name in FIELDS))


def test_small_parts() -> None:
    assert groups_of(" legal, board ,,") == {"legal", "board"}
    assert groups_of(["Legal", "LEGAL ", "hr,Board"]) == {"legal", "hr", "board"}
    assert groups_of(None) == frozenset()
    assert suggested_name(Path("My Data (1).jsonl")) == "my-data--1"


def test_files_that_wait_for_a_job_survive_a_restart_and_others_go(tmp_path: Path) -> None:
    waiting, stopped, failed, arriving = (
        tmp_path / name for name in ("a1", "b2", "c3", "arriving")
    )
    for folder in (waiting, stopped, failed, arriving, tmp_path / "held-out"):
        folder.mkdir()
        (folder / "file.md").write_text("x")
    jobs = [
        job_of(1, JobState.QUEUED, {"paths": [str(waiting)]}),
        job_of(2, JobState.STOPPED, {"paths": [str(stopped)]}),
        job_of(3, JobState.RUNNING, {"run_id": 1}),
        job_of(4, JobState.FAILED, {"paths": [str(failed)]}),
    ]
    forget_uploads(tmp_path, jobs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a1", "c3", "held-out"]
    assert (waiting / "file.md").exists()


def job_of(number: int, state: JobState, payload: dict[str, Any]) -> Job:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Job(
        number, "ingest", "X", state, 0, 0, "", None, "", payload, None, None, at, at, None, 1
    )
