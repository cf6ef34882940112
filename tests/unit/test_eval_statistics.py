"""Intervals and tests against scipy, statsmodels and simulations with a known truth."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from eval import statistics

NULLS = 1000
ERROR = 3 * (0.05 * 0.95 / NULLS) ** 0.5
"""Three standard errors of a rate of 5% over the simulations."""


@given(st.integers(1, 400), st.data())
def test_wilson_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    found = statistics.wilson(right, n)
    other = binomtest(right, n).proportion_ci(method="wilson")
    assert found.low == pytest.approx(other.low, abs=1e-9)
    assert found.high == pytest.approx(other.high, abs=1e-9)


def test_nothing_has_no_interval() -> None:
    assert statistics.wilson(0, 0) == statistics.NOTHING
    assert statistics.clustered_mean([], []) == statistics.NOTHING
    assert statistics.clustered_mean([0.5, 0.7], ["a", "a"]).low is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_agrees_with_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    wins, losses, p = statistics.mcnemar(first, second)
    table = [[sum(a and b for a, b in pairs), wins],
             [losses, sum(not a and not b for a, b in pairs)]]  # fmt: skip
    assert p == pytest.approx(float(statsmodels_mcnemar(table, exact=True).pvalue))


@pytest.fixture(scope="module")
def little_garbage() -> Iterator[None]:
    """`multipletests` collects garbage at every call: let it look at new objects alone."""
    gc.freeze()
    yield
    gc.unfreeze()


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_statsmodels(little_garbage: None, p_values: list[float]) -> None:
    other = multipletests(p_values, method="holm")[1]
    assert statistics.holm(p_values) == pytest.approx(other.tolist())


def test_holm_by_hand() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_false_positives_of_mcnemar_stay_below_five_per_cent() -> None:
    rng = np.random.default_rng(1)
    right = rng.random((NULLS, 2, 200)) < rng.random((NULLS, 1, 200))
    hits = sum(statistics.mcnemar(a.tolist(), b.tolist())[2] < 0.05 for a, b in right)
    assert hits / NULLS <= 0.05 + ERROR


@pytest.mark.parametrize("per_fact", [1, 3])
def test_false_positives_of_the_paired_bootstrap_are_five_per_cent(per_fact: int) -> None:
    rng = np.random.default_rng(2)
    facts = [str(fact) for fact in range(120) for _ in range(per_fact)]
    hits = 0
    for _ in range(NULLS):
        shared = np.repeat(rng.normal(0, 1, 120), per_fact)
        gaps = shared + rng.normal(0, 0.5, len(facts))
        hits += statistics.paired_bootstrap(gaps.tolist(), facts)[1] < 0.05
    assert abs(hits / NULLS - 0.05) <= ERROR


def test_wordings_of_one_fact_do_not_make_a_difference_real() -> None:
    rng = np.random.default_rng(3)
    facts = [str(fact) for fact in range(100) for _ in range(3)]
    plain = clustered = 0
    for _ in range(NULLS):
        gaps = np.repeat(rng.choice([-1, 0, 0, 1], 100), 3)
        won, lost = (gaps > 0).tolist(), (gaps < 0).tolist()
        plain += statistics.mcnemar(won, lost)[2] < 0.05
        clustered += statistics.cluster_sign_flip(gaps.tolist(), facts) < 0.05
    assert plain / NULLS > 0.15
    assert clustered / NULLS <= 0.05 + ERROR


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(4)
    facts = [str(fact) for fact in range(100) for _ in range(2)]
    covered = 0
    for _ in range(NULLS):
        values = np.repeat(rng.normal(0.5, 0.2, 100), 2) + rng.normal(0, 0.1, 200)
        found = statistics.clustered_mean(values.tolist(), facts)
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
    assert covered / NULLS == pytest.approx(0.95, abs=0.01 + ERROR)


def test_the_detectable_difference_is_detected_as_often_as_promised() -> None:
    n, discordant = 400, 0.3
    gap = statistics.detectable_difference(n, discordant)
    assert gap is not None
    rng = np.random.default_rng(5)
    outcome = rng.multinomial(
        n, [(discordant + gap) / 2, (discordant - gap) / 2, 1 - discordant], NULLS
    )
    wins, losses = outcome[:, 0], outcome[:, 1]
    p_values = 2 * binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    power = np.mean(p_values < 0.05)
    assert power == pytest.approx(statistics.POWER, abs=0.05)


def test_known_sizes() -> None:
    assert statistics.detectable_difference(200, 0.2) == pytest.approx(0.09, abs=0.005)
    assert statistics.detectable_difference(3, 0.3) is None
    assert statistics.detectable_difference(0, 0.3) is None
    assert statistics.detectable_difference(100, 0.0) is None
    needed = statistics.questions_needed(0.09, 0.2)
    assert needed is not None
    assert 180 <= needed <= 205
    assert statistics.questions_needed(0.0, 0.2) is None


@given(st.integers(30, 2000), st.floats(0.05, 0.9))
def test_more_questions_show_smaller_differences(n: int, discordant: float) -> None:
    few, many = (statistics.detectable_difference(k, discordant) for k in (n, 2 * n))
    if few is not None:
        assert many is not None
        assert many < few


def test_the_same_numbers_give_the_same_interval() -> None:
    values, facts = [0.1, 0.9, 0.4, 0.4], ["a", "b", "c", "c"]
    assert statistics.clustered_mean(values, facts) == statistics.clustered_mean(values, facts)


def test_calibration_and_risk() -> None:
    assert statistics.calibration_error([0.75, 0.75, 0.75, 0.75], [True, True, True, False]) == 0
    assert statistics.calibration_error([1.0, 1.0], [True, False]) == pytest.approx(0.5)
    assert statistics.calibration_error([], []) is None
    curve = statistics.risk_coverage([0.9, 0.8, 0.8, 0.1], [True, True, False, False])
    assert curve == [(0.25, 0.0), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)]
