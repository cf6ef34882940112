"""The question explorer: every answer beside its sources, filterable."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from eval.diagnosis import Diagnosis
from eval.questions import HeldOutQuestion
from eval.recommend import label
from eval.records import EvaluatedRow

_COLOUR = {Diagnosis.RIGHT.value: "good", Diagnosis.FAILED.value: "soft"}


def explorer(rows: Sequence[EvaluatedRow]) -> str:
    """All questions with their answers; `rows` are ordered by question."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.ordinal)]
    return _filters(rows) + "".join(_question(group) for group in groups)


def _filters(rows: Sequence[EvaluatedRow]) -> str:
    kinds = list(dict.fromkeys(row.question.kind.value for row in rows))
    causes = [d.value for d in Diagnosis if any(row.diagnosis == d.value for row in rows)]
    arms = list(dict.fromkeys(row.arm for row in rows))
    tags = sorted({tag for row in rows for tag in row.question.tags})
    choices = [
        _select("kind", "Kind", [(kind, kind) for kind in kinds]),
        _select("verdict", "Answer", _verdicts(arms, causes)),
        _select("tags", "Tag", [(tag, tag) for tag in tags]) if tags else "",
    ]
    return (
        "<form class='filters' role='search' onsubmit='return false'>"
        + "".join(choices)
        + "<label>Text<input type='search' data-filter='text'></label>"
        "<output id='shown' class='soft' aria-live='polite'></output></form>"
    )


def _verdicts(arms: Sequence[str], causes: Sequence[str]) -> list[tuple[str, str]]:
    anywhere = [(cause, f"any mode: {cause}") for cause in causes]
    return anywhere + [
        (f"{arm}: {cause}", f"{label(arm)}: {cause}") for arm in arms for cause in causes
    ]


def _select(name: str, title: str, choices: Sequence[tuple[str, str]]) -> str:
    options = "".join(
        f"<option value='{escape(value.lower(), quote=True)}'>{escape(text)}</option>"
        for value, text in choices
    )
    return (
        f"<label>{title}<select data-filter='{name}'><option value=''>all</option>"
        f"{options}</select></label>"
    )


def _question(group: Sequence[EvaluatedRow]) -> str:
    question = group[0].question
    verdicts = {row.diagnosis for row in group} | {f"{r.arm}: {r.diagnosis}" for r in group}
    marks = "".join(
        f"<span class='{_COLOUR.get(row.diagnosis, 'bad')}' "
        f"title='{escape(label(row.arm), quote=True)}: {row.diagnosis}'>"
        f"{'●' if row.diagnosis == Diagnosis.RIGHT else '○'}</span>"
        for row in group
    )
    tags = "".join(f"<span class='tag'>{escape(t)}</span>" for t in (question.kind, *question.tags))
    return (
        f"<details class='question' data-kind='{question.kind.value}' "
        f"data-verdict='{_values(sorted(verdicts))}' data-tags='{_values(question.tags)}'>"
        f"<summary>{marks} {escape(question.question)} {tags}</summary>"
        f"{_wanted(question)}<div class='answers'>"
        + "".join(_answer(row) for row in group)
        + "</div>"
        + _passages(group)
        + "</details>\n"
    )


def _values(values: Sequence[str]) -> str:
    return escape("|".join(values).lower(), quote=True)


def _wanted(question: HeldOutQuestion) -> str:
    if not question.answerable:
        why = f" {escape(question.why)}" if question.why else ""
        return f"<p class='soft'>Cannot be answered from the documents.{why}</p>"
    source = f" ({escape(question.evidence_file)})" if question.evidence_file else ""
    quote = (
        f"<p class='soft'>“{escape(question.evidence_quote)}”{source}</p>"
        if question.evidence_quote
        else ""
    )
    shorts = ", ".join(escape(short) for short in question.short_answers)
    return f"<p>Right: {escape(question.answer)} <span class='soft'>[{shorts}]</span></p>{quote}"


def _answer(row: EvaluatedRow) -> str:
    state = {Diagnosis.RIGHT: "right", Diagnosis.FAILED: "failed"}.get(Diagnosis(row.diagnosis), "")
    head = f"<h4>{escape(label(row.arm))}: {escape(row.diagnosis)}</h4>"
    if row.answer is None:
        return f"<div class='answer {state}'>{head}<p>{escape(row.error)}</p></div>"
    lines = [f"<p>{_marked(row.answer['text'], row.question.short_answers)}</p>"]
    claims = row.scores["unsupported_claims"]
    if claims:
        lines.append(f"<p class='soft'>Not in the passages: {escape(', '.join(claims))}</p>")
    return f"<div class='answer {state}'>{head}{''.join(lines)}</div>"


def _passages(group: Sequence[EvaluatedRow]) -> str:
    """Passages of the answers; modes that were given the same ones share a list."""
    lists: dict[str, tuple[list[str], EvaluatedRow]] = {}
    for row in group:
        if row.answer and row.answer["passages"]:
            key = repr([passage["text"] for passage in row.answer["passages"]])
            lists.setdefault(key, ([], row))[0].append(label(row.arm))
    return "".join(
        f"<h3>Passages of {escape(', '.join(names))}</h3>"
        + "".join(
            _passage(number, passage, row.scores["relevant"][number - 1], row.question)
            for number, passage in enumerate((row.answer or {})["passages"], start=1)
        )
        for names, row in lists.values()
    )


def _passage(
    number: int, passage: Mapping[str, Any], holds: bool, question: HeldOutQuestion
) -> str:
    place = " > ".join(part for part in (passage["document"], passage["location"]) if part)
    place = place or passage["title"]
    note = " – holds the evidence" if holds else ""
    text = _marked(passage["text"], question.short_answers)
    return (
        f"<div class='passage{' evidence' if holds else ''}'><strong>[{number}] {escape(place)}"
        f"</strong> <span class='soft'>{passage['score']:.2f}{note}</span>\n{text}</div>"
    )


def _marked(text: str, phrases: Sequence[str]) -> str:
    """Escape `text`, with every short answer marked."""
    if not phrases:
        return escape(text)
    wanted = "|".join(re.escape(p) for p in sorted(phrases, key=len, reverse=True))
    parts = re.split(rf"(?<!\w)({wanted})(?!\w)", text, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{escape(part)}</mark>" if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )
