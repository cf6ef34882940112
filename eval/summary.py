"""All figures of an evaluation from its scored rows: pure, deterministic, JSON.

Figures of one configuration are the same every time, except those under `timing`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from assistant.modes import AnswerMode
from eval import statistics
from eval.cost import Rates
from eval.diagnosis import CAUSES, Diagnosis
from eval.grading import RULE
from eval.records import EvaluatedRow
from eval.scoring import COMPARED, MEASURES, Measure
from eval.statistics import Estimate

FORMAT = 1
"""Version of the JSON report; raised when a field changes its meaning or goes away."""

Rows = Sequence[EvaluatedRow]


def summarise(rows: Rows, arms: Sequence[str]) -> dict[str, Any]:
    """Tables, pairs, causes and curves.

    Args:
        rows: every scored row of the evaluation.
        arms: names in the order of the report; those with '+oracle' are not in the pairs.
    """
    by_arm = {arm: [row for row in rows if row.arm == arm] for arm in arms}
    paired = [arm for arm in arms if "+oracle" not in arm]
    kinds = sorted({row.question.kind for row in rows}, key=list(_kinds(rows)).index)
    tags = sorted({tag for row in rows for tag in row.question.tags})
    return {
        "grading_rule": RULE,
        "modes": {arm: table(by_arm[arm]) for arm in arms},
        "by_kind": {
            kind.value: _sliced(by_arm, lambda row, kind=kind: row.question.kind is kind)
            for kind in kinds
        },
        "by_tag": {
            tag: _sliced(by_arm, lambda row, tag=tag: tag in row.question.tags) for tag in tags
        },
        "pairs": pairs({arm: by_arm[arm] for arm in paired}),
        "failures": {arm: causes(by_arm[arm]) for arm in arms},
        "risk_coverage": {arm: risk_coverage(by_arm[arm]) for arm in arms},
        "counts": counts(rows),
    }


def _kinds(rows: Rows) -> dict[Any, None]:
    return dict.fromkeys(row.question.kind for row in rows)


def _sliced(by_arm: Mapping[str, Rows], wanted: Callable[..., bool]) -> dict[str, Any]:
    return {arm: table([row for row in rows if wanted(row)]) for arm, rows in by_arm.items()}


def answered(rows: Iterable[EvaluatedRow]) -> list[EvaluatedRow]:
    """Rows the engine did not fail on."""
    return [row for row in rows if not row.error]


def counts(rows: Rows) -> dict[str, int]:
    """Questions, facts and rows; failed rows are in no other figure."""
    return {
        "questions": len({row.ordinal for row in rows}),
        "facts": len({row.question.fact_id for row in rows}),
        "rows": len(rows),
        "failed": sum(bool(row.error) for row in rows),
    }


def table(rows: Rows) -> dict[str, dict[str, Any]]:
    """Every measure of one arm with its 95% interval."""
    figures = {measure.key: estimate(rows, measure).as_json() for measure in MEASURES}
    return figures | {
        "paraphrase_consistency": consistency(rows).as_json(),
        "calibration_error": calibration(rows).as_json(),
    }


def estimate(rows: Rows, measure: Measure) -> Estimate:
    """One figure: Wilson for right or wrong, bootstrap over facts for grades."""
    values, facts = _values(rows, measure.key)
    if measure.proportion:
        return statistics.wilson(round(sum(values)), len(values))
    return statistics.clustered_mean(values, facts)


def _values(rows: Rows, key: str) -> tuple[list[float], list[str]]:
    kept = [row for row in answered(rows) if row.scores.get(key) is not None]
    return [float(row.scores[key]) for row in kept], [row.question.fact_id for row in kept]


def consistency(rows: Rows) -> Estimate:
    """Share of facts, asked in several wordings, that are always right or always wrong."""
    by_fact: dict[str, list[bool]] = {}
    for row in answered(rows):
        by_fact.setdefault(row.question.fact_id, []).append(bool(row.scores["correct"]))
    several = [results for results in by_fact.values() if len(results) > 1]
    return statistics.wilson(sum(len(set(results)) == 1 for results in several), len(several))


def calibration(rows: Rows) -> Estimate:
    """Expected calibration error of the mean token probability; no interval."""
    kept = [row for row in answered(rows) if row.scores["confidence"] is not None]
    error = statistics.calibration_error(
        [row.scores["confidence"] for row in kept], [bool(row.scores["correct"]) for row in kept]
    )
    return Estimate(error, None, None, len(kept))


def risk_coverage(rows: Rows) -> list[list[float]]:
    """Points [coverage, share wrong], most confident answers first; at most 50."""
    kept = [row for row in answered(rows) if row.scores["confidence"] is not None]
    points = statistics.risk_coverage(
        [row.scores["confidence"] for row in kept], [bool(row.scores["correct"]) for row in kept]
    )
    step = max(1, -(-len(points) // 50))
    return [[round(x, 6), round(y, 6)] for x, y in points[step - 1 :: step]]


def causes(rows: Rows) -> dict[str, dict[str, int]]:
    """Number of wrong answers by cause, over all questions and by kind."""
    table: dict[str, dict[str, int]] = {}
    slices = ["all", *_kinds(rows)]
    for name in slices:
        within = [r for r in rows if name in ("all", r.question.kind)]
        found = Counter(row.diagnosis for row in within)
        table[str(name)] = {str(cause): found[cause] for cause in (*CAUSES, Diagnosis.FAILED)}
    return table


def pairs(by_arm: Mapping[str, Rows]) -> list[dict[str, Any]]:
    """Every two arms on the questions both answered, Holm-corrected within each measure."""
    tested = [compare(by_arm[a], by_arm[b]) | {"first": a, "second": b}
              for a, b in combinations(by_arm, 2)]  # fmt: skip
    for measure in COMPARED:
        corrected = statistics.holm([pair["measures"][measure]["p"] for pair in tested])
        for pair, p in zip(tested, corrected, strict=True):
            figures = pair["measures"][measure]
            figures["p_holm"] = round(p, 6)
            figures["shown"] = p < statistics.ALPHA
    return tested


def compare(first: Rows, second: Rows) -> dict[str, Any]:
    """Differences first minus second, wins and losses by question, smallest visible difference."""
    others = {row.ordinal: row for row in answered(second)}
    both = [(row, others[row.ordinal]) for row in answered(first) if row.ordinal in others]
    return {
        "measures": {key: _difference(both, key) for key in COMPARED},
        "wins": [a.ordinal for a, b in both if a.scores["correct"] > b.scores["correct"]],
        "losses": [a.ordinal for a, b in both if a.scores["correct"] < b.scores["correct"]],
    }


def _difference(both: Sequence[tuple[EvaluatedRow, EvaluatedRow]], key: str) -> dict[str, Any]:
    kept = [
        (float(a.scores[key]), float(b.scores[key]), a.question.fact_id)
        for a, b in both
        if a.scores.get(key) is not None and b.scores.get(key) is not None
    ]
    facts = [fact for _, _, fact in kept]
    gaps = [a - b for a, b, _ in kept]
    found, p = statistics.paired_bootstrap(gaps, facts)
    figures: dict[str, Any] = {"difference": found.as_json(), "effect": _dz(gaps)}
    if next(m for m in MEASURES if m.key == key).proportion:
        wins, losses, p = statistics.mcnemar(
            [a > 0 for a, _, _ in kept], [b > 0 for _, b, _ in kept]
        )
        if len(set(facts)) < len(facts):
            p = max(p, statistics.cluster_sign_flip(gaps, facts))
        discordant = (wins + losses) / len(kept) if kept else 0.0
        figures |= {
            "wins": wins,
            "losses": losses,
            "effect": _cohens_g(wins, losses),
            "detectable": _rounded(statistics.detectable_difference(len(kept), discordant)),
            "needed": statistics.questions_needed(found.value or 0.0, discordant),
        }
    return figures | {"p": round(p, 6)}


def _dz(gaps: Sequence[float]) -> float | None:
    """Cohen's d of paired differences: mean over standard deviation; None where all are equal."""
    if len(gaps) < 2:
        return None
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)) ** 0.5
    # Equal differences leave a spread of rounding errors, not of nothing.
    return round(mean / spread, 6) if spread > 1e-9 else None


