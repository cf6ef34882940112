"""Base models side by side before anything is trained: size, speed, memory, quality, licence."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from assistant.engines.base import Sampling
from assistant.engines.source import ModelSource, locate_model
from assistant.modes import Message
from assistant.service import open_model
from core.errors import EngineError
from core.home import Home
from core.progress import Progress
from eval.arms import Plan
from eval.evaluations import Evaluations
from eval.formatting import figure

PROBE = "Write one paragraph about how a company keeps its records in order."
PROBE_TOKENS = 48
REPEATS = 3


@dataclass(frozen=True)
class ModelAudit:
    """What was measured of one base model on this machine."""

    model: str
    """As it was asked for."""
    name: str
    """Identity of model, weights, dtype and quantisation."""
    parameters: int | None
    """Numbers in its weight files; None where they are packed and cannot be counted."""
    context_tokens: int
    weights_mb: float
    memory_mb: float
    """Growth of this process by loading and first use."""
    load_s: float
    first_token_s: float
    tokens_per_s: float
    licence: str
    """As its folder declares it, '' if it does not."""
    quality: dict[str, Any] | None
    """Measures of the mode `base` on the question set; None without a set."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return dict(self.__dict__)


def audit(
    home: Home, models: Sequence[str], question_set_ids: Sequence[int], plan: Plan,
    progress: Progress,
) -> list[ModelAudit]:  # fmt: skip
    """Measure each model; quality through an ordinary evaluation that stays in the list.

    Args:
        home: the installation.
        models: as in the setting `model`.
        question_set_ids: sets for quality; empty: speed and size only.
        plan: modes and limit of the evaluation; its models are set here.
        progress: told about each model.

    Raises:
        EngineError: a model that is not there, before anything is measured.
    """
    homes = {
        m: replace(home, settings=home.settings.model_copy(update={"model": m})) for m in models
    }
    sources = {m: locate_model(homes[m].settings, home.workspace) for m in models}
    found = []
    for number, model in enumerate(models):
        progress.update(number, len(models), model)
        quality = None
        speed = _speed(homes[model])
        if question_set_ids:
            evaluations = Evaluations(homes[model])
            own = evaluations.create(question_set_ids, plan, title=f"audit of {model}")
            quality = evaluations.run(own, progress)["modes"]
        found.append(_entry(model, sources[model], speed, quality))
    return found


def _entry(
    model: str, source: ModelSource, speed: Mapping[str, Any], quality: dict[str, Any] | None
) -> ModelAudit:
    return ModelAudit(
        model=model,
        parameters=parameters(source.folder),
        weights_mb=sum(f.stat().st_size for f in source.folder.glob("*.safetensors")) / 1e6,
        licence=licence(source.folder),
        quality=quality,
        **speed,
    )


def _speed(home: Home) -> dict[str, Any]:
    process = psutil.Process()
    before, started = process.memory_info().rss, time.monotonic()
    engine = open_model(home)
    name = engine.name
    load = time.monotonic() - started
    firsts, rates = [], []
    for _ in range(REPEATS):
        started, moments = time.monotonic(), []
        for _piece in engine.stream(
            [Message("user", PROBE)], adapter=None, sampling=Sampling(PROBE_TOKENS)
        ):
            moments.append(time.monotonic() - started)
        if len(moments) < 2:
            raise EngineError(f"The model '{name}' says nothing. Check that it is a chat model.")
        firsts.append(moments[0])
        rates.append((len(moments) - 1) / max(moments[-1] - moments[0], 1e-9))
    return {
        "name": name,
        "context_tokens": engine.context_tokens,
        "load_s": load,
        "first_token_s": median(firsts),
        "tokens_per_s": median(rates),
        "memory_mb": max(0, process.memory_info().rss - before) / 1e6,
    }


def parameters(folder: Path) -> int | None:
    """Count the numbers in a folder's safetensors files from their headers; loads nothing."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            if tensor["dtype"] in ("U8", "I8"):
                return None
            size = 1
            for length in tensor["shape"]:
                size *= length
            total += size
    return total or None


def licence(folder: Path) -> str:
    """The licence that a model's README declares in its head, '' if it does not."""
    for name in ("README.md", "MODEL_CARD.md"):
        file = folder / name
        if file.is_file():
            for line in file.read_text("utf-8", errors="replace").splitlines()[:60]:
                if line.lower().startswith("license:"):
                    return line.partition(":")[2].strip()
    return ""


def table(found: Sequence[ModelAudit]) -> str:
    """A Markdown table for people."""
    head = ("model", "parameters", "context", "weights MB", "memory MB", "load s",
            "first token s", "tokens/s", "licence", "accuracy")  # fmt: skip
    lines = [
        (one.model, f"{one.parameters:,}" if one.parameters else "packed",
         f"{one.context_tokens:,}", f"{one.weights_mb:.0f}", f"{one.memory_mb:.0f}",
         f"{one.load_s:.1f}", f"{one.first_token_s:.2f}", f"{one.tokens_per_s:.1f}",
         one.licence or "not declared", _accuracy(one))
        for one in found
    ]  # fmt: skip
    rows = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _accuracy(one: ModelAudit) -> str:
    if not one.quality:
        return "not measured"
    return "; ".join(
        f"{arm} {figure(measures['accuracy'], 'share')}" for arm, measures in one.quality.items()
    )
