"""Reads the prompts of a batch in one row: no padding, and shared openings once.

Every layer but attention treats tokens one by one, so the tokens of all prompts can stand behind
each other; in attention each stretch of them sees only the tokens of its own prompt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from assistant.engines.prompt_tree import Node, PromptTree, Span
from assistant.engines.transformers_cache import RoomyLayer, sees_everything

_ATTENTION = "sdpa_packed"
PIECE = 1024
"""Most tokens of one pass."""

Forward = Callable[..., torch.Tensor]
"""One pass of the model with these inputs; returns logits (rows, kept positions, vocabulary)."""


@dataclass(frozen=True)
class Stretch:
    """Neighbouring tokens of one prompt and what they see."""

    own: Span
    """Within the pass."""
    seen: tuple[Span, ...]
    """Keys and values, from the beginning of the packed row."""
    mask: torch.Tensor | None
    """(1, 1, own, seen); None: each sees what stands before it, or all if it is alone."""


@dataclass
class Layout:
    """How the tokens of one pass belong together."""

    stretches: Sequence[Stretch]
    used: bool = False
    """The model's attention was told."""


def can_pack(model: Any, cache: DynamicCache) -> bool:
    """Prepare `model` for packed rows; False if its attention cannot be told of them."""
    if not sees_everything(cache) or model.config._attn_implementation not in ("sdpa", _ATTENTION):
        return False
    AttentionInterface.register(_ATTENTION, _attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    try:
        model.set_attn_implementation(_ATTENTION)
    except ValueError:
        return False
    return bool(model.config._attn_implementation == _ATTENTION)


def read_packed(
    tree: PromptTree, cache: DynamicCache, forward: Forward, device: torch.device
) -> torch.Tensor | None:
    """Read all prompts of `tree` into `cache` as one row.

    Returns:
        Logits after each prompt (prompts, vocabulary); None if the model's attention ignored the
        layout, so that what the cache holds is worthless.
    """
    ends = [spans[-1][1] - 1 for spans in tree.spans]
    found: dict[int, torch.Tensor] = {}
    for piece in tree.pieces(PIECE):
        first, last = piece[0].start, piece[-1].own[1]
        wanted = sorted({end for end in ends if first <= end < last}) or [last - 1]
        layout = Layout([_stretch(node, first, device) for node in piece])
        tokens = [token for node in piece for token in node.tokens]
        places = [node.depth + n for node in piece for n in range(len(node.tokens))]
        logits = forward(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([places], device=device),
            # Four dimensions keep the library from making a mask of its own.
            attention_mask=torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device),
            logits_to_keep=torch.tensor([end - first for end in wanted], device=device),
            layout=layout,
            past_key_values=cache,
        )
        if not layout.used:
            return None
        found |= dict(zip(wanted, logits[0], strict=True))
    return torch.stack([found[end] for end in ends])


def spread(tree: PromptTree, cache: DynamicCache, more: int, device: torch.device) -> torch.Tensor:
    """Give each prompt of a packed `cache` a row of its own; return the mask (prompts, longest)."""
    with torch.inference_mode():
        for layer in cache.layers:
            assert isinstance(layer, RoomyLayer)  # noqa: S101 - `can_pack` looked
            layer.spread(tree.spans, more)
    lengths = [sum(end - start for start, end in spans) for spans in tree.spans]
    places = torch.arange(max(lengths), device=device)
    absent = max(lengths) - torch.tensor(lengths, device=device)
    return (places[None, :] >= absent[:, None]).long()


def _stretch(node: Node, first: int, device: torch.device) -> Stretch:
    start, end = node.own
    size = end - start
    mask = None
    if node.depth and size > 1:
        mask = torch.ones((1, 1, size, node.depth + size), dtype=torch.bool, device=device)
        mask = mask.tril(node.depth)
    return Stretch((start - first, end - first), node.seen, mask)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    layout: Layout | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as the library computes it, for each stretch apart where there is a layout."""
    if layout is None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return plain
    layout.used = True
    parts = []
    for stretch in layout.stretches:
        asked = query[:, :, slice(*stretch.own)]
        keys, values = (_joined(whole, stretch.seen) for whole in (key, value))
        parts.append(
            sdpa_attention_forward(module, asked, keys, values, stretch.mask, **options)[0]
        )
    return torch.cat(parts, dim=1), None


def _joined(whole: torch.Tensor, spans: Sequence[Span]) -> torch.Tensor:
    parts = [whole[:, :, start:end] for start, end in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
