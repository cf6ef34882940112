"""Held-out questions: rows made into questions, and every check of what they say."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from core.errors import DatasetError
from core.values import storable
from core.wordings import normalise
from eval.grading import contains_phrase
from eval.metrics import holds_quote
from eval.near import Wordings
from eval.texts import words

SHOWN_PROBLEMS = 20
COLUMNS = (
    "id", "fact_id", "question", "answer", "short_answers", "kind", "evidence_file",
    "evidence_quote", "tags", "why",
)  # fmt: skip
"""Of the documented format, in the order they are written."""
_SEPARATOR = re.compile(r"(\\*)\|")


class Kind(StrEnum):
    """What a held-out question probes."""

    SEEN = "seen"
    """A fact that was trained on, in words that were not."""
    UNSEEN = "unseen"
    """A fact of the documents that was not trained on."""
    UNANSWERABLE = "unanswerable"
    """Nothing in the documents answers it: refusing is right."""


@dataclass(frozen=True)
class HeldOutQuestion:
    """One question with what a right answer holds and where it is written."""

    id: str
    fact_id: str
    question: str
    answer: str
    short_answers: tuple[str, ...]
    kind: Kind
    evidence_file: str = ""
    evidence_quote: str = ""
    tags: tuple[str, ...] = ()
    """Slices: topic, department, difficulty."""
    why: str = ""

    @property
    def answerable(self) -> bool:
        """Whether the documents answer it."""
        return self.kind is not Kind.UNANSWERABLE

    @property
    def references(self) -> tuple[str, ...]:
        """Full answer first, then the short ones."""
        return tuple(text for text in (self.answer, *self.short_answers) if text)

    def as_json(self) -> dict[str, Any]:
        """A row of the documented JSONL format."""
        # `asdict` copies every value deeply: a tenth of the time of storing a question set.
        row = dict(self.__dict__)
        row["kind"] = self.kind.value
        row["short_answers"], row["tags"] = list(self.short_answers), list(self.tags)
        return row


def version_of(questions: Sequence[HeldOutQuestion]) -> str:
    """SHA-256 of the questions, whatever file format they came in."""
    rows = json.dumps([q.as_json() for q in questions], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(rows.encode()).hexdigest()


def parse_questions(
    rows: Iterable[tuple[int, Mapping[str, Any]]], name: str
) -> list[HeldOutQuestion]:
    """Turn (line number, row) pairs into checked questions.

    Raises:
        DatasetError: no rows, or wrong rows, each with its line and remedy.
    """
    questions: list[HeldOutQuestion] = []
    lines: list[int] = []
    problems: list[str] = []
    for line, row in rows:
        try:
            questions.append(question_from_row(row, line))
            lines.append(line)
        except ColumnError as error:
            problems.append(f"line {line}: {error}")
    problems += duplicates(questions, lines)
    if problems:
        raise DatasetError(listing(f"{name} cannot be used", problems))
    if not questions:
        raise DatasetError(f"{name} holds no question. Add one row a question.")
    return questions


def listing(head: str, problems: Sequence[str]) -> str:
    """A message of several problems: the first 20, and how many more there are."""
    shown = [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    tail = [f"  and {more} more"] if more > 0 else []
    return "\n".join([f"{head} ({len(problems)} problems):", *shown, *tail])


class ColumnError(DatasetError):
    """What is wrong with one column of a row, and the remedy."""

    def __init__(self, column: str, text: str) -> None:
        """`column` is one of `COLUMNS`."""
        super().__init__(text)
        self.column = column


def split_list(text: str) -> list[str]:
    r"""Split texts parted by '|'. `\|` is a '|' within a text; `join_list` writes it so."""
    parts, start, part = [], 0, ""
    for found in _SEPARATOR.finditer(text):
        slashes = len(found[1])
        part += text[start : found.start()] + "\\" * (slashes // 2)
        start = found.end()
        if slashes % 2:
            part += "|"
        else:
            parts.append(part)
            part = ""
    return [*parts, part + text[start:]]


def join_list(texts: Sequence[str]) -> str:
    """Write a list as one cell of a CSV file."""
    marked = [re.sub(r"(\\*)\|", r"\1\1\\|", text) for text in texts]
    ended = [re.sub(r"(\\+)$", r"\1\1", text) for text in marked[:-1]]
    return "|".join([*ended, *marked[-1:]])


def _clean(value: Any) -> str:
    text = str(value)
    return storable(text, len(text) + 1).strip()


def _texts(value: Any, column: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    parts = split_list(value) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(
        isinstance(part, str | int | float) for part in parts
    ):
        raise ColumnError(
            column, f"'{column}' is {value!r}. Write a list of texts, or texts parted by '|'."
        )
    return tuple(text for text in map(_clean, parts) if text)


def _kind(value: str, answered: bool) -> Kind:
    if not value:
        if not answered:
            raise ColumnError(
                "answer",
                "no answer. Give 'answer' or 'short_answers', or set 'kind' to 'unanswerable'.",
            )
        return Kind.UNSEEN
    try:
        return Kind(value.lower())
    except ValueError:
        known = ", ".join(kind.value for kind in Kind)
        raise ColumnError("kind", f"kind '{value}' is unknown. Use one of: {known}.") from None


def question_from_row(row: Mapping[str, Any], line: int) -> HeldOutQuestion:
    """Check one row of the documented format; `line` names rows without an id.

    Raises:
        ColumnError: what is wrong and the remedy.
    """

    def field(name: str) -> str:
        value = row.get(name)
        return "" if value is None else _clean(value)

    text = field("question")
    if not words(text):
        raise ColumnError("question", "'question' is empty. Write the question, or delete the row.")
    answer, shorts = field("answer"), _texts(row.get("short_answers"), "short_answers")
    kind = _kind(field("kind"), bool(answer or shorts))
    if kind is Kind.UNANSWERABLE and (answer or shorts):
        raise ColumnError(
            "answer" if answer else "short_answers",
            f"marked unanswerable, yet has the answer '{answer or shorts[0]}'. "
            "Clear the answers, or set 'kind' to 'seen' or 'unseen'.",
        )
    if kind is not Kind.UNANSWERABLE and not (answer or shorts):
        raise ColumnError(
            "answer",
            f"marked {kind.value}, yet has no answer. Give 'answer' or 'short_answers', "
            "or set 'kind' to 'unanswerable'.",
        )
    name = field("id") or f"q{line}"
    return HeldOutQuestion(
        id=name,
        fact_id=field("fact_id") or name,
        question=text,
        answer=answer,
        short_answers=shorts or ((answer,) if answer else ()),
        kind=kind,
        evidence_file=field("evidence_file"),
        evidence_quote=field("evidence_quote"),
        tags=_texts(row.get("tags"), "tags"),
        why=field("why"),
    )


def duplicates(questions: Sequence[HeldOutQuestion], lines: Sequence[int]) -> list[str]:
    """Ids and wordings that occur twice, with both lines."""
    problems = []
    by_id: dict[str, int] = {}
    by_words: dict[str, int] = {}
    for question, line in zip(questions, lines, strict=True):
        if question.id in by_id:
            problems.append(
                f"line {line}: id '{question.id}' is also on line {by_id[question.id]}. "
                "Give each row its own id."
            )
        wording = normalise(question.question)
        if wording in by_words:
            problems.append(
                f"line {line}: the same question as on line {by_words[wording]}: "
                f"'{question.question}'. Delete one of them."
            )
        by_id.setdefault(question.id, line)
        by_words.setdefault(wording, line)
    return problems


def near_duplicates(questions: Sequence[HeldOutQuestion]) -> list[str]:
    """Pairs of different facts asked in nearly the same words: a warning, not an error."""
    wordings = Wordings([question.question for question in questions])
    return [
        f"'{first.id}' and '{questions[number].id}' are nearly the same question."
        for at, first in enumerate(questions)
        for number, _ in wordings.near(first.question)
        if number > at and first.fact_id != questions[number].fact_id
    ]


def weak_answers(questions: Sequence[HeldOutQuestion]) -> list[str]:
    """Questions that give their own answer away: accuracy on them means little."""
    return [
        f"'{q.id}': the short answer '{short}' stands in the question itself."
        for q in questions
        for short in q.short_answers
        if len(short) > 2 and contains_phrase(q.question, short)
    ]


@dataclass(frozen=True)
class Trained:
    """A held-out question that stands in training data, word for word or nearly."""

    question: HeldOutQuestion
    wording: str
    exact: bool

    def __str__(self) -> str:
        if self.exact:
            said = f"'{self.question.id}': '{self.question.question}' was trained on."
            return f"{said} Delete or reword it."
        return f"'{self.question.id}' is close to the trained wording '{self.wording}'."


def find_trained(questions: Sequence[HeldOutQuestion], wordings: Wordings) -> list[Trained]:
    """Questions that `wordings` of training data hold; word order does not count."""
    found = []
    for question in questions:
        nearest = wordings.nearest(question.question)
        if nearest is not None:
            found.append(Trained(question, nearest[0], nearest[1] == 1.0))
    return found


def check_training_overlap(
    questions: Sequence[HeldOutQuestion], wordings: Sequence[str], source: str
) -> list[str]:
    """Refuse questions that were trained on; return warnings for those nearly so.

    Raises:
        DatasetError: a held-out question stands word for word in the training data.
    """
    found = find_trained(questions, Wordings(wordings))
    exact = [str(one) for one in found if one.exact]
    if exact:
        raise DatasetError(listing(f"Held-out questions stand in '{source}'", exact))
    return [str(one) for one in found]


def evidence_warnings(
    questions: Sequence[HeldOutQuestion], text_of: Callable[[str], str | None]
) -> list[str]:
    """Evidence that is not where it should be. `text_of` gives a document's text or None."""
    problems = ((question, evidence_problem(question, text_of)) for question in questions)
    return [f"'{question.id}': {text}" for question, text in problems if text]


