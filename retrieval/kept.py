"""Passages that are kept with what was made from them.

Their words lie apart, under the number of their document, so that they go with it, in the same
transaction; what was made from them keeps places, numbers and scores, and stays readable.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from retrieval.access import deleted_among
from retrieval.passages import Passage
from retrieval.tables import DocumentRow, PassageTextRow

GONE = "Deleted document"
"""Title of a passage whose document was deleted."""
_AT_ONCE = 1_000


def keep_passages(session: Session, passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """Keep the words of passages; return JSON that stands for them, in their order."""
    if not passages:
        return []
    rows = {_digest(one): _row(one) for one in passages}
    documents = {one.document_id for one in passages}
    # Whoever deletes one of these documents waits until this is stored, and finds it.
    session.execute(
        select(DocumentRow.id)
        .where(DocumentRow.id.in_(documents))
        .order_by(DocumentRow.id)
        .with_for_update(read=True, key_share=True)
    )
    own = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = own.insert(PassageTextRow).on_conflict_do_nothing()
    # In one order everywhere: two that keep the same words must not wait for each other.
    session.execute(insert, [rows[digest] for digest in sorted(rows)])
    if gone := deleted_among(session, documents):
        # Deleted while the answer was being made.
        session.execute(delete(PassageTextRow).where(PassageTextRow.document_id.in_(gone)))
    return [
        {
            "chunk_id": one.chunk_id,
            "document_id": one.document_id,
            "score": one.score,
            "words": _digest(one),
        }
        for one in passages
    ]


def kept_passages(
    session: Session, kept: Sequence[Sequence[Mapping[str, Any]]]
) -> list[tuple[Passage, ...]]:
    """Return the passages that each list stands for; those of deleted documents without words."""
    digests = sorted({one["words"] for one in chain.from_iterable(kept)})
    found: dict[str, PassageTextRow] = {}
    for start in range(0, len(digests), _AT_ONCE):
        part = digests[start : start + _AT_ONCE]
        rows = session.scalars(select(PassageTextRow).where(PassageTextRow.digest.in_(part)))
        found |= {row.digest: row for row in rows}
    return [tuple(_passages(one, found)) for one in kept]


def _passages(
    kept: Sequence[Mapping[str, Any]], found: Mapping[str, PassageTextRow]
) -> Iterator[Passage]:
    for one in kept:
        row = found.get(one["words"])
        words = (row.document, row.title, row.location, row.text) if row else ("", GONE, "", "")
        yield Passage(one["chunk_id"], one["document_id"], *words, one["score"])


def _row(passage: Passage) -> dict[str, Any]:
    return {
        "digest": _digest(passage),
        "document_id": passage.document_id,
        "document": passage.document,
        "title": passage.title,
        "location": passage.location,
        "text": passage.text,
    }


def _digest(one: Passage) -> str:
    words = [one.document_id, one.document, one.title, one.location, one.text]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
