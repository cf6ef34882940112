"""What is compared: a mode, with an adapter, on an engine, perhaps with the right passage given."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.modes import AnswerMode
from core.errors import InvalidInput
from eval.cost import Rates

MODES = tuple(AnswerMode)
RATES = {
    "price_per_hour": "The price of an hour",
    "watts": "The power in watts",
    "price_per_kwh": "The price of a kilowatt-hour",
}
"""Fields of a plan that are rates, and what people call them."""


@dataclass(frozen=True)
class Arm:
    """One column of the table."""

    mode: AnswerMode
    adapter: str | None = None
    oracle: bool = False
    """The passage that holds the evidence is put before the model instead of a search's result."""
    model: str | None = None
    """Another engine than the installation's; None: its own."""
    name: str = ""
    """Key in reports: the mode, with '@adapter', '+oracle', '#model' where that tells apart."""

    @property
    def label(self) -> str:
        """Name shown to people."""
        return self.mode.label + self.name.removeprefix(self.mode.value).replace(
            "+oracle", " (right passage given)"
        )


@dataclass(frozen=True)
class Plan:
    """What an evaluation shall do. JSON in the database, so that a job can pick it up."""

    modes: tuple[AnswerMode, ...] = MODES
    adapters: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Engines to compare, as in the setting `model`; empty: the installation's."""
    oracle: bool = False
    limit: int | None = None
    batch: int = 96
    latency_sample: int = 5
    """Questions per arm that are also asked one by one, as a person would, to time them."""
    repeat: int = 0
    """Not 0: answer anew instead of taking answers of an earlier evaluation."""
    documents_change: bool = True
    """Facts change between trainings: counts for retrieval in the recommendation."""
    permissions: bool = True
    """Not everybody may read everything: an adapter cannot keep that apart."""
    price_per_hour: float = 0.0
    """What the machine costs; 0: costs are not reported."""
    watts: float = 0.0
    """Power of the machine while it answers; 0: energy is not estimated."""
    price_per_kwh: float = 0.0
    """Of the energy; 0: only the machine's hours are priced."""
    judge: str = ""
    """Engine, as in the setting `model`, that grades answers beside the measures; empty: none."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.modes:
            raise InvalidInput("No mode is given. Name some of: " + ", ".join(MODES) + ".")
        needs = [mode.value for mode in self.modes if mode.uses_adapter]
        if needs and not self.adapters:
            raise InvalidInput(
                f"The modes {', '.join(needs)} need an adapter, and none is given. "
                "Name one with --adapter, or leave these modes out."
            )
        if self.limit is not None and self.limit < 1:
            raise InvalidInput(f"The limit is {self.limit}. Give a number of questions from 1 up.")
        for name, what in RATES.items():
            given = getattr(self, name)
            if not 0 <= given < math.inf:
                raise InvalidInput(f"{what} is {given:g}. Give a number from 0 up; 0: not given.")
        if self.batch < 1:
            raise InvalidInput(f"The batch is {self.batch}. Give a number of questions from 1 up.")

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return {**self.__dict__, "modes": [m.value for m in self.modes],
                "adapters": list(self.adapters), "models": list(self.models)}  # fmt: skip

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> "Plan":
        """The opposite of `as_json`."""
        lists = {"modes": parse_modes(row["modes"]), "adapters": tuple(row["adapters"]),
                 "models": tuple(row["models"])}  # fmt: skip
        return Plan(**{**row, **lists})

    @property
    def rates(self) -> Rates:
        """What the machine takes and costs."""
        return Rates(self.price_per_hour, self.watts, self.price_per_kwh)

    def arms(self) -> list[Arm]:
        """Every column, in the order of the report."""
        arms = []
        for model in self.models or (None,):
            mark = f"#{model}" if model and len(self.models) > 1 else ""
            for mode in self.modes:
                for adapter in self._adapters(mode):
                    at = f"@{adapter}" if adapter and len(self.adapters) > 1 else ""
                    name = f"{mode.value}{at}{mark}"
                    arms.append(Arm(mode, adapter, model=model, name=name))
                    if self.oracle and mode.uses_retrieval:
                        arms.append(Arm(mode, adapter, True, model, f"{name}+oracle"))
        return arms

    def _adapters(self, mode: AnswerMode) -> Sequence[str | None]:
        return self.adapters if mode.uses_adapter else (None,)


def parse_modes(names: Sequence[str]) -> tuple[AnswerMode, ...]:
    """Turn names into modes, without repeats, in the order of the product.

    Raises:
        InvalidInput: an unknown name.
    """
    for name in names:
        if name not in list(AnswerMode):
            raise InvalidInput(f"The mode '{name}' is unknown. Use some of: {', '.join(MODES)}.")
    return tuple(mode for mode in MODES if mode in names)


def digest(content: Any) -> str:
    """SHA-256 of anything that is JSON."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
