"""Sentences, choosing among them, and the budget. No model."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.citations import check
from assistant.prompts import REFUSAL
from assistant.quoting import quoted_answer
from core.permissions import OPERATOR
from core.settings import Settings
from retrieval.evidence import (
    GAP,
    Calibration,
    Candidate,
    EvidenceFinder,
    EvidenceRetriever,
    highlights,
)
from retrieval.evidence_service import with_evidence
from retrieval.evidence_words import CALIBRATION, WordScorer
from retrieval.passages import Array, Passage
from retrieval.sentences import LONGEST_SENTENCE, leads_in, plain, split_sentences
from tests.fakes import HashingEmbedder, ListRetriever

LEAVE = (
    "Sick leave\n"
    "You can request up to 240 hours, e.g. for surgery. Terms get\n"
    "no more of it than what they will earn during the rest of the term they have.\n\n"
    "* Form **A** is for your supervisor.\n"
    "* Form B is for HR. Keep a copy.\n\n"
    "1. Ask Dr. Smith first\n"
    "| kind | hours |\n|---|---|\n| sick | 4 |"
)


def texts(text: str) -> list[str]:
    return [plain(text[a:b]) for a, b in split_sentences(text)]


def test_sentences_items_rows_and_short_lines_stand_alone() -> None:
    assert texts(LEAVE) == [
        "Sick leave",
        "You can request up to 240 hours, e.g. for surgery.",
        "Terms get no more of it than what they will earn during the rest of the term they have.",
        "Form A is for your supervisor.",
        "Form B is for HR.",
        "Keep a copy.",
        "Ask Dr. Smith first",
        "| kind | hours |",
        "| sick | 4 |",
    ]


def test_decimal_points_and_version_numbers_end_no_sentence() -> None:
    assert texts("It costs $3.50 in v1.2 of the plan. That is all.") == [
        "It costs $3.50 in v1.2 of the plan.",
        "That is all.",
    ]


def test_text_without_an_end_is_cut_between_words() -> None:
    cut = split_sentences("word " * 400)
    assert len(cut) > 1
    assert all(b - a <= LONGEST_SENTENCE for a, b in cut)


@given(st.text(alphabet="ab1 .!?\n*|-#\t'", max_size=300))
def test_spans_are_ordered_apart_and_hold_every_word(text: str) -> None:
    spans = split_sentences(text)
    assert all(a < b for a, b in spans)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    held = {place for a, b in spans for place in range(a, b)}
    assert all(place in held for place, letter in enumerate(text) if letter.isalnum())


def passage(number: int, text: str, title: str = "Leave") -> Passage:
    return Passage(number, number, f"{number}.md", title, "Rules", text, 0.5)


@dataclass
class NumberScorer:
    """A sentence's score is the last number in it."""

    name: str = "numbers"
    asked: list[tuple[str, int]] = field(default_factory=list)

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[Array]:
        self.asked.append((question, len(candidates)))
        return [
            np.array([float(s.rstrip(".").split()[-1]) for s in c.sentences], dtype=np.float32)
            for c in candidates
        ]


def words(text: str) -> int:
    return len(text.split())


def finder(calibration: Calibration | None = None) -> EvidenceFinder:
    return EvidenceFinder(NumberScorer(), words, calibration)


FOUND = [
    passage(1, "Alpha one 1.\nAlpha two 8.\nAlpha three 2."),
    passage(2, "Beta one 9.\nBeta two 3.\nBeta three 7."),
    passage(3, "Gamma one 4."),
]


def test_the_best_sentences_come_first_and_keep_their_chunk() -> None:
    chosen = finder().select("q", FOUND, limit=2, tokens=1000)
    assert [(e.passage.chunk_id, e.passage.location) for e in chosen] == [
        (2, "Rules"),
        (1, "Rules"),
    ]
    assert chosen[0].passage.text == "Beta one 9.\nBeta two 3.\nBeta three 7."
    start, end = chosen[1].best
    assert FOUND[0].text[start:end] == "Alpha two 8."


