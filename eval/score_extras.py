"""What is looked at beside the measures: how deep the evidence lies, and what a judge says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.errors import InhouseError, Stopped
from core.progress import Progress
from eval import score_depth
from eval.arms import Plan
from eval.judge import Judge, agreement, judgements
from eval.questions import HeldOutQuestion
from eval.records import Records
from eval.runner import Subject

SubjectOf = Callable[[str | None], Subject]


def look_deeper(
    records: Records,
    plan: Plan,
    questions: Sequence[HeldOutQuestion],
    arms: Sequence[dict[str, Any]],
    subject_of: SubjectOf,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Search deep and ask the judge, where that is not stored already.

    A judge that cannot be opened or fails leaves its judgements missing; the evaluation goes on.

    Returns:
        The arms, as stored, with the configuration of the search under `search` and of the judge
        under `judge`, so that scoring finds both again without opening anything.

    Raises:
        Stopped: somebody asked; what is done is kept.
    """
    own = [dict(arm) for arm in arms]
    for arm in own:
        retriever = subject_of(arm["model"]).retriever if _searches(arm) else None
        if retriever is not None:
            arm["search"] = score_depth.configuration(retriever, arm["configuration"])
            score_depth.search_deep(records, retriever, arm["search"], questions)
    if plan.judge:
        asked = _judge(records, plan, questions, own, subject_of, progress)
        own = [{**arm, "judge": asked} for arm in own]
    return own


def _searches(arm: Mapping[str, Any]) -> bool:
    return "rag" in arm["mode"] and not arm["oracle"]


def _judge(
    records: Records,
    plan: Plan,
    questions: Sequence[HeldOutQuestion],
    arms: Sequence[dict[str, Any]],
    subject_of: SubjectOf,
    progress: Progress,
) -> dict[str, Any]:
    try:
        engine = subject_of(plan.judge).engine
        if engine is None:
            return {"judge": plan.judge, "error": "This engine cannot judge."}
        judge = Judge(engine, records)
        judge.grade(questions, arms, progress, plan.batch)
        return judge.configuration
    except Stopped:
        raise
    except InhouseError as error:
        progress.log(f"The judge '{plan.judge}' does not judge: {error.message}")
        return {"judge": plan.judge, "error": error.message}


def add_judgements(
    records: Records,
    questions: Sequence[HeldOutQuestion],
    arms: Sequence[dict[str, Any]],
    scored: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Put the judge's grade into scored rows, None where it is missing.

    Returns:
        For the summary: `judge` (engine, agreement; if there was one), `search_depth` (recall by
        kind and k; if documents were searched).
    """
    found: dict[str, Any] = {}
    judge = arms[0].get("judge")
    if judge is not None:
        grades = {} if "error" in judge else judgements(records, judge, questions, arms)
        for row in scored:
            if row["scores"]:
                row["scores"]["judge"] = grades.get((row["arm"], row["ordinal"]))
        found["judge"] = {**judge, **agreement(scored, grades)}
    searched = next((arm["search"] for arm in arms if "search" in arm), None)
    if searched is not None:
        found["search_depth"] = score_depth.recall(records, searched, questions)
    return found
