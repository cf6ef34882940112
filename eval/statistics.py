"""Intervals and paired tests. Pure functions on arrays; every random draw has a fixed seed.

Right and wrong are compared question by question (McNemar), graded measures by a bootstrap that
draws whole facts, because two wordings of one fact are not two observations.

scipy.stats and statsmodels are imported where they are used: they take seconds, and most of what
imports this module only lists or shows what was computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SEED = 20_240_607
DRAWS = 2_000
ALPHA = 0.05
POWER = 0.80
FEW = 30


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval and the number of observations it rests on."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def as_json(self) -> dict[str, float | int | None]:
        """The shape of reports; six digits, so that equal figures are equal text."""
        return {
            "value": _rounded(self.value),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "n": self.n,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


NOTHING = Estimate(None, None, None, 0)


def wilson(right: int, n: int) -> Estimate:
    """Share with Wilson's score interval (Wilson 1927); honest at 0, 1 and for small n."""
    if n == 0:
        return NOTHING
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(right, n, alpha=ALPHA, method="wilson")
    return Estimate(right / n, max(0.0, float(low)), min(1.0, float(high)), n)


@dataclass(frozen=True)
class _Clusters:
    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    def bootstrap(self) -> NDArray[np.float64]:
        """Means of `DRAWS` samples of whole clusters, drawn with replacement."""
        draws = _draws(len(self.sums))
        means: NDArray[np.float64] = (draws @ self.sums) / (draws @ self.sizes)
        return means


@lru_cache(maxsize=16)
def _draws(count: int) -> NDArray[np.float32]:
    """How often each of `count` clusters is drawn, (DRAWS, count); the same every time."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(count, np.full(count, 1 / count), DRAWS).astype(np.float32)


@lru_cache(maxsize=4)
def _signs(count: int) -> NDArray[np.float64]:
    """Random signs, (DRAWS, count); the same every time."""
    return np.random.default_rng(SEED).choice([-1.0, 1.0], size=(DRAWS, count))


def _clusters(values: Sequence[float], clusters: Sequence[str]) -> _Clusters:
    places: dict[str, int] = {}
    index = [places.setdefault(name, len(places)) for name in clusters]
    sums = np.bincount(index, weights=np.asarray(values, dtype=float), minlength=len(places))
    sizes = np.bincount(index, minlength=len(places))
    return _Clusters(sums.astype(np.float64), sizes.astype(np.float64))


def clustered_mean(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """Mean with a percentile bootstrap interval over whole clusters (Field & Welsh 2007).

    With one cluster no interval can be had: `low` and `high` are None.
    """
    if not values:
        return NOTHING
    found = _interval(_clusters(values, clusters), len(values))[0]
    # Values without any spread would give an interval of no width: more than anybody can know.
    return found if len(set(values)) > 1 else Estimate(found.value, None, None, found.n)


def _interval(grouped: _Clusters, n: int) -> tuple[Estimate, NDArray[np.float64]]:
    if len(grouped.sums) < 2:
        return Estimate(grouped.mean, None, None, n), np.empty(0)
    means = grouped.bootstrap()
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return Estimate(grouped.mean, float(low), float(high), n), means


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """Exact McNemar test (McNemar 1947): wins of first, wins of second, two-sided p."""
    from scipy.stats import binom

    wins = sum(a and not b for a, b in zip(first, second, strict=True))
    losses = sum(b and not a for a, b in zip(first, second, strict=True))
    return wins, losses, min(1.0, 2.0 * float(binom.cdf(min(wins, losses), wins + losses, 0.5)))


def paired_bootstrap(
    differences: Sequence[float], clusters: Sequence[str]
) -> tuple[Estimate, float]:
    """Mean difference with interval, and a two-sided p from the centred bootstrap.

    The p-value is the share of draws as far from their centre as the mean is from zero
    (Efron & Tibshirani 1993, ch. 16), with one added above and below. Below `FEW` clusters the
    bootstrap is too sure of itself; there p is never smaller than that of the sign-flip test.
    """
    if not differences:
        return NOTHING, 1.0
    estimate, means = _interval(_clusters(differences, clusters), len(differences))
    if estimate.value is None or estimate.low is None:
        return estimate, 1.0
    far = int((np.abs(means - estimate.value) >= abs(estimate.value) - 1e-12).sum())
    p = (1 + far) / (1 + DRAWS)
    if len(set(clusters)) < FEW:
        p = max(p, cluster_sign_flip(differences, clusters))
    return estimate, p


def cluster_sign_flip(differences: Sequence[float], clusters: Sequence[str]) -> float:
    """Two-sided p of a sign-flip permutation test over whole clusters.

    The exact McNemar test treats questions as independent. Where several wordings share a fact,
    flipping the sign of the fact's summed difference keeps the test's size (Winkler et al. 2014).
    """
    sums = _clusters(differences, clusters).sums
    sums = sums[sums != 0]
    if len(sums) == 0:
        return 1.0
    far = int((np.abs(_signs(len(sums)) @ sums) >= abs(sums.sum()) - 1e-9).sum())
    return (1 + far) / (1 + DRAWS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979); order is kept."""
    # By hand: statsmodels' multipletests runs a full garbage collection at every call.
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


@lru_cache(maxsize=16)
def _normal_quantile(share: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(share))


def detectable_difference(n: int, discordant: float, alpha: float = ALPHA) -> float | None:
    """Smallest difference of two shares that `n` paired questions show with 80% power.

    Normal approximation to McNemar's power (Connor 1987). `discordant` is the share of questions
    that exactly one of the two answers right. None when even the largest possible difference,
    `discordant` itself, would not be shown.
    """
    if n == 0 or discordant <= 0:
        return None
    z_alpha, z_power = _normal_quantile(1 - alpha / 2), _normal_quantile(POWER)
    low, high = 0.0, discordant

    def shown(difference: float) -> bool:
        spread = math.sqrt(max(discordant - difference**2, 0.0))
        needed = z_alpha * math.sqrt(discordant) + z_power * spread
        return difference * math.sqrt(n) >= needed

    if not shown(high):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def questions_needed(difference: float, discordant: float) -> int | None:
    """Paired questions that show `difference` with 80% power (Connor 1987)."""
    difference = abs(difference)
    if difference <= 0 or discordant < difference:
        return None
    z_alpha, z_power = _normal_quantile(1 - ALPHA / 2), _normal_quantile(POWER)
    spread = math.sqrt(max(discordant - difference**2, 0.0))
    return math.ceil(((z_alpha * math.sqrt(discordant) + z_power * spread) / difference) ** 2)


def quantile(values: Sequence[float], share: float) -> float | None:
    """Quantile with linear interpolation; None of nothing."""
    return float(np.quantile(np.asarray(values, dtype=float), share)) if values else None


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Expected calibration error in ten equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    if not confidences:
        return None
    sure, hits = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [
        abs(sure[bins == b].mean() - hits[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """Points (coverage, share wrong) as the least confident answers are withheld one by one.

    El-Yaniv & Wiener 2010. Answers of equal confidence enter together, so order cannot matter.
    """
    sure, wrong = np.asarray(confidences, dtype=float), 1.0 - np.asarray(right, dtype=float)
    points = []
    for level in np.unique(sure)[::-1]:
        kept = sure >= level
        points.append((float(kept.mean()), float(wrong[kept].mean())))
    return points
