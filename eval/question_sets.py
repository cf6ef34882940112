"""Question sets in the database: added, listed, edited, deleted. Every change is a version."""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.database import now
from core.errors import Conflict, InvalidInput, NotFound
from core.home import Home
from eval.arrival import Arrival, TrainingData
from eval.question_files import read_questions, training_wordings
from eval.questions import (
    HeldOutQuestion,
    parse_questions,
    question_from_row,
    version_of,
)
from eval.tables import QuestionSetRow

LONGEST_NAME = 200


@dataclass(frozen=True)
class QuestionSet:
    """A named set in one version."""

    id: int
    name: str
    version: str
    """SHA-256 of its questions."""
    questions: tuple[HeldOutQuestion, ...]
    warnings: tuple[str, ...]
    """What a person should look at, as found when it was stored; stops no evaluation."""
    created_at: datetime
    number: int = 1
    """Of the version, from 1 for the first of this name."""
    author: str = ""
    """Name of the account that made it; '' for commands."""
    change: str = ""
    """What is different from the version before, in a few words."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of questions by kind, kinds that do not occur left out."""
        kinds = [question.kind.value for question in self.questions]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    def question(self, question_id: str) -> HeldOutQuestion:
        """One of its questions.

        Raises:
            NotFound: no question has that id.
        """
        for question in self.questions:
            if question.id == question_id:
                return question
        raise NotFound(
            f"The set '{self.name}' has no question '{question_id}' (any more). Open it again."
        )


class QuestionSets:
    """The stored question sets of one installation."""

    def __init__(self, home: Home) -> None:
        """`home` is the opened installation."""
        self._database = home.database
        self._arrival = Arrival(home)

    def add(
        self,
        source: Path | Sequence[Mapping[str, Any]],
        name: str,
        *,
        training_files: Sequence[Path] = (),
        author: str = "",
    ) -> QuestionSet:
        """Check and store a JSONL or CSV file, or rows of that format.

        A name that is there already gets a new version. Content that is stored under this name
        is not stored again: its version is returned.

        Args:
            source: path of the file, or the rows themselves.
            name: shown to people; a name may have several versions.
            training_files: training data that the questions must not stand in, besides that
                of the stored training runs.
            author: name of the account.

        Raises:
            DatasetError: with the number of every wrong line and what to do.
            InvalidInput: a name that cannot be.
        """
        if isinstance(source, Path):
            questions = read_questions(source)
        else:
            questions = parse_questions(enumerate(source, start=1), f"The question set '{name}'")
        name = checked_name(name)
        training = [TrainingData(f"'{p.name}'", tuple(training_wordings(p)))
                    for p in training_files]  # fmt: skip
        before = self._newest(name)
        known = self._same(name, questions)
        if known is not None and not training:
            return known
        remarks = self._arrival.remarks(questions, training)
        if known is not None:
            return known
        change = f"uploaded, {len(questions)} questions" if before else ""
        return self._store(name, questions, remarks, author=author, change=change)

    def list(self) -> builtins.list[QuestionSet]:
        """The newest version of each set, the one changed last first."""
        newest = sa.select(sa.func.max(QuestionSetRow.number), QuestionSetRow.name).group_by(
            QuestionSetRow.name
        )
        pair = sa.tuple_(QuestionSetRow.number, QuestionSetRow.name)
        with self._database.session() as session:
            rows = session.scalars(
                sa.select(QuestionSetRow).where(pair.in_(newest)).order_by(QuestionSetRow.id.desc())
            )
            return [_from_row(row) for row in rows]

    def versions(self, name: str) -> builtins.list[QuestionSet]:
        """All versions of a set, newest first; none if there is no set of that name."""
        with self._database.session() as session:
            return [_from_row(row) for row in session.scalars(_of_name(name))]

    def get(self, set_id: int) -> QuestionSet:
        """One version of a set.

        Raises:
            NotFound: no such set.
        """
        with self._database.session() as session:
            return _from_row(_row(session, set_id))

    def newest(self, set_id: int) -> QuestionSet:
        """The newest version of the set that `set_id` is a version of.

        Raises:
            NotFound: no such set.
        """
        return self._newest(self.get(set_id).name) or self.get(set_id)

    def remarks(self, set_id: int) -> builtins.list[str]:
        """What a person should look at, as things are now.

        Raises:
            NotFound: no such set.
        """
        questions = self.get(set_id).questions
        return self._arrival.remarks(questions, known={one.question for one in questions})

    def delete(self, set_id: int) -> int:
        """Delete a set with all its versions; return how many there were.

        Evaluations made with it keep their own copy of the questions.

        Raises:
            NotFound: no such set.
        """
        with self._database.session() as session:
            rows = session.scalars(_of_name(_row(session, set_id).name)).all()
            for row in rows:
                session.delete(row)
            return len(rows)

    def save(
        self, base_id: int, rows: Sequence[Mapping[str, Any]], *, author: str = "", change: str = ""
    ) -> QuestionSet:
        """Store rows as the next version of a set.

        Args:
            base_id: the version that the rows were made from.
            rows: all questions of the new version.
            author: name of the account.
            change: what is different, in a few words.

        Raises:
            NotFound: no such set.
            DatasetError: wrong rows, counted from 1, or new questions that were trained on.
            InvalidInput: nothing is different.
            Conflict: somebody saved another version meanwhile; nothing is overwritten.
        """
        base = self.get(base_id)
        self._check_newest(base)
        questions = parse_questions(enumerate(rows, start=1), f"The changed set '{base.name}'")
        if version_of(questions) == base.version:
            raise InvalidInput(
                f"Nothing is different from version {base.number} of '{base.name}'. "
                "Change something, then save."
            )
        known = {question.question for question in base.questions}
        remarks = self._arrival.remarks(questions, known=known)
        return self._store(
            base.name, questions, remarks, author=author, change=change, number=base.number + 1
        )

    def put(
        self,
        base_id: int,
        row: Mapping[str, Any],
        *,
        question_id: str | None = None,
        author: str = "",
    ) -> QuestionSet:
        """Change one question, or add one, as the next version.

        Args:
            base_id: the version that the person looks at.
            row: the question, in the documented format; without an id it keeps or gets one.
            question_id: the question to change; None adds one at the end.
            author: name of the account.

        Raises:
            ColumnError: what is wrong with which column, the remedy.
            InvalidInput, NotFound, DatasetError, Conflict: as `save`.
        """
        base = self.get(base_id)
        rows = [question.as_json() for question in base.questions]
        if question_id is None:
            name = str(row.get("id") or "").strip() or free_id(base.questions)
            changed = question_from_row({**row, "id": name}, len(rows) + 1)
            rows.append(changed.as_json())
            change = f"added '{changed.id}'"
        else:
            place = base.questions.index(base.question(question_id))
            name = str(row.get("id") or "").strip() or question_id
            changed = question_from_row({**row, "id": name}, place + 1)
            rows[place] = changed.as_json()
            change = f"changed '{changed.id}'"
        return self.save(base_id, rows, author=author, change=change)

    def remove(self, base_id: int, question_id: str, *, author: str = "") -> QuestionSet:
        """Delete one question, as the next version.

        Raises:
            InvalidInput: it is the last one; delete the set instead.
            NotFound, Conflict: as `save`.
        """
        base = self.get(base_id)
        gone = base.question(question_id)
        rows = [question.as_json() for question in base.questions if question is not gone]
        if not rows:
            raise InvalidInput(
                f"'{question_id}' is the only question of '{base.name}'. Delete the whole set."
            )
        return self.save(base_id, rows, author=author, change=f"deleted '{question_id}'")

    def restore(self, set_id: int, *, author: str = "") -> QuestionSet:
        """Make an older version's questions the newest version again.

        Raises:
            NotFound, InvalidInput, Conflict: as `save`.
        """
        old, newest = self.get(set_id), self.newest(set_id)
        rows = [question.as_json() for question in old.questions]
        change = f"version {old.number} restored"
        return self.save(newest.id, rows, author=author, change=change)

    def _check_newest(self, base: QuestionSet) -> None:
        newest = self._newest(base.name)
        if newest is not None and newest.id != base.id:
            raise _overtaken(base, newest)

    def _newest(self, name: str) -> QuestionSet | None:
        with self._database.session() as session:
            row = session.scalars(_of_name(name).limit(1)).first()
            return None if row is None else _from_row(row)

    def _same(self, name: str, questions: Sequence[HeldOutQuestion]) -> QuestionSet | None:
        query = _of_name(name).where(QuestionSetRow.version == version_of(questions)).limit(1)
        with self._database.session() as session:
            row = session.scalars(query).first()
            return None if row is None else _from_row(row)

    def _store(
        self,
        name: str,
        questions: Sequence[HeldOutQuestion],
        remarks: Sequence[str],
        *,
        number: int | None = None,
        **made: str,
    ) -> QuestionSet:
        try:
            with self._database.session() as session:
                last = session.scalar(_last_number(name)) or 0
                row = QuestionSetRow(
                    name=name,
                    number=last + 1 if number is None else number,
                    version=version_of(questions),
                    questions=[question.as_json() for question in questions],
                    warnings=list(remarks),
                    author=made["author"][:64],
                    change=made["change"][:200],
                    created_at=now(),
                )
                session.add(row)
                session.flush()
                return _from_row(row)
        except IntegrityError:
            # Somebody's version got this number between our look and our write.
            newest = self._newest(name)
            raise Conflict(
                f"'{name}' was changed meanwhile by {_who(newest)}. Nothing of yours is stored; "
                "open the set again and repeat your change."
            ) from None