def _cohens_g(wins: int, losses: int) -> float | None:
    """Cohen's g: how far the share of wins among the discordant is from one half."""
    return round(wins / (wins + losses) - 0.5, 6) if wins + losses else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def timing(
    batch: Mapping[str, Rows], streamed: Mapping[str, Sequence[Mapping[str, Any]]], rates: Rates
) -> dict[str, dict[str, Any]]:
    """How long answers take, by arm: the only figures that differ between equal evaluations.

    Args:
        batch: rows by arm.
        streamed: answers asked one by one, by arm; where there are none, times of the batches
            are given, which are shares of a batch and not what a person waits.
        rates: of the machine; what is not given is left out.
    """
    figures = {}
    for arm, rows in batch.items():
        alone = [answer["timing"] for answer in streamed.get(arm, [])]
        in_batch = [row.answer["timing"] for row in answered(rows) if row.answer]
        taken = alone or in_batch
        totals = [one["total_s"] for one in taken]
        mean = sum(one["total_s"] for one in in_batch) / len(in_batch) if in_batch else 0.0
        figures[arm] = {
            "measured": "one by one" if alone else "in batches",
            "n": len(taken),
            "latency_p50_s": statistics.quantile(totals, 0.5),
            "latency_p95_s": statistics.quantile(totals, 0.95),
            "first_token_p50_s": statistics.quantile([t["first_token_s"] for t in taken], 0.5),
            "search_p50_s": statistics.quantile([t["search_s"] for t in taken], 0.5),
            "seconds_per_question_in_batch": mean,
            "peak_memory_mb": max((t["peak_memory_mb"] for t in in_batch if "peak_memory_mb" in t),
                                  default=None),
            **rates.of(mean),
        }  # fmt: skip
    return figures


def is_oracle(arm: str) -> bool:
    """Whether an arm was given the right passage."""
    return "+oracle" in arm


def mode_of(arm: str) -> AnswerMode:
    """The mode in an arm's name."""
    return AnswerMode(re.split("[@#+]", arm, maxsplit=1)[0])
