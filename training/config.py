"""Every hyper-parameter of a training run, with presets that fit a machine without GPU."""

import math
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import InvalidInput

Share: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]


class Preset(StrEnum):
    """How much time a run may take."""

    QUICK = "quick"
    BALANCED = "balanced"
    THOROUGH = "thorough"


class PersonalData(StrEnum):
    """What happens to rows in which personal data was found."""

    KEEP = "keep"
    MASK = "mask"
    DROP = "drop"


class TrainingConfig(BaseModel):
    """Hyper-parameters. Defaults are those of the preset `balanced`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Preset = Field(Preset.BALANCED, description="Where the values started from.")
    method: Literal["lora", "qlora"] = Field(
        "lora", description="qlora keeps the base in 4 bits: less memory, much slower on a CPU."
    )
    rank: int = Field(32, ge=1, le=512, description="Rank r of the LoRA matrices.")
    alpha: int = Field(32, ge=1, le=2048, description="LoRA scale; the update counts alpha / r.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout before the LoRA matrices.")
    rank_stabilised: bool = Field(
        False, description="Scale by alpha / sqrt(r) instead: steadier for large ranks (rsLoRA)."
    )
    target_modules: str = Field(
        "all-linear", description="Layers that get a LoRA: 'all-linear' or names, comma-separated."
    )
    learning_rate: float = Field(1e-3, gt=0.0, le=1.0, description="Peak of the schedule.")
    warmup_share: Share = Field(0.06, description="Part of the steps that warms up from zero.")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "linear", description="How the learning rate falls after the warm-up."
    )
    weight_decay: float = Field(0.0, ge=0.0, le=1.0, description="AdamW's decay of LoRA weights.")
    gradient_clipping: float = Field(1.0, ge=0.0, description="Largest gradient norm; 0: no clip.")
    epochs: int = Field(10, ge=1, le=1000, description="Times each wording is seen.")
    batch_size: int = Field(16, ge=1, le=1024, description="Examples whose loss makes one step.")
    pass_tokens: int = Field(
        1024,
        ge=64,
        description="Tokens computed at once; a larger step is accumulated from several.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations: less memory, about a third slower."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of initial weights, splits and order.")

    max_tokens: int = Field(2048, ge=64, le=131_072, description="Longest example, in tokens.")
    documents: bool = Field(True, description="Also train with passages found in the documents.")
    passage_rounds: float = Field(
        2.0,
        ge=0.0,
        le=100.0,
        description="Times each fact is seen among passages; 0.5: every other; 0: closed-book.",
    )
    passage_wordings: int = Field(
        4, ge=1, le=100, description="Wordings that share one set of passages in such a round."
    )
    absent_share: Share = Field(
        0.1, description="Part of those rounds without the right passage; answer: I don't know."
    )
    refusal_share: Share = Field(
        0.1, description="Closed-book 'I don't know' examples, relative to the wordings."
    )
    replay_file: str = Field(
        "", description="JSONL of general instructions {instruction, input, output} to mix in."
    )
    replay_share: Share = Field(0.1, description="Examples from it, relative to the wordings.")

    validation_share: Share = Field(
        0.03, description="Facts of more than 20 that are held out whole, as reading exercises."
    )
    validation_wordings: int = Field(
        16, ge=0, le=10_000, description="Facts that hold out one wording, to measure recall."
    )
    validate_every: int = Field(0, ge=0, description="Steps between validations; 0: each epoch.")
    checkpoint_every: int = Field(25, ge=1, description="Steps between checkpoints.")
    patience: int = Field(
        0, ge=0, description="Validations without a better loss until the run ends; 0: never."
    )
    personal_data: PersonalData = Field(
        PersonalData.KEEP, description="Rows with personal data: keep (with a warning), mask, drop."
    )

    def with_changes(self, changes: dict[str, Any]) -> "TrainingConfig":
        """Return a checked copy; values may be text, as they arrive from flags and pages.

        Raises:
            InvalidInput: names every unknown or impossible value and what is allowed.
        """
        return parse_config({**self.model_dump(mode="json"), **changes})


_PRESETS: dict[Preset, dict[str, Any]] = {
    Preset.QUICK: {"epochs": 4, "passage_rounds": 1.0},
    Preset.BALANCED: {},
    Preset.THOROUGH: {
        "epochs": 20, "rank": 64, "alpha": 64, "learning_rate": 7e-4,
        "passage_rounds": 6.0, "refusal_share": 0.15,
    },
}  # fmt: skip


def preset(name: str, **overrides: Any) -> TrainingConfig:
    """Return a preset's values, changed by `overrides`.

    Raises:
        InvalidInput: unknown preset, unknown field or impossible value.
    """
    try:
        chosen = Preset(name)
    except ValueError:
        raise InvalidInput(
            f"There is no preset '{name}'. Choose one of: {', '.join(Preset)}."
        ) from None
    return parse_config({"preset": chosen.value, **_PRESETS[chosen], **overrides})


def parse_config(values: dict[str, Any]) -> TrainingConfig:
    """Check values that came from outside.

    Raises:
        InvalidInput: lists every wrong field with its value, what is wrong and its meaning.
    """
    try:
        config = TrainingConfig.model_validate(values)
    except ValidationError as error:
        lines = [_explain(dict(problem)) for problem in error.errors()]
        raise InvalidInput("\n".join(["These settings cannot be used:", *lines])) from None
    if not math.isfinite(config.learning_rate):
        raise InvalidInput(f"learning_rate={config.learning_rate} is not a number.")
    return config


def parse_assignments(texts: list[str]) -> dict[str, str]:
    """Turn `["rank=16", ...]`, as given by `--set`, into fields and values.

    Raises:
        InvalidInput: a text without '='.
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"'{text}' is not of the form name=value, e.g. --set rank=16.")
        pairs[name.strip().replace("-", "_")] = value.strip()
    return pairs


def _explain(problem: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    field = TrainingConfig.model_fields.get(name)
    if field is None:
        return f"  {name}: no such setting. Known: {', '.join(TrainingConfig.model_fields)}."
    return f"  {name}={problem['input']!r}: {problem['msg']}. {field.description}"
