"""Puts the package together for pages, commands and jobs."""

from collections.abc import Callable, Iterator, Sequence

from assistant.answering import Assistant, Question
from assistant.engines.base import AdapterRef, Generation, LanguageModel, Sampling, never
from assistant.engines.source import locate_model
from assistant.modes import Message
from assistant.shelf import Shelf
from core.home import Home
from core.loading import Loading
from retrieval.service import Retrieval

__all__ = ["Assistant", "LazyModel", "Question", "open_assistant", "open_model"]


class LazyModel:
    """Loads the model when it is first needed, once, whichever thread comes first."""

    def __init__(self, load: Callable[[], LanguageModel], loading: Loading | None = None) -> None:
        """`load` makes the model, under the lock of `loading`."""
        self._loaded = (loading or Loading()).once(load)

    @property
    def name(self) -> str:
        """Identity of model, weights, dtype and quantisation, for provenance."""
        return self._loaded().name

    @property
    def context_tokens(self) -> int:
        """Longest prompt plus answer."""
        return self._loaded().context_tokens

    def load(self, adapter: AdapterRef | None) -> None:
        """Say one word, as `Loadable.load`: the first pass loads the last of what it needs."""
        hello = [Message("user", "Hello")]
        for _ in self.stream(hello, adapter=adapter, sampling=Sampling(1)):
            pass

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, the opening of the answer's turn included."""
        return self._loaded().count_tokens(messages)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """Yield pieces of text, as `LanguageModel.stream`."""
        return self._loaded().stream(
            messages, adapter=adapter, sampling=sampling, cancelled=cancelled
        )

    def generate_batch(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> list[Generation]:
        """Answer all prompts, as `LanguageModel.generate_batch`."""
        return self._loaded().generate_batch(
            prompts, adapter=adapter, sampling=sampling, cancelled=cancelled
        )


def open_model(home: Home) -> LanguageModel:
    """Return the language model of `home`; it loads on first use.

    Raises:
        EngineError: on first use, when it cannot be loaded; with the remedy.
    """

    def load() -> LanguageModel:
        source = locate_model(home.settings, home.workspace)
        from assistant.engines.transformers_engine import TransformersModel

        return TransformersModel(source, home.settings)

    return LazyModel(load, home.loading)


def open_assistant(home: Home, retrieval: Retrieval) -> Assistant:
    """Compose the assistant of an installation; the model loads at its first answer.

    Raises:
        SettingsError: the settings want the built-in reader, and it does not serve.
    """
    return Assistant(open_model(home), retrieval.retriever, Shelf(home), home.settings)
