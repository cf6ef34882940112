"""Prompts laid out as a tree: nothing is lost, nothing shared is read twice."""

from hypothesis import given
from hypothesis import strategies as st

from assistant.engines.prompt_tree import PromptTree, plant

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=8)


def laid_out(tree: PromptTree) -> list[int]:
    return [token for node in tree.nodes for token in node.tokens]


@given(ROWS, st.integers(1, 4), st.integers(1, 6))
def test_every_prompt_can_be_read_back(rows: list[list[int]], least: int, longest: int) -> None:
    tree = plant(rows, least=least, longest=longest)
    flat = laid_out(tree)
    assert len(flat) == tree.size <= sum(map(len, rows))
    for row, spans in zip(rows, tree.spans, strict=True):
        assert [token for start, end in spans for token in flat[start:end]] == row
    for node in tree.nodes:
        assert 0 < len(node.tokens) <= longest
        assert sum(end - start for start, end in node.before) == node.depth
        assert all(end <= node.start for _, end in node.before)
        assert sum(end - start for start, end in node.seen) == node.depth + len(node.tokens)


@given(ROWS)
def test_with_sharing_of_any_length_each_opening_stands_once(rows: list[list[int]]) -> None:
    openings = {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}
    assert plant(rows, least=1, longest=100).size == len(openings)


@given(ROWS, st.integers(1, 9))
def test_pieces_hold_every_node_in_order(rows: list[list[int]], longest: int) -> None:
    tree = plant(rows, least=1, longest=3)
    pieces = list(tree.pieces(longest))
    assert [node for piece in pieces for node in piece] == tree.nodes
    for piece in pieces:
        assert len(piece) == 1 or sum(len(node.tokens) for node in piece) <= longest


def test_an_opening_too_short_to_share_is_read_by_each() -> None:
    rows = [[1, 2, 3, 4], [1, 2, 8, 9]]
    assert plant(rows, least=3, longest=100).size == 8
    assert plant(rows, least=2, longest=100).size == 6
    assert plant([[1, 2, 3]] * 5, least=3, longest=100).size == 3
