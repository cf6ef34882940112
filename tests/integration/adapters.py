"""Real LoRA adapters with random weights, made by peft."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from assistant.engines.base import AdapterRef
from assistant.engines.source import ModelSource
from assistant.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest


def make_adapter(
    folder: Path, source: ModelSource, *, seed: int, targets: list[str], base_hash: str = ""
) -> AdapterRef:
    """Write an adapter whose weights are drawn with `seed`, large enough to change answers."""
    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(str(source.folder), dtype="auto")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=targets))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    model.save_pretrained(str(folder))
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    manifest = Manifest(
        name=folder.name,
        base_model=source.name if not base_hash else "AnotherModel-1B",
        base_model_hash=base_hash or source.hash,
        weights_sha256=digest,
        created_at="2026-01-01T00:00:00+00:00",
        method="lora",
        data_sha256="",
    )
    (folder / MANIFEST).write_text(manifest.to_json())
    assert (folder / CONFIG).is_file()
    return AdapterRef(folder.name, folder, digest)


def shuffled_adapter(folder: Path, built: Path) -> Path:
    """Write an adapter with the numbers of `built` in another order: it knows nothing."""
    shutil.copytree(built, folder)
    torch.manual_seed(0)
    mixed = {
        name: weights.flatten()[torch.randperm(weights.numel())].view_as(weights).contiguous()
        for name, weights in load_file(folder / WEIGHTS).items()
    }
    save_file(mixed, folder / WEIGHTS, metadata={"format": "pt"})
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    manifest = Manifest.from_json((folder / MANIFEST).read_text("utf-8"))
    changed = replace(manifest, name=folder.name, weights_sha256=digest)
    (folder / MANIFEST).write_text(changed.to_json(), "utf-8")
    return folder
