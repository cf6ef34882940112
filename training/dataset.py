"""Training data: a file of questions and answers becomes facts that can be taught.

A *fact* is one answer with all the wordings of its question. Checking never changes the file;
what cannot be used is reported line by line, and nothing is dropped silently.

JSONL fields: question, answer; optional: id, fact_id, paraphrases (also: wordings),
short_answers, evidence_file, evidence_quote, kind. CSV: columns of the same names, lists
separated by `|`. A row whose kind is "unanswerable", or whose answer and list of short answers
are both given and empty, teaches to say that the answer is not known.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.prompts import REFUSAL, is_refusal
from core.errors import DatasetError
from core.privacy import find_personal, mask_personal
from core.wordings import normalise
from training.config import PersonalData
from training.rows import Problem, RawRow, Reading, Severity, read_rows
from training.similarity import near_pairs

MINIMUM_FACTS = 5
FEW_WORDINGS = 3
LONGEST_QUESTION = 4000
"""Characters. The serving side's default limit."""


@dataclass(frozen=True)
class Fact:
    """One answer and the ways people ask for it."""

    id: str
    wordings: tuple[str, ...]
    """The question first, then its other wordings; no two alike."""
    answer: str
    short_answers: tuple[str, ...] = ()
    evidence_file: str = ""
    evidence_quote: str = ""
    answerable: bool = True
    line: int = 0


@dataclass(frozen=True)
class Summary:
    """What people see of a data set before they train on it."""

    rows: int
    facts: int
    wordings: int
    unanswerable: int
    dropped: dict[str, int]
    """Rows that will not be used, counted by reason."""


@dataclass(frozen=True)
class Dataset:
    """Checked training data."""

    name: str
    sha256: str
    """Of the file as uploaded."""
    facts: tuple[Fact, ...]
    problems: tuple[Problem, ...]
    rows: int
    personal_data: PersonalData = PersonalData.KEEP

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that cost a row."""
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def summary(self) -> Summary:
        """Counts for the page."""
        dropped = Counter(p.reason for p in self.problems if p.severity is Severity.ERROR)
        dropped.update(p.reason for p in self.problems if p.reason in _MERGED)
        return Summary(
            rows=self.rows,
            facts=len(self.facts),
            wordings=sum(len(fact.wordings) for fact in self.facts),
            unanswerable=sum(not fact.answerable for fact in self.facts),
            dropped=dict(dropped),
        )


@dataclass(frozen=True)
class Checks:
    """How strictly a file is looked at."""

    personal_data: PersonalData = PersonalData.KEEP
    answer_tokens: int = 128
    """Longest answer the assistant may give: longer ones are learned but cut when served."""
    context_tokens: int = 8192
    """Longest prompt plus answer of the model."""
    count_tokens: Callable[[str], int] | None = None
    """The model's own count; without it about four characters are taken for a token."""

    def tokens(self, text: str) -> int:
        """Length of `text` in tokens, at least roughly."""
        return self.count_tokens(text) if self.count_tokens else len(text) // 4


_DUPLICATE = "duplicate of an earlier row"
_MERGED = frozenset({_DUPLICATE, "personal data"})


def load_dataset(path: Path, checks: Checks | None = None) -> Dataset:
    """Read and check a data file; the file stays as it is.

    Rows with errors are left out of `facts` and named in `problems`; whether training may go
    on without them is decided by `require_usable`.

    Raises:
        DatasetError: the file as a whole cannot be used.
    """
    checks = checks or Checks()
    reading = read_rows(path)
    candidates = [fact for row in reading.rows if (fact := _checked(row, reading, checks))]
    facts = _without_personal(candidates, reading.problems, checks.personal_data)
    facts = _without_duplicates(facts, reading.problems)
    reading.problems.extend(_remarks(facts, checks))
    return Dataset(
        name=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        facts=tuple(facts),
        problems=tuple(sorted(reading.problems, key=lambda p: (p.line or 0, p.message))),
        rows=reading.lines,
        personal_data=checks.personal_data,
    )


def require_usable(dataset: Dataset, *, skip_bad_rows: bool) -> None:
    """Stop before training on data that a person must look at first.

    Raises:
        DatasetError: errors that nobody agreed to skip, or too few facts to learn from.
    """
    if dataset.errors and not skip_bad_rows:
        shown = [f"  {problem.message}" for problem in dataset.errors[:20]]
        if len(dataset.errors) > len(shown):
            shown.append(f"  ... and {len(dataset.errors) - len(shown):,} more")
        raise DatasetError(
            "\n".join(
                [
                    f"'{dataset.name}': {len(dataset.errors):,} of {dataset.rows:,} rows cannot be "
                    "used. Correct them, or leave them out on purpose (--skip-bad-rows, or the "
                    "box on the page):",
                    *shown,
                ]
            )
        )
    if len(dataset.facts) < MINIMUM_FACTS:
        raise DatasetError(
            f"'{dataset.name}' holds {_plural(len(dataset.facts), 'usable fact')}; training needs "
            f"at least {MINIMUM_FACTS}. With fewer the model answers every question with the same "
            "sentence, and nothing can be held out to see it. Add rows with other questions."
        )


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _checked(row: RawRow, reading: Reading, checks: Checks) -> Fact | None:
    """Return the row as a fact, or None after noting in `reading` why not."""
    wrong = _wrong_type(row.values)
    if wrong:
        reading.reject(row.line, "wrong type", wrong, "See the format of training data.")
        return None
    values = row.values
    question = str(values.get("question") or "").strip()
    answer = str(values.get("answer") or "").strip()
    refuses = bool(answer) and not values.get("short_answers") and is_refusal(answer)
    answerable = not (_marked_unanswerable(values) or refuses)
    flaw = _flaw(values, question, answer, answerable)
    if flaw is None and checks.tokens(answer) > checks.context_tokens // 2:
        flaw = (
            "answer longer than the context",
            f"the answer has about {checks.tokens(answer):,} tokens, the model's context "
            f"{checks.context_tokens:,}",
            "Shorten it to what answers the question; put long texts among the documents.",
        )
    if flaw is not None:
        reading.reject(row.line, *flaw)
        return None
    if refuses and normalise(answer) != normalise(REFUSAL):
        reading.problems.append(_retold(row.line, answer))
    return Fact(
        id=str(values.get("fact_id") or values.get("id") or f"line-{row.line}"),
        wordings=_wordings(question, values),
        answer=answer if answerable else REFUSAL,
        short_answers=tuple(str(text) for text in values.get("short_answers") or ()),
        evidence_file=str(values.get("evidence_file") or ""),
        evidence_quote=str(values.get("evidence_quote") or ""),
        answerable=answerable,
        line=row.line,
    )


def _retold(line: int, answer: str) -> Problem:
    message = (
        f"line {line:,}: {answer[:60]!r} is taught as {REFUSAL!r}, the one sentence for it. "
        "If it answers the question, begin with what it says, or give it short_answers."
    )
    return Problem(Severity.WARNING, "taught as a refusal", message, line)


def _wrong_type(values: dict[str, Any]) -> str:
    for name in ("question", "answer", "evidence_file", "evidence_quote", "kind"):
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            return f"'{name}' is {type(value).__name__}, not text"
    for name in ("paraphrases", "wordings", "short_answers"):
        value = values.get(name)
        if value is not None and (
            not isinstance(value, list) or not all(isinstance(item, str) for item in value)
        ):
            return f"'{name}' is not a list of texts"
    return ""


def _marked_unanswerable(values: dict[str, Any]) -> bool:
    both_given = values.get("answer") == "" and values.get("short_answers") == []
    return values.get("kind") == "unanswerable" or (both_given and "kind" not in values)


def _flaw(
    values: dict[str, Any], question: str, answer: str, answerable: bool
) -> tuple[str, str, str] | None:
    for name in ("question", "answer"):
        if name not in values:
            given = ", ".join(sorted(values)[:6]) or "nothing"
            return f"no {name}", f"no field '{name}' (found: {given})", f'Add "{name}": "...".'
    if not normalise(question):
        return "empty question", "the question is empty", "Write the question or leave the row out."
    if len(question) > LONGEST_QUESTION:
        found = f"the question has {len(question):,} characters"
        return "question too long", found, f"Shorten it to {LONGEST_QUESTION:,} or fewer."
    if answerable and not answer:
        remedy = 'Write the answer, or mark the row "kind": "unanswerable".'
        return "empty answer", f"no answer to {question[:60]!r}", remedy
    return None


def _wordings(question: str, values: dict[str, Any]) -> tuple[str, ...]:
    others = [*(values.get("paraphrases") or ()), *(values.get("wordings") or ())]
    distinct = {normalise(text): text.strip() for text in reversed([question, *others])}
    distinct.pop("", None)
    return tuple(reversed(distinct.values()))


def _texts(fact: Fact) -> tuple[str, ...]:
    return (*fact.wordings, fact.answer, *fact.short_answers, fact.evidence_quote)


def _without_personal(
    facts: Sequence[Fact], problems: list[Problem], treatment: PersonalData
) -> list[Fact]:
    done = {
        PersonalData.KEEP: ("kept", "Choose to mask or drop such rows unless this is intended."),
        PersonalData.MASK: ("masked", "The file itself keeps it."),
        PersonalData.DROP: ("row dropped", "The file itself keeps it."),
    }[treatment]
    kept = []
    for fact in facts:
        kinds = sorted({found.kind.value for text in _texts(fact) for found in find_personal(text)})
        if not kinds:
            kept.append(fact)
            continue
        message = f"line {fact.line:,}: {', '.join(kinds)} ({done[0]}). {done[1]}"
        reason = "personal data" if treatment is PersonalData.DROP else f"personal data {done[0]}"
        problems.append(Problem(Severity.WARNING, reason, message, fact.line))
        if treatment is PersonalData.MASK:
            kept.append(_masked(fact))
        elif treatment is PersonalData.KEEP:
            kept.append(fact)
    return kept


def _masked(fact: Fact) -> Fact:
    return replace(
        fact,
        wordings=tuple(dict.fromkeys(mask_personal(text) for text in fact.wordings)),
        answer=mask_personal(fact.answer),
        short_answers=tuple(mask_personal(text) for text in fact.short_answers),
        evidence_quote=mask_personal(fact.evidence_quote),
    )


def _without_duplicates(facts: Sequence[Fact], problems: list[Problem]) -> list[Fact]:
    """Merge rows that repeat a question; take out those that contradict each other."""
    owner: dict[str, Fact] = {}
    contradicted: set[int] = set()
    for fact in facts:
        for wording in fact.wordings:
            first = owner.setdefault(normalise(wording), fact)
            if first is fact or normalise(first.answer) == normalise(fact.answer):
                continue
            contradicted.update((first.line, fact.line))
            found = f"{wording[:60]!r} is also asked in line {first.line:,}, with another answer"
            remedy = "Keep one answer; neither row is used until then."
            message = f"line {fact.line:,}: {found}. {remedy}"
            problems.append(Problem(Severity.ERROR, "contradiction", message, fact.line))
    kept = []
    for fact in facts:
        if fact.line in contradicted:
            continue
        own = tuple(text for text in fact.wordings if owner[normalise(text)] is fact)
        if own:
            kept.append(replace(fact, wordings=own))
            continue
        first = owner[normalise(fact.wordings[0])]
        message = f"line {fact.line:,}: repeats line {first.line:,}; used once."
        problems.append(Problem(Severity.WARNING, _DUPLICATE, message, fact.line))
    return _with_distinct_ids(kept)


def _with_distinct_ids(facts: Sequence[Fact]) -> list[Fact]:
    """Join rows that name the same fact: a split by fact must never part them."""
    joined: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        key = (fact.id, normalise(fact.answer))
        first = joined.get(key)
        joined[key] = replace(first, wordings=(*first.wordings, *fact.wordings)) if first else fact
    return list(joined.values())


def _remarks(facts: Sequence[Fact], checks: Checks) -> list[Problem]:
    remarks = []
    for fact in facts:
        size = checks.tokens(fact.answer)
        if size > checks.answer_tokens:
            message = (
                f"line {fact.line:,}: the answer has about {size:,} tokens; the assistant stops "
                f"after {checks.answer_tokens:,}. Shorten it, or raise INHOUSE_ANSWER_TOKENS."
            )
            remarks.append(Problem(Severity.WARNING, "long answer", message, fact.line))
    for left, right in near_pairs([normalise(fact.wordings[0]) for fact in facts]):
        first, second = facts[left], facts[right]
        message = (
            f"line {second.line:,}: nearly the same question as line {first.line:,}. "
            "If they ask the same, make them wordings of one row."
        )
        remarks.append(Problem(Severity.WARNING, "near-duplicate", message, second.line))
    few = sum(len(fact.wordings) < FEW_WORDINGS for fact in facts if fact.answerable)
    if few:
        message = (
            f"{_plural(few, 'fact')} of {len(facts):,} with fewer than {FEW_WORDINGS} wordings. "
            "A fact seen in one wording is memorised, not understood: add paraphrases."
        )
        remarks.append(Problem(Severity.WARNING, "few wordings", message))
    return remarks
