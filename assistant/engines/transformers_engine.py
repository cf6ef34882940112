"""The engine on transformers, peft and bitsandbytes: streams and batches."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from assistant.engines.base import AdapterRef, Generation, Sampling, never
from assistant.engines.fair_lock import FairLock
from assistant.engines.incremental import IncrementalText, common_prefix, plan_batches
from assistant.engines.source import ModelSource
from assistant.engines.transformers_adapters import Adapters
from assistant.engines.transformers_cache import new_cache
from assistant.engines.transformers_loading import Loaded, load
from assistant.modes import Message
from core.errors import EngineError
from core.settings import Settings

_PREFILL_TOKENS = 512
"""Prompt tokens read in one piece: between pieces others get their turn and a stop is heard."""
_BATCH_PREFILL_TOKENS = 4096
_BATCH_BYTES = 1 << 30
"""Keys and values of one batch, on the CPU. On a GPU: half of what is free."""
_BATCH_ROWS = 64
_SHARED_TOKENS = 16
"""A shared opening shorter than this is not worth reading on its own."""


class TransformersModel:
    """A `LanguageModel`. One model in memory, any number of threads and adapters.

    Each forward pass, of one token of one stream, is made under one lock that first turns the
    right adapter on; keys and values belong to their stream. So streams interleave token by
    token and cannot mix.
    """

    def __init__(self, source: ModelSource, settings: Settings) -> None:
        """Load the model: seconds.

        Raises:
            EngineError: it cannot be loaded; with the remedy.
        """
        self.source = source
        loaded: Loaded = load(source, settings)
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._device, self._name = loaded.device, loaded.name
        self._adapters = Adapters(loaded.model, source, loaded.dtype)
        self._lock = FairLock()
        self._config = loaded.model.config.get_text_config()
        self._ends = _end_tokens(loaded.model, loaded.tokenizer)
        special = sorted(map(re.escape, loaded.tokenizer.all_special_tokens), key=len, reverse=True)
        self._special = re.compile("|".join(special) or r"(?!)")

    @property
    def name(self) -> str:
        """Identity of model, weights, dtype and quantisation, for provenance."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """Longest prompt plus answer."""
        return int(getattr(self._config, "max_position_embeddings", 4096))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Length of the rendered prompt, the opening of the answer's turn included."""
        return len(self._encode(messages))

    def stream(
        self,
        messages: Sequence[Message],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[str]:
        """Yield pieces of text. Ends within a token of `cancelled()` turning true.

        Raises:
            AdapterError: the adapter is missing, damaged, or made for another model.
            EngineError: the prompt is longer than the context, or memory ran out.
        """
        ids = self._checked(messages, sampling)
        text = IncrementalText(self._decode)
        generator = self._generator(sampling)
        cache = new_cache(self._model.config)
        row, start = torch.tensor([ids], device=self._device), 0
        for _ in range(sampling.max_tokens):
            logits = None
            while start < row.shape[1]:
                if cancelled():
                    yield from _nonempty(text.finish())
                    return
                piece = row[:, start : start + _PREFILL_TOKENS]
                logits = self._forward(piece, cache, adapter)
                start += piece.shape[1]
            assert logits is not None  # noqa: S101 - a prompt has at least one token
            token = int(_choose(logits, sampling, [generator])[0])
            if token in self._ends:
                break
            yield from _nonempty(text.push(token))
            row, start = torch.tensor([[token]], device=self._device), 0
        yield from _nonempty(text.finish())

    def generate_batch(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
    ) -> list[Generation]:
        """Answer all prompts, in order; the same texts as `stream` would give under greedy.

        The same in float32, that is: bfloat16 rounds otherwise in a batch, and where two words
        are nearly as likely that may decide.

        Prompts of like length share a batch; an opening that all of a batch share is read once.

        Raises:
            AdapterError: the adapter is missing, damaged, or made for another model.
            EngineError: a prompt is longer than the context, or memory ran out.
        """
        encoded = [self._checked(messages, sampling) for messages in prompts]
        results: dict[int, Generation] = {}
        plan = plan_batches(
            [len(ids) for ids in encoded],
            sampling.max_tokens,
            tokens=self._batch_tokens(),
            rows=_BATCH_ROWS,
        )
        for batch in plan:
            rows = self._run_batch([encoded[n] for n in batch], adapter, sampling)
            for position, row in zip(batch, rows, strict=True):
                results[position] = self._generation(row, len(encoded[position]))
        return [results[position] for position in range(len(encoded))]

    def _run_batch(
        self, rows: list[list[int]], adapter: AdapterRef | None, sampling: Sampling
    ) -> list["_Row"]:
        state = [_Row(self._generator(sampling)) for _ in rows]
        active = list(state)
        cache, mask, logits = self._prefill_batch(rows, adapter)
        for _ in range(sampling.max_tokens):
            tokens = _choose(logits, sampling, [row.generator for row in active])
            scores = torch.log_softmax(logits.float(), dim=-1)
            scores = scores.gather(-1, tokens[:, None])[:, 0]
            for row, token, score in zip(active, tokens.tolist(), scores.tolist(), strict=True):
                row.push(token, score, self._ends)
            going = [n for n, row in enumerate(active) if not row.ended]
            if not going or max(len(row.tokens) for row in active) >= sampling.max_tokens:
                break
            if len(going) < len(active):
                kept = torch.tensor(going, device=self._device)
                cache.batch_select_indices(kept)
                mask, tokens = mask[kept], tokens[kept]
                active = [active[n] for n in going]
            mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
            logits = self._forward(tokens[:, None], cache, adapter, mask)
        return state

    def _prefill_batch(
        self, rows: list[list[int]], adapter: AdapterRef | None
    ) -> tuple[DynamicCache, torch.Tensor, torch.Tensor]:
        """Read the prompts; return keys and values, mask (rows, width), logits (rows, words)."""
        cache = new_cache(self._model.config)
        shared = common_prefix(rows) if len(rows) > 1 else 0
        if shared >= _SHARED_TOKENS:
            opening = torch.tensor([rows[0][:shared]], device=self._device)
            self._forward(opening, cache, adapter)
            cache.batch_repeat_interleave(len(rows))
        else:
            shared = 0
        width = max(len(row) for row in rows) - shared
        filler = min(self._ends)
        ids = torch.full((len(rows), width), filler, device=self._device)
        mask = torch.zeros((len(rows), shared + width), dtype=torch.long, device=self._device)
        mask[:, :shared] = 1
        for number, row in enumerate(rows):
            rest = row[shared:]
            ids[number, width - len(rest) :] = torch.tensor(rest, device=self._device)
            mask[number, shared + width - len(rest) :] = 1
        step = max(16, _BATCH_PREFILL_TOKENS // len(rows))
        for start in range(0, width, step):
            end = min(width, start + step)
            logits = self._forward(ids[:, start:end], cache, adapter, mask[:, : shared + end])
        return cache, mask, logits

    def _forward(
        self,
        ids: torch.Tensor,
        cache: DynamicCache,
        adapter: AdapterRef | None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """One pass under the lock; return the last position's logits (rows, vocabulary)."""
        extra: dict[str, Any] = {}
        if mask is not None and not bool(mask.all()):
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            extra = {"attention_mask": mask, "position_ids": positions}
        try:
            with self._lock:
                self._adapters.activate(adapter)
                with torch.inference_mode():
                    output = self._model(
                        input_ids=ids,
                        past_key_values=cache,
                        use_cache=True,
                        logits_to_keep=1,
                        **extra,
                    )
                    last: torch.Tensor = output.logits[:, -1]
                    return last
        except RuntimeError as error:
            # torch reports exhausted memory, a lost GPU and broken kernels alike as RuntimeError.
            size = " x ".join(map(str, ids.shape))
            raise EngineError(
                f"The language model '{self.name}' failed on {size} tokens: {error}. If memory "
                "ran out, lower INHOUSE_EVIDENCE_TOKENS, or name a smaller model in INHOUSE_MODEL."
            ) from error

    def _generation(self, row: "_Row", prompt_tokens: int) -> Generation:
        mean = sum(row.scores) / len(row.scores) if row.scores else None
        count = len(row.tokens)
        return Generation(self._decode(row.tokens), prompt_tokens, count, not row.ended, mean)

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        # A document or a question that spells a control token must not end or open a turn.
        turns = [
            {"role": m.role, "content": self._special.sub(_defused, m.content)} for m in messages
        ]
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _checked(self, messages: Sequence[Message], sampling: Sampling) -> list[int]:
        ids = self._encode(messages)
        if len(ids) + sampling.max_tokens > self.context_tokens:
            raise EngineError(
                f"The prompt has {len(ids)} tokens and the answer up to {sampling.max_tokens}; "
                f"'{self.name}' takes {self.context_tokens} together. Shorten the question, or "
                "lower INHOUSE_EVIDENCE_TOKENS or INHOUSE_ANSWER_TOKENS."
            )
        return ids

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _generator(self, sampling: Sampling) -> torch.Generator | None:
        if sampling.temperature <= 0:
            return None
        return torch.Generator(device=self._device).manual_seed(sampling.seed)

    def _batch_tokens(self) -> int:
        """How many tokens of keys and values fit beside the model."""
        config = self._config
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = config.num_hidden_layers * heads * head * 2 * self._model.dtype.itemsize
        room = _BATCH_BYTES
        if self._device.type == "cuda":
            room = torch.cuda.mem_get_info(self._device)[0] // 2
        return int(max(1, room // size))


@dataclass
class _Row:
    """One text of a batch while it grows."""

    generator: torch.Generator | None
    tokens: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    ended: bool = False

    def push(self, token: int, score: float, ends: frozenset[int]) -> None:
        """Take the next token; its score counts even when it ends the text."""
        self.scores.append(score)
        if token in ends:
            self.ended = True
        else:
            self.tokens.append(token)


def _choose(
    logits: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator | None]
) -> torch.Tensor:
    """Pick a token a row, (rows,): the likeliest, or drawn at the given temperature."""
    if sampling.temperature <= 0:
        return logits.argmax(dim=-1)
    shares = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    drawn = [
        torch.multinomial(share, 1, generator=generator)
        for share, generator in zip(shares, generators, strict=True)
    ]
    return torch.cat(drawn)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    ends |= {tokenizer.eos_token_id, tokenizer.get_vocab().get("<|im_end|>")}
    return frozenset(end for end in ends if end is not None)


def _defused(match: re.Match[str]) -> str:
    token = match.group()
    return f"{token[0]} {token[1:]}"


def _nonempty(text: str) -> Iterator[str]:
    if text:
        yield text
