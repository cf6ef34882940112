"""How far one answerer may lie behind another: the score interval of two paired shares.

A bootstrap of differences that are nearly all zero is too sure of itself: thirty questions that
were all answered alike give it an interval of no width. The score interval (Tango 1998, Statistics
in Medicine 17:891) keeps its coverage there.
"""

import math

Z = 1.959964
"""97.5% quantile of the normal distribution: a two-sided 95% interval, 2.5% a side."""


def least_questions(margin: float) -> int:
    """Questions with which a margin can be held if not one answer differs.

    Args:
        margin: the loss that is still called not worse, above 0 and below 1.
    """
    return math.ceil(Z**2 * (1 - margin) / margin)


def lower_bound(wins: float, losses: float, n: float) -> float:
    """Lower end of the 95% score interval of a difference of two paired shares.

    Args:
        wins: questions that only the first got right.
        losses: questions that only the second got right.
        n: all questions, above 0. Whole facts where several wordings share a fact: the counts are
            then scaled alike and need not be whole.

    Returns:
        a difference of shares, -1 to 1.
    """
    low, high = -1.0, (wins - losses) / n
    for _ in range(60):
        middle = (low + high) / 2
        if _score(wins, losses, n, middle) >= Z:
            low = middle
        else:
            high = middle
    return low


def upper_bound(wins: float, losses: float, n: float) -> float:
    """Upper end of the same interval."""
    return -lower_bound(losses, wins, n)


def _score(wins: float, losses: float, n: float, gap: float) -> float:
    """How many standard errors the observed difference lies above `gap`."""
    # The discordant share that is most likely if the true difference is `gap`.
    linear = -wins - losses + (2 * n - wins + losses) * gap
    constant = -losses * gap * (1 - gap)
    root = math.sqrt(max(linear**2 - 8 * n * constant, 0.0))
    share = (root - linear) / (4 * n)
    variance = n * (2 * share + gap * (1 - gap))
    distance = wins - losses - n * gap
    if variance <= 0:
        return math.inf if distance > 0 else 0.0
    return distance / math.sqrt(variance)
