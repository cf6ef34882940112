"""Files into documents, chunks and vectors; each document whole or not at all."""

import contextlib
import fcntl
import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.database import Database, now
from core.errors import DocumentError, InvalidInput, Stopped
from core.permissions import group_names
from core.progress import Progress, Silent
from core.settings import Settings
from core.workspace import Workspace
from retrieval.adoption import adopt
from retrieval.chunking import RECIPE, ChunkSize, Piece, chunk_document, indexed_text
from retrieval.discovery import Failure, Source, discover
from retrieval.ingest_report import IngestCall, IngestReport
from retrieval.library import (
    Library,
    change_content,
    forget_journal,
    overwrite_deleted,
    replace_groups,
)
from retrieval.loading import Limits, Sandbox, load_document, media_type_of
from retrieval.originals import Originals
from retrieval.origins import (
    UNKNOWN,
    UPLOADS,
    Catalogue,
    Known,
    Place,
    SameName,
    check_collection,
)
from retrieval.passages import Array, Embedder
from retrieval.tables import ChunkRow, DocumentGroupRow, DocumentRow, identity_of

BATCH_CHUNKS = 256
BATCH_BYTES = 64 * 1024 * 1024
LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class _Prepared:
    place: Place
    content: bytes
    sha256: str
    title: str
    pieces: Sequence[Piece]
    groups: frozenset[str]
    """Who may read it; empty: everyone, or who could before."""


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
        self._originals = Originals(workspace)
        self._largest = settings.upload_megabytes * 1024 * 1024
        self._limits = Limits(settings.reading_seconds, settings.reading_megabytes)
        self._size = _chunk_size(settings)
        self._recipe = f"{RECIPE}/{self._size.tokens}/{self._size.overlap}"

    def ingest(
        self,
        paths: Iterable[Path | str],
        *,
        groups: Iterable[str] = frozenset(),
        collection: str = "",
        progress: Progress | None = None,
    ) -> IngestReport:
        """Ingest files, and all files of folders.

        A file is known by its collection and its path relative to the named folder. An unchanged
        file is skipped, a changed one replaces its document; one that vanished from the folder
        keeps its document. May be killed at any moment: what was stored stays, and the same call
        goes on from there.

        Args:
            paths: folders and files.
            groups: who may read them. None named: new documents are for everyone and known
                ones keep their groups, so that ingesting again opens nothing by accident.
            collection: what tells these files from others of the same path; '' for the folder
                in which each lies.
            progress: told of every file; asked between files whether to stop.

        Raises:
            DocumentError: a named path does not exist.
            InvalidInput: a group's or the collection's name cannot be.
            Stopped: asked to; what was read is kept.
        """
        name = check_collection(collection) if collection else ""
        return self._run(paths, group_names(groups), name, SameName.REPLACE, progress)

    def ingest_uploads(
        self,
        folders: Iterable[Path],
        *,
        groups: Iterable[str] = frozenset(),
        same_name: SameName = SameName.KEEP_BOTH,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Ingest files that people sent, which are known by their bare name.

        Args:
            folders: where the files lie for now.
            groups: who may read them, as in `ingest`.
            same_name: whether another file takes the place of a stored one of its name. Where
                both are kept, nothing of the stored one changes, its groups neither.
            progress: as in `ingest`.

        Raises:
            DocumentError, InvalidInput, Stopped: as `ingest`.
        """
        return self._run(folders, group_names(groups), UPLOADS, same_name, progress)

    def _run(
        self,
        paths: Iterable[Path | str],
        groups: frozenset[str],
        collection: str,
        same_name: SameName,
        progress: Progress | None,
    ) -> IngestReport:
        progress = progress or Silent()
        started = time.monotonic()
        report = IngestReport()
        with self._alone(progress):
            known = self._known()
            self._originals.sweep({one.id: (one.sha256, one.place[1]) for one in known})
            found = list(discover([Path(path) for path in paths], self._workspace.root, collection))
            report.failed += [item for item in found if isinstance(item, Failure)]
            sources = [item for item in found if isinstance(item, Source)]
            with Sandbox(self._limits, lambda: self._check_stop(progress, 0, 0)) as sandbox:
                call = IngestCall(groups, same_name, Catalogue(known), report, progress, sandbox)
                if collection != UPLOADS:
                    adopt(self._database, sources, call.catalogue, call.note)
                self._ingest(sources, call)
        report.seconds = round(time.monotonic() - started, 3)
        return report

    def _ingest(self, sources: Sequence[Source], call: IngestCall) -> None:
        batch: list[_Prepared] = []
        done = 0
        for number, source in enumerate(sources):
            try:
                self._check_stop(call.progress, done, len(sources))
                prepared = self._prepare(source, call)
            except Stopped:
                self._store(batch, call)
                raise
            except DocumentError as error:
                call.report.failed.append(Failure(source.path, error.message))
                if media_type_of(source.path) is not None:
                    # Pictures and fonts by the hundred would bury what can be mended.
                    call.progress.log(error.message)
                continue
            if prepared is None:
                call.report.skipped += 1
                continue
            batch.append(prepared)
            if _is_full(batch):
                self._store(batch, call)
                batch, done = [], number + 1
            call.progress.update(max(done, number + 1 - len(batch)), len(sources), source.path)
        self._store(batch, call)
        call.progress.update(len(sources), len(sources))

    def _prepare(self, source: Source, call: IngestCall) -> _Prepared | None:
        """Read and cut a file; None where it is in already."""
        if media_type_of(source.path) is None:
            load_document(source.path, b"")  # Raises with the reason, without reading a film.
        content = self._read(source)
        sha256 = hashlib.sha256(content).hexdigest()
        place = (source.collection, source.path)
        if source.collection == UPLOADS:
            place = call.catalogue.place_of_upload(source.path, sha256, call.same_name)
        before = call.catalogue.get(place)
        if before is not None and self._is_in(before, sha256, len(content)):
            if place[1] != source.path:
                call.note(f"'{source.path}' is in already, as '{place[1]}'.")
            self._restrict(before, call)
            return None
        loaded = call.sandbox.load(source.path, content)
        count = call.sandbox.watched(self._embedder.count_tokens)
        pieces = chunk_document(loaded, self._size, count)
        if place[1] != source.path:
            call.note(f"'{source.path}' is kept as '{place[1]}': that name was taken.")
        groups = call.groups or self._inherited(place, call)
        if before is not None and before.id:
            self._tell_of_groups(before, call)
        call.catalogue.claim(place, sha256)
        return _Prepared(place, content, sha256, loaded.title, pieces, groups)

    def _is_in(self, known: Known, sha256: str, size: int) -> bool:
        if known.sha256 != sha256:
            return False
        if known.id == 0:
            return True
        original = self._originals.find(known.id, sha256, known.place[1])
        whole = original is not None and original.stat().st_size == size
        return whole and known.recipe == self._recipe

    def _inherited(self, place: Place, call: IngestCall) -> frozenset[str]:
        """Keep a file from everyone where one of its path was, and nobody knows from where."""
        older = call.catalogue.get((UNKNOWN, place[1]))
        if place[0] == UPLOADS or call.catalogue.get(place) or not (older and older.groups):
            return frozenset()
        names = ", ".join(sorted(older.groups))
        call.note(
            f"'{place[1]}' is for {names} only, as the document of this path that was stored "
            "before. Set its groups on the Documents page if that is wrong."
        )
        return older.groups

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

    def _restrict(self, known: Known, call: IngestCall) -> None:
        if known.id == 0 or not call.groups or call.groups == known.groups:
            return
        if known.place[0] in (UPLOADS, UNKNOWN) and call.same_name == SameName.KEEP_BOTH:
            readers = ", ".join(sorted(known.groups)) or "everyone"
            call.note(f"'{known.place[1]}' is in already, for {readers}; that was left as it is.")
            return
        self._tell_of_groups(known, call)
        self._library.set_groups(known.id, call.groups)

    def _tell_of_groups(self, known: Known, call: IngestCall) -> None:
        if call.groups and call.groups != known.groups:
            before, after = (
                ", ".join(sorted(groups)) or "everyone" for groups in (known.groups, call.groups)
            )
            call.note(f"'{known.place[1]}' is for {after} now; until now it was for {before}.")

    def _store(self, batch: Sequence[_Prepared], call: IngestCall) -> None:
        if not batch:
            return
        vectors = self._embed(batch, call.progress)
        stored: dict[int, _Prepared] = {}
        with self._database.session() as session:
            overwrite_deleted(session)
            start = 0
            for prepared in batch:
                end = start + len(prepared.pieces)
                stored[self._store_one(session, prepared, vectors[start:end])] = prepared
                start = end
            change_content(session)
        for number, prepared in stored.items():
            kept = self._originals.find(number, prepared.sha256, prepared.place[1])
            self._originals.forget_others(number, kept)
        forget_journal(self._database)
        call.report.documents += len(batch)
        call.report.chunks += len(vectors)

    def _embed(self, batch: Sequence[_Prepared], progress: Progress) -> Array:
        texts = [
            indexed_text(prepared.title, piece.location, piece.text)
            for prepared in batch
            for piece in prepared.pieces
        ]
        parts = []
        for start in range(0, len(texts), 2 * BATCH_CHUNKS):
            if start:  # What is read already is stored even when asked to stop, unless it is long.
                self._check_stop(progress, 0, 0)
            parts.append(self._embedder.embed(texts[start : start + 2 * BATCH_CHUNKS]))
        return np.concatenate(parts)

    def _store_one(self, session: Session, prepared: _Prepared, vectors: Array) -> int:
        """Write a document's rows and, beside the one they replace, its bytes."""
        collection, path = prepared.place
        identity = identity_of(collection, path)
        row = session.scalar(select(DocumentRow).where(DocumentRow.identity == identity))
        if row is None:
            row = DocumentRow(identity=identity, collection=collection, path=path)
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
        if prepared.groups:
            replace_groups(session, row.id, prepared.groups)
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
        self._originals.write(row.id, prepared.sha256, prepared.content)
        return row.id

    def _known(self) -> list[Known]:
        with self._database.session() as session:
            groups: dict[int, set[str]] = {}
            for row in session.scalars(select(DocumentGroupRow)):
                groups.setdefault(row.document_id, set()).add(row.name)
            return [
                Known(
                    row.id, (row.collection, row.path), row.sha256, row.recipe,
                    frozenset(groups.get(row.id, ())),
                )
                for row in session.scalars(select(DocumentRow))
            ]  # fmt: skip

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
