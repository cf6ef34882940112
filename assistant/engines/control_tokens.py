"""Control tokens of a model, such as <|im_end|>, in texts that people wrote: ordinary letters.

A document, a question or an answer to learn from that spells one must not end or open a turn,
neither when it is served nor when it is trained on.
"""

import re
from typing import Any

_BRACKETED = re.compile(r"<[^\s<>]+>")


class ControlTokens:
    """The control tokens of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        """Take those it names, and added ones that are special or look so, as <tool_call> does."""
        added = tokenizer.added_tokens_decoder.values()
        tokens = {t.content for t in added if t.special or _BRACKETED.fullmatch(t.content)}
        tokens |= set(tokenizer.all_special_tokens)
        longest_first = sorted(map(re.escape, tokens - {""}), key=lambda t: (-len(t), t))
        self._pattern = re.compile("|".join(longest_first) or r"(?!)")

    def defused(self, text: str) -> str:
        """The text with a space inside of every control token."""
        return self._pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
