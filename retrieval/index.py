"""The searchable form of all chunks: FAISS and BM25 files, derived from the database.

The one place where faiss is imported. A folder `index/<key>/` is complete or absent; one that
is missing, of other content or damaged is built again from the database.
"""

import hashlib
import logging
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from core.database import Database
from core.seals import seal, sealed
from core.workspace import folder_written_atomically, remove_folder
from retrieval.chunking import indexed_text
from retrieval.lexical import LexicalIndex, Mask
from retrieval.library import content_token
from retrieval.passages import Array, Embedder
from retrieval.tables import ChunkRow, DocumentRow

logger = logging.getLogger(__name__)

Ids = NDArray[np.int64]
REEMBED_BATCH = 256


@dataclass(frozen=True)
class Snapshot:
    """Everything that is searched, at one moment. Row i of every part is one chunk."""

    token: str
    chunk_ids: Ids
    document_ids: Ids
    dense: Any
    lexical: LexicalIndex

    def __len__(self) -> int:
        return len(self.chunk_ids)

    def allowed(self, documents: set[int] | None) -> Mask:
        """(n,) True where the chunk's document is among `documents`; None means all."""
        if documents is None:
            return np.ones(len(self), dtype=np.bool_)
        return np.isin(self.document_ids, np.fromiter(documents, np.int64, len(documents)))

    def nearest(self, vector: Array, limit: int, allowed: Mask) -> list[int]:
        """Positions of the chunks with the greatest cosine to `vector`, best first."""
        limit = min(limit, int(allowed.sum()))
        if limit == 0:
            return []
        native: Any = faiss  # its annotations describe the C++ side
        selector = native.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        parameters = native.SearchParameters(sel=selector)
        scores, found = self.dense.search(vector[None, :], limit, params=parameters)
        pairs = zip(-scores[0], found[0], strict=True)
        # Sorted again: faiss leaves equal scores, as copies of a text have, in any order.
        return [int(position) for _, position in sorted(pairs) if position >= 0]

    def cosine(self, vector: Array, position: int) -> float:
        """Cosine of `vector` and the chunk at `position`."""
        return float(np.dot(vector, self.dense.reconstruct(position)))


class IndexStore:
    """Hands out the snapshot of the present content. Safe to share between threads."""

    def __init__(self, database: Database, folder: Path, embedder: Embedder) -> None:
        """Keep files in `folder`."""
        self._database = database
        self._folder = folder
        self._embedder = embedder
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None

    def current(self) -> Snapshot:
        """The snapshot of what is in the database now, loaded or built if need be."""
        with self._database.session() as session:
            token = content_token(session)
        snapshot = self._snapshot
        if snapshot is not None and snapshot.token == token:
            return snapshot
        with self._lock:
            if self._snapshot is None or self._snapshot.token != token:
                self._snapshot = self._open(token)
            return self._snapshot

    def _open(self, token: str) -> Snapshot:
        folder = self._folder / self._key(token)
        snapshot = _read(folder, token)
        if snapshot is None:
            snapshot = self._build(token)
            self._save(snapshot, folder)
        return snapshot

    def _key(self, token: str) -> str:
        name = hashlib.sha256(self._embedder.name.encode()).hexdigest()[:8]
        return f"{token}-{name}"

    def _build(self, token: str) -> Snapshot:
        self._embed_again()
        with self._database.session() as session:
            rows = session.execute(
                select(
                    ChunkRow.id,
                    ChunkRow.document_id,
                    DocumentRow.title,
                    ChunkRow.location,
                    ChunkRow.text,
                    ChunkRow.vector,
                )
                .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
                .where(DocumentRow.embedder == self._embedder.name)
                .order_by(ChunkRow.document_id, ChunkRow.ordinal)
            ).all()
        vectors = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f4")
        dimension = len(vectors) // len(rows) if rows else 1
        dense = faiss.IndexFlatIP(dimension)
        dense.add(np.ascontiguousarray(vectors.reshape(len(rows), dimension), dtype=np.float32))
        return Snapshot(
            token,
            np.array([row.id for row in rows], dtype=np.int64),
            np.array([row.document_id for row in rows], dtype=np.int64),
            dense,
            LexicalIndex.build([indexed_text(row.title, row.location, row.text) for row in rows]),
        )

    def _embed_again(self) -> None:
        """Give chunks that another embedder embedded a vector of the present one."""
        name = self._embedder.name
        with self._database.session() as session:
            stale = session.scalars(
                select(DocumentRow.id).where(DocumentRow.embedder != name)
            ).all()
        for number, document_id in enumerate(stale, 1):
            logger.info("embedding document %s of %s with %s", number, len(stale), name)
            with self._database.session() as session:
                document = session.get(DocumentRow, document_id)
                if document is None:
                    continue
                chunks = session.scalars(
                    select(ChunkRow).where(ChunkRow.document_id == document_id)
                ).all()
                texts = [indexed_text(document.title, c.location, c.text) for c in chunks]
                for chunk, vector in zip(chunks, self._embedder.embed(texts), strict=True):
                    chunk.vector = vector.astype("<f4").tobytes()
                document.embedder = name

    def _save(self, snapshot: Snapshot, folder: Path) -> None:
        try:
            remove_folder(folder)
            with folder_written_atomically(folder) as beside:
                _write(snapshot, beside)
            for other in self._folder.iterdir():
                if other != folder and not other.name.startswith("."):
                    remove_folder(other)
        except FileExistsError:
            pass  # Another process wrote the same content first.
        except OSError as error:
            # Searching works from memory; only the next start is slower.
            logger.warning("the index cannot be kept in '%s': %s", folder, error)


def _write(snapshot: Snapshot, folder: Path) -> None:
    faiss.write_index(snapshot.dense, str(folder / "dense.faiss"))
    np.save(folder / "chunk_ids.npy", snapshot.chunk_ids, allow_pickle=False)
    np.save(folder / "document_ids.npy", snapshot.document_ids, allow_pickle=False)
    (folder / "lexical").mkdir()
    snapshot.lexical.save(folder / "lexical")
    seal(folder)


def _read(folder: Path, token: str) -> Snapshot | None:
    if not folder.is_dir():
        return None
    try:
        # Checked before faiss sees it: a damaged file can crash native code.
        if not sealed(folder):
            raise ValueError("its files are not as they were written")
        return Snapshot(
            token,
            np.load(folder / "chunk_ids.npy", allow_pickle=False),
            np.load(folder / "document_ids.npy", allow_pickle=False),
            faiss.read_index(str(folder / "dense.faiss")),
            LexicalIndex.load(folder / "lexical"),
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        logger.warning("the index in '%s' is built again: %s", folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None
