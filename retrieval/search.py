"""Searching: meaning and words, fused by rank, filtered by what the reader may read."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from core.database import Database
from core.permissions import Reader
from retrieval.index import IndexStore, Snapshot
from retrieval.lexical import Mask, words_of
from retrieval.library import content_token, readable_by
from retrieval.passages import Array, Embedder, Passage, check_limit
from retrieval.tables import ChunkRow, DocumentRow

RRF_K = 60
DEPTH = 50
NEAR_DUPLICATE = 0.95
LONGEST_EMBEDDED_QUERY = 4000

Found = Row[int, int, str, str, str, str]


class Ranking(StrEnum):
    """Which searches take part. The parts alone are for measuring."""

    FUSED = "fused"
    DENSE = "dense"
    LEXICAL = "lexical"


def fuse(rankings: Iterable[Sequence[int]], k: int = RRF_K) -> list[int]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): sum of 1 / (k + rank).

    Args:
        rankings: lists of ids, best first, each id at most once a list.
        k: how little the first ranks stand out.

    Returns:
        Every id once, best first; of equals, the one that a list names first.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return sorted(scores, key=lambda item: -scores[item])


class HybridRetriever:
    """FAISS and BM25, fused. Safe to share between threads; sees other processes' changes."""

    def __init__(
        self,
        database: Database,
        store: IndexStore,
        embedder: Embedder,
        ranking: Ranking = Ranking.FUSED,
    ) -> None:
        """Search what is in `database` through the index of `store`."""
        self._database = database
        self._store = store
        self._embedder = embedder
        self._ranking = ranking

    @property
    def version(self) -> str:
        """Identity of the searched content; changes with every ingest, delete or restriction."""
        with self._database.session() as session:
            return content_token(session)

    threshold = 0.0
    """A cosine is no chance: nothing is refused by it unless a person says so."""

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        """Return at most `limit` passages, best first, all readable by `reader`.

        A text that several files share comes once. A query without a word finds nothing.

        Raises:
            InvalidInput: `limit` is not 1 to 1000.
        """
        check_limit(limit)
        if not query.strip():
            return []
        snapshot = self._store.current()
        if not len(snapshot):
            return []
        allowed = snapshot.allowed(self._readable_documents(reader))
        vector = self._embedder.embed([query[:LONGEST_EMBEDDED_QUERY]])[0]
        order = self._ranked(snapshot, query, vector, max(DEPTH, 2 * limit), allowed)
        chosen = self._distinct(snapshot, order, limit, reader)
        return [_passage(row, snapshot.cosine(vector, position)) for position, row in chosen]

    def _ranked(
        self, snapshot: Snapshot, query: str, vector: Array, depth: int, allowed: Mask
    ) -> list[int]:
        rankings = []
        if self._ranking is not Ranking.LEXICAL:
            rankings.append(snapshot.nearest(vector, depth, allowed))
        if self._ranking is not Ranking.DENSE:
            rankings.append(snapshot.lexical.search(query, depth, allowed))
        return fuse(rankings)

    def _readable_documents(self, reader: Reader) -> set[int] | None:
        if reader.reads_everything:
            return None
        with self._database.session() as session:
            return set(session.scalars(select(DocumentRow.id).where(readable_by(reader))))

    def _distinct(
        self, snapshot: Snapshot, order: Sequence[int], limit: int, reader: Reader
    ) -> list[tuple[int, Found]]:
        chosen: list[tuple[int, Found]] = []
        shown: list[tuple[int, frozenset[str]]] = []
        with self._database.session() as session:
            for position, row in _rows_in_order(session, snapshot, order, reader):
                words = frozenset(words_of(row.text))
                if any(row.document_id != of and _alike(words, other) for of, other in shown):
                    continue
                chosen.append((position, row))
                shown.append((row.document_id, words))
                if len(chosen) == limit:
                    break
        return chosen


def _rows_in_order(
    session: Session, snapshot: Snapshot, order: Sequence[int], reader: Reader
) -> Iterator[tuple[int, Found]]:
    """Chunks as they are now: one deleted or restricted since the snapshot is left out."""
    ids = [int(snapshot.chunk_ids[position]) for position in order]
    rows = session.execute(
        select(
            ChunkRow.id,
            ChunkRow.document_id,
            DocumentRow.path,
            DocumentRow.title,
            ChunkRow.location,
            ChunkRow.text,
        )
        .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
        .where(ChunkRow.id.in_(ids), readable_by(reader))
    )
    by_id: dict[int, Found] = {row.id: row for row in rows}
    for position, chunk_id in zip(order, ids, strict=True):
        if chunk_id in by_id:
            yield position, by_id[chunk_id]


def _alike(words: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether two texts are copies: this year's price list is no copy of last year's."""
    differing = words ^ other
    if any(letter.isdigit() for word in differing for letter in word):
        return False
    if not words or not other:
        return words == other
    return len(words & other) >= NEAR_DUPLICATE * len(words | other)


def _passage(row: Found, score: float) -> Passage:
    return Passage(
        chunk_id=row.id,
        document_id=row.document_id,
        document=row.path,
        title=row.title,
        location=row.location,
        text=row.text,
        score=score,
    )
