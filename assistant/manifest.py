"""What an adapter says about itself: how it was made, on what, and how well it did."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from assistant.engines.base import AdapterRef
from assistant.prompts import QUOTING_VERSION
from core.errors import AdapterError

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Manifest:
    """Written once, when training ends; lies beside the weights."""

    name: str
    base_model: str
    base_model_hash: str
    """`ModelSource.hash` of the model it was trained on."""
    weights_sha256: str
    created_at: str
    """ISO 8601, UTC."""
    method: str
    """'lora' or 'qlora'."""
    data_sha256: str
    """SHA-256 of the training data's bytes."""
    config: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    prompt_version: str = ""
    notes: str = ""

    def to_json(self) -> str:
        """Readable JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Parse; unknown keys of newer versions are ignored.

        Raises:
            ValueError: not JSON, a key is missing, or of the wrong type.
        """
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one kind for the caller
        known = {f.name: found[f.name] for f in fields(cls) if f.name in found}
        for name, value in known.items():
            wanted = dict if name in ("config", "metrics") else str
            if not isinstance(value, wanted):
                problem = f"'{name}' is {value!r}, not {wanted.__name__}"
                raise ValueError(problem)  # noqa: TRY004 - one kind for the caller
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(str(error).partition("missing ")[2] or str(error)) from None


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the adapter in `folder`.

    Raises:
        AdapterError: there is none, or it is damaged.
    """
    try:
        return Manifest.from_json((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
        raise AdapterError(
            f"The adapter '{folder.name}' cannot be used: its {MANIFEST} is {reason}. "
            "Delete the adapter and train it again, or restore the folder from a backup."
        ) from error


@dataclass(frozen=True)
class AdapterInfo:
    """An adapter as its folder shows it."""

    name: str
    ref: AdapterRef
    manifest: Manifest | None
    """None when it cannot be read; `problem` then says why."""
    size_bytes: int
    problem: str | None = None
    built_in: bool = False
    """It comes with the product: it cannot be deleted."""

    @property
    def reads_quotations(self) -> bool:
        """Whether it was trained with the best sentences before the question."""
        return self.manifest is not None and self.manifest.prompt_version == QUOTING_VERSION


def read_adapter(folder: Path, name: str, *, built_in: bool = False) -> AdapterInfo:
    """Describe the adapter in `folder`; a damaged one with its problem."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    try:
        manifest = read_manifest(folder)
    except AdapterError as error:
        ref = AdapterRef(name, folder, "")
        return AdapterInfo(name, ref, None, size, error.message, built_in)
    missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    problem = None
    if missing:
        remedy = "Reinstall the product" if built_in else "Delete it and train it again"
        problem = (
            f"The adapter '{name}' cannot be used: {' and '.join(missing)} missing. "
            f"{remedy}, or restore the folder from a backup."
        )
    ref = AdapterRef(name, folder, manifest.weights_sha256)
    return AdapterInfo(name, ref, manifest, size, problem, built_in)
