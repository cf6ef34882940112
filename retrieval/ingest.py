"""Files into documents, chunks and vectors; each document whole or not at all."""

import contextlib
import fcntl
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.database import Database, now
from core.errors import DocumentError, InvalidInput, Stopped
from core.progress import Progress, Silent
from core.settings import Settings
from core.workspace import Workspace, remove_folder, write_atomically
from retrieval.chunking import RECIPE, ChunkSize, Piece, chunk_document, indexed_text
from retrieval.discovery import Failure, Source, discover
from retrieval.library import (
    Library,
    change_content,
    check_groups,
    forget_journal,
    overwrite_deleted,
    replace_groups,
)
from retrieval.loading import Limits, Sandbox, load_document, media_type_of
from retrieval.passages import Array, Embedder
from retrieval.tables import ChunkRow, DocumentGroupRow, DocumentRow

BATCH_CHUNKS = 256
BATCH_BYTES = 64 * 1024 * 1024
ORPHAN_SECONDS = 3600.0
LOCK_POLL_SECONDS = 0.2


@dataclass
class IngestReport:
    """What an ingest did."""

    documents: int = 0
    """New or changed documents that went in."""
    chunks: int = 0
    skipped: int = 0
    """Files that were in already, unchanged."""
    failed: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The shape that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True)
class _Known:
    id: int
    sha256: str
    recipe: str
    groups: frozenset[str]


@dataclass(frozen=True)
class _Prepared:
    source: Source
    content: bytes
    sha256: str
    title: str
    pieces: Sequence[Piece]


