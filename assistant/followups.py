"""Makes a follow-up question findable on its own.

By rule, not by the model: a small model's rewriting is slow and often changes the question.
"""

import re
from collections.abc import Sequence

from assistant.modes import Message

_POINTS_BACK = re.compile(
    r"\b(it|its|they|them|their|theirs|he|him|his|she|her|hers|this|that|these|those|there|"
    r"one|ones|same|former|latter|else|instead|too)\b",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r"^\W*(and|but|or|so|then|also|why|how come|what about|how about|what if|which one)\b",
    re.IGNORECASE,
)
_SHORT = 3
"""Questions of so many words or fewer can hardly stand alone."""


def search_query(question: str, history: Sequence[Message]) -> str:
    """Return what to search for: the question, with those before it that it leans on."""
    asked = [message.content for message in history if message.role == "user"]
    parts = [question]
    while asked and is_follow_up(parts[0]):
        parts.insert(0, asked.pop())
    return " ".join(parts)


def is_follow_up(question: str) -> bool:
    """Tell whether a question points back to what was said before it."""
    return (
        len(question.split()) <= _SHORT
        or bool(_OPENS.match(question))
        or bool(_POINTS_BACK.search(question))
    )
