"""Proposed questions: they wait until a person takes them into a set or refuses them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.database import now
from core.errors import Conflict, NotFound
from core.home import Home
from core.values import plain
from eval.near import Wordings
from eval.question_sets import QuestionSet, QuestionSets, checked_name
from eval.questions import question_from_row
from eval.tables import CandidateRow
from eval.texts import words
from retrieval.access import deleted_among


class Source(StrEnum):
    """Where a proposed question comes from."""

    FEEDBACK = "feedback"
    DOCUMENTS = "documents"


class State(StrEnum):
    """What became of it."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Proposal:
    """A question as proposed, before it is stored."""

    source: Source
    key: str
    """By which it is known when it is proposed again; see `key_of`."""
    row: Mapping[str, Any]
    """In the documented format; it may lack what only a person can fill in."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What helps a person to judge: JSON."""


@dataclass(frozen=True)
class Candidate:
    """A stored proposal."""

    id: int
    source: Source
    key: str
    state: State
    row: dict[str, Any]
    about: dict[str, Any]
    created_at: datetime


def key_of(source: Source, *texts: str) -> str:
    """Identity of a proposal: its words, however they are written."""
    folded = "\n".join(" ".join(words(text)) for text in texts)
    return hashlib.sha256(f"{source}\n{folded}".encode()).hexdigest()


def documents_of(about: Mapping[str, Any]) -> list[int]:
    """Numbers of the documents that a proposal quotes."""
    found = [source["document"] for source in about.get("sources", ())]
    return [*found, about["document"]] if "document" in about else found


class Candidates:
    """The proposals of one installation."""

    def __init__(self, home: Home) -> None:
        """`home` is the opened installation."""
        self._database = home.database
        self._sets = QuestionSets(home)

    def add(self, proposals: Sequence[Proposal], job_id: int | None = None) -> int:
        """Store proposals that were never made before; return how many."""
        return sum(self._add(proposal, job_id) for proposal in proposals)

    def _add(self, proposal: Proposal, job_id: int | None) -> bool:
        row = CandidateRow(
            source=proposal.source.value,
            key=proposal.key,
            state=State.WAITING.value,
            row=plain(dict(proposal.row)),
            about=plain(dict(proposal.about)),
            job_id=job_id,
            created_at=now(),
            decided_at=None,
            decided_by="",
        )
        if self.known(proposal.key):
            return False
        try:
            with self._database.session() as session:
                session.add(row)
        except IntegrityError:
            # Two pages that look for new ratings at once find the same ones.
            return False
        return True

    def known(self, key: str) -> bool:
        """Tell whether a proposal was made before, whatever became of it."""
        with self._database.session() as session:
            return _by_key(session, key) is not None

    def waiting(self, source: Source | None = None) -> list[Candidate]:
        """Proposals that nobody has decided on, oldest first; their documents are still there."""
        self._forget_deleted()
        query = sa.select(CandidateRow).where(CandidateRow.state == State.WAITING.value)
        if source is not None:
            query = query.where(CandidateRow.source == source.value)
        with self._database.session() as session:
            return [_candidate(row) for row in session.scalars(query.order_by(CandidateRow.id))]

    def of_job(self, job_id: int) -> list[Candidate]:
        """Proposals that a job made, decided or not."""
        query = sa.select(CandidateRow).where(CandidateRow.job_id == job_id)
        with self._database.session() as session:
            return [_candidate(row) for row in session.scalars(query.order_by(CandidateRow.id))]

    def get(self, candidate_id: int) -> Candidate:
        """One proposal that waits.

        Raises:
            NotFound: there is none, or its conversation or document was deleted.
            Conflict: somebody has decided on it.
        """
        self._forget_deleted()
        with self._database.session() as session:
            return _candidate(_waiting(session, candidate_id))

    def accept(
        self, candidate_id: int, row: Mapping[str, Any], set_name: str, *, author: str = ""
    ) -> QuestionSet:
        """Take a proposal, as a person has edited it, into a set; return the new version.

        Args:
            candidate_id: the proposal.
            row: the question in the documented format.
            set_name: of a stored set, or of one to be made.
            author: name of the account.

        Raises:
            NotFound, Conflict: as `get`.
            DatasetError: what is wrong with the question, as when a set arrives.
            InvalidInput: a name that cannot be.
        """
        self.get(candidate_id)
        versions = self._sets.versions(checked_name(set_name))
        if versions:
            saved = self._sets.put(versions[0].id, row, author=author)
        else:
            name = str(row.get("id") or "").strip() or "q1"
            question = question_from_row({**row, "id": name}, 1)
            saved = self._sets.add([question.as_json()], set_name, author=author)
        self._decide(candidate_id, State.ACCEPTED, author)
        return saved

    def refuse(self, candidate_id: int, *, author: str = "") -> None:
        """Refuse a proposal: its text is forgotten, and it does not come back.

        Raises:
            NotFound, Conflict: as `get`.
        """
        self._decide(candidate_id, State.REFUSED, author)

    def withdraw(self, kept_answers: Sequence[int]) -> int:
        """Forget waiting proposals from ratings that are gone; return how many.

        Args:
            kept_answers: ids of answers that are still there and rated.
        """
        kept, gone = set(kept_answers), 0
        query = sa.select(CandidateRow).where(
            CandidateRow.state == State.WAITING.value,
            CandidateRow.source == Source.FEEDBACK.value,
        )
        with self._database.session() as session:
            for row in session.scalars(query):
                if row.about.get("answer_id") not in kept:
                    session.delete(row)
                    gone += 1
        return gone

    def _forget_deleted(self) -> None:
        """Forget waiting proposals that quote a document that was deleted."""
        waiting = sa.select(CandidateRow).where(CandidateRow.state == State.WAITING.value)
        with self._database.session() as session:
            rows = session.scalars(waiting).all()
            quoted = {row.id: documents_of(row.about) for row in rows}
            gone = deleted_among(session, chain.from_iterable(quoted.values()))
            for row in rows:
                if not gone.isdisjoint(quoted[row.id]):
                    session.delete(row)

    def asked_wordings(self) -> Wordings:
        """Every question of the stored sets and of the proposals that wait."""
        stored = [one.question for found in self._sets.list() for one in found.questions]
        return Wordings([*stored, *(one.row["question"] for one in self.waiting())])

    def _decide(self, candidate_id: int, state: State, author: str) -> None:
        with self._database.session() as session:
            row = _waiting(session, candidate_id)
            row.state, row.decided_at, row.decided_by = state.value, now(), author[:64]
            # An accepted text lives on in its set; a refused one must not be kept at all.
            row.row, row.about = {}, {}


def _by_key(session: Session, key: str) -> CandidateRow | None:
    return session.scalar(sa.select(CandidateRow).where(CandidateRow.key == key))


def _waiting(session: Session, candidate_id: int) -> CandidateRow:
    row = session.get(CandidateRow, candidate_id)
    if row is None:
        raise NotFound(
            f"There is no proposed question {candidate_id} (any more): its document, rating or "
            "conversation was deleted. Go on with the next."
        )
    if row.state != State.WAITING.value:
        who = f"'{row.decided_by}'" if row.decided_by else "somebody else"
        raise Conflict(
            f"The proposed question {candidate_id} was {row.state} by {who} meanwhile. Go on with "
            "the next."
        )
    return row


def _candidate(row: CandidateRow) -> Candidate:
    return Candidate(
        row.id, Source(row.source), row.key, State(row.state), row.row, row.about, row.created_at
    )
