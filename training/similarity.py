"""Pairs of texts that are nearly alike, without comparing every pair."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from core.wordings import telling


def near_pairs(texts: Sequence[str], threshold: float = 0.85) -> list[tuple[int, int]]:
    """Return index pairs (i < j) whose word sets have a Jaccard similarity >= `threshold`.

    Exact, by prefix filtering (Bayardo et al., "Scaling up all pairs similarity search", 2007):
    two sets that similar share a word among the rarest few of each. Texts that differ in a
    number or a symbol are never a pair: "26 pay periods" and "13 pay periods" ask different things.
    """
    sets = [frozenset(text.split()) for text in texts]
    frequency = Counter(word for words in sets for word in words)
    by_word: dict[str, list[int]] = defaultdict(list)
    pairs: list[tuple[int, int]] = []
    for right, words in enumerate(sets):
        rarest = sorted(words, key=lambda word: (frequency[word], word))
        prefix = rarest[: len(rarest) - -int(-threshold * len(rarest) // 1) + 1]
        candidates = {left for word in prefix for left in by_word[word]}
        pairs.extend(
            (left, right)
            for left in sorted(candidates)
            if _jaccard(sets[left], words) >= threshold and telling(sets[left]) == telling(words)
        )
        for word in prefix:
            by_word[word].append(right)
    return pairs


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)
