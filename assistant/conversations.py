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

    def add_answer(self, conversation_id: int, question: str, answer: Answer) -> int:
        """Store an answer and return its id.

        The same question answered in another mode right after joins its turn: side by side.

        Raises:
            NotFound: the thread was deleted meanwhile.
        """
        with self._database.session() as session:
            row = session.get(ConversationRow, conversation_id, with_for_update=True)
            if row is None:
                raise _missing(conversation_id)
            row.title = row.title or title_from(question)
            row.updated_at = now()
            stored = AnswerRow(
                turn_id=_turn_for(session, row.id, question, answer.mode).id,
                mode=answer.mode.value,
                text=answer.text,
                adapter=answer.adapter,
                cited=list(answer.cited),
                passages=keep_passages(session, answer.passages),
                documents=sorted(answer.documents),
                provenance=answer.provenance,
                timing=asdict(answer.timing),
                cut_off=answer.cut_off,
            )
            session.add(stored)
            session.flush()
            return stored.id

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
                .where(TurnRow.conversation_id == conversation_id, AnswerRow.mode == mode.value)
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


def _turn_for(session: Session, conversation_id: int, question: str, mode: AnswerMode) -> TurnRow:
    last = session.scalar(
        select(TurnRow)
        .where(TurnRow.conversation_id == conversation_id)
        .order_by(TurnRow.id.desc())
        .limit(1)
    )
    if last is not None and last.question == question:
        modes = {answer.mode for answer in last.answers}
        if mode.value not in modes:
            return last
    turn = TurnRow(conversation_id=conversation_id, question=question)
    session.add(turn)
    session.flush()
    return turn


def _conversation(row: ConversationRow, turns: tuple[Turn, ...] = ()) -> Conversation:
    return Conversation(row.id, row.title, row.created_at, row.updated_at, turns)


def _turn(row: TurnRow, said: Mapping[int, StoredAnswer]) -> Turn:
    return Turn(row.id, row.question, tuple(said[answer.id] for answer in row.answers))


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
    return StoredAnswer(row.id, answer, rating, row.created_at)
