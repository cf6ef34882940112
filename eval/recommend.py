"""Which mode to use: a rule that can be read, with the figures that carried it.

1. Fewer than `ENOUGH` questions, or no answerable ones: the recommendation is withheld.
2. The best arm handles less than `USEFUL` of the questions rightly: nothing works yet.
3. Otherwise: of the arms within `MARGIN` of the best one and not shown to be worse than it, the
   simplest. Simple is, in this order: no retrieval and no adapter; documents alone; both; an
   adapter alone, which comes last while documents change or permissions differ, because it
   answers from the day it was trained and to everybody alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.modes import AnswerMode
from eval.arms import Plan
from eval.diagnosis import CAUSES, Diagnosis
from eval.summary import is_oracle, mode_of

ENOUGH = 30
USEFUL = 0.5
MARGIN = 0.05
MEASURE = "correct"


@dataclass(frozen=True)
class Recommendation:
    """The verdict in sentences."""

    verdict: str
    """'use', 'nothing works yet' or 'withheld'."""
    arm: str | None
    headline: str
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "verdict": self.verdict,
            "arm": self.arm,
            "headline": self.headline,
            "reasons": list(self.reasons),
            "would_change": list(self.would_change),
        }


def recommend(summary: Mapping[str, Any], plan: Plan) -> Recommendation:
    """Apply the rule to the figures of `eval.summary.summarise`."""
    arms = {
        arm: table[MEASURE]
        for arm, table in summary["modes"].items()
        if not is_oracle(arm) and table[MEASURE]["n"]
    }
    if not arms:
        return Recommendation(
            "withheld", None, "No recommendation: no question was answered.",
            ("Every row failed; the report lists why.",), ("An engine that answers.",),
        )  # fmt: skip
    best = max(arms, key=lambda arm: (arms[arm]["value"], -simplicity(arm, plan)))
    count = min(figure["n"] for figure in arms.values())
    if count < ENOUGH:
        return _withheld(arms, best, count)
    if arms[best]["value"] < USEFUL:
        return _nothing(summary, arms, best)
    chosen = _choose(summary, arms, best, plan)
    return Recommendation(
        "use",
        chosen,
        f"Use “{label(chosen)}”: {_figure(arms[chosen])} of the questions handled rightly.",
        (*_reasons(summary, arms, chosen, best), *_conditions(chosen, plan)),
        _changes(summary, chosen, best),
    )


def label(arm: str) -> str:
    """An arm's name for people."""
    mode = mode_of(arm)
    return mode.label + arm.removeprefix(mode.value).replace("+oracle", " (right passage given)")


def simplicity(arm: str, plan: Plan) -> int:
    """0 is simplest."""
    adapter_alone = 3 if plan.documents_change or plan.permissions else 1
    both = 2 if adapter_alone == 3 else 3
    order = {
        AnswerMode.BASE: 0,
        AnswerMode.RAG: 1 if adapter_alone == 3 else 2,
        AnswerMode.TUNED_RAG: both,
        AnswerMode.TUNED: adapter_alone,
    }
    return order[mode_of(arm)]


def _choose(summary: Mapping[str, Any], arms: Mapping[str, Any], best: str, plan: Plan) -> str:
    near = [
        arm
        for arm in arms
        if arms[best]["value"] - arms[arm]["value"] <= MARGIN
        and not difference(summary, best, arm)["shown"]
    ]
    return min([*near, best], key=lambda arm: (simplicity(arm, plan), -arms[arm]["value"]))


def difference(summary: Mapping[str, Any], first: str, second: str) -> dict[str, Any]:
    """The tested difference of two arms, first minus second, whichever way it is stored."""
    if first == second:
        return {"value": 0.0, "low": 0.0, "high": 0.0, "p_holm": 1.0, "shown": False,
                "detectable": None, "needed": None}  # fmt: skip
    for pair in summary["pairs"]:
        if {pair["first"], pair["second"]} == {first, second}:
            tested = pair["measures"][MEASURE]
            found = tested["difference"]
            rest = {key: tested[key] for key in ("p_holm", "shown", "detectable", "needed")}
            if pair["first"] == first or found["value"] is None:
                return {**found, **rest}
            low, high = (None if found[end] is None else -found[end] for end in ("high", "low"))
            return {"value": -found["value"], "low": low, "high": high, **rest}
    raise KeyError(f"{first} and {second} were not compared")


def _withheld(arms: Mapping[str, Any], best: str, count: int) -> Recommendation:
    return Recommendation(
        "withheld",
        None,
        f"No recommendation: {count} questions are too few to tell the modes apart.",
        (
            f"The best so far is “{label(best)}” with {_figure(arms[best])}.",
            f"A recommendation needs at least {ENOUGH} questions that every mode answered.",
        ),
        (f"At least {ENOUGH} questions; about 200 to see differences of 10 points.",),
    )


