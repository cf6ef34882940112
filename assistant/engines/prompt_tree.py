"""The prompts of a batch as a tree, in which an opening that several share stands once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

Span = tuple[int, int]
"""First place and the one after the last, in the order in which a tree is read."""


@dataclass(frozen=True)
class Node:
    """Tokens that follow those of their ancestors, in every prompt they belong to."""

    tokens: tuple[int, ...]
    start: int
    """Place of the first token in the order of reading: parents before children."""
    depth: int
    """Number of tokens before them in their prompts."""
    before: tuple[Span, ...]
    """Where those stand, in the order of the prompt."""

    @property
    def own(self) -> Span:
        """Where the tokens stand."""
        return self.start, self.start + len(self.tokens)

    @property
    def seen(self) -> tuple[Span, ...]:
        """All that the last of the tokens follows, and itself."""
        return _joined(self.before, self.own)


@dataclass
class PromptTree:
    """Prompts of any lengths; read node by node, each token of a shared opening once."""

    nodes: list[Node] = field(default_factory=list)
    """Parents before children; none longer than the longest piece asked for."""
    spans: list[tuple[Span, ...]] = field(default_factory=list)
    """Where each prompt's tokens stand, in their order."""
    size: int = 0
    """Tokens in all nodes."""

    def pieces(self, longest: int) -> Iterator[list[Node]]:
        """Neighbouring nodes, together at most `longest` tokens unless one alone has more."""
        piece: list[Node] = []
        for node in self.nodes:
            if piece and node.own[1] - piece[0].start > longest:
                yield piece
                piece = []
            piece.append(node)
        if piece:
            yield piece

    def _read(self, tokens: Sequence[int], depth: int, before: tuple[Span, ...]) -> None:
        self.nodes.append(Node(tuple(tokens), self.size, depth, before))
        self.size += len(tokens)


def plant(rows: Sequence[Sequence[int]], *, least: int, longest: int) -> PromptTree:
    """Lay out `rows`, each of one token at least.

    Args:
        rows: prompts as tokens.
        least: an opening is shared only if it is at least so much longer than the one before it;
            every node costs a call.
        longest: most tokens of a node; a longer stretch becomes a chain of them.
    """
    tree = PromptTree(spans=[()] * len(rows))
    order = sorted(range(len(rows)), key=lambda number: tuple(rows[number]))
    # Groups still to be laid out: rows, tokens laid out already, and where those stand.
    waiting: list[tuple[list[int], int, tuple[Span, ...]]] = [(order, 0, ())]
    while waiting:
        group, depth, before = waiting.pop()
        for number in [n for n in group if len(rows[n]) == depth]:
            tree.spans[number] = before
        rest = [number for number in group if len(rows[number]) > depth]
        families = list(_families(rows, rest, depth + least))
        if len(families) > 1:
            waiting += [(family, depth, before) for family in reversed(families)]
        elif families:
            end = _shared(rows, rest[0], rest[-1])
            for start in range(depth, end, longest):
                stop = min(end, start + longest)
                tree._read(rows[rest[0]][start:stop], start, before)
                before = tree.nodes[-1].seen
            waiting.append((rest, end, before))
    return tree


def _families(
    rows: Sequence[Sequence[int]], group: Sequence[int], wanted: int
) -> Iterator[list[int]]:
    """Part sorted rows where two neighbours share fewer than `wanted` tokens."""
    family = 0
    labels = {}
    for place, number in enumerate(group):
        if place and _shared(rows, group[place - 1], number) < wanted:
            family += 1
        labels[number] = family
    for _, members in groupby(group, key=lambda number: labels[number]):
        yield list(members)


def _shared(rows: Sequence[Sequence[int]], first: int, second: int) -> int:
    """Length of the opening that two rows share; of a row with itself: its length."""
    pair = zip(rows[first], rows[second], strict=False)
    limit = min(len(rows[first]), len(rows[second]))
    return next((place for place, (a, b) in enumerate(pair) if a != b), limit)


def _joined(before: tuple[Span, ...], own: Span) -> tuple[Span, ...]:
    if before and before[-1][1] == own[0]:
        return (*before[:-1], (before[-1][0], own[1]))
    return (*before, own)
