"""Answers and scores of evaluations in the database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from assistant.modes import Answer
from core.database import Database, now
from eval.questions import HeldOutQuestion
from eval.tables import ScoreRow, StoredAnswerRow
from retrieval.access import deleted_among
from retrieval.kept import keep_passages, kept_passages
from retrieval.passages import Passage

Result: TypeAlias = Answer | Mapping[str, Any] | str
"""What is stored: an answer, something that is kept like one, or why there is none."""
CHUNK = 400
"""Values in one IN (...): SQLite takes a limited number."""


@dataclass(frozen=True)
class StoredAnswer:
    """What a configuration said to a question, or why it said nothing."""

    id: int
    answer: dict[str, Any] | None
    error: str
    created_at: datetime


@dataclass(frozen=True)
class EvaluatedRow:
    """One question, one arm: the answer beside its sources, measures and cause."""

    ordinal: int
    """Place of the question in the evaluation, from 0."""
    question: HeldOutQuestion
    arm: str
    answer: dict[str, Any] | None
    """text, cited, cut_off, passages [{chunk_id, document_id, document, title, location, text,
    score}], timing {...}, provenance {...}, mean_logprob; None for a failed row."""
    error: str
    scores: dict[str, Any]
    """By measure; also `relevant` (one flag a passage) and `unsupported_claims`."""
    diagnosis: str


def answer_as_json(answer: Answer) -> dict[str, Any]:
    """An answer as it is stored."""
    return {
        "text": answer.text,
        "cited": list(answer.cited),
        "cut_off": answer.cut_off,
        "passages": [dict(passage.__dict__) for passage in answer.passages],
        "timing": dict(answer.timing.__dict__),
        "provenance": dict(answer.provenance),
        "mean_logprob": answer.provenance.get("mean_logprob"),
    }


def _as_json(result: Answer | Mapping[str, Any]) -> dict[str, Any]:
    return answer_as_json(result) if isinstance(result, Answer) else dict(result)


class Records:
    """Reads and writes answers and scores."""

    def __init__(self, database: Database) -> None:
        """`database` is migrated."""
        self._database = database

    def answers(self, configuration: str, hashes: Sequence[str]) -> dict[str, StoredAnswer]:
        """The stored answers of one configuration, by question hash."""
        found: dict[str, StoredAnswer] = {}
        with self._database.session() as session:
            for part in _parts(list(dict.fromkeys(hashes))):
                rows = session.scalars(
                    sa.select(StoredAnswerRow)
                    .filter_by(configuration=configuration)
                    .where(StoredAnswerRow.question_hash.in_(part))
                ).all()
                for row, answer in zip(rows, _whole(session, rows), strict=True):
                    found[row.question_hash] = StoredAnswer(
                        row.id, answer, row.error, row.created_at
                    )
        return found

    def said(self, configuration: str, hashes: Sequence[str]) -> dict[str, tuple[str | None, str]]:
        """Text and error of the stored answers, by question hash, without their passages."""
        row = StoredAnswerRow
        text = row.answer["text"].as_string()
        found: dict[str, tuple[str | None, str]] = {}
        with self._database.session() as session:
            for part in _parts(list(dict.fromkeys(hashes))):
                query = sa.select(row.question_hash, text, row.error).where(
                    row.configuration == configuration, row.question_hash.in_(part)
                )
                found |= {own: (said, error) for own, said, error in session.execute(query)}
        return found

    def save(self, configuration: str, results: Mapping[str, Result]) -> None:
        """Commit a batch: answers, or the message of what failed, by question hash.

        An answer that another process stored first is kept; a failed one is replaced.
        """
        try:
            self._save(configuration, results)
        except IntegrityError:
            # Another evaluation of this configuration committed between our look and our write;
            # under greedy decoding it wrote the same answers.
            self._save(configuration, results)

    def _save(self, configuration: str, results: Mapping[str, Result]) -> None:
        with self._database.session() as session:
            query = sa.select(StoredAnswerRow).filter_by(configuration=configuration)
            rows = session.scalars(query.where(StoredAnswerRow.question_hash.in_(list(results))))
            present = {row.question_hash: row for row in rows}
            for question_hash, result in results.items():
                row = present.get(question_hash)
                if row is not None and not row.error:
                    continue
                row = row or StoredAnswerRow(
                    configuration=configuration, question_hash=question_hash
                )
                row.answer, row.documents = None, []
                if not isinstance(result, str):
                    row.answer, row.documents = _apart(session, _as_json(result))
                row.error = result if isinstance(result, str) else ""
                row.created_at = now()
                session.add(row)

    def save_scores(self, evaluation_id: int, rows: Sequence[dict[str, Any]]) -> None:
        """Replace all scores of an evaluation.

        Args:
            evaluation_id: whose scores.
            rows: arm, ordinal, answer_id, scores, diagnosis of each.
        """
        with self._database.session() as session:
            session.execute(sa.delete(ScoreRow).filter_by(evaluation_id=evaluation_id))
            session.add_all(ScoreRow(evaluation_id=evaluation_id, **row) for row in rows)

    def rows(self, evaluation_id: int, questions: Sequence[HeldOutQuestion]) -> list[EvaluatedRow]:
        """All scored rows of an evaluation, by question, then in the order they were scored."""
        with self._database.session() as session:
            return list(_joined(session, evaluation_id, questions))

    def documents(self, evaluation_id: int) -> frozenset[int]:
        """All documents whose words the answers of an evaluation were made from."""
        query = (
            sa.select(StoredAnswerRow.documents)
            .join(ScoreRow, ScoreRow.answer_id == StoredAnswerRow.id)
            .where(ScoreRow.evaluation_id == evaluation_id)
        )
        with self._database.session() as session:
            return frozenset(chain.from_iterable(session.scalars(query)))

    def deleted_documents(self, evaluation_id: int) -> list[int]:
        """Those of them that were deleted since."""
        wanted = self.documents(evaluation_id)
        with self._database.session() as session:
            return sorted(deleted_among(session, wanted))

    def delete(self, evaluation_id: int) -> None:
        """Delete an evaluation's scores; answers stay, they may serve another evaluation."""
        with self._database.session() as session:
            session.execute(sa.delete(ScoreRow).filter_by(evaluation_id=evaluation_id))