def test_sentences_left_out_are_marked() -> None:
    # Two openings (2 + 3 + 6) and three sentences (3 + 1 each) fill the budget.
    chosen = finder().select("q", FOUND, limit=4, tokens=33)
    assert [e.passage.text for e in chosen] == [f"Beta one 9.{GAP}Beta three 7.", "Alpha two 8."]


def test_the_best_sentence_is_taken_even_when_longer_than_the_budget() -> None:
    long = passage(1, f"{'very ' * 60}long 5.")
    assert len(finder().select("q", [long], limit=1, tokens=10)) == 1


@given(st.integers(5, 60), st.integers(1, 4))
def test_never_more_than_the_budget_or_the_limit(tokens: int, limit: int) -> None:
    chosen = finder().select("q", FOUND, limit=limit, tokens=tokens)
    assert 1 <= len(chosen) <= limit
    used = sum(words(e.passage.text.replace(GAP, " ")) for e in chosen)
    assert used <= tokens or (len(chosen) == 1 and len(chosen[0].spans) == 1)


def test_the_same_sentence_of_two_chunks_is_said_once() -> None:
    twice = [passage(1, "The limit is 7."), passage(2, "The limit is 7. Other words 6.")]
    chosen = finder().select("q", twice, limit=4, tokens=100)
    assert [e.passage.text for e in chosen] == ["The limit is 7.", "Other words 6."]


LINES = (
    "# Beds 3\n\nThe rooms are 7. Ask us 1.\n"
    "* A bed in 5\n* and so a desk stands in room number 9\n"
)


@pytest.mark.parametrize("tokens", range(8, 60, 2))
def test_what_is_quoted_stood_so_in_the_chunk(tokens: int) -> None:
    chosen = finder().select("q", [passage(1, LINES), FOUND[1]], limit=2, tokens=tokens)
    shown = [evidence.passage for evidence in chosen]
    desk = "and so a desk stands in room number 9"
    lines = {1: ["Beds 3", "The rooms are 7.", "Ask us 1.", "A bed in 5", desk]}
    lines[2] = FOUND[1].text.split("\n")
    quoted = finder().best_sentences("q", shown, 9)
    for place, text in quoted:
        known = lines[shown[place].chunk_id]
        below = [f"{one} {other}" for one, other in itertools.pairwise(known)]
        assert text in known + below
    shown_words = Counter(" ".join(one.text for one in shown).split())
    assert Counter(" ".join(text for _, text in quoted).split()) <= shown_words


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Form 9\nAsk HR for it 1.", "Form 9 Ask HR for it 1."),
        ("Form 9\nFor leave 8\nAsk HR 1.", "Form 9 For leave 8 Ask HR 1."),
        (f"Form 9{GAP}Ask HR for it 1.", "Form 9"),
        ("Form 9", "Form 9"),
        ("Form 9.\nAsk HR for it 1.", "Form 9."),
        ("Whoever wants to go home needs the form number 9\nAsk HR 1.",
         "Whoever wants to go home needs the form number 9"),
    ],
)  # fmt: skip
def test_a_heading_is_quoted_with_what_stands_below_it(text: str, first: str) -> None:
    said = finder().best_sentences("q", [passage(1, text)], 9)
    assert said[0] == (0, first)
    assert sum(len(one.split()) for _, one in said) == words(text.replace("…", ""))


@pytest.mark.parametrize(
    ("sentence", "alone"),
    [("Sick leave", False), ("You need these forms for a leave of absence:", False),
     ("It is closed.", True), ("Ask Dr. Smith first (by mail.)", True),
     ("Form B is what HR keeps of it", True)],
)  # fmt: skip
def test_headings_and_what_a_colon_ends_lead_in(sentence: str, alone: bool) -> None:
    assert leads_in(sentence) is not alone


def test_the_order_of_the_search_counts_as_calibrated() -> None:
    even = [passage(1, "One 5."), passage(2, "Two 5."), passage(3, "Three 6.")]
    plain_order = finder().select("q", even, limit=3, tokens=100)
    weighed = finder(Calibration(rank_weight=4.0)).select("q", even, limit=3, tokens=100)
    assert [e.passage.chunk_id for e in plain_order] == [3, 1, 2]
    assert [e.passage.chunk_id for e in weighed] == [1, 3, 2]


