"""`python -m core check`: everything in the workspace against what is known of it."""

import json
from pathlib import Path

from sqlalchemy import text

from core.home import Home
from core.modes import open_to_others
from core.seals import file_hash, sealed
from core.workspace import Workspace

_ORIGINALS = text("SELECT id, path, size, sha256 FROM documents ORDER BY id")


def check_files(home: Home) -> list[str]:
    """Return a sentence, with the remedy, for each file that is not as it should be."""
    workspace = home.workspace
    return [
        *open_to_others(workspace),
        *_originals(home),
        *_adapters(workspace),
        *_derived(workspace),
    ]


def _originals(home: Home) -> list[str]:
    """Compare the originals of documents with the hashes in the database."""
    said = []
    with home.database.session() as session:
        for number, path, size, sha256 in session.execute(_ORIGINALS).all():
            folder = home.workspace.files / str(number)
            # Those stored by older versions lie under the document's own name.
            older = folder / Path(path).name
            file = older if older.is_file() else folder / sha256
            problem = _unlike(file, size, sha256)
            if problem:
                said.append(
                    f"The original of '{path}' ({file}) {problem}. Restore it from a backup, "
                    "or delete the document and add the file again."
                )
    return said


def _unlike(file: Path, size: int, sha256: str) -> str:
    try:
        if file.stat().st_size == size and file_hash(file) == sha256:
            return ""
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "is not as it was stored"


def _adapters(workspace: Workspace) -> list[str]:
    """Compare adapters with the hashes in their manifests."""
    said = []
    for folder in sorted(workspace.adapters.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            json.loads((folder / "adapter_config.json").read_text("utf-8"))
            whole = file_hash(folder / "adapter_model.safetensors") == manifest["weights_sha256"]
            reason = "" if whole else "its weights are not those that its manifest names"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"its files cannot be read ({error})"
        if reason:
            said.append(
                f"The adapter '{folder.name}' is damaged: {reason}. "
                "Restore its folder from a backup, or delete it and train it again."
            )
    return said


def _derived(workspace: Workspace) -> list[str]:
    """Look at what is made again by itself: worth a line, for the disk may be failing."""
    folders = [*workspace.index.iterdir(), *workspace.models.iterdir()]
    return [
        f"'{folder}' is not as it was written. It is made again when it is next used."
        for folder in sorted(folders)
        if folder.is_dir() and not folder.name.startswith(".") and not sealed(folder)
    ]
