"""Several examples in one sequence, with every shared beginning computed once.

All examples start with the same rules, and the wordings of a fact that are trained with
passages share these passages too. In a padded batch the model reads that beginning once per
example; here the examples of a pass are merged into a tree of tokens, the tree is laid out as
one sequence, and the attention mask lets a token see its ancestors only. Hidden states, loss
and gradients are those of the padded batch (up to rounding), for a fraction of the tokens and
without padding. Known as tree attention (SpecInfer, Miao et al. 2305.09781) in decoding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """One example, as tokens: the loss counts from `answer_start` on."""

    ids: tuple[int, ...]
    answer_start: int

    @property
    def answer(self) -> tuple[int, ...]:
        """The part that is learned."""
        return self.ids[self.answer_start :]


@dataclass(frozen=True)
class PrefixTree:
    """N tokens that hold all examples, and the M predictions to learn."""

    ids: NDArray[np.int64]
    """(N,) token ids; a parent always comes before its children."""
    positions: NDArray[np.int64]
    """(N,) depth of each token, which is its position in its example."""
    visible: NDArray[np.bool_]
    """(N, N): row i may attend to column j: j is i itself or an ancestor."""
    sources: NDArray[np.int64]
    """(M,) the token from which a prediction is made."""
    targets: NDArray[np.int64]
    """(M,) the token id that must be predicted there."""


def build_tree(examples: Sequence[Tokens]) -> PrefixTree:
    """Merge examples. Two that agree to the end count twice in the loss, as in a batch."""
    children: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    parents: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    for example in examples:
        node = -1
        for place, token in enumerate(example.ids):
            if place >= example.answer_start:
                sources.append(node)
                targets.append(token)
            following = children.get((node, token))
            if following is None:
                following = len(ids)
                children[node, token] = following
                ids.append(token)
                parents.append(node)
            node = following
    positions, visible = _ancestry(parents)
    return PrefixTree(
        np.array(ids, dtype=np.int64), positions, visible,
        np.array(sources, dtype=np.int64), np.array(targets, dtype=np.int64),
    )  # fmt: skip


def _ancestry(parents: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    size = len(parents)
    positions = np.zeros(size, dtype=np.int64)
    visible = np.eye(size, dtype=np.bool_)
    for node, parent in enumerate(parents):
        if parent >= 0:
            positions[node] = positions[parent] + 1
            visible[node] |= visible[parent]
    return positions, visible
