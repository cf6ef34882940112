"""Threads of questions and answers. Each belongs to one account, and nobody else reads it.

An answer repeats documents, so it is shown only while its owner may read every one of them; that
is asked anew each time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from assistant.modes import Answer, AnswerMode, Message, Timing
from assistant.tables import AnswerRow, ConversationRow, TurnRow
from core.database import Database, now
from core.errors import InvalidInput, NotFound
from core.permissions import Account, reader_of
from retrieval.access import readable_documents
from retrieval.kept import keep_passages, kept_passages
from retrieval.passages import Passage

_TITLE = 60
_LONGEST_TITLE = 200


@dataclass(frozen=True)
class StoredAnswer:
    """An answer that was given."""

    id: int
    answer: Answer
    rating: int
    """+1, -1, or 0: not rated by the conversation's owner."""
    created_at: datetime
    unfinished: bool = False
    """It is being made, or was interrupted; its text is what was said so far."""
    withheld: bool = False
    """It was made from documents that are not open to its owner now; what it said is left out."""


@dataclass(frozen=True)
class Turn:
    """A question and its answers: one, or one for each mode asked side by side."""

    id: int
    question: str
    answers: tuple[StoredAnswer, ...]


@dataclass(frozen=True)
class Conversation:
    """A thread; `turns` is empty in lists."""

    id: int
    title: str
    created_at: datetime
    updated_at: datetime
    turns: tuple[Turn, ...] = ()


