"""Documents that are stored under another name of the collection that is ingested now."""

import hashlib
from collections.abc import Callable, Sequence

from core.database import Database
from retrieval.discovery import Source
from retrieval.origins import UNKNOWN, Catalogue, Known
from retrieval.tables import DocumentRow, identity_of


def adopt(
    database: Database,
    sources: Sequence[Source],
    catalogue: Catalogue,
    note: Callable[[str], None],
) -> None:
    """Take over what `sources` are known to be, so that ingesting them doubles nothing.

    Documents of older versions have no collection; a folder that was moved has its former one.
    Equal bytes under equal paths tell: of most files that share a path with documents of older
    versions, or of most documents that the moved folder had.
    """
    for collection in sorted({source.collection for source in sources}):
        mine = [source for source in sources if source.collection == collection]
        for former in catalogue.former(collection):
            moved = _moved(mine, former, catalogue)
            if moved:
                _move(database, moved, collection, catalogue)
                origin = f"'{former}', which is gone" if former else "an earlier version"
                note(f"{len(moved)} documents from {origin} are now those of '{collection}'.")


def _moved(sources: Sequence[Source], former: str, catalogue: Catalogue) -> list[Known]:
    shared = [
        (source, known)
        for source in sources
        if catalogue.get((source.collection, source.path)) is None
        and (known := catalogue.get((former, source.path))) is not None
    ]
    equal = sum(_digest(source) == known.sha256 for source, known in shared)
    all_of_it = [known for _, known in shared] if former == UNKNOWN else catalogue.of(former)
    return all_of_it if 2 * equal > len(all_of_it) else []


def _move(
    database: Database, moved: Sequence[Known], collection: str, catalogue: Catalogue
) -> None:
    with database.session() as session:
        for known in moved:
            row = session.get_one(DocumentRow, known.id)
            row.collection = collection
            row.identity = identity_of(collection, row.path)
    for known in moved:
        catalogue.move(known, collection)


def _digest(source: Source) -> str:
    try:
        with source.file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # It is told of where the file is read.
