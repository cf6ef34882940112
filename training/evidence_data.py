"""Questions with the sentences that answer them, among chunks that look as if they did.

Both the evidence finder and the reader learn from these groups. Wrong chunks are what a search
for the question returns (hard negatives): random or merely neighbouring text is too easy to
tell apart and teaches nothing that carries over to other documents.
"""

import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import DatasetError, DocumentError
from core.progress import Progress
from retrieval.chunking import ChunkSize, chunk_document
from retrieval.discovery import Source, discover
from retrieval.evidence import Candidate
from retrieval.lexical import LexicalIndex
from retrieval.loading import Limits, Sandbox, media_type_of
from retrieval.passages import Embedder
from retrieval.search import fuse
from retrieval.sentences import plain, split_sentences
from training.dataset import Fact, load_dataset

DEPTH = 12
"""Chunks of a search that are kept with a group."""
FUSED = 50
"""Depth of the two searches that are fused."""
SHORTEST_MATCH = 20
"""Characters that a sentence must share with a quote to count as part of it."""
CHARACTERS_OF_A_TOKEN = 4.5


@dataclass(frozen=True)
class Chunk:
    """A chunk as a scorer reads it, and where it is from."""

    source: str
    document: str
    candidate: Candidate


@dataclass(frozen=True)
class Group:
    """One wording of a question, and chunks found for it, best first."""

    question: str
    source: str
    answerable: bool
    answer: str
    short_answers: tuple[str, ...]
    right: tuple[tuple[int, tuple[int, ...]], ...]
    """Numbers of the right chunks (in `Material.chunks`) with the sentences that answer."""
    found: tuple[int, ...]
    """Numbers of chunks, as found by a search for the question; may hold right ones."""
    similarity: float = 0.0
    """The highest cosine between the question and a chunk, where the search is the served one."""


@dataclass(frozen=True)
class Material:
    """Everything to learn from."""

    chunks: tuple[Chunk, ...]
    groups: tuple[Group, ...]
    sha256: str
    """Of the question files, in order."""

    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in order."""
        return tuple(dict.fromkeys(group.source for group in self.groups))

    def split(self, held_out: Sequence[str]) -> tuple[list[Group], list[Group]]:
        """Groups to train on, and those of whole sources that are kept out.

        Raises:
            DatasetError: a source of that name is not there.
        """
        unknown = sorted(set(held_out) - set(self.sources()))
        if unknown:
            raise DatasetError(
                f"--hold-out {' '.join(unknown)}: no such source. "
                f"There are: {', '.join(self.sources())}."
            )
        kept = [group for group in self.groups if group.source in held_out]
        return [group for group in self.groups if group.source not in held_out], kept


@dataclass(frozen=True)
class _Shelf:
    """The chunks of one source, searchable by words."""

    numbers: tuple[int, ...]
    index: LexicalIndex

    def search(self, question: str, limit: int) -> list[int]:
        allowed = np.ones(len(self.numbers), dtype=np.bool_)
        return [self.numbers[place] for place in self.index.search(question, limit, allowed)]


def read_material(
    questions: Sequence[Path], documents: Path, chunk_tokens: int, progress: Progress
) -> Material:
    """Read question files and the documents that their evidence is quoted from.

    Args:
        questions: files in the format of training data; `evidence_file` is relative to
            `documents`, and the first folder of its path is the *source* it belongs to.
        documents: folder of documents, one folder a source, or all in one.
        chunk_tokens: longest chunk; about as long as served chunks, shorter trains faster.
        progress: told of documents that cannot be read.

    Raises:
        DatasetError: no question has evidence that is found in its document.
    """
    facts = [(path, load_dataset(path).facts) for path in questions]
    wanted = {source_of(f.evidence_file) for _, found in facts for f in found if f.evidence_file}
    chunks, shelves = _read_documents(documents, wanted, chunk_tokens, progress)
    by_document: dict[str, list[int]] = {}
    for number, chunk in enumerate(chunks):
        by_document.setdefault(chunk.document, []).append(number)
    groups: list[Group] = []
    for _, found in facts:
        source = next((source_of(f.evidence_file) for f in found if f.evidence_file), "")
        for fact in found:
            # A question without evidence stands among those about the same documents.
            source = source_of(fact.evidence_file) if fact.evidence_file else source
            if source in shelves:
                groups += _groups(fact, source, chunks, by_document, shelves[source])
    if not any(group.right for group in groups):
        raise DatasetError(
            f"No evidence quote of {', '.join(map(str, questions))} was found in '{documents}'. "
            "evidence_file must be a path relative to --documents, evidence_quote its own words."
        )
    digest = hashlib.sha256()
    for path in questions:
        digest.update(path.read_bytes())
    return Material(tuple(chunks), tuple(groups), digest.hexdigest())


def source_of(path: str) -> str:
    """The first folder of a path; '.' for a file in no folder."""
    first, slash, _ = path.partition("/")
    return first if slash else "."


def fold(text: str) -> str:
    """Text for comparing quotes: no markup, no line breaks, one kind of quotation mark."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<%.*?%>|\{[%{].*?[%}]\}|</?[A-Za-z][^>]*>", " ", text)
    text = text.translate(str.maketrans("’‘“”–—\u00a0", "''\"\"-- "))
    return " ".join(re.sub(r"[*_`#|>\\]+", " ", text).split()).lower()