def evidence_problem(question: HeldOutQuestion, text_of: Callable[[str], str | None]) -> str:
    """Why a question's evidence cannot be found, with the remedy; '' if it can or has none."""
    file, quote = question.evidence_file, question.evidence_quote
    if not file:
        return "has a quote, but names no document. Fill 'evidence_file'." if quote else ""
    text = text_of(file)
    if text is None:
        return (
            f"the document '{file}' is not in the workspace. Ingest it, or correct 'evidence_file'."
        )
    if quote and not _quoted(text, quote):
        return f"the quote is not in '{file}': '{quote[:80]}'. Correct 'evidence_quote'."
    return ""


def _quoted(text: str, quote: str) -> bool:
    if " ".join(words(quote)) in " ".join(words(text)):
        return True
    return holds_quote(text, quote, same_document=True)


def spread(questions: Sequence[HeldOutQuestion], limit: int | None) -> list[HeldOutQuestion]:
    """At most `limit` questions, evenly spaced, so that every kind and topic keeps its share."""
    count = len(questions)
    if limit is None or limit >= count:
        return list(questions)
    return [questions[index * count // limit] for index in range(limit)]


def merge(sets: Sequence[Sequence[HeldOutQuestion]]) -> list[HeldOutQuestion]:
    """Join several sets; where an id occurs in two sets, the later one gets its set's number."""
    merged: list[HeldOutQuestion] = []
    taken: set[str] = set()
    for number, questions in enumerate(sets, start=1):
        for question in questions:
            name = question.id if question.id not in taken else f"{question.id}/{number}"
            taken.add(name)
            merged.append(replace(question, id=name))
    return merged
