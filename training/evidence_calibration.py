"""What turns a trained finder's scores into an order of sentences and a chance of an answer.

Fitted on questions about sources that were kept out of training. No torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize

from retrieval.evidence import Calibration, log_odds_of_any

FALSE_REFUSALS = 0.15
"""Answerable questions that a calibrated finder may refuse."""
RANK_WEIGHTS = tuple(np.linspace(0.0, 8.0, 17).tolist())
WORD_WEIGHTS = tuple(np.linspace(0.0, 1.5, 7).tolist())
RIDGE = 1e-3
"""Keeps the fitted line finite where a score tells both kinds apart without fault."""


@dataclass(frozen=True)
class Scored:
    """A held-out question with the scores of the sentences found for it, in search order."""

    answerable: bool
    scores: tuple[tuple[float, ...], ...]
    """By the network."""
    words: tuple[tuple[float, ...], ...]
    """By shared words."""
    right: tuple[tuple[bool, ...], ...]
    similarity: float
    """The highest cosine between the question and a chunk found."""


@dataclass(frozen=True)
class Ranked:
    """The best sentence of a question, and where the first right one stands."""

    answerable: bool
    best: float
    similarity: float
    total: float
    """The network's log-odds that any of the likeliest sentences answers."""
    reciprocal_rank: float


def calibrate(scored: Sequence[Scored]) -> tuple[Calibration, dict[str, float]]:
    """Fit the order of sentences, the chance of an answer, and the threshold for refusing.

    The weights of the search's order and of shared words are those of the highest mean reciprocal
    rank. The chance is a logistic fit (Platt 1999) of 'the documents answer this' on the best
    sentence's score, the highest cosine and the log-odds that any sentence answers, both kinds of
    questions counting alike.

    Returns:
        The calibration, and how good it is: shares of 0 to 1, and numbers of questions.
    """
    asked = [item for item in scored if any(item.scores)]
    rank_weight, word_weight = max(
        product(RANK_WEIGHTS, WORD_WEIGHTS),
        key=lambda pair: _mean([one.reciprocal_rank for one in _ranked(asked, *pair)]),
    )
    ranked = _ranked(asked, rank_weight, word_weight)
    line = Calibration(rank_weight, word_weight, *_line(ranked))
    missing = len([item for item in scored if item.answerable]) - sum(o.answerable for o in ranked)
    chances = {
        kind: [line.chance(o.best, o.similarity, o.total) for o in ranked if o.answerable is kind]
        for kind in (True, False)
    }
    # Where nothing was found it is refused, whatever the threshold.
    chances[True] += [0.0] * missing
    threshold = refusal_threshold(chances[True])
    answered = [one.reciprocal_rank for one in ranked if one.answerable] + [0.0] * missing
    metrics = {
        "questions": float(len(scored)),
        "best_sentence_right": _mean([rank == 1.0 for rank in answered]),
        "mean_reciprocal_rank": _mean(answered),
        "unanswerable": float(len(scored) - len(answered)),
        "false_refusals": _mean([chance < threshold for chance in chances[True]]),
        "unanswerable_refused": _mean([chance < threshold for chance in chances[False]]),
    }
    return replace(line, threshold=threshold), metrics


def refusal_threshold(answerable: Sequence[float], allowed: float = FALSE_REFUSALS) -> float:
    """Return the largest threshold that refuses at most `allowed` of these questions.

    Args:
        answerable: chance of the best sentence, 0 to 1, of each answerable question kept out of
            training; 0 where nothing was found.
        allowed: share of them that may be refused, 0 to below 1.

    Returns:
        The threshold, 0 to 1: what lies below it is refused. 0 without questions.
    """
    if not answerable:
        return 0.0
    # A question exactly at the threshold is answered, so it may lie at the first one too many.
    return sorted(answerable)[math.floor(allowed * len(answerable) + 1e-9)]


def _ranked(scored: Sequence[Scored], rank_weight: float, word_weight: float) -> list[Ranked]:
    found = []
    for item in scored:
        rows = [
            np.asarray(own) + word_weight * np.asarray(said) + rank_weight / (1 + rank)
            for rank, (own, said) in enumerate(zip(item.scores, item.words, strict=True))
        ]
        scores = np.concatenate(rows)
        right = np.concatenate([np.asarray(row, dtype=np.bool_) for row in item.right])
        # How many are scored at least as high as the best right one, itself included.
        above = int((scores >= scores[right].max()).sum()) if right.any() else 0
        reciprocal = 1.0 / above if above else 0.0
        total = log_odds_of_any([np.asarray(own) for own in item.scores])
        best = float(scores.max())
        found.append(Ranked(item.answerable, best, item.similarity, total, reciprocal))
    return found


def _line(ranked: Sequence[Ranked]) -> tuple[float, float, float, float]:
    """Bias and the three weights; those of no knowledge without both kinds of questions."""
    kinds = np.array([one.answerable for one in ranked], dtype=np.bool_)
    if kinds.all() or not kinds.any():
        return 0.0, 1.0, 0.0, 0.0
    facts = np.array([(1.0, one.best, one.similarity, one.total) for one in ranked])
    weights = np.where(kinds, 0.5 / kinds.sum(), 0.5 / (~kinds).sum())

    def cost(line: Any) -> float:
        odds = facts @ line
        loss = np.logaddexp(0.0, odds) - kinds * odds
        return float(weights @ loss + RIDGE * (line[1:] ** 2).sum())

    # More of any of them is never less of a chance.
    limits = [(None, None), (0.0, None), (0.0, None), (0.0, None)]
    bias, slope, similarity, total = minimize(cost, np.zeros(4), bounds=limits).x
    return float(bias), float(slope), float(similarity), float(total)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