class Conversations:
    """Stores threads."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._database = database

    def create(self, account: Account, title: str = "") -> Conversation:
        """Start a thread; without a title the first question becomes it."""
        with self._database.session() as session:
            row = ConversationRow(account_id=account.id, title=title[:_LONGEST_TITLE])
            session.add(row)
            session.flush()
            return _conversation(row)

    def list(self, account: Account, limit: int = 200) -> list[Conversation]:
        """The account's threads, the last used first, without their turns."""
        with self._database.session() as session:
            rows = session.scalars(
                select(ConversationRow)
                .where(ConversationRow.account_id == account.id)
                .order_by(ConversationRow.updated_at.desc(), ConversationRow.id.desc())
                .limit(limit)
            )
            return [_conversation(row) for row in rows]

    def get(self, conversation_id: int, account: Account) -> Conversation:
        """Return a thread with all turns.

        Raises:
            NotFound: there is none, or it is somebody else's; admins read theirs only, too.
        """
        with self._database.session() as session:
            row = _owned(session, conversation_id, account)
            turns = session.scalars(
                select(TurnRow).where(TurnRow.conversation_id == row.id).order_by(TurnRow.id)
            ).all()
            said = _shown(session, [one for turn in turns for one in turn.answers], account)
            return _conversation(row, tuple(_turn(turn, said) for turn in turns))

    def rename(self, conversation_id: int, account: Account, title: str) -> None:
        """Give a thread another title.

        Raises:
            NotFound: as `get`.
            InvalidInput: an empty title, or one over 200 characters.
        """
        title = " ".join(title.split())
        if not title or len(title) > _LONGEST_TITLE:
            raise InvalidInput(
                f"A title has 1 to {_LONGEST_TITLE} characters, not {len(title)}. "
                "Choose a shorter one."
                if title
                else "The title is empty. Type one."
            )
        with self._database.session() as session:
            _owned(session, conversation_id, account).title = title

    def delete(self, conversation_id: int, account: Account) -> None:
        """Delete a thread with its answers and their ratings, for good.

        Raises:
            NotFound: as `get`.
        """
        with self._database.session() as session:
            row = _owned(session, conversation_id, account)
            session.execute(delete(ConversationRow).where(ConversationRow.id == row.id))

    def begin(
        self, conversation_id: int, question: str, to_come: Sequence[Answer]
    ) -> "tuple[int, ...]":
        """Store a question before it is answered; return the id of each answer to come.

        Asking again what was interrupted takes the place of what was left.

        Args:
            conversation_id: the thread.
            question: as it was asked.
            to_come: an answer without words for each mode, with adapter and inherited documents.

        Raises:
            NotFound: the thread was deleted meanwhile.
        """
        with self._database.session() as session:
            row = session.get(ConversationRow, conversation_id, with_for_update=True)
            if row is None:
                raise _missing(conversation_id)
            row.title = row.title or title_from(question)
            row.updated_at = now()
            modes = {answer.mode.value for answer in to_come}
            turn_id = _turn_to_begin(session, row.id, question, modes)
            rows = [AnswerRow(turn_id=turn_id) for _ in to_come]
            for stored, answer in zip(rows, to_come, strict=True):
                _write(session, stored, answer, unfinished=True)
                session.add(stored)
                session.flush()
            return tuple(stored.id for stored in rows)

    def keep(self, answer_id: int, text: str, passages: Sequence[Passage]) -> None:
        """Store what was said so far of an answer that was begun."""
        with self._database.session() as session:
            row = session.get(AnswerRow, answer_id)
            if row is not None:
                row.text = text
                row.passages = keep_passages(session, passages)
                row.documents = sorted({*row.documents, *(one.document_id for one in passages)})

    def finish(self, answer_id: int, answer: Answer) -> None:
        """Store an answer that was begun.

        Raises:
            NotFound: the thread was deleted meanwhile, or the question was asked again.
        """
        with self._database.session() as session:
            row = session.get(AnswerRow, answer_id)
            if row is None:
                raise NotFound(
                    f"The answer {answer_id} is not wanted any more: its conversation was "
                    "deleted, or its question asked again."
                )
            _write(session, row, answer)

    def discard(self, answer_ids: Sequence[int]) -> None:
        """Forget answers that were to come, and will not."""
        with self._database.session() as session:
            session.execute(
                delete(AnswerRow).where(AnswerRow.id.in_(answer_ids), AnswerRow.unfinished)
            )

    def answer(self, answer_id: int, account: Account) -> Answer:
        """Return one answer of the account's own threads.

        Raises:
            NotFound: there is none, it is somebody else's, or it is withheld.
        """
        with self._database.session() as session:
            row = session.scalar(
                select(AnswerRow)
                .join(TurnRow, TurnRow.id == AnswerRow.turn_id)
                .join(ConversationRow, ConversationRow.id == TurnRow.conversation_id)
                .where(AnswerRow.id == answer_id, ConversationRow.account_id == account.id)
            )
            found = _shown(session, [row], account)[row.id] if row else None
            if found is None or found.withheld:
                raise NotFound(f"There is no answer {answer_id} of yours. Reload the page.")
            return found.answer

    def may_read(self, documents: Iterable[int], account: Account) -> bool:
        """Tell whether what was made from all of these documents is open to `account` now."""
        wanted = list(documents)
        with self._database.session() as session:
            return _readable(session, [wanted], account).issuperset(wanted)

    def history(
        self, conversation_id: int, mode: AnswerMode, account: Account
    ) -> Sequence[Message]:
        """What was said in `mode` and is open to `account`, oldest first: user, assistant, ...

        Raises:
            NotFound: as `get`.
        """
        with self._database.session() as session:
            _owned(session, conversation_id, account)
            rows = session.execute(
                select(TurnRow.question, AnswerRow.text, AnswerRow.documents)
                .join(AnswerRow, AnswerRow.turn_id == TurnRow.id)
                .where(
                    TurnRow.conversation_id == conversation_id,
                    AnswerRow.mode == mode.value,
                    AnswerRow.unfinished.is_(False),
                )
                .order_by(AnswerRow.id)
            ).all()
            readable = _readable(session, [row.documents for row in rows], account)
            return [
                message
                for question, text, documents in rows
                if text and readable.issuperset(documents)
                for message in (
                    Message("user", question),
                    Message("assistant", text, frozenset(documents)),
                )
            ]


def title_from(question: str) -> str:
    """The beginning of a question, on one line, cut between words."""
    flat = " ".join(question.split())
    if len(flat) <= _TITLE:
        return flat
    return flat[: _TITLE - 1].rsplit(" ", 1)[0] + "…"


