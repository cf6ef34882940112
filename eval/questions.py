"""Held-out questions: reading JSONL and CSV, and every check made on arrival."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.errors import DatasetError
from eval.metrics import holds_quote
from eval.texts import contains_phrase, words

SHOWN_PROBLEMS = 20
NEAR = 0.85
"""Word-set Jaccard from which two wordings count as the same question."""


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
        row = asdict(self)
        row["kind"] = self.kind.value
        row["short_answers"], row["tags"] = list(self.short_answers), list(self.tags)
        return row


def version_of(questions: Sequence[HeldOutQuestion]) -> str:
    """SHA-256 of the questions, whatever file format they came in."""
    rows = json.dumps([q.as_json() for q in questions], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(rows.encode()).hexdigest()


def read_questions(path: Path) -> list[HeldOutQuestion]:
    """Read a JSONL or CSV file and check it.

    Raises:
        DatasetError: every wrong line (the first 20) with what to do about it.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"The question set '{path}' does not exist. Check the path.") from None
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"The question set '{path}' is not UTF-8 text (byte {error.start}). Save it as UTF-8."
        ) from None
    except OSError as error:
        raise DatasetError(f"The question set '{path}' cannot be read: {error.strerror}.") from None
    numbered = _csv_rows(text) if path.suffix.lower() == ".csv" else _jsonl_rows(text, path)
    return parse_questions(numbered, f"The question set '{path}'")


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
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    problems += duplicates(questions, lines)
    if problems:
        raise DatasetError(_listing(f"{name} cannot be used", problems))
    if not questions:
        raise DatasetError(f"{name} holds no question. Add one row a question.")
    return questions


def _listing(head: str, problems: Sequence[str]) -> str:
    shown = [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    tail = [f"  and {more} more"] if more > 0 else []
    return "\n".join([f"{head} ({len(problems)} problems):", *shown, *tail])


def _jsonl_rows(text: str, path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    rows: list[tuple[int, Mapping[str, Any]]] = []
    problems = []
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            problems.append(f"line {line}: not JSON ({error}). Write one JSON object a line.")
            continue
        if not isinstance(row, dict):
            problems.append(f"line {line}: a {type(row).__name__}, not an object with 'question'.")
            continue
        rows.append((line, row))
    if problems:
        raise DatasetError(_listing(f"The question set '{path}' cannot be used", problems))
    return rows


def _csv_rows(text: str) -> list[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text))
    return [(reader.line_num, {k: v for k, v in row.items() if k}) for row in reader]


def _texts(value: Any, column: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    parts = value.split("|") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(
        isinstance(part, str | int | float) for part in parts
    ):
        raise ValueError(f"'{column}' is {value!r}. Write a list of texts, or texts parted by '|'.")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _kind(value: str, answers: Sequence[str]) -> Kind:
    if not value:
        if not answers:
            raise ValueError(
                "no answer. Give 'answer' or 'short_answers', or set 'kind' to 'unanswerable'."
            )
        return Kind.UNSEEN
    try:
        return Kind(value.lower())
    except ValueError:
        known = ", ".join(kind.value for kind in Kind)
        raise ValueError(f"kind '{value}' is unknown. Use one of: {known}.") from None


def question_from_row(row: Mapping[str, Any], line: int) -> HeldOutQuestion:
    """Check one row of the documented format; `line` names rows without an id.

    Raises:
        ValueError: what is wrong and the remedy.
    """

    def field(name: str) -> str:
        value = row.get(name)
        return "" if value is None else str(value).strip()

    text = field("question")
    if not words(text):
        raise ValueError("'question' is empty. Write the question, or delete the row.")
    answer, shorts = field("answer"), _texts(row.get("short_answers"), "short_answers")
    kind = _kind(field("kind"), [answer, *shorts] if answer or shorts else [])
    if kind is Kind.UNANSWERABLE and (answer or shorts):
        raise ValueError(
            f"marked unanswerable, yet has the answer '{answer or shorts[0]}'. "
            "Clear the answers, or set 'kind' to 'seen' or 'unseen'."
        )
    if kind is not Kind.UNANSWERABLE and not (answer or shorts):
        raise ValueError(
            f"marked {kind.value}, yet has no answer. Give 'answer' or 'short_answers', "
            "or set 'kind' to 'unanswerable'."
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
    by_words: dict[tuple[str, ...], int] = {}
    for question, line in zip(questions, lines, strict=True):
        if question.id in by_id:
            problems.append(
                f"line {line}: id '{question.id}' is also on line {by_id[question.id]}. "
                "Give each row its own id."
            )
        wording = tuple(words(question.question))
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
    bags = [frozenset(words(question.question)) for question in questions]
    return [
        f"'{questions[a].id}' and '{questions[b].id}' are nearly the same question."
        for a in range(len(bags))
        for b in range(a + 1, len(bags))
        if questions[a].fact_id != questions[b].fact_id and _jaccard(bags[a], bags[b]) >= NEAR
    ]


def weak_answers(questions: Sequence[HeldOutQuestion]) -> list[str]:
    """Questions that give their own answer away: accuracy on them means little."""
    return [
        f"'{q.id}': the short answer '{short}' stands in the question itself."
        for q in questions
        for short in q.short_answers
        if len(short) > 2 and contains_phrase(q.question, short)
    ]


def training_wordings(path: Path) -> list[str]:
    """Every wording of a training file (JSONL or CSV): `question`, `paraphrases`, `wordings`.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"The training file '{path}' cannot be read: {error}.") from None
    rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _jsonl_rows(text, path)
    found = []
    for _, row in rows:
        found.append(str(row.get("question") or ""))
        for column in ("paraphrases", "wordings"):
            found += _texts(row.get(column), column)
    return [wording for wording in found if wording.strip()]


def check_training_overlap(
    questions: Sequence[HeldOutQuestion], wordings: Sequence[str], source: str
) -> list[str]:
    """Refuse questions that were trained on; return warnings for those nearly so.

    Raises:
        DatasetError: a held-out question stands word for word in the training data.
    """
    bags = [(wording, frozenset(words(wording))) for wording in wordings]
    exact, near = [], []
    for question in questions:
        own = frozenset(words(question.question))
        wording, closest = max(
            ((wording, _jaccard(own, bag)) for wording, bag in bags),
            key=lambda pair: pair[1],
            default=("", 0.0),
        )
        if closest == 1.0:
            exact.append(
                f"'{question.id}': '{question.question}' was trained on. Delete or reword it."
            )
        elif closest >= NEAR:
            near.append(f"'{question.id}' is close to the trained wording '{wording}'.")
    if exact:
        raise DatasetError(_listing(f"Held-out questions stand in '{source}'", exact))
    return near


def evidence_warnings(
    questions: Sequence[HeldOutQuestion], text_of: Callable[[str], str | None]
) -> list[str]:
    """Evidence that is not where it should be. `text_of` gives a document's text or None."""
    warnings = []
    for question in questions:
        if not question.evidence_quote:
            continue
        text = text_of(question.evidence_file)
        if text is None:
            warnings.append(
                f"'{question.id}': the document '{question.evidence_file}' is not in the "
                "workspace. Ingest it, or correct 'evidence_file'."
            )
        elif not _quoted(text, question.evidence_quote):
            warnings.append(
                f"'{question.id}': the quote is not in '{question.evidence_file}': "
                f"'{question.evidence_quote[:80]}'. Correct 'evidence_quote'."
            )
    return warnings


def _quoted(text: str, quote: str) -> bool:
    if " ".join(words(quote)) in " ".join(words(text)):
        return True
    return holds_quote(text, quote, same_document=True)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0


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
