"""Opens what an evaluation measures: the assistant of an installation, as employees get it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assistant.answering import Assistant
from assistant.engines.adapter_files import weights_hash
from assistant.modes import AnswerMode
from assistant.prompts import PROMPT_VERSION
from assistant.service import open_model
from assistant.shelf import Shelf
from core.errors import InvalidInput
from core.home import Home
from core.permissions import OPERATOR
from eval.arms import Arm
from eval.evidence import EvidenceSource
from eval.runner import Subject
from retrieval.service import Retrieval, open_retrieval


def subjects(home: Home) -> Callable[[str | None], Subject]:
    """Return a function that opens the installation with another engine, once each.

    Only the engine asked for last stays open: two large models may not fit side by side.
    """
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
    """
    if model is not None:
        home = replace(home, settings=home.settings.model_copy(update={"model": model}))
    shelf = Shelf(home)
    engine = open_model(home)

    def describe(arm: Arm) -> dict[str, Any]:
        _check_documents(arm.mode, retrieval)
        settings = home.settings
        # The adapter first: its absence should be said before a large model is loaded.
        info = shelf.get(arm.adapter) if arm.mode.uses_adapter and arm.adapter else None
        configuration: dict[str, Any] = {
            "mode": arm.mode.value,
            "model": engine.name,
            "prompt_version": PROMPT_VERSION,
            "sampling": {"temperature": 0.0, "max_tokens": settings.answer_tokens},
        }
        if info is not None:
            configuration |= {"adapter": info.name, "adapter_hash": weights_hash(info.ref.path)}
        if arm.mode.uses_retrieval:
            configuration |= {
                "index_version": retrieval.retriever.version,
                "embedder": retrieval.embedder.name,
                "passages": settings.passages,
                "evidence_tokens": settings.evidence_tokens,
                "refusal_threshold": settings.refusal_threshold,
                "oracle": arm.oracle,
            }
            if settings.evidence_finder != "off":
                configuration["finder_tokens"] = settings.finder_tokens
        return configuration

    evidence = EvidenceSource(retrieval.library)
    return Subject(
        answering=Assistant(engine, retrieval.retriever, shelf, home.settings),
        describe=describe,
        embed=retrieval.embedder.embed,
        right_passage=evidence.right_passage,
        text_of=evidence.text_of,
        retriever=retrieval.retriever,
        engine=engine,
    )


def _check_documents(mode: AnswerMode, retrieval: Retrieval) -> None:
    if mode.uses_retrieval and retrieval.library.count(OPERATOR) == 0:
        raise InvalidInput(
            f"The mode '{mode.value}' searches documents, and the workspace holds none. "
            "Ingest some with `python -m retrieval ingest PATH`, or leave this mode out."
        )
