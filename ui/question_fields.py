"""The fields of one question, where it is edited and where a candidate is reviewed."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from core.errors import DatasetError
from eval.questions import ColumnError, HeldOutQuestion, Kind, join_list
from ui.markup import piece

COLUMNS = (
    "question", "answer", "short_answers", "kind", "evidence_file", "evidence_quote", "tags",
    "why", "id", "fact_id",
)  # fmt: skip
"""In the order of the fields."""
LABELS = {
    "question": "Question",
    "answer": "Answer",
    "short_answers": "Short answers, parted by |",
    "kind": "Kind",
    "evidence_file": "Document that holds the evidence",
    "evidence_quote": "Sentence that is the evidence",
    "tags": "Tags, parted by |",
    "why": "Why nothing answers it",
    "id": "Id",
    "fact_id": "Id of the fact",
}
KINDS = [
    ("Unseen: not trained on", Kind.UNSEEN.value),
    ("Seen: a trained fact in other words", Kind.SEEN.value),
    ("Unanswerable: refusing is right", Kind.UNANSWERABLE.value),
]


def question_fields() -> list[Any]:
    """Make the fields, in the order of `COLUMNS`."""
    question = gr.Textbox(label=LABELS["question"], lines=2, max_lines=6)
    answer = gr.Textbox(label=LABELS["answer"], lines=2, max_lines=8)
    shorts = gr.Textbox(
        label=LABELS["short_answers"], placeholder="27 days|twenty-seven days", max_lines=1,
        info="An answer that holds one of them is right.",
    )  # fmt: skip
    kind = gr.Radio(KINDS, value=Kind.UNSEEN.value, label=LABELS["kind"])
    file = gr.Dropdown(
        label=LABELS["evidence_file"], choices=[], value="", allow_custom_value=True
    )  # fmt: skip
    quote = gr.Textbox(label=LABELS["evidence_quote"], lines=2, max_lines=8)
    tags = gr.Textbox(
        label=LABELS["tags"], placeholder="leave|people team|hard", max_lines=1,
        info="Topic, department, difficulty: each becomes a slice of the report.",
    )  # fmt: skip
    why = gr.Textbox(
        label=LABELS["why"], placeholder="For unanswerable questions only", max_lines=2
    )  # fmt: skip
    with gr.Accordion("Ids", open=False), gr.Row():
        name = gr.Textbox(
            label=LABELS["id"], placeholder="Chosen for you", max_lines=1,
            info="Unique in the set.",
        )  # fmt: skip
        fact = gr.Textbox(
            label=LABELS["fact_id"], placeholder="Like the id", max_lines=1,
            info="Two wordings of one fact share it.",
        )  # fmt: skip
    return [question, answer, shorts, kind, file, quote, tags, why, name, fact]


def row_of(values: Sequence[Any]) -> dict[str, Any]:
    """Return what the fields hold as a row of the documented format."""
    return {name: value or "" for name, value in zip(COLUMNS, values, strict=True)}


def values_of(question: HeldOutQuestion) -> list[Any]:
    """Return what to put into the fields."""
    shorts = () if question.short_answers == (question.answer,) else question.short_answers
    # Left empty, they follow the id and the answer, also when those are changed.
    fact = "" if question.fact_id == question.id else question.fact_id
    return [
        question.question, question.answer, join_list(shorts), question.kind.value,
        question.evidence_file, question.evidence_quote, join_list(question.tags), question.why,
        question.id, fact,
    ]  # fmt: skip


def empty_values() -> list[Any]:
    """Return the fields of a question still to be written."""
    return ["", "", "", Kind.UNSEEN.value, "", "", "", "", "", ""]


def problem_html(error: DatasetError) -> str:
    """Say what is wrong, by the name of the field where it is one field's matter."""
    column = error.column if isinstance(error, ColumnError) else ""
    return piece("question_problem.html", field=LABELS.get(column, ""), text=error.message)
