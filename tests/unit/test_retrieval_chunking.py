"""Chunks lose nothing, stay small and know where they are."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.chunking import ChunkSize, Piece, chunk_document, indexed_text
from retrieval.loading import LoadedDocument, Row, Section, load_document


def count(text: str) -> int:
    return len(text.split())


def chunks(*sections: Section, tokens: int = 40, overlap: int = 8) -> list[Piece]:
    return chunk_document(LoadedDocument("T", sections), ChunkSize(tokens, overlap), count)


WORDS = st.text(alphabet="abcdeZ019.,|-#!? \n\t", max_size=400)
PATHS = st.lists(st.sampled_from(["Alpha", "Beta", "Gamma"]), max_size=3).map(tuple)
SECTIONS = st.lists(
    st.one_of(
        st.builds(Section, PATHS, WORDS, fixed=st.booleans()),
        st.builds(
            Section,
            PATHS,
            rows=st.lists(st.builds(Row, st.integers(1, 99), WORDS), min_size=1, max_size=9).map(
                tuple
            ),
        ),
    ),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(SECTIONS, st.integers(8, 60))
def test_no_word_is_lost(sections: list[Section], tokens: int) -> None:
    pieces = chunks(*sections, tokens=tokens, overlap=tokens // 6)
    found = {word for piece in pieces for word in f"{piece.text} {piece.location}".split()}
    for section in sections:
        for text in (section.text, *(row.text for row in section.rows)):
            missing = {word for word in text.split() if len(word) <= 200} - found
            assert not missing


@settings(max_examples=50, deadline=None)
@given(SECTIONS)
def test_pieces_stay_within_the_size(sections: list[Section]) -> None:
    for piece in chunks(*sections, tokens=40, overlap=8):
        # Headings written into a chunk of several sections are counted; a table's header is too.
        assert count(piece.text) <= 40 or "\n" in piece.text
        assert count(piece.text) <= 80


def test_words_no_language_has_are_cut() -> None:
    pieces = chunks(Section((), "x" * 1000 + " end " + "word " * 60))
    assert "".join(re.findall("x+", " ".join(p.text for p in pieces))).startswith("x" * 1000)


def test_small_neighbours_share_a_chunk_and_keep_their_headings() -> None:
    (piece,) = chunks(
        Section(("Leave",), "Ask."),
        Section(("Leave", "Sick"), "Twelve days."),
        Section(("Leave", "Parental"), "Twelve weeks."),
    )
    assert piece.location == "Leave > Sick; Parental"
    assert piece.text == "Ask.\n\nSick\nTwelve days.\n\nParental\nTwelve weeks."


def test_sections_of_different_parents_stay_apart() -> None:
    pieces = chunks(Section(("A", "B", "C"), "one"), Section(("D", "E", "F"), "two"))
    assert [piece.location for piece in pieces] == ["A > B > C", "D > E > F"]


def test_pages_are_never_joined() -> None:
    pieces = chunks(
        Section(("page 1",), "one", fixed=True), Section(("page 2",), "two", fixed=True)
    )
    assert [(piece.location, piece.text) for piece in pieces] == [
        ("page 1", "one"),
        ("page 2", "two"),
    ]


def test_long_text_overlaps() -> None:
    sentences = " ".join(f"Sentence number {n} is here." for n in range(30))
    pieces = chunks(Section(("H",), sentences), tokens=40, overlap=10)
    assert len(pieces) > 3
    for piece, following in pairwise(pieces):
        assert following.text.split(".")[0] in piece.text


def test_parts_of_a_table_repeat_its_header() -> None:
    rows = "\n".join(f"| item{n} | price {n} |" for n in range(40))
    text = f"Prices:\n\n| Item | Price |\n| --- | --- |\n{rows}\n\nEnd of prices."
    pieces = chunks(Section(("H",), text), tokens=60)
    with_rows = [piece for piece in pieces if "item" in piece.text]
    assert len(with_rows) > 3
    assert all("| Item | Price |\n| --- | --- |" in piece.text for piece in with_rows)


def test_rows_are_located() -> None:
    rows = tuple(Row(number, f"Name: person {number}") for number in range(2, 32))
    pieces = chunks(Section(("Staff",), rows=rows), tokens=30)
    assert pieces[0].location == "Staff rows 2-11"
    assert pieces[-1].location.endswith("-31")
    (single,) = chunks(Section((), rows=(Row(7, "one"),)))
    assert single.location == "row 7"


def test_headings_are_searched_with_the_text() -> None:
    assert indexed_text("Title", "A > B", "text") == "Title > A > B\ntext"
    assert indexed_text("", "", "text") == "text"


def test_a_markdown_file_end_to_end() -> None:
    loaded = load_document("x.md", b"# Travel\nBook early.\n## Trains\n" + b"Go by train. " * 40)
    pieces = chunk_document(loaded, ChunkSize(40, 8), count)
    assert pieces[0].location == "Travel"
    assert {piece.location for piece in pieces[1:]} == {"Travel > Trains"}


@pytest.mark.parametrize("overlap", [-1, 21])
def test_an_overlap_that_cannot_advance_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        ChunkSize(40, overlap)
