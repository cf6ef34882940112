"""Wordings that ask nearly the same thing, found without comparing every pair."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from core.wordings import normalised_words, telling

NEAR = 0.85
"""Word-set Jaccard from which two wordings count as the same question."""
_ROUNDING = 1e-9


class Wordings:
    """Many wordings, asked for those near another one.

    Exact, by prefix filtering (Bayardo et al., "Scaling up all pairs similarity search", 2007):
    two sets that similar share a word among the rarest few of each. Wordings that differ in a
    number or a symbol are not near, however much else they share.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Wordings without a word are near nothing."""
        self.texts = texts
        self._bags = [frozenset(normalised_words(text)) for text in texts]
        self._frequency = Counter(word for bag in self._bags for word in bag)
        self._by_word: dict[str, list[int]] = defaultdict(list)
        for number, bag in enumerate(self._bags):
            for word in self._rarest(bag):
                self._by_word[word].append(number)

    def near(self, text: str) -> Iterator[tuple[int, float]]:
        """Yield number and similarity, `NEAR` to 1, of each near wording, by number."""
        own = frozenset(normalised_words(text))
        found = {n for word in self._rarest(own) for n in self._by_word.get(word, ())}
        for number in sorted(found):
            likeness = jaccard(own, self._bags[number])
            if likeness >= NEAR and telling(own) == telling(self._bags[number]):
                yield number, likeness

    def nearest(self, text: str) -> tuple[str, float] | None:
        """The nearest wording and its similarity, if one is near at all."""
        best = max(self.near(text), key=lambda pair: pair[1], default=None)
        return None if best is None else (self.texts[best[0]], best[1])

    def _rarest(self, bag: frozenset[str]) -> list[str]:
        rare = sorted(bag, key=lambda word: (self._frequency[word], word))
        return rare[: len(rare) - math.ceil(NEAR * len(rare) - _ROUNDING) + 1] if rare else []


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared words over all words, 0 to 1."""
    return len(a & b) / len(a | b) if a | b else 1.0