class Ingestor:
    """Reads files and stores them as documents."""

    def __init__(
        self,
        database: Database,
        workspace: Workspace,
        settings: Settings,
        embedder: Embedder,
        library: Library,
    ) -> None:
        """Store into `database` and `workspace`."""
        self._database = database
        self._workspace = workspace
        self._embedder = embedder
        self._library = library
        self._largest = settings.upload_megabytes * 1024 * 1024
        self._limits = Limits(settings.reading_seconds, settings.reading_megabytes)
        self._size = _chunk_size(settings)
        self._recipe = f"{RECIPE}/{self._size.tokens}/{self._size.overlap}"

    def ingest(
        self,
        paths: Iterable[Path | str],
        *,
        groups: Iterable[str] = frozenset(),
        progress: Progress | None = None,
    ) -> IngestReport:
        """Ingest files, and all files of folders.

        A file is known by its path relative to the named folder. An unchanged file is skipped,
        a changed one replaces its document; one that vanished from the folder keeps its document.
        May be killed at any moment: what was stored stays, and the same call goes on from there.

        Args:
            paths: folders and files.
            groups: who may read them. None named: new documents are for everyone and known
                ones keep their groups, so that ingesting again opens nothing by accident.
            progress: told of every file; asked between files whether to stop.

        Raises:
            DocumentError: a named path does not exist.
            InvalidInput: a group's name cannot be.
            Stopped: asked to; what is done is kept.
        """
        progress = progress or Silent()
        names = check_groups(groups)
        started = time.monotonic()
        report = IngestReport()
        with self._alone(progress):
            self._remove_orphans()
            found = list(discover([Path(path) for path in paths], self._workspace.root))
            report.failed += [item for item in found if isinstance(item, Failure)]
            sources = [item for item in found if isinstance(item, Source)]
            with Sandbox(self._limits, lambda: self._check_stop(progress, 0, 0)) as sandbox:
                self._ingest(sources, names, report, progress, sandbox)
        report.seconds = round(time.monotonic() - started, 3)
        return report

    def _ingest(
        self,
        sources: Sequence[Source],
        groups: frozenset[str],
        report: IngestReport,
        progress: Progress,
        sandbox: Sandbox,
    ) -> None:
        known = self._known()
        batch: list[_Prepared] = []
        done = 0
        for number, source in enumerate(sources):
            self._check_stop(progress, done, len(sources))
            try:
                prepared = self._prepare(source, groups, known, sandbox)
            except DocumentError as error:
                report.failed.append(Failure(source.path, error.message))
                if media_type_of(source.path) is not None:
                    # Pictures and fonts by the hundred would bury what can be mended.
                    progress.log(error.message)
                continue
            if prepared is None:
                report.skipped += 1
                continue
            batch.append(prepared)
            if _is_full(batch):
                self._store(batch, groups, report, progress)
                batch, done = [], number + 1
            progress.update(max(done, number + 1 - len(batch)), len(sources), source.path)
        self._store(batch, groups, report, progress)
        progress.update(len(sources), len(sources))

    def _prepare(
        self,
        source: Source,
        groups: frozenset[str],
        known: dict[str, _Known],
        sandbox: Sandbox,
    ) -> _Prepared | None:
        """Read and cut a file; None where it is in already."""
        if media_type_of(source.path) is None:
            load_document(source.path, b"")  # Raises with the reason, without reading a film.
        content = self._read(source)
        sha256 = hashlib.sha256(content).hexdigest()
        before = known.get(source.path)
        if before and before.sha256 == sha256 and before.recipe == self._recipe:
            original = self._library.original_path(before.id, source.path)
            if original.is_file() and original.stat().st_size == len(content):
                self._restrict(before, groups)
                return None
        loaded = sandbox.load(source.path, content)
        pieces = chunk_document(loaded, self._size, sandbox.watched(self._embedder.count_tokens))
        return _Prepared(source, content, sha256, loaded.title, pieces)

    def _read(self, source: Source) -> bytes:
        try:
            size = source.file.stat().st_size
            if size > self._largest:
                raise DocumentError(
                    f"'{source.path}': it has {size / 2**20:,.0f} MB, the limit is "
                    f"{self._largest // 2**20} MB. Split it, or raise INHOUSE_UPLOAD_MEGABYTES."
                )
            with source.file.open("rb") as file:
                return file.read(self._largest + 1)
        except OSError as error:
            raise DocumentError(
                f"'{source.path}': it cannot be read ({error.strerror}). Check its rights."
            ) from error

    def _restrict(self, document: _Known, groups: frozenset[str]) -> None:
        if groups and groups != document.groups:
            self._library.set_groups(document.id, groups)

    def _store(
        self,
        batch: Sequence[_Prepared],
        groups: frozenset[str],
        report: IngestReport,
        progress: Progress,
    ) -> None:
        if not batch:
            return
        vectors = self._embed(batch, progress)
        with self._database.session() as session:
            overwrite_deleted(session)
            start = 0
            for prepared in batch:
                end = start + len(prepared.pieces)
                self._store_one(session, prepared, vectors[start:end], groups)
                start = end
            change_content(session)
        forget_journal(self._database)
        report.documents += len(batch)
        report.chunks += len(vectors)

    def _embed(self, batch: Sequence[_Prepared], progress: Progress) -> Array:
        texts = [
            indexed_text(prepared.title, piece.location, piece.text)
            for prepared in batch
            for piece in prepared.pieces
        ]
        parts = []
        for start in range(0, len(texts), 2 * BATCH_CHUNKS):
            self._check_stop(progress, 0, 0)
            parts.append(self._embedder.embed(texts[start : start + 2 * BATCH_CHUNKS]))
        return np.concatenate(parts)

    def _store_one(
        self, session: Session, prepared: _Prepared, vectors: Array, groups: frozenset[str]
    ) -> None:
        path = prepared.source.path
        row = session.scalar(select(DocumentRow).where(DocumentRow.path == path))
        if row is None:
            row = DocumentRow(path=path)
            session.add(row)
        row.title = prepared.title
        row.media_type = media_type_of(path) or ""
        row.size = len(prepared.content)
        row.sha256 = prepared.sha256
        row.recipe = self._recipe
        row.embedder = self._embedder.name
        row.chunk_count = len(prepared.pieces)
        row.ingested_at = now()
        session.flush()
        if groups:
            replace_groups(session, row.id, groups)
        session.execute(delete(ChunkRow).where(ChunkRow.document_id == row.id))
        session.add_all(
            ChunkRow(
                document_id=row.id,
                ordinal=ordinal,
                location=piece.location,
                text=piece.text,
                vector=vector.astype("<f4").tobytes(),
            )
            for ordinal, (piece, vector) in enumerate(zip(prepared.pieces, vectors, strict=True))
        )
        original = self._library.original_path(row.id, path)
        original.parent.mkdir(exist_ok=True)
        write_atomically(original, prepared.content)

    def _known(self) -> dict[str, _Known]:
        with self._database.session() as session:
            groups: dict[int, set[str]] = {}
            for row in session.scalars(select(DocumentGroupRow)):
                groups.setdefault(row.document_id, set()).add(row.name)
            return {
                row.path: _Known(row.id, row.sha256, row.recipe, frozenset(groups.get(row.id, ())))
                for row in session.scalars(select(DocumentRow))
            }

    def _remove_orphans(self) -> None:
        """Remove originals whose document was rolled back or deleted when power failed."""
        with self._database.session() as session:
            ids = {str(number) for number in session.scalars(select(DocumentRow.id))}
        for folder in self._workspace.files.iterdir():
            if folder.name not in ids and time.time() - folder.stat().st_mtime > ORPHAN_SECONDS:
                remove_folder(folder)

    @contextlib.contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        """Wait for other ingests of this workspace; the lock dies with its process."""
        with (self._workspace.root / "ingest.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    progress.update(0, 1, "waiting for another ingest to end")
                    self._check_stop(progress, 0, 0)
                    time.sleep(LOCK_POLL_SECONDS)
            yield

    def _check_stop(self, progress: Progress, done: int, total: int) -> None:
        if progress.stop_requested():
            count = f" after {done} of {total} files" if total else ""
            raise Stopped(f"Ingest stopped{count}; the same call goes on from there.")


def _is_full(batch: Sequence[_Prepared]) -> bool:
    chunks = sum(len(prepared.pieces) for prepared in batch)
    return chunks >= BATCH_CHUNKS or sum(len(p.content) for p in batch) >= BATCH_BYTES


def _chunk_size(settings: Settings) -> ChunkSize:
    try:
        return ChunkSize(settings.chunk_tokens, settings.chunk_overlap)
    except ValueError as error:
        raise InvalidInput(
            f"INHOUSE_CHUNK_OVERLAP={settings.chunk_overlap} is more than half of "
            f"INHOUSE_CHUNK_TOKENS={settings.chunk_tokens}. Lower it."
        ) from error
