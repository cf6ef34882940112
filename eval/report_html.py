"""The report as one HTML file: no network, readable without script, on paper and in the dark."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from eval import plots
from eval.diagnosis import CAUSES, Diagnosis
from eval.explorer_html import explorer
from eval.formatting import COST_NOTE, COSTS, DEPTH_NOTE, cost, judge_line, shown_measures
from eval.recommend import detectable_lines, label
from eval.records import EvaluatedRow
from eval.scoring import COMPARED, MEASURES, Measure

WARNINGS_SHOWN = 20


def html_report(title: str, document: Mapping[str, Any], rows: Sequence[EvaluatedRow]) -> str:
    """Return the whole page.

    Args:
        title: of the evaluation.
        document: the JSON report.
        rows: all scored rows, for the question explorer.
    """
    assets = files("eval") / "assets"
    style, script = ((assets / f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    arms = list(document["modes"])
    body = [
        _verdict(title, document),
        _section("Measures", _measures(document, arms)),
        _section("By kind of question", _slices(document["by_kind"], "Handled rightly, by kind")),
        _section("By tag", _slices(document["by_tag"], "Handled rightly, by tag"))
        if document["by_tag"]
        else "",
        _section("Which differences are real", _pairs(document)),
        _section("Why answers are wrong", _causes(document, arms)),
        _depth(document),
        _judge(document),
        _section("Time and cost", _time(document)),
        _confidence(document),
        _section("Every question", explorer(rows)),
        _section("To reproduce", _reproduce(document)),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        + "\n".join(part for part in body if part)
        + f"<script>{script}</script></body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>"


def _items(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _verdict(title: str, document: Mapping[str, Any]) -> str:
    verdict = document["recommendation"]
    times = document["times"]
    warnings = document["warnings"]
    more = len(warnings) - WARNINGS_SHOWN
    lines = [*warnings[:WARNINGS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    note = (
        f"<details class='soft'><summary>{len(warnings)} warnings about the questions</summary>"
        f"{_items(lines)}</details>"
        if warnings
        else ""
    )
    finished = str(times["finished_at"] or "")
    return (
        f"<header><h1>{escape(title)}</h1><p class='verdict'>{escape(verdict['headline'])}</p>"
        f"<p class='soft'>{escape(document['headline'])} "
        f"<time datetime='{escape(finished)}'>{escape(finished[:10])}</time></p>"
        f"<p class='soft'>{escape(document['reading'])}</p>{note}</header>"
        f"<div class='two'><div class='card'><h3>Why</h3>{_items(verdict['reasons'])}</div>"
        f"<div class='card'><h3>What would change this</h3>{_items(verdict['would_change'])}"
        "</div></div>"
    )


def table(caption: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """An accessible table; cells of `lines` are HTML, those of `head` are text."""
    top = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th scope='row'>{first}</th>" + "".join(rest) + "</tr>" for first, *rest in lines
    )
    return (
        f"<div class='scroll'><table><caption><span>{escape(caption)}</span></caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    return f"<td>{text}</td>"


def estimate_cell(estimate: Mapping[str, Any], unit: str, *, best: bool = False) -> str:
    """A figure with its interval under it."""
    value = estimate["value"]
    if value is None:
        return "<td class='soft'>–</td>"
    scale, digits, sign = {"share": (100, 0, "%"), "tokens": (1, 0, ""), "points": (1, 2, "")}[unit]
    text = f"{scale * value:.{digits}f}{sign}"
    if estimate["low"] is not None:
        low, high = (f"{scale * estimate[end]:.{digits}f}" for end in ("low", "high"))
        text += f"<br><span class='span'>{low} to {high}</span>"
    mark = " class='best'" if best else ""
    return f"<td{mark} title='n = {estimate['n']}'>{text}</td>"


def _measures(document: Mapping[str, Any], arms: Sequence[str]) -> str:
    lines = []
    for measure in shown_measures(document):
        found = [document["modes"][arm][measure.key] for arm in arms]
        top = _best(measure, found)
        cells = [estimate_cell(f, measure.unit, best=f["value"] == top) for f in found]
        name = f"<span title='{escape(measure.meaning, quote=True)}'>{escape(measure.label)}</span>"
        lines.append([name, *cells])
    extra = [("paraphrase_consistency", "Same verdict in every wording"),
             ("calibration_error", "Calibration error")]  # fmt: skip
    for key, name in extra:
        found = [document["modes"][arm][key] for arm in arms]
        if any(one["value"] is not None for one in found):
            lines.append([name, *(estimate_cell(one, "share") for one in found)])
    meanings = [f"{m.label}: {m.meaning}" for m in shown_measures(document)]
    return (
        table("Below each figure its 95% interval; the best of a row in bold.",
              ["", *(label(arm) for arm in arms)], lines)
        + f"<details class='soft'><summary>What each measure means</summary>{_items(meanings)}"
        "<p>Groundedness and unsupported claims compare words and are not validated against "
        "human judgement.</p></details>"
    )  # fmt: skip


def _best(measure: Measure, found: Sequence[Mapping[str, Any]]) -> float | None:
    values: list[float] = [one["value"] for one in found if one["value"] is not None]
    if not values or measure.unit == "tokens" or len(set(values)) == 1 < len(values):
        return None
    return min(values) if measure.lower_is_better else max(values)


def _slices(tables: Mapping[str, Any], title: str) -> str:
    plot = plots.quality_by_slice(tables, title)
    arms = list(next(iter(tables.values())))
    lines = [
        [escape(name), *(estimate_cell(found[arm]["correct"], "share") for arm in arms)]
        for name, found in tables.items()
    ]
    caption = "Right answers, and right refusals of what cannot be answered."
    return _figure(plot, "Bars are 95% intervals.") + table(
        caption, ["", *(label(arm) for arm in arms)], lines
    )


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _pairs(document: Mapping[str, Any]) -> str:
    names = {measure.key: measure for measure in MEASURES}
    parts = []
    for key in COMPARED:
        lines = []
        for pair in document["pairs"]:
            tested = pair["measures"][key]
            if tested["difference"]["value"] is None:
                continue
            verdict = (
                f"<td class='{'good' if tested['difference']['value'] > 0 else 'bad'}'>shown</td>"
                if tested["shown"]
                else "<td class='soft'>no difference shown</td>"
            )
            discordant = f"{tested['wins']} / {tested['losses']}" if "wins" in tested else "–"
            lines.append([
                f"{escape(label(pair['first']))} − {escape(label(pair['second']))}",
                estimate_cell(tested["difference"], names[key].unit), _cell(discordant),
                _cell(f"{tested['effect']:.2f}" if tested["effect"] is not None else "–"),
                _cell(f"{tested['p']:.2g}"), _cell(f"{tested['p_holm']:.2g}"), verdict,
            ])  # fmt: skip
        if lines:
            head = ["", "difference", "won / lost", "effect", "p", "p (Holm)", "verdict"]
            shown = "open" if key == "correct" else ""
            parts.append(f"<details {shown}><summary>{escape(names[key].label)}</summary>"
                         f"{table('First minus second.', head, lines)}</details>")  # fmt: skip
    smallest = _items(detectable_lines(document["pairs"]))
    return (
        "".join(parts)
        + "<p>Right or wrong: exact McNemar test (never sharper than a sign-flip test over whole "
        "facts), effect is Cohen's g. Grades: bootstrap over facts, effect is Cohen's d of the "
        "paired differences. Holm's correction over all pairs of a measure.</p>"
        f"<h3>Smallest difference this set shows, with 80% power (handled rightly)</h3>{smallest}"
    )


def _causes(document: Mapping[str, Any], arms: Sequence[str]) -> str:
    found = document["failures"]
    lines = [
        [f"<span title='{escape(Diagnosis(cause).meaning, quote=True)}'>{escape(cause)}</span>",
         *(_cell(str(found[arm]["all"][cause])) for arm in arms)]
        for cause in (*(str(cause) for cause in CAUSES), str(Diagnosis.FAILED))
    ]  # fmt: skip
    meanings = _items([f"{cause.value}: {cause.meaning}" for cause in CAUSES])
    return (
        _figure(plots.failures(found), "Number of wrong answers by cause.")
        + table("Number of wrong answers.", ["", *(label(arm) for arm in arms)], lines)
        + f"<div class='soft'>{meanings}</div>"
    )


def _time(document: Mapping[str, Any]) -> str:
    timing = document["times"]["by_mode"]
    keys = ("search_p50_s", "first_token_p50_s", "latency_p50_s", "latency_p95_s",
            "seconds_per_question_in_batch")  # fmt: skip
    lines = [
        [escape(label(arm)), _cell(f"{one['measured']}, {one['n']}"),
         *(_cell("–" if one[key] is None else f"{one[key]:.2f}") for key in keys),
         *(_cell(cost(one, key)) for key, _ in COSTS)]
        for arm, one in timing.items()
    ]  # fmt: skip
    head = ["", "measured", "search", "first token", "median", "95th percentile", "in a batch",
            *(name for _, name in COSTS)]  # fmt: skip
    plot = plots.quality_against_latency(document["modes"], timing)
    return (
        _figure(plot, "Up and to the left is better.")
        + table("Seconds an answer, on the machine of the evaluation.", head, lines)
        + f"<p class='soft'>{escape(COST_NOTE)}</p>"
    )


def _depth(document: Mapping[str, Any]) -> str:
    found = document.get("search_depth")
    if not found:
        return ""
    depths = list(found["all"])
    lines = [
        [escape(kind), *(estimate_cell(one[k], "share") for k in depths)]
        for kind, one in found.items()
    ]
    head = ["among the first", *depths]
    return _section("How deep the evidence lies", table(DEPTH_NOTE, head, lines))


def _judge(document: Mapping[str, Any]) -> str:
    found = document.get("judge")
    return _section("LLM judge", f"<p>{escape(judge_line(found))}</p>") if found else ""


def _confidence(document: Mapping[str, Any]) -> str:
    curves = document["risk_coverage"]
    if not any(curves.values()):
        return ""
    plot = plots.risk_coverage(curves)
    caption = "If only the most confident answers were given: how many would be wrong."
    return _section("Confidence", _figure(plot, caption))


def _reproduce(document: Mapping[str, Any]) -> str:
    text = json.dumps(document["reproduce"], indent=1, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"
