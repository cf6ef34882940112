"""The engine on transformers, peft and bitsandbytes: streams and batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from assistant.engines.base import AdapterRef, Generation, Sampling, never
from assistant.engines.control_tokens import ControlTokens
from assistant.engines.fair_lock import FairLock
from assistant.engines.incremental import IncrementalText, plan_batches
from assistant.engines.source import ModelSource
from assistant.engines.transformers_adapters import Adapters, AdapterWeights
from assistant.engines.transformers_linear import pack_linear
from assistant.engines.transformers_loading import Loaded, load
from assistant.engines.transformers_packed import pack
from assistant.engines.transformers_rows import PackedRows, PaddedRows, Rows
from assistant.modes import Message
from core.errors import EngineError, Stopped
from core.settings import Settings

_BATCH_BYTES = 2 << 30
"""Keys and values of one batch, on the CPU. On a GPU: half of what is free."""
_BATCH_ROWS = 128


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
        self._packed = pack(loaded.model)
        pack_linear(loaded.model)
        self._adapters = Adapters(loaded.model, source, loaded.dtype)
        self._lock = FairLock()
        self._config = loaded.model.config.get_text_config()
        self._ends = _end_tokens(loaded.model, loaded.tokenizer)
        self._control = ControlTokens(loaded.tokenizer)

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
        rows = self._rows(adapter, sampling)
        reading = rows.read([ids])
        chosen: torch.Tensor | None = None
        for _ in range(sampling.max_tokens):
            logits: torch.Tensor | None = None
            while logits is None and not cancelled():
                logits = next(reading) if chosen is None else rows.write(chosen)
            if logits is None:
                break
            chosen = _choose(logits, sampling, [generator])
            token = int(chosen[0])
            if token in self._ends:
                break
            yield from _nonempty(text.push(token))
        yield from _nonempty(text.finish())

    def generate_batch(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> list[Generation]:
        """Answer all prompts, in order; the same texts as `stream` would give under greedy.

        The same in float32, that is: bfloat16 rounds otherwise in a batch, and where two words
        are nearly as likely that may decide.

        Prompts of like length share a batch; an opening that all of a batch share is read once.

        Raises:
            Stopped: `cancelled()` turned true, which is asked between tokens.
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
            own = [encoded[n] for n in batch]
            rows = self._run_batch(own, self._rows(adapter, sampling), sampling, cancelled)
            for position, row in zip(batch, rows, strict=True):
                results[position] = self._generation(row, len(encoded[position]))
        return [results[position] for position in range(len(encoded))]

    def _run_batch(
        self,
        prompts: list[list[int]],
        rows: Rows,
        sampling: Sampling,
        cancelled: Callable[[], bool],
    ) -> list["_Row"]:
        state = [_Row(self._generator(sampling)) for _ in prompts]
        active = list(state)
        logits: torch.Tensor | None = None
        for found in rows.read(prompts):
            _stop_if(cancelled)
            logits = found
        for step in range(1, sampling.max_tokens + 1):
            assert logits is not None  # noqa: S101 - the last that `read` yields
            _stop_if(cancelled)
            tokens = _choose(logits, sampling, [row.generator for row in active])
            scores = _scores(logits, tokens)
            for row, token, score in zip(active, tokens.tolist(), scores.tolist(), strict=True):
                row.push(token, score, self._ends)
            going = [n for n, row in enumerate(active) if not row.ended]
            if not going or step == sampling.max_tokens:
                break
            if len(going) < len(active):
                order = rows.keep(going)
                tokens = tokens[torch.tensor(order, device=self._device)]
                active = [active[n] for n in order]
            logits = rows.write(tokens)
        return state

    def _rows(self, adapter: AdapterRef | None, sampling: Sampling) -> Rows:
        def forward(ids: torch.Tensor, **extra: Any) -> torch.Tensor:
            return self._forward(adapter, ids, extra)

        if self._packed:
            return PackedRows(forward, self._model, sampling.max_tokens)
        return PaddedRows(forward, self._model, min(self._ends))

    def _forward(
        self, adapter: AdapterRef | None, ids: torch.Tensor, extra: dict[str, Any]
    ) -> torch.Tensor:
        """One pass under the lock; return logits (rows, tokens, words)."""
        weights: AdapterWeights | None = None
        try:
            while True:
                with self._lock:
                    if self._adapters.activate(adapter, weights):
                        with torch.inference_mode():
                            output = self._model(input_ids=ids, use_cache=True, **extra)
                            logits: torch.Tensor = output.logits
                            return logits
                # Beside the lock: hashing and reading files would stall all other answers.
                weights = self._adapters.read(adapter) if adapter else None
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
        turns = [{"role": m.role, "content": self._control.defused(m.content)} for m in messages]
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


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Stopped("The answers were stopped while they were written; none of them is kept.")


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


def _scores(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probability of each row's token, (rows,)."""
    logits = logits.float()
    return logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    ends |= {tokenizer.eos_token_id, tokenizer.get_vocab().get("<|im_end|>")}
    return frozenset(end for end in ends if end is not None)


def _nonempty(text: str) -> Iterator[str]:
    if text:
        yield text
