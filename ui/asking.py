"""From what a person typed to a running turn; the pages and the API ask through here."""

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.answering import Question
from assistant.modes import AnswerMode
from core.errors import PermissionDenied
from core.permissions import Account, reader_of
from ui.services import Services
from ui.turns import Turn


@dataclass(frozen=True)
class Asked:
    """A question with the choices made for it."""

    text: str
    modes: Sequence[AnswerMode]
    adapter: str | None
    conversation_id: int | None
    """None: a new conversation."""


def ask(services: Services, account: Account, asked: Asked) -> Turn:
    """Have a question answered; it is stored, with a new conversation, once it is accepted.

    Raises:
        TooManyRequests: too many questions are open, of this account or of all.
        InvalidInput: an empty or too long question, or no adapter for a mode that needs one.
        PermissionDenied: an adapter that this account may not use.
        NotFound: the conversation is not there, or not this account's; or the adapter is not.
    """
    conversations = services.conversations
    known = asked.conversation_id
    if known is not None:
        conversations.get(known, account)
    tuned = any(mode.uses_adapter for mode in asked.modes)
    adapter = services.shelf.choose(account, asked.adapter) if tuned else None
    questions = [
        Question(
            text=asked.text.strip(),
            mode=mode,
            history=() if known is None else tuple(conversations.history(known, mode, account)),
            adapter=adapter if mode.uses_adapter else None,
            reader=reader_of(account),
        )
        for mode in asked.modes
    ]

    def check(question: Question) -> None:
        now = services.accounts.get(account.id)
        same = not now.disabled and reader_of(now) == question.reader
        if not same or not conversations.may_read(question.inherited, now):
            raise PermissionDenied(
                "What you may read changed while this question waited. Ask it again."
            )

    return services.turns.ask(account, questions, known, check)
