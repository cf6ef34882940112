"""The stored bytes of documents, named by what they are.

A new version lies beside the old one until the row that names it is committed: rows and bytes
agree whenever the process dies. What no row names is swept at the next ingest.
"""

from collections.abc import Mapping
from pathlib import Path

from core.workspace import Workspace, remove_folder, sync_folder, write_atomically


class Originals:
    """One folder a document below the workspace's `files`."""

    def __init__(self, workspace: Workspace) -> None:
        """Keep them in `workspace`."""
        self._folder = workspace.files

    def find(self, document_id: int, sha256: str, path: str) -> Path | None:
        """Return the file; those stored by older versions lie under the document's own name."""
        folder = self._folder / str(document_id)
        named = (folder / sha256, folder / Path(path).name)
        return next((file for file in named if file.is_file()), None)

    def write(self, document_id: int, sha256: str, content: bytes) -> None:
        """Store bytes beside those of earlier versions."""
        folder = self._folder / str(document_id)
        folder.mkdir(exist_ok=True)
        write_atomically(folder / sha256, content)
        sync_folder(self._folder)

    def forget_others(self, document_id: int, keep: Path | None) -> None:
        """Remove all that lies in a document's folder but `keep`."""
        folder = self._folder / str(document_id)
        if keep is None or not folder.is_dir():
            return
        for file in folder.iterdir():
            if file != keep:
                file.unlink(missing_ok=True)

    def sweep(self, documents: Mapping[int, tuple[str, str]]) -> None:
        """Remove what no row names; `documents` are SHA-256 and path by number.

        Only while no ingest of this workspace writes.
        """
        known = {str(number): number for number in documents}
        for folder in self._folder.iterdir():
            number = known.get(folder.name)
            if number is None:
                remove_folder(folder)
            else:
                self.forget_others(number, self.find(number, *documents[number]))
