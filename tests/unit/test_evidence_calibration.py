"""From scores to an order of sentences, a chance of an answer, and a threshold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.evidence import LIKELIEST, Calibration, log_odds_of_any
from training.evidence_calibration import Scored, calibrate, refusal_threshold

GOOD = Scored(True, ((3.0, -2.0), (-1.0,)), ((0.0, 0.0), (0.0,)), ((True, False), (False,)), 0.0)
BAD = Scored(False, ((-3.0,), (-2.5,)), ((0.0,), (0.0,)), ((False,), (False,)), 0.0)


def test_calibration_prefers_what_is_right() -> None:
    calibration, metrics = calibrate([GOOD, BAD, GOOD, BAD])
    assert calibration.chance(3.0) > 0.5 > calibration.chance(-3.0)
    assert metrics["best_sentence_right"] == 1.0
    assert metrics["false_refusals"] == 0.0
    assert metrics["unanswerable_refused"] == 1.0
    assert metrics["unanswerable"] == 2.0
    total = log_odds_of_any([np.array(row) for row in GOOD.scores])
    lowest = calibration.chance(3.0 + calibration.rank_weight, 0.0, total)
    assert calibration.threshold == pytest.approx(lowest)


def test_shared_words_count_where_the_network_is_blind() -> None:
    blind = Scored(True, ((0.5, 0.0),), ((-3.0, 3.0),), ((False, True),), 0.0)
    calibration, metrics = calibrate([blind, BAD])
    assert calibration.word_weight > 0.0
    assert metrics["best_sentence_right"] == 1.0
    assert calibrate([GOOD, BAD])[0].word_weight == 0.0


def test_the_search_counts_where_scores_tell_nothing_apart() -> None:
    near = replace(BAD, answerable=True, similarity=0.9)
    far = replace(BAD, similarity=0.1)
    calibration, metrics = calibrate([near, far, near, far])
    assert calibration.similarity_weight > 0.0
    assert metrics["unanswerable_refused"] == 1.0
    assert calibration.chance(0.0, 0.9) > calibration.chance(0.0, 0.1)


def test_without_unanswerable_questions_nothing_is_fitted_to_them() -> None:
    calibration, metrics = calibrate([GOOD, replace(GOOD, scores=((),), words=((),), right=((),))])
    assert calibration == Calibration(
        calibration.rank_weight, calibration.word_weight, threshold=calibration.threshold
    )
    assert metrics["questions"] == 2.0
    assert metrics["best_sentence_right"] == 0.5
    assert calibrate([]) == (replace(Calibration(), bias=0.0), {
        "questions": 0.0, "best_sentence_right": 0.0, "mean_reciprocal_rank": 0.0,
        "unanswerable": 0.0, "false_refusals": 0.0, "unanswerable_refused": 0.0,
    })  # fmt: skip


def test_many_sentences_that_might_answer_are_a_better_chance_than_one() -> None:
    sole = replace(BAD, scores=((1.0, -9.0, -9.0),), words=((0.0,) * 3,), right=((False,) * 3,))
    many = replace(sole, answerable=True, scores=((1.0, 1.0, 1.0),))
    calibration, metrics = calibrate([sole, many, sole, many])
    assert calibration.total_weight > 0.0
    assert metrics["unanswerable_refused"] == 1.0
    assert calibration.chance(0.0, 0.0, 2.0) > calibration.chance(0.0, 0.0, 1.0)


@given(st.lists(st.lists(st.floats(-30.0, 30.0), max_size=5), max_size=4))
def test_the_odds_of_the_likeliest_sentences_add_up(rows: list[list[float]]) -> None:
    odds = sorted(np.exp(score) for row in rows for score in row)[-LIKELIEST:]
    found = log_odds_of_any([np.array(row, dtype=np.float32) for row in rows])
    assert found == pytest.approx(np.log(np.exp(-60.0) + sum(odds)), abs=1e-3)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.floats(0.0, 0.99))
def test_the_threshold_is_the_largest_that_refuses_few_enough(
    chances: list[float], allowed: float
) -> None:
    threshold = refusal_threshold(chances, allowed)
    assert np.mean([chance < threshold for chance in chances]) <= allowed + 1e-9
    higher = np.nextafter(threshold, 2.0)
    assert np.mean([chance < higher for chance in chances]) > allowed


def test_the_threshold_leaves_fifteen_per_cent() -> None:
    assert refusal_threshold([n / 20 for n in range(20)]) == 3 / 20
    assert refusal_threshold([0.0] * 10) == 0.0
    assert refusal_threshold([]) == 0.0
