"""The report of an evaluation: JSON for programs, Markdown for tickets, HTML for people."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.workspace import write_atomically
from eval.diagnosis import CAUSES
from eval.formatting import (
    COST_NOTE,
    COSTS,
    DEPTH_NOTE,
    cost,
    figure,
    headline,
    judge_line,
    reading_line,
    shown_measures,
)
from eval.recommend import detectable_lines, label
from eval.records import EvaluatedRow
from eval.report_html import html_report
from eval.scoring import COMPARED, MEASURES
from eval.stored import Evaluation

_DELETED = "deleted.json"
"""Beside a report: which of its documents were deleted when it was written."""


def write_report(evaluation: Evaluation, rows: Sequence[EvaluatedRow], folder: Path) -> Path:
    """Write report.html, report.md, report.json and rows.jsonl; return the HTML's path.

    Args:
        evaluation: a finished one.
        rows: all its scored rows.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = as_document(evaluation, rows)
    lines = [json.dumps(row, ensure_ascii=False) for row in document["rows"]]
    _write(folder / "rows.jsonl", "\n".join(lines) + "\n")
    _write(folder / "report.json", json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    _write(folder / "report.md", markdown(evaluation.title, document))
    _write(folder / "report.html", html_report(evaluation.title, document, rows))
    return folder / "report.html"


def keep_current(folder: Path, gone: Sequence[int], write: Callable[[Path], object]) -> None:
    """Have `write` write a report anew, unless `folder` holds one that knew of these deletions.

    Args:
        folder: where the report is, or will be.
        gone: those of its documents that are deleted now.
        write: told the folder; leaves out the words of deleted documents.
    """
    mark, known = folder / _DELETED, json.dumps(list(gone))
    if not mark.is_file() or mark.read_text("utf-8") != known:
        write(folder)
        mark_current(folder, gone)


def mark_current(folder: Path, gone: Sequence[int]) -> None:
    """Note which deletions the report in `folder` knows of: asked for before its rows were read."""
    _write(folder / _DELETED, json.dumps(list(gone)))


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def as_document(evaluation: Evaluation, rows: Sequence[EvaluatedRow]) -> dict[str, Any]:
    """The JSON report: the summary, when it was made, and one flat row a question and arm."""
    summary = dict(evaluation.summary or {})
    by_mode = summary.pop("timing", {})
    return {
        **summary,
        "title": evaluation.title,
        "headline": headline(summary),
        "reading": reading_line(summary["reproduce"]["configurations"]),
        "times": {
            "created_at": evaluation.created_at.isoformat(timespec="seconds"),
            "finished_at": evaluation.finished_at.isoformat(timespec="seconds")
            if evaluation.finished_at
            else None,
            "by_mode": by_mode,
        },
        "rows": [flat(row) for row in rows],
    }


def flat(row: EvaluatedRow) -> dict[str, Any]:
    """One row for data frames: question, answer, measures, cause."""
    answer = row.answer or {}
    measures = {measure.key: row.scores.get(measure.key) for measure in MEASURES}
    return {
        "id": row.question.id,
        "fact_id": row.question.fact_id,
        "kind": row.question.kind.value,
        "tags": list(row.question.tags),
        "question": row.question.question,
        "short_answers": list(row.question.short_answers),
        "arm": row.arm,
        "text": answer.get("text"),
        "cited": answer.get("cited"),
        "passages": [
            {key: passage[key] for key in ("document", "location", "score", "text")}
            for passage in answer.get("passages", [])
        ],
        "evidence_in_passage": row.scores.get("relevant"),
        "refused": row.scores.get("refused"),
        "confidence": row.scores.get("confidence"),
        "unsupported_claims": row.scores.get("unsupported_claims"),
        **measures,
        "diagnosis": row.diagnosis,
        "error": row.error,
    }


def contract_json(report: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What `python -m eval run --json` prints: `{report, modes, by_kind}`."""
    timing = summary["timing"]
    modes = {arm: {**table, **_timed(timing[arm])} for arm, table in summary["modes"].items()}
    return {"report": report, "modes": modes, "by_kind": summary["by_kind"]}


def _timed(timing: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    keys = ("latency_p50_s", "latency_p95_s", "first_token_p50_s")
    return {
        key: {"value": timing[key], "low": None, "high": None, "n": timing["n"]} for key in keys
    }


def markdown(title: str, document: Mapping[str, Any]) -> str:
    """The report without its question explorer."""
    verdict = document["recommendation"]
    arms = list(document["modes"])
    parts = [
        f"# {title}",
        f"**{verdict['headline']}**",
        "\n".join(f"- {reason}" for reason in verdict["reasons"]),
        "What would change this:\n\n" + "\n".join(f"- {c}" for c in verdict["would_change"]),
        document["headline"],
        document["reading"],
        "\n".join(f"- {warning}" for warning in document["warnings"]),
        "## Measures\n\n95% intervals in brackets.\n\n" + _measure_table(document, arms),
        "## By kind of question\n\nHandled rightly.\n\n" + _kind_table(document, arms),
        "## Pairs\n\n" + _pair_table(document),
        "Smallest difference this set shows with 80% power (handled rightly):\n\n"
        + "\n".join(f"- {line}" for line in detectable_lines(document["pairs"])),
        "## Why answers are wrong\n\n" + _cause_table(document, arms),
        _depth_part(document),
        _judge_part(document),
        "## Time\n\n" + _time_table(document["times"]["by_mode"]),
        "## To reproduce\n\n```json\n"
        + json.dumps(document["reproduce"], indent=1, ensure_ascii=False)
        + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _measure_table(document: Mapping[str, Any], arms: Sequence[str]) -> str:
    lines = [
        [m.label, *(figure(document["modes"][arm][m.key], m.unit) for arm in arms)]
        for m in shown_measures(document)
    ]
    return _grid(["", *(label(arm) for arm in arms)], lines)


def _kind_table(document: Mapping[str, Any], arms: Sequence[str]) -> str:
    lines = [
        [kind, *(figure(tables[arm]["correct"], "share") for arm in arms)]
        for kind, tables in document["by_kind"].items()
    ]
    return _grid(["", *(label(arm) for arm in arms)], lines)


def _pair_table(document: Mapping[str, Any]) -> str:
    names = {measure.key: measure for measure in MEASURES}
    lines = []
    for pair in document["pairs"]:
        for key in COMPARED:
            tested = pair["measures"][key]
            if tested["difference"]["value"] is None:
                continue
            lines.append([
                f"{label(pair['first'])} − {label(pair['second'])}",
                names[key].label,
                figure(tested["difference"], names[key].unit),
                f"{tested['p_holm']:.2g}",
                "shown" if tested["shown"] else "no difference shown",
            ])  # fmt: skip
    return _grid(["pair", "measure", "difference", "p (Holm)", ""], lines)


def _cause_table(document: Mapping[str, Any], arms: Sequence[str]) -> str:
    causes = [*(str(cause) for cause in CAUSES), "failed"]
    lines = [
        [cause, *(str(document["failures"][arm]["all"][cause]) for arm in arms)] for cause in causes
    ]
    return _grid(["", *(label(arm) for arm in arms)], lines)


def _time_table(timing: Mapping[str, Any]) -> str:
    def seconds(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    lines = [
        [label(arm), one["measured"], str(one["n"]), seconds(one["first_token_p50_s"]),
         seconds(one["latency_p50_s"]), seconds(one["latency_p95_s"]),
         *(cost(one, key) for key, _ in COSTS)]
        for arm, one in timing.items()
    ]  # fmt: skip
    head = ["", "measured", "n", "first token s", "p50 s", "p95 s", *(name for _, name in COSTS)]
    return _grid(head, lines) + f"\n\n{COST_NOTE}"


def _depth_part(document: Mapping[str, Any]) -> str:
    found = document.get("search_depth")
    if not found:
        return ""
    depths = list(found["all"])
    lines = [[kind, *(figure(one[k], "share") for k in depths)] for kind, one in found.items()]
    head = ["evidence among the first", *depths]
    return f"## How deep the evidence lies\n\n{DEPTH_NOTE}\n\n{_grid(head, lines)}"


def _judge_part(document: Mapping[str, Any]) -> str:
    found = document.get("judge")
    return f"## LLM judge\n\n{judge_line(found)}" if found else ""