def _joined(
    session: Session, evaluation_id: int, questions: Sequence[HeldOutQuestion]
) -> Iterator[EvaluatedRow]:
    query = (
        sa.select(ScoreRow, StoredAnswerRow)
        .join(StoredAnswerRow, StoredAnswerRow.id == ScoreRow.answer_id)
        .where(ScoreRow.evaluation_id == evaluation_id)
        .order_by(ScoreRow.ordinal, ScoreRow.id)
    )
    rows = session.execute(query).all()
    answers = _whole(session, [answered for _, answered in rows])
    for (scored, answered), answer in zip(rows, answers, strict=True):
        yield EvaluatedRow(
            ordinal=scored.ordinal,
            question=questions[scored.ordinal],
            arm=scored.arm,
            answer=answer,
            error=answered.error,
            scores=scored.scores,
            diagnosis=scored.diagnosis,
        )


def _apart(session: Session, result: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """A result with the words of its passages kept apart, and whose words they are."""
    passages = [Passage(**one) for one in result.get("passages", ())]
    documents = sorted({one.document_id for one in passages})
    if passages:
        result = {**result, "passages": keep_passages(session, passages)}
    return result, documents


def _whole(session: Session, rows: Sequence[StoredAnswerRow]) -> list[dict[str, Any] | None]:
    """The results of rows with the words of their passages, as far as they are still there."""
    results = [row.answer for row in rows]
    kept = kept_passages(session, [(one or {}).get("passages", ()) for one in results])
    return [
        {**(one or {}), "passages": [dict(passage.__dict__) for passage in given]} if given else one
        for one, given in zip(results, kept, strict=True)
    ]


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(hashes), CHUNK):
        yield hashes[start : start + CHUNK]
