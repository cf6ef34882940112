"""Checks an adapter's files before anything heavy touches them."""

import hashlib
import json
from pathlib import Path
from typing import Any

from assistant.engines.base import AdapterRef
from assistant.engines.source import ModelSource
from assistant.manifest import CONFIG, MANIFEST, WEIGHTS, read_manifest
from core.errors import AdapterError

_CHANGES_MORE = ("modules_to_save", "trainable_token_indices", "target_parameters")


def check_adapter(adapter: AdapterRef, base: ModelSource) -> dict[str, Any]:
    """Return the adapter's configuration if it is whole and made for `base`.

    Raises:
        AdapterError: missing, damaged, of an unsupported kind, or made for another model.
    """
    config = _config(adapter)
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none":
        raise AdapterError(
            f"The adapter '{adapter.name}' is of type {config.get('peft_type')!r} with bias "
            f"{config.get('bias')!r}; only LoRA adapters without bias are used."
        )
    for key in _CHANGES_MORE:
        if config.get(key):
            raise AdapterError(
                f"The adapter '{adapter.name}' also changes whole layers ({key}={config[key]!r}), "
                "which would change the base model for everyone. Train it without."
            )
    _check_base(adapter, config, base)
    if weights_hash(adapter.path) != adapter.hash:
        raise AdapterError(
            f"The adapter '{adapter.name}' is damaged: {WEIGHTS} in '{adapter.path}' no longer "
            f"has the hash {adapter.hash[:12]}. Delete the adapter and train it again."
        )
    return config


def weights_hash(folder: Path) -> str:
    """SHA-256 of the adapter's weights, or "" when there are none."""
    try:
        with (folder / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _config(adapter: AdapterRef) -> dict[str, Any]:
    try:
        config = json.loads((adapter.path / CONFIG).read_text("utf-8"))
        if isinstance(config, dict):
            return config
        reason = "not a JSON object"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise AdapterError(
        f"The adapter '{adapter.name}' is damaged: {CONFIG} in '{adapter.path}' cannot be read "
        f"({reason}). Delete the adapter and train it again."
    )


def _check_base(adapter: AdapterRef, config: dict[str, Any], base: ModelSource) -> None:
    # An adapter from elsewhere has no manifest; its tensors' shapes are checked on loading.
    if not (adapter.path / MANIFEST).exists():
        return
    manifest = read_manifest(adapter.path)
    if manifest.base_model_hash != base.hash:
        raise AdapterError(
            f"The adapter '{adapter.name}' was trained on '{manifest.base_model}' "
            f"({manifest.base_model_hash[:12]}), but this installation runs '{base.name}' "
            f"({base.hash[:12]}). Choose another adapter, train one on this model, "
            "or set INHOUSE_MODEL to the adapter's model."
        )
