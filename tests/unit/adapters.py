"""Adapters that only look like one: enough for everything but an engine."""

import hashlib
import json
from pathlib import Path

from assistant.engines.base import AdapterRef
from assistant.manifest import Manifest
from assistant.prompts import PROMPT_VERSION
from core.home import Home


def build_adapter(
    folder: Path,
    content: bytes = b"weights",
    base_hash: str = "base",
    prompt_version: str = PROMPT_VERSION,
) -> Manifest:
    """Write the three files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    manifest = Manifest(
        name=folder.name,
        base_model="small",
        base_model_hash=base_hash,
        weights_sha256=hashlib.sha256(content).hexdigest(),
        created_at="2026-01-01T00:00:00+00:00",
        method="lora",
        data_sha256="data",
        config={"r": 8},
        metrics={"train_loss": 0.5},
        prompt_version=prompt_version,
        notes="for tests",
    )
    (folder / "manifest.json").write_text(manifest.to_json())
    return manifest


def put_adapter(home: Home, name: str) -> AdapterRef:
    """Put such an adapter straight onto the shelf."""
    folder = home.workspace.adapters / name
    return AdapterRef(name, folder, build_adapter(folder).weights_sha256)