def test_shared_words_count_as_much_as_calibrated() -> None:
    found = [passage(1, "The gym 6.", "Gym"), passage(2, "Leave of 5.")]
    for weight, first in ((0.0, 1), (1.0, 2)):
        calibration = Calibration(word_weight=weight)
        both = EvidenceFinder(NumberScorer(), words, calibration, WordScorer())
        chosen = both.select("How much leave?", found, limit=2, tokens=100)
        assert chosen[0].passage.chunk_id == first
        assert both.name == "numbers"


def test_the_chance_grows_with_every_sentence_that_might_answer() -> None:
    judged = finder(Calibration(bias=-3.0, slope=0.0, total_weight=1.0))
    chances = [
        judged.select("q", [passage(1, "One 1.\n" * count)], limit=1, tokens=9)[0].passage.score
        for count in (1, 2, 3)
    ]
    assert chances == sorted(set(chances))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_better_score_is_a_better_chance(one: float, other: float) -> None:
    calibration = Calibration(bias=-1.0, slope=0.7)
    low, high = sorted([one, other])
    assert 0.0 <= calibration.chance(low) <= calibration.chance(high) <= 1.0


def test_nothing_found_is_nothing_chosen() -> None:
    assert finder().select("q", [], limit=4, tokens=100) == []
    assert finder().select("q", [passage(1, "--- |")], limit=4, tokens=100) == []
    assert finder().best_sentences("q", [passage(1, "...")], 2) == []


def test_the_retriever_looks_deeper_than_it_returns() -> None:
    scorer = NumberScorer()
    inner = ListRetriever([passage(n, f"limit word {n}.") for n in range(1, 15)], version="7")
    retriever = EvidenceRetriever(inner, EvidenceFinder(scorer, words), tokens=200, passages=4)
    chosen = retriever.search("limit", limit=2, reader=OPERATOR)
    assert scorer.asked == [("limit", 12)]
    assert [p.chunk_id for p in chosen] == [12, 11]
    assert retriever.version == "7+numbers"


def test_more_passages_than_people_get_have_more_room() -> None:
    inner = ListRetriever([passage(n, f"limit word {n}. " * 5) for n in range(1, 15)])
    one = EvidenceFinder(NumberScorer(), words)
    retriever = EvidenceRetriever(inner, one, tokens=60, passages=2)
    few = retriever.search("limit", limit=1, reader=OPERATOR)
    served = retriever.search("limit", limit=2, reader=OPERATOR)
    many = retriever.search("limit", limit=8, reader=OPERATOR)
    assert (len(few), len(served), len(many)) == (1, 2, 8)


def test_the_retriever_hands_on_the_calibrated_threshold() -> None:
    inner = ListRetriever([], threshold=0.0)
    calibrated = EvidenceFinder(NumberScorer(), words, Calibration(threshold=0.3))
    assert EvidenceRetriever(inner, calibrated, 200, 4).threshold == 0.3
    # As read from a manifest that was written before there was a threshold.
    assert Calibration(**{"rank_weight": 1.0, "bias": 0.0, "slope": 1.0}).threshold == 0.0


def test_highlights_find_the_sentences_in_the_whole_chunk() -> None:
    evidence = (
        f"You can request up to 240 hours, e.g. for surgery.{GAP}Form A is for your supervisor."
    )
    found = [plain(LEAVE[a:b]) for a, b in highlights(LEAVE, evidence)]
    assert found == [
        "You can request up to 240 hours, e.g. for surgery.",
        "Form A is for your supervisor.",
    ]


