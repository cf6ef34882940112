"""Keys and values that grow without being copied at every token."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from assistant.engines.prompt_tree import Span

_ROOM = 128
"""Tokens of room made at a time."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A `DynamicLayer` that writes into room left behind its end.

    The library's own concatenates, which moves all keys and values of a batch for each token.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, expected: int = 0) -> None:
        """`expected`: tokens that will come; room for them is made at once."""
        super().__init__()
        self._expected = expected
        self._room: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add (batch, heads, new, size) keys and values; return all of them as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < end:
            self._room = self._more_room(key_states, end), self._more_room(value_states, end)
            if start:
                self._room[0][..., :start, :] = self.keys
                self._room[1][..., :start, :] = self.values
        self._room[0][..., start:end, :] = key_states
        self._room[1][..., start:end, :] = value_states
        self.keys, self.values = self._room[0][..., :end, :], self._room[1][..., :end, :]
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        super().batch_repeat_interleave(repeats)
        self._room = None

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows of `indices`."""
        super().batch_select_indices(indices)
        self._room = None

    def spread(self, rows: Sequence[Sequence[Span]], more: int) -> None:
        """Give each of `rows` its own copy of the spans that it is made of, aligned at the end.

        Args:
            rows: places in the one row that is held, of each new row, in order.
            more: tokens that each row may still grow by.
        """
        width = max(sum(end - start for start, end in spans) for spans in rows)
        self._room = tuple(_spread(held, rows, width, more) for held in (self.keys, self.values))  # type: ignore[assignment]
        assert self._room is not None  # noqa: S101 - just made
        self.keys, self.values = (part[..., :width, :] for part in self._room)

    def keep(self, moves: Sequence[tuple[int, int]], count: int) -> None:
        """Copy rows (from, to), then keep the first `count`: a row leaves at the cost of one."""
        with torch.inference_mode():
            for part in (self.keys, self.values):
                for source, target in moves:
                    part[target] = part[source]
        self.keys, self.values = self.keys[:count], self.values[:count]
        if self._room is not None:
            self._room = self._room[0][:count], self._room[1][:count]

    def _more_room(self, like: torch.Tensor, length: int) -> torch.Tensor:
        batch, heads, _, size = like.shape
        return like.new_empty((batch, heads, max(length + _ROOM, self._expected), size))


def _spread(
    held: torch.Tensor, rows: Sequence[Sequence[Span]], width: int, more: int
) -> torch.Tensor:
    _, heads, _, size = held.shape
    made = held.new_empty((len(rows), heads, width + more, size))
    for row, spans in zip(made, rows, strict=True):
        at = width - sum(end - start for start, end in spans)
        # What is masked is still multiplied by zero, which is not zero if it is not a number.
        row[:, :at] = 0
        for start, end in spans:
            row[:, at : at + end - start] = held[0, :, start:end]
            at += end - start
    return made


def new_cache(config: Any, expected: int = 0) -> DynamicCache:
    """Return an empty cache; layers with a window of their own stay as the library makes them."""
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer(expected) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def sees_everything(cache: DynamicCache) -> bool:
    """Whether every layer keeps all keys and values: none has a window or a state of its own."""
    return bool(cache.layers) and all(type(layer) is RoomyLayer for layer in cache.layers)


def keep_rows(cache: DynamicCache, going: Sequence[int]) -> list[int]:
    """Drop all rows but `going`; return which of the old rows each new one is.

    The last rows move into the places that become free, so their order changes.
    """
    count = len(going)
    free = sorted(set(range(count)) - set(going))
    moves = list(zip([row for row in going if row >= count], free, strict=True))
    order = list(range(count))
    for source, target in moves:
        order[target] = source
    for layer in cache.layers:
        if isinstance(layer, RoomyLayer):
            layer.keep(moves, count)
        else:
            layer.batch_select_indices(torch.tensor(order, device=layer.keys.device))
    return order