def _nothing(summary: Mapping[str, Any], arms: Mapping[str, Any], best: str) -> Recommendation:
    return Recommendation(
        "nothing works yet",
        None,
        f"Nothing works yet: the best mode handles {_figure(arms[best])} of the questions rightly.",
        (
            f"“{label(best)}” is best and stays below {_percent(USEFUL)}, "
            "the least that is worth putting before people.",
            *_main_cause(summary, best),
        ),
        _changes(summary, best, best),
    )


def _reasons(
    summary: Mapping[str, Any], arms: Mapping[str, Any], chosen: str, best: str
) -> list[str]:
    lines = []
    if chosen != best:
        gap = difference(summary, best, chosen)
        lines.append(
            f"“{label(best)}” is {_points(gap['value'])} better here, a difference this set does "
            f"not show to be real (p = {gap['p_holm']:.2g}); “{label(chosen)}” is simpler."
        )
    for arm in arms:
        if arm not in (chosen, best):
            lines.append(_against(summary, chosen, arm))
    if mode_of(chosen) is AnswerMode.BASE:
        lines.append("Prompting is enough: neither documents nor an adapter is shown to help.")
    wrong = _wrong_share(summary, chosen)
    lines.append(f"{_percent(wrong)} of its answers state something wrong.")
    return [*lines, *_main_cause(summary, chosen)]


def _against(summary: Mapping[str, Any], chosen: str, arm: str) -> str:
    gap = difference(summary, chosen, arm)
    size = f"{_points(abs(gap['value']))} {'better' if gap['value'] >= 0 else 'worse'}"
    if gap["shown"]:
        span = f"{_points(gap['low'])} to {_points(gap['high'])}" if gap["low"] is not None else "-"
        return f"It is {size} than “{label(arm)}” (95%: {span}; p = {gap['p_holm']:.2g})."
    return f"No difference shown to “{label(arm)}” ({size}; p = {gap['p_holm']:.2g})."


def _conditions(chosen: str, plan: Plan) -> list[str]:
    mode = mode_of(chosen)
    lines = []
    if mode.uses_retrieval and plan.documents_change:
        lines.append("A changed document counts from its next ingest, without training.")
    if mode is AnswerMode.TUNED:
        lines.append("It answers from the day of its training; train again when facts change.")
    if mode.uses_adapter and plan.permissions:
        lines.append(
            "Whatever the adapter was trained on, everybody can ask for: train it on documents "
            "that are open to all."
        )
    return lines


def _wrong_share(summary: Mapping[str, Any], arm: str) -> float:
    """Neither right nor a refusal."""
    table = summary["modes"][arm]
    wrong = 1.0 - float(table[MEASURE]["value"])
    refused, answerable = table["false_refusals"], int(table["accuracy"]["n"])
    share = float(refused["value"] or 0.0) * answerable / int(table[MEASURE]["n"])
    return max(0.0, wrong - share)


def _main_cause(summary: Mapping[str, Any], arm: str) -> list[str]:
    found = {cause: summary["failures"][arm]["all"][cause] for cause in CAUSES}
    total = sum(found.values())
    if not total:
        return []
    cause = max(found, key=lambda one: found[one])
    meaning = Diagnosis(cause).meaning.rstrip(".")
    return [f"Of its {total} wrong answers {found[cause]} are a {cause}: {meaning.lower()}."]


def _changes(summary: Mapping[str, Any], chosen: str, best: str) -> tuple[str, ...]:
    lines = []
    for arm, table in summary["modes"].items():
        if is_oracle(arm) and table["accuracy"]["value"] is not None:
            plain = summary["modes"][arm.replace("+oracle", "")]["accuracy"]
            lines.append(
                f"A better retriever: with perfect retrieval “{label(arm.replace('+oracle', ''))}” "
                f"would answer {_percent(table['accuracy']['value'])} of the answerable questions "
                f"instead of {_percent(plain['value'])}."
            )
    if chosen != best:
        needed = difference(summary, best, chosen)["needed"]
        if needed:
            lines.append(
                f"More questions: about {needed} would show the difference to “{label(best)}”, "
                "if it is as large as here."
            )
    lines.append("Other questions: the verdict holds for questions like these, no others.")
    return tuple(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _points(gap: float) -> str:
    return f"{100 * gap:.1f} points"


def _figure(figure: Mapping[str, Any]) -> str:
    low, high = _percent(figure["low"]), _percent(figure["high"])
    return f"{_percent(figure['value'])} (95%: {low} to {high})"


def detectable_lines(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each pair, what this set could have shown."""
    lines = []
    for pair in pairs:
        tested = pair["measures"][MEASURE]
        smallest = tested["detectable"]
        shown = "nothing, whatever its size" if smallest is None else f"{_points(smallest)} or more"
        lines.append(f"{label(pair['first'])} / {label(pair['second'])}: {shown}")
    return lines
