"""Several texts under one model while they grow: read their prompts, add tokens, let some end."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from assistant.engines.incremental import common_prefix
from assistant.engines.transformers_packed import PackedCache, Reading, Span, Writing

_PASS_TOKENS = 512
"""Tokens read in one pass: between passes others get their turn and a stop is heard. Fewer would
stream the weights from memory too often; of more, layers' results leave the processor's caches."""
_GPU_PASS_TOKENS = 4096
_SHARED_TOKENS = 16
"""A shared opening shorter than this is not worth reading on its own."""


class Forward(Protocol):
    """The model, called with one pass; returns logits (rows, tokens, words)."""

    def __call__(self, ids: torch.Tensor, **extra: Any) -> torch.Tensor:
        """`extra`: what the model's `forward` takes besides the tokens."""


class Rows(Protocol):
    """Texts in order. Logits are those after the last token of each, (rows, words)."""

    def read(self, prompts: Sequence[Sequence[int]]) -> Iterator[torch.Tensor | None]:
        """Read the prompts, once; yield None after every pass but the last, then logits."""

    def write(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add one token to each text, (rows,)."""

    def keep(self, going: Sequence[int]) -> list[int]:
        """Forget all texts but `going`; return these in their new order."""


class PackedRows:
    """`Rows` of a packed model."""

    def __init__(self, forward: Forward, model: Any, room: int) -> None:
        """`room`: tokens that each text may grow by."""
        self._forward, self._room = forward, room
        self._device, self._dtype = model.device, model.dtype
        self._pass_tokens = _pass_tokens(self._device)
        self._lengths: list[int] = []

    def read(self, prompts: Sequence[Sequence[int]]) -> Iterator[torch.Tensor | None]:
        """See `Rows`."""
        self._lengths = [len(prompt) for prompt in prompts]
        self._cache = PackedCache(len(prompts), max(self._lengths) + self._room)
        found: list[torch.Tensor] = []
        passes = list(_passes(prompts, self._pass_tokens))
        for number, spans in enumerate(passes, 1):
            tokens = [t for span in spans for t in prompts[span.row][span.start : span.end]]
            positions = [n for span in spans for n in range(span.start, span.end)]
            ends, at = [], -1
            for span in spans:
                at += span.end - span.start
                if span.end == len(prompts[span.row]):
                    ends.append(at)
            self._cache.now = Reading(spans, self._device, self._dtype)
            found.append(self._pass(self._tensor(tokens), self._tensor(positions), ends))
            yield torch.cat(found) if number == len(passes) else None

    def write(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `Rows`."""
        self._cache.now = now = Writing(self._lengths, self._device, self._dtype)
        self._lengths = [length + 1 for length in self._lengths]
        return self._pass(tokens, now.positions, range(len(tokens)))

    def keep(self, going: Sequence[int]) -> list[int]:
        """See `Rows`; texts from the end move into the places of ended ones."""
        staying = {n for n in going if n < len(going)}
        later = [n for n in going if n >= len(going)]
        order = [n if n in staying else later.pop() for n in range(len(going))]
        for place, n in enumerate(order):
            if place != n:
                self._cache.move(n, place, self._lengths[n])
        self._lengths = [self._lengths[n] for n in order]
        return order

    def _pass(
        self, tokens: torch.Tensor, positions: torch.Tensor, ends: Sequence[int]
    ) -> torch.Tensor:
        return self._forward(
            tokens[None],
            position_ids=positions[None],
            past_key_values=self._cache,
            packed=self._cache.now,
            logits_to_keep=self._tensor(ends),
        )[0]

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


class PaddedRows:
    """`Rows` of any other model: padded on the left, in the library's own cache."""

    def __init__(self, forward: Forward, model: Any, filler: int) -> None:
        """`filler`: any token; it is never looked at."""
        self._forward, self._device, self._filler = forward, model.device, filler
        self._cache = DynamicCache(config=model.config)

    def read(self, prompts: Sequence[Sequence[int]]) -> Iterator[torch.Tensor | None]:
        """See `Rows`."""
        shared = common_prefix(prompts) if len(prompts) > 1 else 0
        if shared >= _SHARED_TOKENS:
            self._mask = torch.ones((1, shared), dtype=torch.long, device=self._device)
            self._pass(torch.tensor([prompts[0][:shared]], device=self._device), self._mask)
            self._cache.batch_repeat_interleave(len(prompts))
        else:
            shared = 0
        width = max(map(len, prompts)) - shared
        ids = torch.full((len(prompts), width), self._filler, device=self._device)
        mask = torch.zeros((len(prompts), shared + width), dtype=torch.long, device=self._device)
        mask[:, :shared] = 1
        for number, prompt in enumerate(prompts):
            rest = prompt[shared:]
            ids[number, width - len(rest) :] = torch.tensor(rest, device=self._device)
            mask[number, shared + width - len(rest) :] = 1
        self._mask = mask
        step = max(16, _pass_tokens(self._device) // len(prompts))
        for start in range(0, width, step):
            end = min(width, start + step)
            logits = self._pass(ids[:, start:end], mask[:, : shared + end])
            yield logits if end == width else None

    def write(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `Rows`."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        return self._pass(tokens[:, None], self._mask)

    def keep(self, going: Sequence[int]) -> list[int]:
        """See `Rows`."""
        kept = torch.tensor(going, device=self._device)
        self._cache.batch_select_indices(kept)
        self._mask = self._mask[kept]
        return list(going)

    def _pass(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self._forward(
            ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            logits_to_keep=1,
        )[:, -1]


def _pass_tokens(device: torch.device) -> int:
    return _PASS_TOKENS if device.type == "cpu" else _GPU_PASS_TOKENS


def _passes(prompts: Sequence[Sequence[int]], tokens: int) -> Iterator[list[Span]]:
    """Cut prompts into passes; tokens that an earlier prompt opens with too are not read again."""
    spans: list[Span] = []
    room = tokens
    for row, prompt in enumerate(prompts):
        parent, start = _opening(prompts[:row], prompt)
        while start < len(prompt):
            end = min(len(prompt), start + room)
            spans.append(Span(row, start, end, parent))
            room, parent, start = room - (end - start), None, end
            if not room:
                yield spans
                spans, room = [], tokens
    if spans:
        yield spans


def _opening(earlier: Sequence[Sequence[int]], prompt: Sequence[int]) -> tuple[int | None, int]:
    """The earlier prompt that shares the longest opening with `prompt`, and its length."""
    lengths = [common_prefix((other, prompt)) for other in earlier]
    longest = max(lengths, default=0)
    return (lengths.index(longest), longest) if longest else (None, 0)
