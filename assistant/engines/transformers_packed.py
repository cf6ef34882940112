"""Texts side by side without padding: their keys and values, and attention over them.

A forward pass computes one long row of tokens. Which text each belongs to is known here alone:
prompts of any length are read as they are, an opening that two prompts share is read once, and
nothing is copied for each new token. The idea is that of vLLM's batches (Kwon et al., 2309.06180),
with one room a text in place of pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

_NAME = "inhouse_packed"
_QUERIES = 128
"""Queries attended at once behind known text: fewer look at less that they may not see."""


class Pass(Protocol):
    """What one forward pass computes."""

    def store(self, room: torch.Tensor, states: torch.Tensor) -> None:
        """Put (1, heads, tokens, size) keys or values into (rows, heads, width, size)."""

    def attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """Return (tokens, heads, size) for (heads, tokens, size) queries over the rooms."""


@dataclass(frozen=True)
class Span:
    """Neighbouring tokens of one text in a pass."""

    row: int
    start: int
    end: int
    opening_of: int | None = None
    """The text that has the same tokens before `start`; they are taken from there."""


class Reading:
    """A pass over pieces of prompts."""

    def __init__(self, spans: Sequence[Span], device: torch.device, dtype: torch.dtype) -> None:
        self._spans = spans
        self._blocks: list[tuple[int, int, int, int, torch.Tensor | None]] = []
        at = 0
        for span in spans:
            # A GPU counts calls, not what is looked at in vain.
            step = _QUERIES if span.start and device.type == "cpu" else span.end
            for start in range(span.start, span.end, step):
                end = min(span.end, start + step)
                mask = _seen(end - start, end, device, dtype) if start and end - start > 1 else None
                self._blocks.append((span.row, at, at + end - start, end, mask))
                at += end - start

    def store(self, room: torch.Tensor, states: torch.Tensor) -> None:
        """See `Pass`."""
        at = 0
        for span in self._spans:
            count = span.end - span.start
            if span.opening_of is not None:
                room[span.row, :, : span.start] = room[span.opening_of, :, : span.start]
            room[span.row, :, span.start : span.end] = states[0, :, at : at + count]
            at += count

    def attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `Pass`."""
        heads, tokens, _ = query.shape
        shared = keys.shape[1]
        # A key's head is a batch of its own, so that its queries' heads share it without a copy.
        grouped = query.reshape(shared, heads // shared, tokens, -1)
        result = values.new_empty((shared, heads // shared, tokens, values.shape[-1]))
        for row, first, last, end, mask in self._blocks:
            own = grouped[:, :, first:last]
            size = (shared, heads // shared, end, -1)
            result[:, :, first:last] = scaled_dot_product_attention(
                own,
                keys[row, :, None, :end].expand(size),
                values[row, :, None, :end].expand(size),
                attn_mask=mask,
                is_causal=mask is None and last - first > 1,
                scale=scale,
            )
        return result.flatten(0, 1).transpose(0, 1)


class Writing:
    """A pass over the newest token of every text."""

    def __init__(self, lengths: Sequence[int], device: torch.device, dtype: torch.dtype) -> None:
        """`lengths`: tokens of each text before this one."""
        self._rows = torch.arange(len(lengths), device=device)
        self.positions = torch.tensor(lengths, device=device)
        self._width = max(lengths) + 1
        hidden = torch.arange(self._width, device=device) > self.positions[:, None]
        self._mask = None
        if min(lengths) < max(lengths):
            mask = torch.zeros(hidden.shape, device=device, dtype=dtype)
            self._mask = mask.masked_fill_(hidden, float("-inf"))[:, None, None]

    def store(self, room: torch.Tensor, states: torch.Tensor) -> None:
        """See `Pass`."""
        room[self._rows, :, self.positions] = states[0].transpose(0, 1)

    def attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """See `Pass`."""
        heads, count, _ = query.shape
        shared = keys.shape[1]
        result = scaled_dot_product_attention(
            query.transpose(0, 1).reshape(count, shared, heads // shared, -1),
            keys[:count, :, : self._width],
            values[:count, :, : self._width],
            attn_mask=self._mask,
            scale=scale,
        )
        return result.flatten(1, 2)


class PackedCache(Cache):  # type: ignore[misc]
    """Keys and values of `rows` texts of up to `width` tokens, layer by layer."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self._size = rows, width
        self._rooms: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.now: Pass = Reading((), torch.device("cpu"), torch.float32)
        """What the next forward pass computes."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values; return those of all texts, (rows, heads, width, size)."""
        if layer_idx not in self._rooms:
            self._rooms[layer_idx] = self._room(key_states), self._room(value_states)
        keys, values = self._rooms[layer_idx]
        self.now.store(keys, key_states)
        self.now.store(values, value_states)
        return keys, values

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one text over another."""
        for room in (half for layer in self._rooms.values() for half in layer):
            room[target, :, :length] = room[source, :, :length]

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        rows, width = self._size
        # Zeros: what is not written yet is masked, and weighs nothing only if it is a number.
        return like.new_zeros((rows, like.shape[1], width, like.shape[-1]))


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **extra: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function that a packed model calls; `packed` comes through its `forward`."""
    now: Pass = extra["packed"]
    return now.attend(query[0], key, value, extra.get("scaling"))[None], None


def pack(model: Any) -> bool:
    """Have `model` attend in packed passes if it is plain; return whether it does.

    Plain: every layer sees all text before it, with attention of the library's interface.
    """
    text = model.config.get_text_config()
    layers = DynamicCache(config=model.config).layers
    plain = (
        getattr(model, "_supports_attention_backend", False)
        and len(layers) == text.num_hidden_layers
        and all(type(layer) is DynamicLayer for layer in layers)
        and not getattr(text, "attn_logit_softcapping", None)
    )
    if plain:
        AttentionInterface.register(_NAME, attend)
        model.set_attn_implementation(_NAME)
    return plain


def _seen(queries: int, keys: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Zero where the last `queries` of `keys` tokens may look, else minus infinity."""
    hidden = torch.ones((queries, keys), device=device, dtype=torch.bool).triu(keys - queries + 1)
    return torch.zeros((queries, keys), device=device, dtype=dtype).masked_fill_(
        hidden, float("-inf")
    )[None, None]
