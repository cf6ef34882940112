"""The seam between answering and whatever runs a language model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from assistant.modes import Message


@dataclass(frozen=True)
class AdapterRef:
    """A trained LoRA on disk."""

    name: str
    path: Path
    """Folder with adapter_config.json and adapter_model.safetensors."""
    hash: str
    """SHA-256 of the weights: two adapters of one name are told apart by it."""


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Greedy unless a temperature is given."""

    max_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Generation:
    """One text of a batch."""

    text: str
    prompt_tokens: int
    answer_tokens: int
    cut_off: bool
    """`max_tokens` was reached before the model ended its turn."""
    mean_logprob: float | None = None
    """Mean log-probability of the generated tokens, where the engine knows it."""


def never() -> bool:
    """The `cancelled` of work nobody can stop."""
    return False


@runtime_checkable
class Loadable(Protocol):
    """What takes long to load and can do so ahead of the first question."""

    def load(self, adapter: AdapterRef | None) -> None:
        """Bring the model and `adapter` into memory, ready to answer."""


class LanguageModel(Protocol):
    """Runs prompts. Safe to call from several threads, each with its own adapter."""

    @property
    def name(self) -> str:
        """Identity of model, weights, dtype and quantisation, for provenance."""

    @property
    def context_tokens(self) -> int:
        """Longest prompt plus answer."""

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, the opening of the answer's turn included."""

    def stream(
        self,
        messages: Sequence[Message],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """Yield pieces of text. Ends within a token of `cancelled()` turning true.

        Raises:
            AdapterError: the adapter is missing, damaged, or made for another model.
        """

    def generate_batch(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> list[Generation]:
        """Answer all prompts, in order; the same texts as `stream` would give under greedy.

        Raises:
            Stopped: `cancelled()` turned true; it is asked between tokens. Nothing is kept.
            AdapterError: the adapter is missing, damaged, or made for another model.
        """
