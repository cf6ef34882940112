"""The edge to torch that trains the evidence finder."""

import hashlib
import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.database import now
from core.errors import EngineError, Stopped
from core.progress import Progress
from core.workspace import folder_written_atomically, remove_folder, write_atomically
from retrieval.evidence import Calibration
from retrieval.evidence_model import (
    MANIFEST,
    WEIGHTS,
    Encoded,
    EvidenceNetwork,
    SentenceReader,
    backbone_hash,
    half_precision,
    manifest_of,
    read_state,
)
from retrieval.evidence_words import WordScorer
from training.checkpoint import Checkpoint, rate
from training.divergence import diverged, unlearned
from training.evidence_calibration import Scored
from training.evidence_data import Group, Material, training_pick

WARMUP = 40
DECAY_SHARE = 0.4
CLIP = 1.0

Learned: TypeAlias = dict[str, torch.nn.Parameter]


@dataclass(frozen=True)
class EvidenceConfig:
    """Hyper-parameters of the finder."""

    steps: int = 600
    batch: int = 8
    """Questions a step."""
    wrong: int = 2
    """Wrong chunks shown with each right one."""
    absent_share: float = 0.12
    """Questions shown without their right chunk: the finder learns to say 'nothing here'."""
    rank: int = 64
    first_layer: int = 2
    """Layers below stay as they are, and cost no backward pass."""
    learning_rate: float = 6e-4
    head_learning_rate: float = 1e-3
    reading_share: float = 0.2
    """Questions from the general reading rows; they come early rather than late."""
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """Where a run keeps its files, and when it pauses to save."""

    folder: Path
    backbone: Path
    start: Path | None = None
    """A trained finder to go on from; None: the backbone as it is."""
    resume: bool = False
    checkpoint_every: int = 50


def order_of(own: Sequence[Group], reading: Sequence[Group], config: EvidenceConfig) -> list[Group]:
    """All questions of a run in the order they are learned."""
    chance = random.Random(config.seed)  # noqa: S311 - reproducible, not secret
    total = config.steps * config.batch
    general = list(reading)
    chance.shuffle(general)
    general = general[: round(config.reading_share * total)]
    rest: list[Group] = []
    while len(rest) < total - len(general):
        rest += chance.sample(list(own), len(own))
    keyed = [(0.7 * chance.random(), group) for group in general]
    keyed += [(0.1 + 0.9 * chance.random(), group) for group in rest[: total - len(general)]]
    return [group for _, group in sorted(keyed, key=lambda item: item[0])]


def train_evidence(
    material: Material, order: Sequence[Group], config: EvidenceConfig, run: Run, progress: Progress
) -> EvidenceNetwork:
    """Learn from `order`, with a checkpoint now and then; return the network.

    Raises:
        Stopped: somebody asked to stop; the checkpoint is kept.
        Conflict: the checkpoint to resume from belongs to other data.
        EngineError: the finder to start from is damaged, or of another backbone or rank.
    """
    torch.manual_seed(config.seed)
    network = EvidenceNetwork(run.backbone)
    network.add_low_rank(config.rank, config.first_layer)
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if run.start:
        _start(learned, run.start, run.backbone)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    reader = SentenceReader(run.backbone)
    optimizer = _optimizer(learned, config)
    # The number of steps may change when a run goes on; everything else may not.
    start = weights_of(run.start) if run.start else ""
    identity = {**asdict(config), "steps": 0, "data": material.sha256, "start": start}
    checkpoint = Checkpoint(run.folder / "checkpoint", identity, progress.log)
    done = checkpoint.begin(learned, optimizer, resume=run.resume)
    losses: list[float] = []
    for step in range(done, config.steps):
        factor = rate(step, config.steps, warmup=WARMUP, decay_share=DECAY_SHARE)
        for group, full in zip(optimizer.param_groups, _rates(config), strict=True):
            group["lr"] = full * factor
        batch = order[step * config.batch : (step + 1) * config.batch]
        chance = random.Random(f"{config.seed}-{step}")  # noqa: S311 - reproducible
        with half_precision():
            loss = group_loss(network, reader, material, batch, (chance, config))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learned.values(), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        if reason := unlearned(losses[-1], None):
            raise diverged(step + 1, reason, config.learning_rate)
        _report(run.folder, step + 1, config.steps, losses, progress)
        stop = progress.stop_requested()
        if stop or (step + 1) % run.checkpoint_every == 0 or step + 1 == config.steps:
            checkpoint.save(step + 1, learned, optimizer)
        if stop and step + 1 < config.steps:
            raise Stopped(f"Stopped after step {step + 1:,}. Go on with --resume.")
    return network


def weights_of(folder: Path) -> str:
    """SHA-256 of the weights of the finder in `folder`.

    Raises:
        EngineError: there is none.
    """
    return str(manifest_of(folder)["weights_sha256"])


