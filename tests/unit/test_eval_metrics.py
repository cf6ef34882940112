"""Measures against values worked out by hand or by other libraries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from eval import metrics
from eval.grading import contains_phrase
from eval.texts import words

TEXT = st.text(alphabet="abc 123.,'", max_size=40)


@pytest.mark.parametrize(
    ("text", "short", "right"),
    [
        ("You get 240 hours.", "240 hours", True),
        ("You get 240 HOURS", "240 hours", True),
        ("You get 2,240 hours", "24", False),
        ("It is 240.", "24", False),
        ("about  240\nhours", "240 hours", True),
        ("the office’s rule", "the office's rule", True),
        ("C++ is used", "C++", True),
        ("$5.00 a day", "$5.00", True),
        ("anything", "", False),
    ],
)
def test_a_short_answer_counts_on_word_boundaries(text: str, short: str, right: bool) -> None:
    assert metrics.is_right(text, [short]) is right


def test_any_short_answer_is_enough() -> None:
    assert metrics.is_right("Ask the OGC.", ["Office of General Counsel", "OGC"])
    assert not metrics.is_right("Ask anybody.", ["Office of General Counsel", "OGC"])


def test_token_overlap_follows_squad() -> None:
    found = metrics.token_overlap("The cat sat on a mat", ["a cat sat"])
    assert (found.precision, found.recall) == (2 / 4, 2 / 2)
    assert found.f1 == pytest.approx(2 * 0.5 / 1.5)
    assert metrics.token_overlap("x", ["y"]).f1 == 0.0
    assert metrics.token_overlap("", ["y"]).f1 == 0.0


def test_the_best_reference_counts() -> None:
    assert (
        metrics.token_overlap("once a month", ["They meet once a month.", "once a month"]).f1 == 1
    )


@given(TEXT, TEXT)
def test_overlap_is_symmetric_and_bounded(a: str, b: str) -> None:
    one, other = metrics.token_overlap(a, [b]), metrics.token_overlap(b, [a])
    assert one.f1 == pytest.approx(other.f1)
    assert 0.0 <= one.f1 <= max(one.precision, one.recall) + 1e-9 <= 1.0 + 1e-8


@given(TEXT)
def test_a_text_matches_itself(text: str) -> None:
    assert metrics.exact_match(text, [text]) == 1.0
    if metrics.squad_tokens(text):
        assert metrics.token_overlap(text, [text]).f1 == 1.0


def test_rouge_and_chrf_on_known_values() -> None:
    assert metrics.rouge_l("the cat sat", "the cat sat down") == pytest.approx(2 * 1 * 0.75 / 1.75)
    assert metrics.chrf("the same", "the same") == pytest.approx(1.0)
    assert metrics.chrf("xyz", "abc") == 0.0


@pytest.mark.parametrize(
    ("right", "refused", "answerable", "point"),
    [(True, False, True, 1), (False, True, True, 0), (False, False, True, -1),
     (False, True, False, 1), (False, False, False, -1)],
)  # fmt: skip
def test_crag_points(right: bool, refused: bool, answerable: bool, point: int) -> None:
    assert metrics.crag_point(right, refused, answerable) == point


@pytest.mark.parametrize(
    ("quote", "passage"),
    [
        ("- **At least once a month:** Meet with the [director](https://x.org/a_(b)).",
         "At least once a month: Meet with the director."),
        ("we aren’t allowed to sign", "As staff, we aren't allowed to sign anything."),
        ("Ask &amp; answer <br> daily", "Ask & answer daily"),
        ("| Grade | Pay |\n| GS-14 | 120,000 |", "Grade Pay\nGS-14 120,000"),
        ("Go to {{ site.baseurl }} the portal", "Go to the portal"),
    ],
)  # fmt: skip
def test_a_quote_in_raw_markdown_is_found_in_clean_text(quote: str, passage: str) -> None:
    assert metrics.holds_quote(f"Before. {passage} After.", quote)


def test_a_quote_cut_by_a_chunk_is_found_and_another_sentence_is_not() -> None:
    quote = "you can request up to 240 hours of advanced sick leave in one year"
    assert metrics.holds_quote("you can request up to 240 hours of advanced sick leave", quote)
    assert not metrics.holds_quote("you can request forms about sick leave", quote)
    assert not metrics.holds_quote("", quote)
    assert not metrics.holds_quote("anything", "")


def test_a_table_laid_out_anew_counts_in_its_own_document_only() -> None:
    quote, passage = "| Lodging | 120 | Meals | 59 |", "Meals: 59; Lodging: 120"
    assert metrics.holds_quote(passage, quote, same_document=True)
    assert not metrics.holds_quote(passage, quote)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_rank_measures_agree_with_scikit_learn(relevant: list[bool]) -> None:
    first = [False] * len(relevant)
    if any(relevant):
        first[relevant.index(True)] = True
        gains, order = np.array([first]).astype(float), np.array([range(len(first), 0, -1)])
        if len(first) > 1:
            assert metrics.ndcg(relevant) == pytest.approx(ndcg_score(gains, order))
    assert 0 <= metrics.ndcg(relevant) <= 1
    assert metrics.reciprocal_rank(relevant) <= metrics.recall_at(relevant, len(relevant))


def test_rank_measures_by_hand() -> None:
    assert metrics.reciprocal_rank([False, True, True]) == 0.5
    assert metrics.ndcg([False, True, True]) == pytest.approx(1 / math.log2(3))
    assert metrics.recall_at([False, True], 1) == 0.0


def test_groundedness_counts_content_words() -> None:
    passages = ["Employees may request 240 hours of leave."]
    assert metrics.groundedness("You may request 240 hours", passages) == 1.0
    assert metrics.groundedness("Ask Brenda for 300 hours", passages) == pytest.approx(1 / 4)
    assert metrics.groundedness("it is the", passages) is None


def test_numbers_and_names_without_support_are_listed() -> None:
    sources = ["The limit is 240 hours. Write to Human Resources.", "How much may I ask of Brenda?"]
    said = "You get 300 of 240 hours if Brenda of Acme Payroll asks Human Resources."
    assert metrics.unsupported(said, sources) == ["300", "Acme Payroll"]


def test_citations_against_the_evidence() -> None:
    assert metrics.citation_precision([1, 2], [False, True]) == 0.5
    assert metrics.citation_precision([], [True]) is None
    assert metrics.citation_recall([1], [False, True]) == 0.0
    assert metrics.citation_recall([], [False]) is None
    assert metrics.citation_precision([9], [True]) == 0.0


@given(TEXT)
def test_words_survive_folding(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)
    for word in text.split():
        if word.strip(".,'"):
            assert contains_phrase(text, word)
