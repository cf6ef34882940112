"""An evidence finder without a model: how much of the question a sentence and its heading say.

Takes a millisecond, and is what remains where no trained finder is installed. Words are
weighted by how few of the candidates hold them, and the six coefficients are a logistic fit on
questions about two handbooks (`docs/grounding.md`).
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from retrieval.evidence import Calibration, Candidate
from retrieval.lexical import words_of
from retrieval.passages import Array

IN_SENTENCE = 5.0
IN_SENTENCE_OR_HEADING = 4.0
IN_CHUNK = -3.1
"""Negative: of two sentences with the same words, the one in the less chatty chunk."""
HAS_NUMBER = 1.5
FRAGMENT = -2.9
"""Fewer than three words that carry meaning: a heading or a cell."""
FRAGMENT_WORDS = 3
BIAS = -6.7
DIGIT = re.compile(r"\d")

CALIBRATION = Calibration(rank_weight=3.7, bias=0.53, slope=1.0)


class WordScorer:
    """Counts shared words. Holds nothing, so any number of threads may use it."""

    name = "words-1"

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[Array]:
        """Return for each candidate the log-odds of each sentence."""
        asked = set(words_of(question))
        headings = [set(words_of(candidate.heading)) for candidate in candidates]
        sentences = [[set(words_of(s)) for s in candidate.sentences] for candidate in candidates]
        wholes = [heading.union(*words) for heading, words in zip(headings, sentences, strict=True)]
        weights = _weights(asked, wholes)
        scores = []
        for number, candidate in enumerate(candidates):
            said = _said(asked & wholes[number], weights)
            rows = [
                IN_SENTENCE * _said(asked & words, weights)
                + IN_SENTENCE_OR_HEADING * _said(asked & (words | headings[number]), weights)
                + IN_CHUNK * said
                + HAS_NUMBER * bool(DIGIT.search(text))
                + FRAGMENT * (len(words) < FRAGMENT_WORDS)
                + BIAS
                for words, text in zip(sentences[number], candidate.sentences, strict=True)
            ]
            scores.append(np.array(rows, dtype=np.float32))
        return scores


def _weights(asked: set[str], wholes: Sequence[set[str]]) -> dict[str, float]:
    """Inverse frequency among the candidates, summing to 1 over the question's words."""
    counts = Counter(word for words in wholes for word in words & asked)
    raw = {word: math.log(1 + (len(wholes) + 1) / (counts[word] + 0.5)) for word in asked}
    total = sum(raw.values())
    return {word: weight / total for word, weight in raw.items()}


def _said(words: set[str], weights: dict[str, float]) -> float:
    return sum(weights[word] for word in words)
