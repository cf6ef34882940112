"""The vocabulary of answering: modes, messages, answers, events."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from retrieval.passages import Passage


class AnswerMode(StrEnum):
    """A mode is two switches: search documents or not, use an adapter or not."""

    BASE = "base"
    RAG = "rag"
    TUNED = "tuned"
    TUNED_RAG = "tuned_rag"

    @property
    def uses_retrieval(self) -> bool:
        """Whether documents are searched."""
        return self in (AnswerMode.RAG, AnswerMode.TUNED_RAG)

    @property
    def uses_adapter(self) -> bool:
        """Whether the fine-tuned adapter is on."""
        return self in (AnswerMode.TUNED, AnswerMode.TUNED_RAG)

    @property
    def label(self) -> str:
        """Name shown to people."""
        return _LABELS[self]


_LABELS = {
    AnswerMode.BASE: "Base model",
    AnswerMode.RAG: "Documents",
    AnswerMode.TUNED: "Fine-tuned",
    AnswerMode.TUNED_RAG: "Fine-tuned + documents",
}


@dataclass(frozen=True)
class Message:
    """One turn, in the chat-template sense."""

    role: Literal["system", "user", "assistant"]
    content: str
    documents: frozenset[int] = field(default=frozenset(), compare=False)
    """Of an earlier answer: the documents it was made from, which the next one inherits."""


@dataclass(frozen=True)
class Timing:
    """Where the time of an answer went. Seconds from the question's arrival; counts of tokens."""

    search_s: float
    first_token_s: float
    total_s: float
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Answer:
    """A finished answer."""

    text: str
    mode: AnswerMode
    passages: tuple[Passage, ...]
    """What the prompt held, in the order of their numbers; empty without retrieval."""
    cited: tuple[int, ...]
    """Numbers (from 1) of the passages that the text cites and that exist."""
    adapter: str | None
    provenance: dict[str, Any] = field(default_factory=dict)
    """model, adapter_hash, index_version, prompt_version, sampling, query, refused: JSON only."""
    timing: Timing = Timing(0.0, 0.0, 0.0, 0, 0)
    cut_off: bool = False
    """The longest allowed answer was reached, or a person stopped it."""
    inherited: frozenset[int] = frozenset()
    """Documents behind the earlier turns that the prompt held."""

    @property
    def documents(self) -> frozenset[int]:
        """All that the prompt held words of: who reads this must be allowed to read each."""
        return self.inherited | {passage.document_id for passage in self.passages}


@dataclass(frozen=True)
class PassagesFound:
    """Search is over; comes before the first word, in modes with retrieval."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True)
class AnswerFinished:
    """The last event of a stream."""

    answer: Answer


AnswerEvent: TypeAlias = PassagesFound | TextDelta | AnswerFinished
