"""Opens what an evaluation measures: the assistant of an installation, as employees get it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from assistant.answering import Assistant, refusal_threshold
from assistant.engines.adapter_files import weights_hash
from assistant.engines.base import LanguageModel
from assistant.manifest import AdapterInfo
from assistant.modes import AnswerMode
from assistant.profiles import fitted
from assistant.prompts import QUOTING_VERSION, profile_of
from assistant.quoting import NAME as QUOTATION
from assistant.service import open_model
from assistant.shelf import Shelf
from core.errors import InvalidInput
from core.home import Home
from core.permissions import OPERATOR
from core.settings import Settings
from eval.arms import Arm
from eval.evidence import EvidenceSource
from eval.remembered import remembered
from eval.runner import SearchedOnce, Subject
from retrieval.passages import Quoter
from retrieval.service import Retrieval, open_retrieval


def subjects(home: Home) -> Callable[[str | None], Subject]:
    """Return a function that opens the installation with another engine, once each.

    Only the engine asked for last stays open: two large models may not fit side by side.
    """
    home = fitted(home)
    retrieval = open_retrieval(home)
    opened: dict[str | None, Subject] = {}

    def subject_of(model: str | None) -> Subject:
        if model not in opened:
            opened.clear()
            opened[model] = open_subject(home, retrieval, model)
        return opened[model]

    return subject_of


def open_subject(home: Home, retrieval: Retrieval, model: str | None = None) -> Subject:
    """Open the assistant from the parts that employees' assistant is made of.

    Args:
        home: the installation.
        retrieval: its documents.
        model: overrides the setting of that name.

    Raises:
        SettingsError: the settings want the built-in reader, and it does not serve.
    """
    if model is not None:
        home = fitted(replace(home, settings=_settings_for(model, home.settings)))
        retrieval = retrieval.under(home.settings)
    parts = Parts(open_model(home), retrieval, Shelf(home), home.settings)
    evidence = EvidenceSource(retrieval.library)
    once = remembered(retrieval.retriever)
    return Subject(
        answering=Assistant(parts.engine, retrieval.retriever, parts.shelf, home.settings),
        describe=parts.configuration,
        embed=retrieval.embedder.embed,
        right_passage=evidence.right_passage,
        text_of=evidence.text_of,
        retriever=retrieval.whole,
        engine=parts.engine,
        searched_once=SearchedOnce(Assistant(parts.engine, once, parts.shelf, home.settings), once),
    )


@dataclass(frozen=True)
class Parts:
    """What answers are made by."""

    engine: LanguageModel
    retrieval: Retrieval
    shelf: Shelf
    settings: Settings

    def configuration(self, arm: Arm) -> dict[str, Any]:
        """Everything that an arm's answers depend on.

        Raises:
            InvalidInput: a mode that searches documents where there are none.
            NotFound: an adapter that is not there.
            SettingsError: the settings want the built-in reader, and it does not serve.
        """
        _check_documents(arm.mode, self.retrieval)
        # The adapter first: its absence should be said before a large model is loaded.
        adapter = self._adapter(arm)
        found: dict[str, Any] = {
            "mode": arm.mode.value,
            "model": self.engine.name,
            "prompt_version": self._wording(arm),
            "sampling": {"temperature": 0.0, "max_tokens": self.settings.answer_tokens},
            **adapter,
        }
        return found | self._retrieval(arm) if arm.mode.uses_retrieval else found

    def _adapter(self, arm: Arm) -> dict[str, Any]:
        """The adapter that is on, chosen or the reader, or what answers without a model."""
        if arm.mode is AnswerMode.RAG and self.settings.rag_reader == "quote":
            return {"reader": QUOTATION}
        if (info := self._on(arm)) is None:
            return {}
        kind = "adapter" if arm.mode.uses_adapter else "reader"
        return {kind: info.name, "adapter_hash": weights_hash(info.ref.path)}

    def _wording(self, arm: Arm) -> str:
        """Version of the prompt; that of a reader of quotations is its own."""
        on = self._on(arm)
        quoting = isinstance(self.retrieval.retriever, Quoter) and arm.mode.uses_retrieval
        if on is not None and on.reads_quotations and quoting:
            return QUOTING_VERSION
        return profile_of(self.settings).version

    def _on(self, arm: Arm) -> AdapterInfo | None:
        """The adapter that is on: chosen, or the reader."""
        if arm.mode.uses_adapter and arm.adapter:
            return self.shelf.get(arm.adapter)
        return self.shelf.serving_reader(self.settings) if arm.mode is AnswerMode.RAG else None

    def _retrieval(self, arm: Arm) -> dict[str, Any]:
        settings = self.settings
        found: dict[str, Any] = {
            "index_version": self.retrieval.retriever.version,
            "embedder": self.retrieval.embedder.name,
            "passages": settings.passages,
            "evidence_tokens": settings.evidence_tokens,
            "refusal_threshold": refusal_threshold(settings, self.retrieval.retriever),
            "oracle": arm.oracle,
        }
        if settings.evidence_finder != "off":
            found["finder_tokens"] = settings.finder_tokens
        return found


def _settings_for(model: str, settings: Settings) -> Settings:
    """The settings with another engine; the reader belongs to the installation's own."""
    other = {} if model == settings.model else {"rag_reader": "off"}
    return settings.model_copy(update={"model": model, **other})


def _check_documents(mode: AnswerMode, retrieval: Retrieval) -> None:
    if mode.uses_retrieval and retrieval.library.count(OPERATOR) == 0:
        raise InvalidInput(
            f"The mode '{mode.value}' searches documents, and the workspace holds none. "
            "Ingest some with `python -m retrieval ingest PATH`, or leave this mode out."
        )
