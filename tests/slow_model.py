"""A language model that takes its time: it says a word now and then until it is told to end."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from assistant.engines.base import AdapterRef, Sampling, never
from assistant.modes import Message
from tests.fakes import ScriptedModel

PAUSE = 0.02
"""Seconds between words."""


@dataclass
class SlowModel(ScriptedModel):
    """Says numbered words until `end` is set; a question with "fail" in it raises `fault`."""

    end: threading.Event = field(default_factory=threading.Event)
    fault: Exception = field(default_factory=lambda: KeyError("unforeseen"))
    begun: list[str] = field(default_factory=list)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """Yield words; ends within one of `cancelled()` turning true."""
        question = messages[-1].content
        self.begun.append(question)
        number = 0
        while not cancelled():
            number += 1
            yield f"word{number} "
            if "fail" in question:
                raise self.fault
            if self.end.is_set():
                return
            time.sleep(PAUSE)