def average(network: EvidenceNetwork, others: Sequence[Path], backbone: Path) -> None:
    """Put the mean of its own and the other finders' weights in their place.

    Finders that went on from one another refuse better together than each alone (Wortsman et al.
    2022, 'Model soups'), at the cost of one.

    Raises:
        EngineError: another one is damaged, or of another backbone or rank.
    """
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    states = [_fitting(learned, folder, backbone) for folder in others]
    for name, parameter in learned.items():
        for state in states:
            parameter.data += state[name].to(parameter.device, parameter.dtype)
        parameter.data /= 1 + len(states)


def _start(learned: Learned, folder: Path, backbone: Path) -> None:
    """Put the weights of the finder in `folder` in the place of untrained ones."""
    state = _fitting(learned, folder, backbone)
    for name, parameter in learned.items():
        parameter.data.copy_(state[name])


def _fitting(learned: Learned, folder: Path, backbone: Path) -> dict[str, Tensor]:
    state = read_state(folder, backbone)
    shapes = {name: tuple(parameter.shape) for name, parameter in learned.items()}
    if {name: tuple(value.shape) for name, value in state.items()} != shapes:
        raise EngineError(f"The evidence finder in '{folder}' has another rank or other layers.")
    return state


def group_loss(
    network: EvidenceNetwork,
    reader: SentenceReader,
    material: Material,
    batch: Sequence[Group],
    picking: tuple[random.Random, EvidenceConfig],
) -> Tensor:
    """Mean over questions of -log P(a right sentence), or of 'nothing here' where none is.

    One softmax over all shown sentences of a question and a null of fixed score 0.
    """
    chance, config = picking
    items: list[Encoded] = []
    owners: list[int] = []
    marks: list[tuple[int, ...]] = []
    for number, group in enumerate(batch):
        shown, right = training_pick(
            group, chance, wrong=config.wrong, absent_share=config.absent_share
        )
        for chunk in shown:
            items.append(reader.encode(group.question, material.chunks[chunk].candidate))
            owners.append(number)
            marks.append(right.get(chunk, ()))
    scores = network(items)
    total = torch.zeros(()).to(scores[0].device)
    for number in range(len(batch)):
        places = [n for n, owner in enumerate(owners) if owner == number]
        logits = torch.cat([*(scores[n] for n in places), torch.zeros_like(total)[None]])
        hits = [k in marks[n] for n in places for k in range(len(scores[n]))]
        target = torch.tensor([*hits, not any(hits)]).to(logits.device)
        total = total - torch.logsumexp(torch.log_softmax(logits, 0)[target], 0)
    return total / len(batch)


def _optimizer(learned: Learned, config: EvidenceConfig) -> Any:
    head = [p for name, p in learned.items() if name.startswith("head.")]
    body = [p for name, p in learned.items() if not name.startswith("head.")]
    groups = [{"params": body}, {"params": head}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.01)


def _rates(config: EvidenceConfig) -> tuple[float, float]:
    return config.learning_rate, config.head_learning_rate


def _report(
    folder: Path, step: int, steps: int, losses: Sequence[float], progress: Progress
) -> None:
    recent = float(np.mean(losses[-50:]))
    progress.update(step, steps, f"loss {recent:.3f}")
    if step % 10 == 0:
        line = {"step": step, "loss": round(recent, 4), "at": round(time.time())}
        with (folder / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


@torch.inference_mode()
def score_groups(
    network: EvidenceNetwork, backbone: Path, material: Material, groups: Sequence[Group]
) -> list[Scored]:
    """Score everything that was found for each of `groups`, in the precision it is served in."""
    network.eval()
    reader, words = SentenceReader(backbone), WordScorer()
    scored = []
    for group in groups:
        found = [material.chunks[number].candidate for number in group.found]
        with half_precision():
            rows = network([reader.encode(group.question, candidate) for candidate in found])
        said = words.score(group.question, found)
        right = dict(group.right)
        marks = tuple(
            tuple(k in right.get(number, ()) for k in range(len(row)))
            for number, row in zip(group.found, rows, strict=True)
        )
        scored.append(
            Scored(group.answerable, _floats(rows), _floats(said), marks, group.similarity)
        )
    return scored


def _floats(rows: Iterable[Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(score) for score in row) for row in rows)


def recalibrate(folder: Path, calibration: Calibration, facts: dict[str, Any]) -> dict[str, Any]:
    """Put another calibration, and `facts`, into the manifest in `folder`; return it.

    The weights stay as they are. The manifest is replaced whole or not at all.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest |= {"calibration": asdict(calibration), **facts}
    write_atomically(folder / MANIFEST, f"{json.dumps(manifest, indent=2)}\n".encode())
    return manifest


def save_evidence(
    network: EvidenceNetwork, target: Path, backbone: Path, facts: dict[str, Any]
) -> dict[str, Any]:
    """Write weights (bfloat16) and manifest into a new folder `target`; return the manifest."""
    remove_folder(target)
    with folder_written_atomically(target) as folder:
        tensors = {
            name: value.to("cpu", torch.bfloat16).contiguous()
            for name, value in network.trained_state().items()
        }
        save_file(tensors, folder / WEIGHTS)
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        manifest = {
            "weights_sha256": digest,
            "backbone_sha256": backbone_hash(backbone),
            "created_at": now().isoformat(timespec="seconds"),
            **facts,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest
