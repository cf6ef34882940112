"""The edge to torch and peft that trains the reader: one pass over prompts as they are served."""

import hashlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy

from assistant.engines.adapter_files import check_adapter
from assistant.engines.base import AdapterRef
from assistant.engines.source import ModelSource
from assistant.engines.transformers_loading import Loaded, load
from assistant.manifest import CONFIG, MANIFEST, WEIGHTS, Manifest, read_manifest
from assistant.prompts import QUOTING_VERSION
from core.database import now
from core.errors import Stopped
from core.progress import Progress
from core.settings import Settings
from core.workspace import folder_written_atomically, remove_folder, write_atomically
from training.checkpoint import Checkpoint, rate
from training.divergence import diverged, unlearned
from training.prefix_tree import Tokens, build_tree
from training.schedule import passes

WARMUP = 25
DECAY_SHARE = 0.5
CLIP = 1.0


@dataclass(frozen=True)
class ReaderConfig:
    """Hyper-parameters of the reader."""

    steps: int = 300
    batch: int = 8
    """Units, each of about two questions asked of the same passages."""
    rank: int = 16
    """Of a new LoRA; one that is gone on from keeps its own."""
    alpha: int = 32
    learning_rate: float = 5e-4
    longest: int = 700
    """Tokens; longer examples are left out."""
    pass_tokens: int = 1200
    seed: int = 0


@dataclass(frozen=True)
class ReaderRun:
    """Where a run keeps its files, and when it saves."""

    folder: Path
    start: Path | None = None
    """A trained reader to go on from; None: the language model as it is."""
    resume: bool = False
    checkpoint_every: int = 25


def steps_of(units: Sequence[Sequence[Tokens]], config: ReaderConfig) -> list[list[Tokens]]:
    """Cut units, examples over the same passages, into steps; the same seed, the same steps."""
    chance = random.Random(config.seed)  # noqa: S311 - reproducible, not secret
    usable = [unit for unit in units if max(len(one.ids) for one in unit) <= config.longest]
    steps: list[list[Tokens]] = []
    while len(steps) < config.steps:
        for start in range(0, len(usable) - config.batch + 1, config.batch):
            steps.append([one for unit in usable[start : start + config.batch] for one in unit])
        chance.shuffle(usable)
    return steps[: config.steps]


def train_reader(
    source: ModelSource,
    settings: Settings,
    steps: Sequence[Sequence[Tokens]],
    config: ReaderConfig,
    run: ReaderRun,
    progress: Progress,
) -> Any:
    """Learn the steps, with a checkpoint now and then; return the model with its LoRA.

    Raises:
        Stopped: somebody asked to stop; the checkpoint is kept.
        Conflict: the checkpoint to resume from belongs to other data.
        AdapterError: the reader to start from is damaged, or of another model.
    """
    torch.manual_seed(config.seed)
    model = _with_lora(load(source, settings), config, source, run.start)
    learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        learned.values(), lr=config.learning_rate, weight_decay=0.0, betas=(0.9, 0.98)
    )
    digest = hashlib.sha256(json.dumps([list(t.ids) for s in steps[:50] for t in s]).encode())
    identity = {**asdict(config), "steps": 0, "data": digest.hexdigest(), "base": source.hash}
    identity["start"] = weights_of(run.start) if run.start else ""
    checkpoint = Checkpoint(run.folder / "checkpoint", identity, progress.log)
    done = checkpoint.begin(learned, optimizer, resume=run.resume)
    losses: list[float] = []
    for step in range(done, len(steps)):
        factor = rate(step, len(steps), warmup=WARMUP, decay_share=DECAY_SHARE)
        optimizer.param_groups[0]["lr"] = config.learning_rate * factor
        losses.append(_backward(model, steps[step], config.pass_tokens))
        if reason := unlearned(losses[-1], None):
            raise diverged(step + 1, reason, config.learning_rate)
        torch.nn.utils.clip_grad_norm_(learned.values(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        _report(run.folder, step + 1, len(steps), losses, progress)
        stop = progress.stop_requested()
        if stop or (step + 1) % run.checkpoint_every == 0 or step + 1 == len(steps):
            checkpoint.save(step + 1, learned, optimizer)
        if stop and step + 1 < len(steps):
            raise Stopped(f"Stopped after step {step + 1:,}. Go on with --resume.")
    return model


def save_reader(
    model: Any, target: Path, source: ModelSource, facts: dict[str, Any], metrics: dict[str, Any]
) -> Manifest:
    """Write the LoRA (bfloat16) with config and manifest into a new folder `target`."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    remove_folder(target)
    with folder_written_atomically(target) as folder:
        model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        values = json.loads((folder / CONFIG).read_text("utf-8"))
        values["base_model_name_or_path"] = source.name
        write_atomically(folder / CONFIG, json.dumps(values, indent=2, sort_keys=True).encode())
        manifest = Manifest(
            name=target.name,
            base_model=source.name,
            base_model_hash=source.hash,
            weights_sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
            created_at=now().isoformat(timespec="seconds"),
            method="lora",
            data_sha256=str(facts.pop("data_sha256")),
            config=facts,
            metrics=metrics,
            prompt_version=QUOTING_VERSION,
            notes="reads passages: answers by quoting the right one, or refuses",
        )
        write_atomically(folder / MANIFEST, manifest.to_json().encode())
    return manifest


def weights_of(folder: Path) -> str:
    """SHA-256 of the weights of the reader in `folder`.

    Raises:
        AdapterError: there is none, or it is damaged.
    """
    return read_manifest(folder).weights_sha256


def _with_lora(
    loaded: Loaded, config: ReaderConfig, source: ModelSource, start: Path | None
) -> Any:
    if start is None:
        shape = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, target_modules="all-linear",
            task_type="CAUSAL_LM",
        )  # fmt: skip
        model = get_peft_model(loaded.model, shape)
    else:
        check_adapter(AdapterRef(start.name, start, weights_of(start)), source)
        model = PeftModel.from_pretrained(loaded.model, str(start), is_trainable=True)
    model.train()
    return model


def _backward(model: Any, examples: Sequence[Tokens], pass_tokens: int) -> float:
    """Add the gradients of a step; return its mean loss. Each learned token weighs the same."""
    learned = sum(len(example.answer) for example in examples)
    total = 0.0
    for group in passes(examples, pass_tokens):
        loss = _summed_loss(model, group) / learned
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _summed_loss(model: Any, examples: Sequence[Tokens]) -> Tensor:
    tree = build_tree(examples)
    device = model.device

    def on_device(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(device)

    sources, place = torch.unique(on_device(tree.sources), return_inverse=True)
    # In bfloat16 a step takes less than half the time, with the weights kept in float32.
    with torch.autocast(device.type, torch.bfloat16):
        logits = model(
            input_ids=on_device(tree.ids)[None],
            position_ids=on_device(tree.positions)[None],
            attention_mask=on_device(tree.visible)[None, None],
            logits_to_keep=sources,
            use_cache=False,
        ).logits[0]
    targets = on_device(tree.targets)
    return cross_entropy(logits.float()[place], targets, reduction="sum")


def _report(
    folder: Path, step: int, steps: int, losses: Sequence[float], progress: Progress
) -> None:
    recent = float(np.mean(losses[-25:]))
    progress.update(step, steps, f"loss {recent:.3f}")
    if step % 5 == 0:
        line = {"step": step, "loss": round(recent, 4), "at": round(time.time())}
        with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
