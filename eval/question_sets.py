"""Question sets in the database: added, listed, edited, deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.database import now
from core.errors import Conflict, InvalidInput, NotFound
from core.home import Home
from eval.questions import (
    HeldOutQuestion,
    check_training_overlap,
    near_duplicates,
    parse_questions,
    question_from_row,
    read_questions,
    training_wordings,
    version_of,
    weak_answers,
)
from eval.tables import QuestionSetRow


@dataclass(frozen=True)
class QuestionSet:
    """A named set in one version."""

    id: int
    name: str
    version: str
    """SHA-256 of its questions."""
    questions: tuple[HeldOutQuestion, ...]
    warnings: tuple[str, ...]
    """What a person should look at; nothing that stops an evaluation."""
    created_at: datetime

    @property
    def counts(self) -> dict[str, int]:
        """Number of questions by kind, kinds that do not occur left out."""
        kinds = [question.kind.value for question in self.questions]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


class QuestionSets:
    """The stored question sets of one installation."""

    def __init__(self, home: Home) -> None:
        """`home` is the opened installation."""
        self._database = home.database

    def add(
        self,
        source: Path | Sequence[Mapping[str, Any]],
        name: str,
        *,
        training_files: Sequence[Path] = (),
    ) -> QuestionSet:
        """Check and store a JSONL or CSV file, or rows of that format.

        Adding the same content under the same name again returns the stored set.

        Args:
            source: path of the file, or the rows themselves.
            name: shown to people; a name may have several versions.
            training_files: training data that the questions must not stand in.

        Raises:
            DatasetError: with the number of every wrong line and what to do.
        """
        if isinstance(source, Path):
            questions = read_questions(source)
        else:
            questions = parse_questions(enumerate(source, start=1), f"The question set '{name}'")
        warnings = near_duplicates(questions) + weak_answers(questions)
        for path in training_files:
            warnings += check_training_overlap(questions, training_wordings(path), path.name)
        return self._store(name.strip(), questions, warnings)

    def _store(
        self, name: str, questions: Sequence[HeldOutQuestion], warnings: Sequence[str]
    ) -> QuestionSet:
        if not name or len(name) > 200:
            raise InvalidInput(f"The name '{name[:40]}' has {len(name)} characters. Use 1 to 200.")
        version = version_of(questions)
        with self._database.session() as session:
            row = session.scalar(
                sa.select(QuestionSetRow).filter_by(name=name, version=version)
            ) or QuestionSetRow(
                name=name,
                version=version,
                questions=[question.as_json() for question in questions],
                warnings=list(warnings),
                created_at=now(),
            )
            session.add(row)
            session.flush()
            return _from_row(row)

    def list(self) -> list[QuestionSet]:
        """All sets, newest first."""
        with self._database.session() as session:
            rows = session.scalars(sa.select(QuestionSetRow).order_by(QuestionSetRow.id.desc()))
            return [_from_row(row) for row in rows]

    def get(self, set_id: int) -> QuestionSet:
        """One set.

        Raises:
            NotFound: no such set.
        """
        with self._database.session() as session:
            return _from_row(_row(session.get(QuestionSetRow, set_id), set_id))

    def delete(self, set_id: int) -> None:
        """Delete a set. Evaluations made with it keep their own copy of the questions.

        Raises:
            NotFound: no such set.
        """
        with self._database.session() as session:
            session.delete(_row(session.get(QuestionSetRow, set_id), set_id))

    def edit(self, set_id: int, rows: Sequence[Mapping[str, Any]]) -> QuestionSet:
        """Replace the questions of a set; its version changes, its id and name stay.

        Raises:
            NotFound: no such set.
            DatasetError: wrong rows, counted from 1.
            Conflict: another set of that name holds exactly these questions.
        """
        questions = parse_questions(enumerate(rows, start=1), "The edited question set")
        version = version_of(questions)
        with self._database.session() as session:
            row = _row(session.get(QuestionSetRow, set_id), set_id)
            same = sa.select(QuestionSetRow).filter_by(name=row.name, version=version)
            twin = session.scalar(same.where(QuestionSetRow.id != set_id))
            if twin is not None:
                raise Conflict(
                    f"The set {twin.id} '{row.name}' holds exactly these questions. Use that one."
                )
            row.version = version
            row.questions = [question.as_json() for question in questions]
            row.warnings = near_duplicates(questions) + weak_answers(questions)
            return _from_row(row)


def _row(row: QuestionSetRow | None, set_id: int) -> QuestionSetRow:
    if row is None:
        raise NotFound(f"There is no question set {set_id}. List them with `python -m eval sets`.")
    return row


def _from_row(row: QuestionSetRow) -> QuestionSet:
    return QuestionSet(
        id=row.id,
        name=row.name,
        version=row.version,
        questions=tuple(questions_from_json(row.questions)),
        warnings=tuple(row.warnings),
        created_at=row.created_at,
    )


def questions_from_json(rows: Sequence[Mapping[str, Any]]) -> list[HeldOutQuestion]:
    """Rows that were checked when they were stored."""
    return [question_from_row(row, line) for line, row in enumerate(rows, start=1)]
