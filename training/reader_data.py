"""What the reader learns from: prompts as they are served, answered by a quoted sentence.

A model this small learns to find and copy the sentence that answers; short spans and free
rewriting are beyond it. So the target is the document's sentence when that holds a short answer,
else the answer that a person wrote, and behind it the best of the other sentences, as people are
quoted two.

Nor does it learn whether anything answers: with a fifth of refusals among its examples it refuses
by the look of a question, those it could answer about as often as the others. So there are few of
them, enough to keep the sentence, and the finder, which judges better, refuses for it.

The prompt names the two best sentences, as it does when serving. The right one is put among them
about as often as the trained finder does on documents that it has not learned from: a model that
always finds it first copies blindly, and one that seldom does has to read for itself.

Passages are chosen as an evidence finder chooses them, and several questions are asked of the same
ones: those of other facts that stand there, and now and then one that is not answered there. Asked
once, a model learns to copy the sentence that stands where right ones mostly stand, whatever is
asked.
"""

import io
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import zstandard

from assistant.modes import Message
from assistant.prompts import REFUSAL, render
from assistant.quoting import SENTENCES, quotation
from core.errors import DatasetError
from retrieval.evidence import CANDIDATES, Candidate, EvidenceFinder, joined_sentences
from retrieval.evidence_words import CALIBRATION, WordScorer
from retrieval.passages import Passage
from training.evidence_data import Group, Material, roughly_tokens
from training.examples import Example, ExampleKind, Unit
from training.reading_data import READING

LONGEST_QUOTE = 45
"""Words. A longer sentence is answered in a person's words, where there are any."""
SHORTEST_READING = 4
"""Words, of general reading."""
LONGEST_WINDOW = 70
"""Words of a passage around a sentence that the finder passed over."""
INSTRUCTION_WORDS = 80
PASSAGES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5))
"""How many passages are shown, with weights."""
BUDGETS = (80, 140, 220, 340)
"""Tokens of all passages: from what trains fast to about what is served."""
MOST_COMPANIONS = 2
"""Further questions about the same passages."""


@dataclass(frozen=True)
class ReaderMix:
    """What the prompts are made of."""

    unanswerable_share: float = 0.02
    """Questions that no passage answers, of the company's own and of general reading."""
    absent_share: float = 0.0
    """Answerable questions shown without their right passage."""
    stray_share: float = 0.02
    """Prompts of which one more question is asked that they do not answer."""
    first_share: float = 0.6
    """Questions whose right sentence is named first, beside those where shared words do it."""
    second_share: float = 0.2
    """Questions whose right sentence is named second, beside those."""
    unnamed_share: float = 0.05
    """Questions without named sentences."""
    reading_share: float = 0.2
    replay_share: float = 0.04
    seed: int = 0


def reader_units(
    material: Material,
    own: Sequence[Group],
    reading: Sequence[Group],
    replay: Sequence[tuple[str, str]],
    mix: ReaderMix,
    most: int,
) -> list[Unit]:
    """One unit a wording, with general reading and general instructions mixed in.

    Of more than `most` units a random choice is made.
    """
    chance = random.Random(mix.seed)  # noqa: S311 - reproducible, not secret
    general = [group for group in reading if _quotable(material, group)]
    prompts = ReaderPrompts(material, [*own, *general], mix)
    asked = _drawn(own, round(most * (1 - mix.reading_share)), mix, chance)
    count = round(len(asked) * mix.reading_share / (1 - mix.reading_share))
    asked += _drawn(general, count, mix, chance)
    units = [prompts.unit(group, chance) for group in asked]
    count = round(len(units) * mix.replay_share)
    for instruction, output in chance.sample(list(replay), min(count, len(replay))):
        message = (Message("user", instruction),)
        units.append((Example(ExampleKind.REPLAY, "", message, output),))
    chance.shuffle(units)
    return units


def _drawn(
    groups: Sequence[Group], most: int, mix: ReaderMix, chance: random.Random
) -> list[Group]:
    """At most `most` of the groups, few of them unanswerable."""
    answerable = [group for group in groups if group.answerable]
    drawn = chance.sample(answerable, min(len(answerable), most))
    others = [group for group in groups if not group.answerable]
    count = round(len(drawn) * mix.unanswerable_share)
    return drawn + chance.sample(others, min(len(others), count))


