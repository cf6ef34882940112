"""Stand-ins for the heavy seams: small classes that behave, not patches."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from assistant.engines.base import AdapterRef, Generation, Sampling, never
from assistant.modes import Message
from core.errors import Stopped
from core.permissions import Reader
from core.progress import Silent
from retrieval.passages import Array, Passage


class HashingEmbedder:
    """Bag of hashed words: texts that share words are near, without any model."""

    name = "hashing-64"
    dimension = 64

    def embed(self, texts: Sequence[str]) -> Array:
        """Return (n, 64) unit rows."""
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.strip(".,?!").encode()) % self.dimension] += 1.0
        rows[:, 0] += 1e-3
        unit: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())


@dataclass
class ScriptedModel:
    """Answers by a function of the last user message; counts words as tokens."""

    reply: Callable[[str, AdapterRef | None], str] = lambda text, adapter: "I don't know."
    name: str = "scripted"
    context_tokens: int = 2048
    seen: list[tuple[Message, ...]] = field(default_factory=list)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Words plus one a message."""
        return sum(len(m.content.split()) + 1 for m in messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """Yield the reply word by word."""
        self.seen.append(tuple(messages))
        words = self.reply(messages[-1].content, adapter).split(" ")[: sampling.max_tokens]
        for number, word in enumerate(words):
            if cancelled():
                return
            yield word if number == 0 else f" {word}"

    def generate_batch(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> list[Generation]:
        """Answer each as `stream` would."""
        results = []
        for messages in prompts:
            if cancelled():
                raise Stopped("stopped")
            pieces = list(self.stream(messages, adapter=adapter, sampling=sampling))
            cut = len(pieces) >= sampling.max_tokens
            results.append(
                Generation("".join(pieces), self.count_tokens(messages), len(pieces), cut, -0.5)
            )
        return results


@dataclass
class ListRetriever:
    """Returns the passages it was given that share a word with the query."""

    passages: list[Passage]
    version: str = "1"
    threshold: float = 0.0

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        """Return matches in the given order."""
        words = set(query.lower().split())
        return [p for p in self.passages if words & set(p.text.lower().split())][:limit]


class StopsAfterReports(Silent):
    """Somebody who asks to stop once `reports` of progress have come."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        self.left -= 1

    def stop_requested(self) -> bool:
        return self.left <= 0
