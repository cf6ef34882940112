"""A question that was asked and answered, in one step."""

from assistant.conversations import Conversations
from assistant.modes import Answer


def answered(threads: Conversations, thread: int, question: str, answer: Answer) -> int:
    """Store `answer` as the app does, the question first; return its id."""
    (number,) = threads.begin(thread, question, [answer])
    threads.finish(number, answer)
    return number