def checked_name(name: str) -> str:
    """Return a set's name, trimmed.

    Raises:
        InvalidInput: it is empty or too long.
    """
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise InvalidInput(
            f"The name '{name[:40]}' has {len(name)} characters. Use 1 to {LONGEST_NAME}."
        )
    return name


def free_id(questions: Sequence[HeldOutQuestion]) -> str:
    """An id that no question has: 'q' and a number."""
    taken = {question.id for question in questions}
    number = len(questions) + 1
    while f"q{number}" in taken:
        number += 1
    return f"q{number}"


def _who(newest: QuestionSet | None) -> str:
    return f"'{newest.author}'" if newest and newest.author else "somebody else"


def _overtaken(base: QuestionSet, newest: QuestionSet) -> Conflict:
    return Conflict(
        f"'{base.name}' was changed meanwhile by {_who(newest)}: you looked at version "
        f"{base.number}, the newest is version {newest.number}. Nothing of yours is stored; open "
        "the set again and repeat your change."
    )


def _of_name(name: str) -> sa.Select[Any]:
    return (
        sa.select(QuestionSetRow)
        .where(QuestionSetRow.name == name)
        .order_by(QuestionSetRow.number.desc())
    )


def _last_number(name: str) -> sa.Select[Any]:
    return sa.select(sa.func.max(QuestionSetRow.number)).where(QuestionSetRow.name == name)


def _row(session: Session, set_id: int) -> QuestionSetRow:
    row = session.get(QuestionSetRow, set_id)
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
        number=row.number,
        author=row.author,
        change=row.change,
    )


def questions_from_json(rows: Sequence[Mapping[str, Any]]) -> builtins.list[HeldOutQuestion]:
    """Rows that were checked when they were stored."""
    return [question_from_row(row, line) for line, row in enumerate(rows, start=1)]
