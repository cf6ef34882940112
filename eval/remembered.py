"""Searches that one evaluation makes once, though two modes ask for them."""

import time
from collections import OrderedDict
from collections.abc import Sequence

from core.permissions import Reader
from retrieval.passages import Passage, Quoter, Retriever

ROOM = 256
"""Searches that are remembered: a few batches of questions."""


class RememberedSearches:
    """A retriever whose latest results serve again, and that tells what this saved.

    Documents, and documents with the fine-tuned model, ask the same questions one after the
    other, and choosing evidence takes longer than writing a short answer. A change of the
    documents is another version, and nothing is remembered across it.
    """

    def __init__(self, inner: Retriever) -> None:
        """Remember what `inner` finds."""
        self._inner = inner
        self._found: OrderedDict[
            tuple[str, str, int, Reader], tuple[tuple[Passage, ...], float]
        ] = OrderedDict()
        self._saved: dict[str, float] = {}

    @property
    def version(self) -> str:
        """Identity of the searched content."""
        return self._inner.version

    @property
    def threshold(self) -> float:
        """As of the retriever itself."""
        return self._inner.threshold

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        """Return what the retriever finds, or found when it was last asked this."""
        asked = (self.version, query, limit, reader)
        known = self._found.get(asked)
        if known is not None:
            self._saved[query] = known[1]
            return list(known[0])
        started = time.monotonic()
        found = self._inner.search(query, limit=limit, reader=reader)
        self._found[asked] = (tuple(found), time.monotonic() - started)
        self._saved.pop(query, None)
        while len(self._found) > ROOM:
            (_, oldest, _, _), _ = self._found.popitem(last=False)
            self._saved.pop(oldest, None)
        return found

    def saved_s(self, query: str | None) -> float:
        """Seconds that the latest search for `query` would have taken; 0 if it was made."""
        return self._saved.get(query or "", 0.0)


class RememberedQuoter(RememberedSearches):
    """The same for a retriever that also names the best sentences."""

    def __init__(self, inner: Retriever, quoter: Quoter) -> None:
        """`quoter` judges the sentences; mostly `inner` itself."""
        super().__init__(inner)
        self._quoter = quoter

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        """Return up to `count` sentences, as `Quoter` does."""
        return self._quoter.best_sentences(question, passages, count)


def remembered(retriever: Retriever) -> RememberedSearches:
    """Return `retriever` with a memory; it quotes if `retriever` does."""
    if isinstance(retriever, Quoter):
        return RememberedQuoter(retriever, retriever)
    return RememberedSearches(retriever)
