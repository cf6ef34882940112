"""The types that leave this package, and its seams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.permissions import Reader

Array: TypeAlias = NDArray[np.float32]

LARGEST_LIMIT = 1000


@dataclass(frozen=True)
class Passage:
    """A chunk returned for a query."""

    chunk_id: int
    document_id: int
    document: str
    """Path of the file relative to the ingested folder."""
    title: str
    location: str
    """Where in the document: 'Heading > Subheading', 'page 3', 'rows 2-9'."""
    text: str
    score: float
    """Cosine of query and chunk, -1 to 1. Orders nothing by itself: the ranking is fused."""

    @property
    def is_gone(self) -> bool:
        """Whether its document was deleted since, and its words with it."""
        return not (self.document or self.text)


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def name(self) -> str:
        """Identity of model and weights; an index built with another name is stale."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> Array:
        """Return (n, dimension) float32 rows of unit length, in the order given."""

    def count_tokens(self, text: str) -> int:
        """Length of `text` in this embedder's own tokens, without special ones."""


class Retriever(Protocol):
    """Finds passages."""

    @property
    def version(self) -> str:
        """Identity of the searched content; changes with every ingest or delete."""

    @property
    def threshold(self) -> float:
        """Score of a best passage below which the question is not answered by any, 0 to 1.

        0 where scores are no calibrated chances.
        """

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        """Return at most `limit` passages, best first, all readable by `reader`."""


@runtime_checkable
class Quoter(Protocol):
    """Names the sentences of passages that answer best."""

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        """Return up to `count` sentences, best first: (place in `passages`, text)."""


def check_limit(limit: int) -> None:
    """Raise `InvalidInput` unless so many passages can be asked for."""
    if not 1 <= limit <= LARGEST_LIMIT:
        raise InvalidInput(f"The limit {limit} must be 1 to {LARGEST_LIMIT}.")