@dataclass(frozen=True)
class _Standing:
    """A right sentence among the passages shown."""

    place: int
    sentence: str
    target: str
    """What is to be answered: the quote, or a person's words."""

    def says(self, named: tuple[int, str]) -> bool:
        """Whether a named sentence is this one, cut alike or not."""
        place, text = named
        return place == self.place and (text in self.target or self.sentence in text)


class ReaderPrompts:
    """Makes prompts of groups, and finds further questions to ask of the same passages."""

    def __init__(self, material: Material, groups: Sequence[Group], mix: ReaderMix) -> None:
        """`groups` are those that may be asked; all their chunks are in `material`."""
        self._material = material
        self._mix = mix
        # By words, because the trained finder has learned these very questions: it would put the
        # right sentence first more often than it does for people.
        self._finder = EvidenceFinder(WordScorer(), roughly_tokens, CALIBRATION)
        self._answered_by: dict[int, list[Group]] = {}
        self._near: dict[int, list[Group]] = {}
        for group in groups:
            for number, _ in group.right:
                self._answered_by.setdefault(number, []).append(group)
            for number in group.found[: CANDIDATES // 2]:
                self._near.setdefault(number, []).append(group)

    def unit(self, group: Group, chance: random.Random) -> Unit:
        """Ask `group` and a few more questions of one to five passages."""
        right = dict(group.right)
        present = bool(right) and chance.random() >= self._mix.absent_share
        number = chance.choice(sorted(right)) if present else None
        shown = self._shown(group, number, chance)
        asked = [group, *self._companions(group, shown, chance)]
        if chance.random() < self._mix.stray_share:
            asked += self._stray(shown, chance)
        return tuple(self._example(one, shown, chance) for one in asked)

    def _shown(self, group: Group, number: int | None, chance: random.Random) -> list[Passage]:
        """What a finder hands on, with the chunk `number` or, if None, without any right one."""
        right = dict(group.right)
        near = [found for found in group.found if found not in right]
        if number is None:
            near = [found for found in near if not _says(self._chunk(found).text, group)]
        near = near[: CANDIDATES - 1]
        if number is not None:
            served = [n for n in group.found if n == number or n not in right]
            place = served.index(number) if number in served else chance.randint(0, len(near))
            near.insert(min(place, len(near)), number)
        limit = chance.choices(*zip(*PASSAGES, strict=True))[0]
        found = [self._chunk(one) for one in near]
        chosen = self._finder.select(
            group.question, found, limit=limit, tokens=chance.choice(BUDGETS)
        )
        shown = [evidence.passage for evidence in chosen]
        if number is None or self._standing(group, shown) is not None:
            return shown
        others = [passage for passage in shown if passage.chunk_id != number][: limit - 1]
        text = _window(self._material.chunks[number].candidate, _together(right[number]), chance)
        own = replace(self._chunk(number), text=text)
        others.insert(chance.randint(0, len(others)), own)
        return others

    def _companions(
        self, group: Group, shown: Sequence[Passage], chance: random.Random
    ) -> list[Group]:
        """Other facts that stand in the passages, one wording each."""
        others: dict[str, Group] = {}
        known = [g for passage in shown for g in self._answered_by.get(passage.chunk_id, ())]
        chance.shuffle(known)
        for other in known:
            if other.answer != group.answer and self._standing(other, shown) is not None:
                others.setdefault(other.answer, other)
        return list(others.values())[:MOST_COMPANIONS]

    def _stray(self, shown: Sequence[Passage], chance: random.Random) -> list[Group]:
        """A question for which a search finds these chunks, and that they do not answer."""
        known = [g for passage in shown for g in self._near.get(passage.chunk_id, ())]
        text = " ".join(passage.text for passage in shown)
        ids = {passage.chunk_id for passage in shown}
        apart = [g for g in known if not ids & {n for n, _ in g.right} and not _says(text, g)]
        return chance.sample(apart, min(1, len(apart)))

    def _example(self, group: Group, shown: Sequence[Passage], chance: random.Random) -> Example:
        standing = self._standing(group, shown)
        named = self._named(group, shown, standing, chance)
        best = "" if chance.random() < self._mix.unnamed_share else quotation(named)
        prompt = render(group.question, shown, best=best)
        if standing is None:
            return Example(ExampleKind.ABSENT, "", prompt, REFUSAL)
        others = [one for one in named if not standing.says(one) and _brief(one[1])]
        answer = quotation([(standing.place, standing.target), *others[: SENTENCES - 1]])
        return Example(ExampleKind.GROUNDED, "", prompt, answer)

    def _named(
        self,
        group: Group,
        shown: Sequence[Passage],
        standing: "_Standing | None",
        chance: random.Random,
    ) -> list[tuple[int, str]]:
        """The best sentences, the right one put forward as the trained finder would."""
        ranked = self._finder.best_sentences(group.question, shown, SENTENCES + 1)
        put = chance.random()
        if standing is None or put >= self._mix.first_share + self._mix.second_share:
            return ranked[:SENTENCES]
        others = [one for one in ranked if not standing.says(one)]
        before = others[: int(put >= self._mix.first_share)]
        own = (standing.place, standing.sentence)
        return [*before, own, *others[len(before) :]][:SENTENCES]

    def _standing(self, group: Group, shown: Sequence[Passage]) -> "_Standing | None":
        """Where the right sentence stands; None where it is not shown."""
        right = dict(group.right)
        for place, passage in enumerate(shown):
            places = right.get(passage.chunk_id)
            if places is None:
                continue
            candidate = self._material.chunks[passage.chunk_id].candidate
            quoted = _together(places)
            if all(candidate.sentences[number] in passage.text for number in quoted):
                sentences = [candidate.sentences[number] for number in quoted]
                says = [sentence for sentence in sentences if _says(sentence, group)]
                target = _target(group, candidate, quoted)
                return _Standing(place, (says or sentences)[0], target)
        return None

    def _chunk(self, number: int) -> Passage:
        candidate = self._material.chunks[number].candidate
        title, _, location = candidate.heading.partition(" > ")
        # A line each, so that they are cut into the same sentences again.
        return Passage(number, 0, "", title, location, "\n".join(candidate.sentences), 0.0)


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
    """Whether just one sentence, of sensible length, holds the answer (or nothing does)."""
    if not group.answerable:
        return True
    marked = [(number, place) for number, places in group.right for place in places]
    number, place = marked[0]
    sentence = material.chunks[number].candidate.sentences[place]
    return len(marked) == 1 and _brief(sentence) and len(sentence.split()) > SHORTEST_READING


def _together(places: tuple[int, ...]) -> tuple[int, ...]:
    """A quote over neighbouring sentences; of scattered ones the first."""
    return places if places[-1] - places[0] <= 2 else places[:1]


def _target(group: Group, candidate: Candidate, places: tuple[int, ...]) -> str:
    if group.source == READING:
        return candidate.sentences[places[0]]
    quote = " ".join(candidate.sentences[place] for place in places)
    holds = any(_folded(short) in _folded(quote) for short in group.short_answers)
    return quote if holds and _brief(quote) else group.answer


def _brief(text: str) -> bool:
    return len(text.split()) <= LONGEST_QUOTE


def _folded(text: str) -> str:
    return re.sub(r"\W+", " ", text.replace("’", "'")).strip().casefold()


def _says(text: str, group: Group) -> bool:
    """Whether a short answer of the group stands in a text."""
    said = f" {_folded(text)} "
    return any(f" {_folded(short)} " in said for short in group.short_answers)


def _window(candidate: Candidate, places: tuple[int, ...], chance: random.Random) -> str:
    """The sentences with some of their neighbours, joined as the finder joins."""
    sentences = candidate.sentences
    chosen = set(range(places[0], places[-1] + 1))
    for place in (places[0] - 1, places[-1] + 1, places[-1] + 2):
        wanted = chance.random() < 0.45 and 0 <= place < len(sentences)
        if wanted and _words(sentences, {*chosen, place}) <= LONGEST_WINDOW:
            chosen.add(place)
    return joined_sentences(sentences, sorted(chosen))


def _words(sentences: Sequence[str], places: set[int]) -> int:
    return sum(len(sentences[place].split()) for place in places)
