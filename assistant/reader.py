"""The built-in reader: an adapter that comes with the product and answers from passages."""

from pathlib import Path

from assistant.engines.base import AdapterRef
from assistant.manifest import Manifest, read_manifest
from assistant.shelf import AdapterInfo
from core.errors import AdapterError

BUILTIN = Path(__file__).parent / "builtin" / "reader"
NAME = "built-in reader"


def builtin_reader(base_model_hash: str, folder: Path = BUILTIN) -> AdapterInfo | None:
    """Return the built-in reader, or None where it does not serve the model that runs.

    Args:
        base_model_hash: `ModelSource.hash` of that model; the reader fits the embedded one only.
        folder: where the adapter's files lie.
    """
    try:
        manifest: Manifest = read_manifest(folder)
    except AdapterError:
        return None
    if manifest.base_model_hash != base_model_hash:
        return None
    ref = AdapterRef(NAME, folder, manifest.weights_sha256)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return AdapterInfo(NAME, ref, manifest, size)
