"""Tables of `assistant`: conversations, their turns and answers, ratings, promotions."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

import core.tables as core_tables  # noqa: F401 - the accounts that the foreign keys name
from core.database import Base, UtcDateTime, now

_NEVER_REUSE_IDS = {"sqlite_autoincrement": True}


class ConversationRow(Base):
    """A thread of one account."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index("ix_conversations_account_id", "account_id", "updated_at"),
        _NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", name="fk_conversations_account_id", ondelete="CASCADE")
    )
    title: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class TurnRow(Base):
    """A question, asked in one mode or in several at once."""

    __tablename__ = "turns"
    __table_args__ = (Index("ix_turns_conversation_id", "conversation_id"), _NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(
        ForeignKey("conversations.id", name="fk_turns_conversation_id", ondelete="CASCADE")
    )
    question: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    answers: Mapped[list["AnswerRow"]] = relationship(
        order_by="AnswerRow.id", passive_deletes=True, lazy="selectin"
    )


class AnswerRow(Base):
    """An answer with all that made it."""

    __tablename__ = "answers"
    __table_args__ = (Index("ix_answers_turn_id", "turn_id"), _NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(primary_key=True)
    turn_id: Mapped[int] = mapped_column(
        ForeignKey("turns.id", name="fk_answers_turn_id", ondelete="CASCADE")
    )
    mode: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    adapter: Mapped[str | None] = mapped_column(String(64))
    cited: Mapped[list[int]] = mapped_column(JSON)
    passages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """Without their words; see `retrieval.kept`."""
    documents: Mapped[list[int]] = mapped_column(JSON)
    """All that the prompt held words of: who reads the answer must be allowed to read each."""
    provenance: Mapped[dict[str, Any]] = mapped_column(JSON)
    timing: Mapped[dict[str, Any]] = mapped_column(JSON)
    cut_off: Mapped[bool]
    unfinished: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Its text is what was said so far: it is being made, or was interrupted."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    ratings: Mapped[list["FeedbackRow"]] = relationship(passive_deletes=True, lazy="selectin")


class FeedbackRow(Base):
    """What one account thinks of one answer."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index("uq_feedback_answer_id_account_id", "answer_id", "account_id", unique=True),
        _NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    answer_id: Mapped[int] = mapped_column(
        ForeignKey("answers.id", name="fk_feedback_answer_id", ondelete="CASCADE")
    )
    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id", name="fk_feedback_account_id", ondelete="CASCADE")
    )
    rating: Mapped[int]
    comment: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class PromotionRow(Base):
    """Which adapter became the default, when and why; NULL: none. The newest row holds."""

    __tablename__ = "adapter_promotions"
    __table_args__ = (_NEVER_REUSE_IDS,)

    id: Mapped[int] = mapped_column(primary_key=True)
    adapter: Mapped[str | None] = mapped_column(String(64))
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.id", name="fk_adapter_promotions_account_id", ondelete="SET NULL")
    )
    reason: Mapped[str] = mapped_column(Text, default="")
    weights_sha256: Mapped[str] = mapped_column(String(64), default="", server_default="")
    """Of the adapter as it was promoted; '' in rows of versions that did not note it."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
