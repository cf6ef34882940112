"""Reading-comprehension rows as groups: general reading, to go with a firm's own questions."""

import hashlib
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from core.errors import DatasetError
from retrieval.evidence import Candidate
from retrieval.lexical import LexicalIndex
from retrieval.sentences import plain, split_sentences
from training.evidence_data import DEPTH, Chunk, Group, Material

READING = "reading"
"""The source that these rows belong to."""
WORDS_OF_A_CHUNK = 105
LONGEST_CONTEXT = 12_000
"""In characters: whole papers are left out."""
MOST_ANSWER_SENTENCES = 4
"""A short answer that stands in more sentences than this marks none of them."""
PROSE = frozenset({"squad_v2_dev", "squad_v1.1_dev", "nq_dev_oracle", "qed_dev", "qamr", "covidqa"})
"""Sources of whole sentences; tables, dialogues and yes/no questions teach other things."""


def read_reading(path: Path, count: int, seed: int) -> Material:
    """Draw `count` usable rows of a JSONL file (`.zst` or plain) as groups.

    Rows: title, context, question, answers, answerable, source. The sentences that hold an
    answer are the right ones; wrong chunks come from a search over all contexts drawn.

    Raises:
        DatasetError: the file cannot be read.
    """
    rows, digest = _rows(path)
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    chance.shuffle(rows)
    chunks: list[Chunk] = []
    known: dict[str, list[int]] = {}
    groups: list[Group] = []
    for row in rows:
        if len(groups) == count:
            break
        context = str(row["context"])
        if context not in known:
            known[context] = _add_chunks(chunks, str(row.get("title") or ""), context)
        group = _group(row, chunks, known[context])
        if group is not None:
            groups.append(group)
    return Material(tuple(chunks), tuple(_with_wrong_chunks(groups, chunks)), digest)


def joined(first: Material, second: Material) -> Material:
    """Both together, chunks renumbered."""
    shift = len(first.chunks)
    moved = [
        replace(
            group,
            right=tuple((number + shift, places) for number, places in group.right),
            found=tuple(number + shift for number in group.found),
        )
        for group in second.groups
    ]
    digest = hashlib.sha256((first.sha256 + second.sha256).encode()).hexdigest()
    return Material((*first.chunks, *second.chunks), (*first.groups, *moved), digest)


def _rows(path: Path) -> tuple[list[dict[str, Any]], str]:
    try:
        content = path.read_bytes()
        stream: Any = io.BytesIO(content)
        if path.suffix == ".zst":
            stream = zstandard.ZstdDecompressor().stream_reader(stream)
        rows = [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]
    except (OSError, ValueError, zstandard.ZstdError) as error:
        raise DatasetError(
            f"'{path}' cannot be read as reading rows: {error}. Give a JSONL file (or .jsonl.zst) "
            "of objects with context, question, answers and answerable."
        ) from error
    usable = [
        row
        for row in rows
        if row.get("source", "qamr") in PROSE and len(row.get("context", "")) <= LONGEST_CONTEXT
    ]
    return usable, hashlib.sha256(content).hexdigest()


def _add_chunks(chunks: list[Chunk], title: str, context: str) -> list[int]:
    numbers: list[int] = []
    for sentences in _packed([plain(context[a:b]) for a, b in split_sentences(context)]):
        numbers.append(len(chunks))
        heading = title.replace("_", " ")
        chunks.append(Chunk(READING, title, Candidate(heading, tuple(sentences))))
    return numbers


def _packed(sentences: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    words = 0
    for sentence in sentences:
        more = len(sentence.split())
        if group and words + more > WORDS_OF_A_CHUNK:
            yield group
            group, words = [], 0
        group.append(sentence)
        words += more
    if group:
        yield group


def _group(row: dict[str, Any], chunks: Sequence[Chunk], own: Sequence[int]) -> Group | None:
    answers = tuple(str(text) for text in row["answers"] if text)
    wanted = [text.casefold() for text in answers]
    right = []
    for number in own:
        places = tuple(
            place
            for place, sentence in enumerate(chunks[number].candidate.sentences)
            if any(text in sentence.casefold() for text in wanted)
        )
        if places:
            right.append((number, places))
    marked = sum(len(places) for _, places in right)
    if row["answerable"] and not 1 <= marked <= MOST_ANSWER_SENTENCES:
        return None
    return Group(
        str(row["question"]), READING, bool(row["answerable"]), answers[0] if answers else "",
        answers, tuple(right), tuple(own),
    )  # fmt: skip


def _with_wrong_chunks(groups: Sequence[Group], chunks: Sequence[Chunk]) -> Iterator[Group]:
    texts = [" ".join([c.candidate.heading, *c.candidate.sentences]) for c in chunks]
    index = LexicalIndex.build(texts)
    allowed = np.ones(len(chunks), dtype=np.bool_)
    for group in groups:
        right = {number for number, _ in group.right}
        answers = [text.casefold() for text in group.short_answers if len(text) > 3]
        found = [
            number
            for number in index.search(group.question, DEPTH, allowed)
            if number in right or not any(text in texts[number].casefold() for text in answers)
        ]
        own = [number for number in group.found if number not in found]
        yield replace(group, found=tuple([*own[:2], *found][:DEPTH]))
