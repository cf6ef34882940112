"""Texts as the model sees them. The only file here that loads a tokenizer."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from assistant.engines.control_tokens import ControlTokens
from assistant.engines.source import ModelSource
from assistant.modes import Message
from core.errors import EngineError
from training.examples import Example
from training.prefix_tree import Tokens


class ChatTokenizer:
    """A model's tokenizer and chat template, without its weights."""

    def __init__(self, source: ModelSource) -> None:
        """Read the tokenizer of `source`.

        Raises:
            EngineError: its files cannot be read, or there is no chat template.
        """
        folder = str(source.folder)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            config = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise EngineError(
                f"The tokenizer of '{source.name}' in '{folder}' cannot be read: {error}. "
                "Check the folder, or set INHOUSE_MODEL=embedded."
            ) from error
        if not self._tokenizer.chat_template or self._tokenizer.eos_token is None:
            raise EngineError(
                f"The language model '{source.name}' has no chat template or no end-of-turn token. "
                "Name an instruction-tuned model with INHOUSE_MODEL."
            )
        self._control = ControlTokens(self._tokenizer)
        text_config = config.get_text_config()
        self.context_tokens = int(getattr(text_config, "max_position_embeddings", 2048))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, the opening of the answer's turn included."""
        return len(self._ids(self.prompt_text(messages)))

    def count_text(self, text: str) -> int:
        """Length of a text on its own."""
        return len(self._ids(self._control.defused(text)))

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The prompt as one string, up to where the answer starts."""
        return str(
            self._tokenizer.apply_chat_template(
                [{"role": m.role, "content": self._control.defused(m.content)} for m in messages],
                add_generation_prompt=True,
                tokenize=False,
            )
        )

    def answer_text(self, answer: str) -> str:
        """The part that is learned: the answer, and the end of the turn.

        A control token that the answer spells is learned as letters: it ends nothing.
        """
        return f"{self._control.defused(answer)}{self._tokenizer.eos_token}"

    def encode(self, example: Example) -> Tokens:
        """Tokenise prompt and answer apart, as they meet when serving."""
        prompt = self._ids(self.prompt_text(example.messages))
        return Tokens((*prompt, *self._ids(self.answer_text(example.answer))), len(prompt))

    def _ids(self, text: str) -> list[int]:
        # The template writes the special tokens itself.
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
