"""What the reader learns from: prompts as they are served, answered by a quoted sentence.

A model this small learns to find and copy the sentence that answers, and to refuse where none
does; short spans and free rewriting are beyond it. So the target is the document's sentence
when that holds a short answer, else the answer that a person wrote.
"""

import io
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from assistant.modes import Message
from assistant.prompts import REFUSAL, render
from core.errors import DatasetError
from retrieval.evidence import GAP, Candidate
from retrieval.lexical import words_of
from retrieval.passages import Passage
from training.evidence_data import Group, Material
from training.examples import Example, ExampleKind
from training.reading_data import READING

LONGEST_QUOTE = 45
"""Words. A longer sentence is answered in a person's words, where there are any."""
LONGEST_WINDOW = 70
"""Words of one passage, about what the finder hands on of one chunk."""
LEAD_SHARE = 0.5
"""Prompts with the right passage first, as a finder mostly returns it; the rest are shuffled."""
INSTRUCTION_WORDS = 80


@dataclass(frozen=True)
class ReaderMix:
    """What the prompts are made of."""

    absent_share: float = 0.12
    """Answerable questions shown without their right passage."""
    reading_share: float = 0.3
    replay_share: float = 0.04
    seed: int = 0


def reader_examples(
    material: Material,
    own: Sequence[Group],
    reading: Sequence[Group],
    replay: Sequence[tuple[str, str]],
    mix: ReaderMix,
) -> list[Example]:
    """One example a wording, with general reading and general instructions mixed in."""
    chance = random.Random(mix.seed)  # noqa: S311 - reproducible, not secret
    examples = [reader_example(material, group, chance, mix.absent_share) for group in own]
    count = round(len(examples) * mix.reading_share / (1 - mix.reading_share))
    general = [group for group in reading if _quotable(material, group)]
    for group in chance.sample(general, min(count, len(general))):
        examples.append(reader_example(material, group, chance, mix.absent_share))
    count = round(len(examples) * mix.replay_share)
    for instruction, output in chance.sample(list(replay), min(count, len(replay))):
        message = (Message("user", instruction),)
        examples.append(Example(ExampleKind.REPLAY, "", message, output))
    chance.shuffle(examples)
    return examples


def reader_example(
    material: Material, group: Group, chance: random.Random, absent_share: float
) -> Example:
    """One prompt: one to four passages, the right one at any place or, at times, absent."""
    right = dict(group.right)
    present = bool(right) and chance.random() >= absent_share
    size = chance.choices([1, 2, 3, 4], [1, 3, 4, 2])[0]
    near = [number for number in group.found if number not in right][:10]
    passages: list[Passage] = []
    answer = REFUSAL
    if present:
        number = chance.choice(sorted(right))
        candidate = material.chunks[number].candidate
        places = _together(right[number])
        answer = _target(group, candidate, places)
        passages.append(_passage(candidate, places, chance))
    weights = [1 / (2 + rank) for rank in range(len(near))]
    for number in _drawn(near, weights, size - len(passages), chance):
        candidate = material.chunks[number].candidate
        passages.append(_passage(candidate, (_likeliest(group.question, candidate),), chance))
    best = passages[0] if passages else None
    if not present or chance.random() >= LEAD_SHARE:
        chance.shuffle(passages)
    if present and best is not None:
        answer = f"{answer} [{passages.index(best) + 1}]"
    kind = ExampleKind.GROUNDED if present else ExampleKind.ABSENT
    return Example(kind, "", render(group.question, passages), answer)


def read_instructions(path: Path, count: int) -> list[tuple[str, str]]:
    """First short rows of a JSONL file (`.zst` or plain) {instruction, input, output}.

    Raises:
        DatasetError: the file cannot be read.
    """
    found: list[tuple[str, str]] = []
    for row in rows_of(path):
        text = "\n\n".join(part for part in (row["instruction"], row.get("input", "")) if part)
        if len(text.split()) <= INSTRUCTION_WORDS and 3 < len(row["output"].split()) <= 60:
            found.append((text, row["output"]))
        if len(found) == count:
            break
    return found


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSONL file, compressed or not.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            stream: Any = file
            if path.suffix == ".zst":
                stream = zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                yield json.loads(line)
    except (OSError, ValueError, zstandard.ZstdError) as error:
        raise DatasetError(f"'{path}' cannot be read as JSONL: {error}.") from error


def _quotable(material: Material, group: Group) -> bool:
    """Whether one sentence of sensible length holds the answer (or nothing does)."""
    if not group.answerable:
        return True
    return all(
        4 < len(material.chunks[number].candidate.sentences[places[0]].split()) <= LONGEST_QUOTE
        for number, places in group.right
    )


def _together(places: tuple[int, ...]) -> tuple[int, ...]:
    """A quote over neighbouring sentences; of scattered ones the first."""
    return places if places[-1] - places[0] <= 2 else places[:1]


def _target(group: Group, candidate: Candidate, places: tuple[int, ...]) -> str:
    if group.source == READING:
        return candidate.sentences[places[0]]
    quote = " ".join(candidate.sentences[place] for place in places)
    holds = any(_folded(short) in _folded(quote) for short in group.short_answers)
    return quote if holds and len(quote.split()) <= LONGEST_QUOTE else group.answer


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", text.replace("’", "'")).strip().casefold()


def _passage(candidate: Candidate, places: tuple[int, ...], chance: random.Random) -> Passage:
    """The sentences with some of their neighbours, cut as the finder cuts."""
    sentences = candidate.sentences
    chosen = set(range(places[0], places[-1] + 1))
    for place in (places[0] - 1, places[-1] + 1, places[-1] + 2):
        wanted = chance.random() < 0.45 and 0 <= place < len(sentences)
        if wanted and _words(sentences, {*chosen, place}) <= LONGEST_WINDOW:
            chosen.add(place)
    text = ""
    before = None
    for place in sorted(chosen):
        joint = "" if before is None else " " if place == before + 1 else GAP
        text += joint + sentences[place]
        before = place
    title, _, location = candidate.heading.partition(" > ")
    return Passage(0, 0, "", title, location, text, 0.0)


def _words(sentences: Sequence[str], places: set[int]) -> int:
    return sum(len(sentences[place].split()) for place in places)


def _drawn(
    numbers: Sequence[int], weights: Sequence[float], count: int, chance: random.Random
) -> list[int]:
    """Up to `count` different numbers, likelier the higher their weight."""
    keyed = [
        (chance.random() ** (1 / weight), number)
        for number, weight in zip(numbers, weights, strict=True)
    ]
    return [number for _, number in sorted(keyed, reverse=True)[: max(0, count)]]


def _likeliest(question: str, candidate: Candidate) -> int:
    """The sentence of a wrong chunk that shares most words with the question."""
    asked = set(words_of(question))
    shared = [
        len(asked & set(words_of(sentence))) / (4 + len(sentence.split())) ** 0.5
        for sentence in candidate.sentences
    ]
    return shared.index(max(shared))
