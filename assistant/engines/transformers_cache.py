"""Keys and values that grow without being copied at every token."""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 128
"""Tokens of room made at a time."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A `DynamicLayer` that writes into room left behind its end.

    The library's own concatenates, which moves all keys and values of a batch for each token.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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

    def _more_room(self, like: torch.Tensor, length: int) -> torch.Tensor:
        batch, heads, _, size = like.shape
        return like.new_empty((batch, heads, length + _ROOM, size))


def new_cache(config: Any) -> DynamicCache:
    """Return an empty cache; layers with a window of their own stay as the library makes them."""
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache
