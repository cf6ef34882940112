"""What people think of the answers they got."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from assistant.tables import AnswerRow, ConversationRow, FeedbackRow, TurnRow
from core.database import Database
from core.errors import InvalidInput, NotFound
from core.permissions import Account, require_admin
from core.tables import AccountRow
from retrieval.kept import kept_passages
from retrieval.passages import Passage

_LONGEST = 2000


@dataclass(frozen=True)
class Rated:
    """A rating with what it is about. Who rated shares this one turn by rating it."""

    answer_id: int
    account: str
    rating: int
    comment: str
    question: str
    text: str
    mode: str
    adapter: str | None
    created_at: datetime
    passages: tuple[Passage, ...] = ()
    """What the answer was given to read, in the order of their numbers."""
    cited: tuple[int, ...] = ()
    """Numbers, from 1, of the passages it cites."""
    asked_as: str = ""
    """What was searched: a follow-up made to stand alone; '' where nothing was."""


class Feedback:
    """Stores ratings."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._database = database

    def rate(self, answer_id: int, account: Account, rating: int, comment: str = "") -> None:
        """Rate an answer of one's own: +1, -1, or 0 to take a rating back.

        Raises:
            InvalidInput: another rating, or a comment over 2,000 characters.
            NotFound: there is no such answer among the account's.
        """
        if rating not in (-1, 0, 1):
            raise InvalidInput(f"A rating is 1, -1 or 0, not {rating}.")
        if len(comment) > _LONGEST:
            raise InvalidInput(
                f"The comment has {len(comment):,} characters; at most {_LONGEST:,} are kept. "
                "Shorten it."
            )
        with self._database.session() as session:
            owner = session.scalar(
                select(ConversationRow.account_id)
                .join(TurnRow, TurnRow.conversation_id == ConversationRow.id)
                .join(AnswerRow, AnswerRow.turn_id == TurnRow.id)
                .where(AnswerRow.id == answer_id)
            )
            if owner != account.id:
                raise NotFound(f"There is no answer {answer_id} of yours. Reload the page.")
            session.execute(
                delete(FeedbackRow).where(
                    FeedbackRow.answer_id == answer_id, FeedbackRow.account_id == account.id
                )
            )
            if rating:
                session.add(
                    FeedbackRow(
                        answer_id=answer_id,
                        account_id=account.id,
                        rating=rating,
                        comment=comment.strip(),
                    )
                )

    def list(self, account: Account, limit: int = 200) -> list[Rated]:
        """Return ratings for an admin, newest first.

        Raises:
            PermissionDenied: the account is no admin's.
        """
        require_admin(account)
        columns = (FeedbackRow, AccountRow.name, TurnRow.question, AnswerRow)
        with self._database.session() as session:
            rows = session.execute(
                select(*columns)
                .join(AccountRow, AccountRow.id == FeedbackRow.account_id)
                .join(AnswerRow, AnswerRow.id == FeedbackRow.answer_id)
                .join(TurnRow, TurnRow.id == AnswerRow.turn_id)
                .order_by(FeedbackRow.id.desc())
                .limit(limit)
            ).all()
            # Admins read all documents, so no answer is closed to them.
            passages = kept_passages(session, [answer.passages for *_, answer in rows])
            return [
                Rated(
                    answer_id=answer.id,
                    account=name,
                    rating=row.rating,
                    comment=row.comment,
                    question=question,
                    text=answer.text,
                    mode=answer.mode,
                    adapter=answer.adapter,
                    created_at=row.created_at,
                    passages=given,
                    cited=tuple(answer.cited),
                    asked_as=str(answer.provenance.get("query") or ""),
                )
                for (row, name, question, answer), given in zip(rows, passages, strict=True)
            ]