def _missing(conversation_id: int) -> NotFound:
    return NotFound(f"There is no conversation {conversation_id} of yours. Start a new one.")


def _owned(session: Session, conversation_id: int, account: Account) -> ConversationRow:
    row = session.get(ConversationRow, conversation_id)
    if row is None or row.account_id != account.id:
        raise _missing(conversation_id)
    return row


def _turn_to_begin(session: Session, conversation_id: int, question: str, modes: "set[str]") -> int:
    """The turn that answers in `modes` belong to; interrupted ones there make room."""
    last = _last_turn(session, conversation_id)
    if last is None or last.question != question:
        return _new_turn(session, conversation_id, question).id
    same = [answer for answer in last.answers if answer.mode in modes]
    if not all(answer.unfinished for answer in same):
        return _new_turn(session, conversation_id, question).id
    session.execute(delete(AnswerRow).where(AnswerRow.id.in_([one.id for one in same])))
    return last.id


def _last_turn(session: Session, conversation_id: int) -> TurnRow | None:
    return session.scalar(
        select(TurnRow)
        .where(TurnRow.conversation_id == conversation_id)
        .order_by(TurnRow.id.desc())
        .limit(1)
    )


def _new_turn(session: Session, conversation_id: int, question: str) -> TurnRow:
    turn = TurnRow(conversation_id=conversation_id, question=question)
    session.add(turn)
    session.flush()
    return turn


def _conversation(row: ConversationRow, turns: tuple[Turn, ...] = ()) -> Conversation:
    return Conversation(row.id, row.title, row.created_at, row.updated_at, turns)


def _turn(row: TurnRow, said: Mapping[int, StoredAnswer]) -> Turn:
    return Turn(row.id, row.question, tuple(said[answer.id] for answer in row.answers))


def _write(session: Session, row: AnswerRow, answer: Answer, *, unfinished: bool = False) -> None:
    row.mode = answer.mode.value
    row.text = answer.text
    row.adapter = answer.adapter
    row.cited = list(answer.cited)
    row.passages = keep_passages(session, answer.passages)
    row.documents = sorted(answer.documents)
    row.provenance = answer.provenance
    row.timing = asdict(answer.timing)
    row.cut_off = answer.cut_off
    row.unfinished = unfinished


def _readable(
    session: Session, documents: Iterable[Sequence[int]], account: Account
) -> frozenset[int]:
    return readable_documents(session, chain.from_iterable(documents), reader_of(account))


def _shown(
    session: Session, rows: Sequence[AnswerRow], account: Account
) -> dict[int, StoredAnswer]:
    """Answers as `account` may see them now, by number."""
    readable = _readable(session, [row.documents for row in rows], account)
    open_ones = [row for row in rows if readable.issuperset(row.documents)]
    passages = kept_passages(session, [row.passages for row in open_ones])
    given = {row.id: own for row, own in zip(open_ones, passages, strict=True)}
    return {row.id: _stored(row, account, given.get(row.id)) for row in rows}


def _stored(row: AnswerRow, account: Account, passages: tuple[Passage, ...] | None) -> StoredAnswer:
    """One answer; `passages` None: nothing of it is open to `account`."""
    mine = [rating.rating for rating in row.ratings if rating.account_id == account.id]
    rating = mine[0] if mine else 0
    if passages is None:
        nothing = Answer("", AnswerMode(row.mode), (), (), None)
        return StoredAnswer(row.id, nothing, rating, row.created_at, withheld=True)
    answer = Answer(
        text=row.text,
        mode=AnswerMode(row.mode),
        passages=passages,
        cited=tuple(row.cited),
        adapter=row.adapter,
        provenance=row.provenance,
        timing=Timing(**row.timing),
        cut_off=row.cut_off,
        inherited=frozenset(row.documents) - {one.document_id for one in passages},
    )
    return StoredAnswer(row.id, answer, rating, row.created_at, row.unfinished)