def quoted_sentences(sentences: Sequence[str], quote: str) -> tuple[int, ...]:
    """Numbers of the sentences that a verbatim quote covers; empty when it is not there."""
    wanted = fold(quote)
    text, spans = "", []
    for sentence in sentences:
        folded = fold(sentence)
        spans.append((len(text), len(text) + len(folded)))
        text += f"{folded} "
    start = text.find(wanted)
    if start < 0 or not wanted:
        return ()
    end = start + len(wanted)
    return tuple(
        number
        for number, (a, b) in enumerate(spans)
        if min(b, end) - max(a, start) >= min(SHORTEST_MATCH, (b - a) / 2, len(wanted) / 2) > 0
    )


def with_served_search(
    material: Material, groups: Sequence[Group], embedder: Embedder
) -> list[Group]:
    """Return `groups` with what the product's own search finds: by meaning and words, fused."""
    by_source: dict[str, list[int]] = {}
    for number, chunk in enumerate(material.chunks):
        by_source.setdefault(chunk.source, []).append(number)
    renewed: dict[int, Group] = {}
    for source in dict.fromkeys(group.source for group in groups):
        numbers = by_source[source]
        texts = [_text(material.chunks[number].candidate) for number in numbers]
        vectors, shelf = embedder.embed(texts), _Shelf(tuple(numbers), LexicalIndex.build(texts))
        own = [place for place, group in enumerate(groups) if group.source == source]
        questions = embedder.embed([groups[place].question for place in own])
        for place, similar in zip(own, questions @ vectors.T, strict=True):
            near = [numbers[n] for n in np.argsort(-similar, kind="stable")[:FUSED]]
            worded = shelf.search(groups[place].question, FUSED)
            found = tuple(fuse([near, worded])[:DEPTH])
            cosine = max((float(similar[numbers.index(n)]) for n in found), default=0.0)
            renewed[place] = replace(groups[place], found=found, similarity=cosine)
    return [renewed[place] for place in range(len(groups))]


def training_pick(
    group: Group, chance: random.Random, *, wrong: int, absent_share: float
) -> tuple[list[int], dict[int, tuple[int, ...]]]:
    """Choose chunks to show: a right one (in most turns) and hard wrong ones, in random order.

    Returns:
        Numbers of chunks, and the right sentences of those that have any.
    """
    right = dict(group.right)
    near = [number for number in group.found if number not in right]
    shown = chance.sample(sorted(right), min(1, len(right)))
    if chance.random() < absent_share:
        shown = []
    # Half from the very top, where wrong chunks look most like right ones.
    top, rest = near[: 2 * wrong], near[2 * wrong :]
    picked = chance.sample(top, min((wrong + 1) // 2, len(top)))
    picked += chance.sample(rest, min(wrong - len(picked), len(rest)))
    shown += picked
    chance.shuffle(shown)
    return shown, {number: right[number] for number in shown if number in right}


def _read_documents(
    documents: Path, wanted: set[str], chunk_tokens: int, progress: Progress
) -> tuple[list[Chunk], dict[str, _Shelf]]:
    chunks: list[Chunk] = []
    texts: dict[str, list[tuple[int, str]]] = {}
    with Sandbox(Limits()) as sandbox:
        for chunk in _chunks(_sources(documents, wanted), sandbox, chunk_tokens, progress):
            texts.setdefault(chunk.source, []).append((len(chunks), _text(chunk.candidate)))
            chunks.append(chunk)
    shelves = {
        source: _Shelf(tuple(n for n, _ in items), LexicalIndex.build([t for _, t in items]))
        for source, items in texts.items()
    }
    return chunks, shelves


def _sources(documents: Path, wanted: set[str]) -> Iterator[Source]:
    for item in discover([documents], documents / ".none"):
        if isinstance(item, Source) and source_of(item.path) in wanted and media_type_of(item.path):
            yield item


def _chunks(
    sources: Iterable[Source], sandbox: Sandbox, chunk_tokens: int, progress: Progress
) -> Iterator[Chunk]:
    size = ChunkSize(chunk_tokens, 0)
    for item in sources:
        try:
            loaded = sandbox.load(item.path, item.file.read_bytes())
        except DocumentError as error:
            progress.log(error.message)
            continue
        for piece in chunk_document(loaded, size, roughly_tokens):
            spans = split_sentences(piece.text)
            heading = f"{loaded.title} > {piece.location}" if piece.location else loaded.title
            sentences = tuple(plain(piece.text[a:b]) for a, b in spans)
            if sentences:
                yield Chunk(source_of(item.path), item.path, Candidate(heading, sentences))


def _text(candidate: Candidate) -> str:
    return "\n".join([candidate.heading, " ".join(candidate.sentences)])


def roughly_tokens(text: str) -> int:
    """Tokens of a text, near enough for cutting."""
    return int(len(text) / CHARACTERS_OF_A_TOKEN)


def _groups(
    fact: Fact,
    source: str,
    chunks: Sequence[Chunk],
    by_document: dict[str, list[int]],
    shelf: _Shelf,
) -> Iterator[Group]:
    right = []
    for number in by_document.get(fact.evidence_file, ()):
        places = quoted_sentences(chunks[number].candidate.sentences, fact.evidence_quote)
        if places:
            right.append((number, places))
    if fact.answerable and not right:
        return
    for wording in fact.wordings:
        yield Group(
            wording, source, fact.answerable, fact.answer, fact.short_answers,
            tuple(right), tuple(shelf.search(wording, DEPTH)),
        )  # fmt: skip