@pytest.mark.parametrize("joint", ["\n", " "])
def test_answers_stored_before_there_was_a_line_each_show_their_sentences(joint: str) -> None:
    spans = highlights(FOUND[0].text, f"Alpha one 1.{joint}Alpha two 8.")
    assert [FOUND[0].text[a:b] for a, b in spans] == ["Alpha one 1.", "Alpha two 8."]


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("tokens", range(8, 60, 4))
def test_every_choice_is_found_again_in_its_chunk(tokens: int, limit: int) -> None:
    whole = {one.chunk_id: one.text for one in FOUND}
    for evidence in finder().select("q", FOUND, limit=limit, tokens=tokens):
        text = whole[evidence.passage.chunk_id]
        everything = len(evidence.spans) == len(split_sentences(text))
        expected = [] if everything else list(evidence.spans)
        assert highlights(text, evidence.passage.text) == expected


def test_a_sentence_that_opens_another_is_not_marked_for_it() -> None:
    text = "* Form A\n* Form A is for you\n* Bring it"
    (span,) = highlights(text, "Form A is for you")
    assert text[slice(*span)].endswith("Form A is for you")
    assert highlights(text, text) == []
    assert highlights(text, "Words of an older version.") == []


def test_without_a_model_shared_words_decide() -> None:
    found = [
        passage(1, "Offices open at 8. Bring a badge.", "Offices"),
        passage(2, "Ask for leave early. You may carry over 40 hours of unused leave.", "Leave"),
    ]
    chosen = EvidenceFinder(WordScorer(), words, CALIBRATION).select(
        "How many hours of unused leave may I carry over?", found, limit=2, tokens=100
    )
    start, end = chosen[0].best
    assert found[1].text[start:end] == "You may carry over 40 hours of unused leave."


def test_a_question_of_stop_words_scores_everything_low() -> None:
    scores = WordScorer().score("what is it?", [Candidate("A", ("Some words stand here.",))])
    assert scores[0].shape == (1,)
    assert scores[0][0] < 0


def test_settings_choose_what_chooses_sentences() -> None:
    inner = ListRetriever([passage(1, "Leave limit is 7 days. Nothing else.")])
    off = with_evidence(inner, HashingEmbedder(), Settings(evidence_finder="off"))
    assert off is inner
    assert off.threshold == 0.0
    by_words = with_evidence(inner, HashingEmbedder(), Settings(evidence_finder="words"))
    assert by_words.version == "1+words-1"
    assert by_words.threshold == 0.0
    found = by_words.search("leave limit", limit=1, reader=OPERATOR)
    assert found[0].chunk_id == 1
    assert 0.0 <= found[0].score <= 1.0


def test_the_best_sentences_are_quoted_with_their_numbers() -> None:
    assert quoted_answer("q", FOUND, finder()) == "Beta one 9. [2] Alpha two 8. [1]"
    assert quoted_answer("q", FOUND[2:], finder()) == "Gamma one 4. [1]"


def test_a_documents_own_numbers_are_no_citations() -> None:
    found = [passage(1, "Alpha [2] and [1, 3] two 8"), passage(2, "Beta [x] one 9.")]
    said = quoted_answer("q", found, finder())
    assert said == "Beta [x] one 9. [2] Alpha (2) and [1, 3] two 8 [1]"
    assert check(said, found).cited == (1, 2)


def test_where_there_is_nothing_to_quote_it_is_refused() -> None:
    assert quoted_answer("q", [], finder()) == REFUSAL
    assert quoted_answer("q", [passage(1, "...")], finder()) == REFUSAL


def test_the_best_sentences_are_the_same_whatever_the_order_of_the_passages() -> None:
    judged = finder(Calibration(rank_weight=4.0))
    scored = [replace(one, score=score) for one, score in zip(FOUND, (0.9, 0.5, 0.1), strict=True)]
    wanted = [(one.chunk_id, text) for one, text in named(judged, scored)]
    assert wanted[0] == (1, "Alpha two 8.")
    for order in itertools.permutations(scored):
        assert [(one.chunk_id, text) for one, text in named(judged, order)] == wanted


def named(judged: EvidenceFinder, passages: Sequence[Passage]) -> list[tuple[Passage, str]]:
    return [(passages[place], text) for place, text in judged.best_sentences("q", passages, 3)]
