"""Fusion, words, permission: with a fake embedder, a real index and a real database."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput, NotFound
from core.home import Home, open_home
from core.permissions import OPERATOR, Reader
from retrieval.langchain_adapter import LangChainRetriever
from retrieval.lexical import LexicalIndex, words_of
from retrieval.passages import Passage
from retrieval.search import fuse
from retrieval.service import Retrieval, open_retrieval
from tests.fakes import HashingEmbedder, ListRetriever


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return folder


@pytest.fixture
def retrieval(home: Home) -> Retrieval:
    return open_retrieval(home, HashingEmbedder())


@given(st.lists(st.lists(st.integers(0, 30), unique=True, max_size=12), max_size=3))
def test_fusion_keeps_everything_once_and_agrees_with_agreement(rankings: list[list[int]]) -> None:
    fused = fuse(rankings)
    assert sorted(fused) == sorted({item for ranking in rankings for item in ranking})
    firsts = {ranking[0] for ranking in rankings if ranking}
    if len(firsts) == 1 and all(rankings):
        assert not fused or fused[0] in firsts


def test_fusion_prefers_what_both_lists_name() -> None:
    assert fuse([[1, 2, 3], [4, 2, 5]])[0] == 2


def test_words_are_folded_stemmed_and_stopped() -> None:
    assert words_of("The Policies’ of Ａbc's leave") == ["polici", "abc", "leav"]


def test_lexical_search_leaves_out_what_is_not_allowed() -> None:
    index = LexicalIndex.build(["sick leave", "sick days", "travel"])
    everyone = np.ones(3, dtype=np.bool_)
    assert index.search("sick leave", 5, everyone) == [0, 1]
    assert index.search("sick leave", 5, np.array([False, True, True])) == [1]
    assert index.search("the of and", 5, everyone) == []
    assert index.search("unheard", 5, everyone) == []
    assert LexicalIndex.build(["", "the"]).search("x", 5, everyone[:2]) == []


def test_nothing_stored_finds_nothing(retrieval: Retrieval) -> None:
    assert retrieval.retriever.search("sick leave", limit=5, reader=OPERATOR) == []


def test_search_finds_by_word_and_gives_the_cosine(retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(
        tmp_path / "docs",
        {"a.md": "# Sick leave\nCall before ten.", "b/c.md": "# Travel\nBook a train early."},
    )
    retrieval.ingestor.ingest([docs])
    found = retrieval.retriever.search("book a train", limit=5, reader=OPERATOR)
    assert (found[0].document, found[0].title, found[0].location) == (
        "b/c.md", "Travel", "Travel",
    )  # fmt: skip
    assert 0 < found[0].score <= 1.0001
    assert retrieval.retriever.search("  \n", limit=5, reader=OPERATOR) == []
    assert retrieval.retriever.search("train " * 20_000, limit=1, reader=OPERATOR)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_limits_that_cannot_be(retrieval: Retrieval, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        retrieval.retriever.search("x", limit=limit, reader=OPERATOR)


def test_text_that_files_share_comes_once(retrieval: Retrieval, tmp_path: Path) -> None:
    same = "Expenses are paid back within ten days of the claim."
    docs = write(tmp_path / "docs", {f"{n}.txt": same for n in range(6)} | {"z.txt": "Ten cats."})
    retrieval.ingestor.ingest([docs])
    found = retrieval.retriever.search("expenses within ten days", limit=5, reader=OPERATOR)
    assert [passage.document for passage in found] == ["0.txt", "z.txt"]


def test_texts_that_differ_in_a_number_both_come(retrieval: Retrieval, tmp_path: Path) -> None:
    text = "The price of a desk with drawers and lamp in the catalogue of this company was {} euro "
    docs = write(tmp_path / "docs", {f"{n}.txt": text.format(n) * 2 for n in (300, 400)})
    retrieval.ingestor.ingest([docs])
    assert len(retrieval.retriever.search("price of a desk", limit=5, reader=OPERATOR)) == 2


GROUPS = ["board", "hr", "it"]
TEXTS = ["salary bands of everyone", "salary review", "server room code", "holiday calendar"]


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    restrictions=st.lists(
        st.frozensets(st.sampled_from(GROUPS)), min_size=len(TEXTS), max_size=len(TEXTS)
    ),
    reader_groups=st.frozensets(st.sampled_from(GROUPS)),
    query=st.sampled_from(["salary", "server room", "holiday", "everyone code review"]),
)
def test_nobody_gets_a_passage_he_may_not_read(
    tmp_path_factory: pytest.TempPathFactory,
    restrictions: list[frozenset[str]],
    reader_groups: frozenset[str],
    query: str,
) -> None:
    folder = tmp_path_factory.mktemp("property")
    home = open_home(workspace=folder / "w", evidence_finder="words")
    retrieval = open_retrieval(home, HashingEmbedder())
    reader = Reader(reader_groups)
    for number, (text, groups) in enumerate(zip(TEXTS, restrictions, strict=True)):
        write(folder, {f"{number}.txt": text})
        retrieval.ingestor.ingest([folder / f"{number}.txt"], groups=groups)
    by_path = {document.path: document for document in retrieval.library.documents(OPERATOR)}
    open_to_reader = {path for path, d in by_path.items() if reader.may_read(d.groups)}
    found = retrieval.retriever.search(query, limit=10, reader=reader)
    assert {passage.document for passage in found} == open_to_reader
    assert {d.path for d in retrieval.library.documents(reader)} == open_to_reader
    assert retrieval.library.count(reader) == len(open_to_reader)
    for path, document in by_path.items():
        (chunk,) = retrieval.library.chunks(document.id, OPERATOR)
        if path not in open_to_reader:
            for attempt in (
                lambda d=document: retrieval.library.get(d.id, reader),
                lambda d=document: retrieval.library.chunks(d.id, reader),
                lambda d=document: retrieval.library.original(d.id, reader),
                lambda c=chunk: retrieval.library.chunk(c.id, reader),
            ):
                with pytest.raises(NotFound):
                    attempt()
    home.database.close()


def test_a_restriction_counts_at_the_next_search(retrieval: Retrieval, tmp_path: Path) -> None:
    retrieval.ingestor.ingest([write(tmp_path / "d", {"a.txt": "salary bands"})])
    everyone = Reader()
    assert retrieval.retriever.search("salary", limit=3, reader=everyone)
    version = retrieval.retriever.version
    retrieval.library.set_groups(1, {"hr"})
    assert retrieval.retriever.version != version
    assert not retrieval.retriever.search("salary", limit=3, reader=everyone)
    assert retrieval.retriever.search("salary", limit=3, reader=Reader(frozenset({"hr"})))
    with pytest.raises(NotFound):
        retrieval.library.set_groups(99, set())
    with pytest.raises(InvalidInput):
        retrieval.library.set_groups(1, {" "})


def test_langchain_gets_documents() -> None:
    passage = Passage(7, 1, "a.md", "A", "H", "sick leave", 0.5)
    adapter = LangChainRetriever(retriever=ListRetriever([passage]), reader=Reader(), limit=2)
    (document,) = adapter.invoke("sick")
    assert document.page_content == "sick leave"
    assert document.metadata == {"source": "a.md", "title": "A", "location": "H", "score": 0.5}
    assert adapter.invoke("nothing") == []
