"""What a fact becomes: chat examples in the very prompt that employees will meet.

Closed-book examples teach the mode `tuned`. They alone break the use of documents (RAFT,
2403.10131), so every fact is also seen in *rounds* among passages that the product's own search
returns: the right one, in half of the rounds where the search puts it and else anywhere, with the
answer citing it, or, in a share of the rounds, without it and with the refusal. The wordings of a
round share its passages.

The split into training and validation holds two different things out, for two questions:

* one wording of some facts, closed-book: does a *taught* fact come back when asked in words
  never seen? (`wordings`; this is the validation loss people watch)
* some facts whole, as reading exercises: does the model use passages about things it was
  never taught? (`reading`; only with documents, because a fact held out of a closed book can
  only be guessed, and its loss says nothing about what was learned)
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from assistant.modes import Message
from assistant.prompts import REFUSAL, Profile, Prompt, render
from assistant.quoting import quoted_answer
from core.permissions import Reader
from retrieval.passages import Passage, Quoter, Retriever
from training.config import TrainingConfig
from training.dataset import Dataset, Fact
from training.evidence_match import holds_answer, holds_evidence
from training.unknown import unknown_questions

SMALLEST_SPLIT = 20
"""With this many facts or fewer, none is held out whole."""
_SEARCH_FACTOR = 4
"""Passages looked at for each one shown: the right one may rank low, distractors are needed."""


class ExampleKind(StrEnum):
    """What an example teaches."""

    CLOSED = "closed-book"
    GROUNDED = "with passages"
    ABSENT = "right passage absent"
    UNKNOWN = "not known"
    REPLAY = "general instruction"


@dataclass(frozen=True)
class Example:
    """One conversation turn to learn."""

    kind: ExampleKind
    fact_id: str
    messages: tuple[Message, ...]
    answer: str


Unit = tuple[Example, ...]
"""Examples that stay together in a step because they share their passages."""


@dataclass(frozen=True)
class Split:
    """Which facts and wordings are trained on."""

    taught: tuple[Fact, ...]
    """Facts with the wordings that are trained on."""
    asked: tuple[Fact, ...]
    """Taught facts again, each with the one wording that was held out."""
    read: tuple[Fact, ...]
    """Facts held out whole."""


@dataclass
class Curriculum:
    """All examples of a run."""

    epochs: list[list[Unit]]
    wordings: list[Example]
    reading: list[Example]
    notes: list[str] = field(default_factory=list)
    """What people should know about how the data was used."""


@dataclass(frozen=True)
class Library:
    """Where passages come from, and how they are fitted into a prompt."""

    retriever: Retriever
    limit: int
    """Passages put before the model when serving."""
    fit: Callable[[str, Sequence[Passage] | None], Prompt]
    """The serving prompt builder."""
    profile: Profile = Profile.SMALL
    """Its wording."""
    quoter: Quoter | None = None
    """Names the best sentences, for an adapter that is served with them in its prompt."""

    def prompt(self, question: str, kept: Sequence[Passage]) -> tuple[Message, Message]:
        """Return the serving prompt over these passages."""
        best = quoted_answer(question, kept, self.quoter) if self.quoter and kept else ""
        return render(question, kept, self.profile, best)


def split_facts(facts: Sequence[Fact], config: TrainingConfig, *, documents: bool) -> Split:
    """Hold out what validation needs; the same seed gives the same split.

    No fact of `read` is among the taught ones, and no wording of `asked` is.
    """
    chance = random.Random(config.seed)  # noqa: S311 - reproducible, not secret
    order = list(facts)
    chance.shuffle(order)
    answerable = [fact for fact in order if fact.answerable]
    share = config.validation_share if documents and len(facts) > SMALLEST_SPLIT else 0.0
    count = max(1, round(share * len(facts))) if share > 0 else 0
    read = answerable[:count]
    held = {fact.id for fact in read}
    taught = {fact.id: fact for fact in facts if fact.id not in held}
    asked: list[Fact] = []
    for fact in answerable[count:]:
        if len(asked) >= config.validation_wordings or len(asked) * 2 >= len(taught):
            break
        if fact.id in taught and len(fact.wordings) > 2:
            left_out = chance.choice(fact.wordings[1:])
            kept = tuple(text for text in fact.wordings if text != left_out)
            taught[fact.id] = _with_wordings(fact, kept)
            asked.append(_with_wordings(fact, (left_out,)))
    return Split(tuple(taught.values()), tuple(asked), tuple(read))


def build_curriculum(
    dataset: Dataset,
    config: TrainingConfig,
    library: Library | None,
    replay: Sequence[tuple[str, str]] = (),
    profile: Profile = Profile.SMALL,
) -> Curriculum:
    """Turn facts into the examples of every epoch and of both validations.

    Args:
        dataset: checked facts.
        config: shares, rounds, seed.
        library: None trains closed-book.
        replay: general (instruction, output) pairs to mix in.
        profile: wording that the model is served with.
    """
    split = split_facts(dataset.facts, config, documents=library is not None)
    chance = random.Random(config.seed + 1)  # noqa: S311 - reproducible, not secret
    epochs = [
        _closed_epoch(split.taught, config, replay, chance, profile) for _ in range(config.epochs)
    ]
    asked = [_closed(fact, wording, profile) for fact in split.asked for wording in fact.wordings]
    curriculum = Curriculum(epochs, asked, [])
    if library is None:
        curriculum.notes.append(
            "Trained closed-book: no passages. The adapter is for the mode Fine-tuned; together "
            "with documents it may ignore what they say."
        )
    else:
        _add_rounds(curriculum, split, config, library, chance)
    for units in curriculum.epochs:
        chance.shuffle(units)
    return curriculum


def _with_wordings(fact: Fact, wordings: tuple[str, ...]) -> Fact:
    return Fact(
        fact.id, wordings, fact.answer, fact.short_answers, fact.evidence_file,
        fact.evidence_quote, fact.answerable, fact.line,
    )  # fmt: skip


def _closed(fact: Fact, wording: str, profile: Profile) -> Example:
    kind = ExampleKind.CLOSED if fact.answerable else ExampleKind.UNKNOWN
    return Example(kind, fact.id, render(wording, None, profile), fact.answer)


def _closed_epoch(
    facts: Sequence[Fact],
    config: TrainingConfig,
    replay: Sequence[tuple[str, str]],
    chance: random.Random,
    profile: Profile,
) -> list[Unit]:
    units: list[Unit] = [
        (_closed(fact, wording, profile),) for fact in facts for wording in fact.wordings
    ]
    wordings = len(units)
    own = sum(len(fact.wordings) for fact in facts if not fact.answerable)
    missing = max(0, round(config.refusal_share * wordings) - own)
    unknown = unknown_questions(wording for fact in facts for wording in fact.wordings)
    units.extend(
        (Example(ExampleKind.UNKNOWN, "", render(question, None, profile), REFUSAL),)
        for question in chance.sample(unknown, min(missing, len(unknown)))
    )
    count = min(round(config.replay_share * wordings), len(replay))
    units.extend(
        (Example(ExampleKind.REPLAY, "", (Message("user", instruction),), output),)
        for instruction, output in chance.sample(list(replay), count)
    )
    return units


def _add_rounds(
    curriculum: Curriculum,
    split: Split,
    config: TrainingConfig,
    library: Library,
    chance: random.Random,
) -> None:
    """Spread each fact's rounds evenly over the epochs, at a random phase."""
    unseen = total = 0
    for fact in split.taught:
        phase = chance.random()
        turns = int(config.passage_rounds + chance.random())
        total += turns
        for turn in range(turns):
            absent = chance.random() < config.absent_share
            wordings = _some(fact.wordings, config.passage_wordings, turn)
            unit = _round(fact, wordings, library, chance, absent=absent)
            unseen += not unit
            epoch = int((turn + phase) * config.epochs / turns)
            if unit:
                curriculum.epochs[min(epoch, config.epochs - 1)].append(unit)
    for fact in split.read:
        curriculum.reading.extend(_round(fact, fact.wordings[:1], library, chance, absent=False))
    if unseen:
        curriculum.notes.append(
            f"In {unseen:,} of {total:,} rounds no passage with the evidence was found, so these "
            "facts are trained closed-book only. Are their documents ingested and open to all?"
        )


def _some(wordings: Sequence[str], count: int, turn: int) -> list[str]:
    start = turn * count % len(wordings)
    return [*wordings[start:], *wordings[:start]][:count]


def _round(
    fact: Fact, wordings: Sequence[str], library: Library, chance: random.Random, *, absent: bool
) -> Unit:
    """Return one example per wording over the same passages; empty when none are right.

    Only what everybody may read is searched: an adapter answers everybody.
    """
    limit = library.limit * _SEARCH_FACTOR
    found = library.retriever.search(wordings[0], limit=limit, reader=Reader())
    right = [passage for passage in found if fact.answerable and holds_evidence(passage, fact)]
    others = [p for p in found if p not in right and not holds_answer(p, fact)]
    if fact.answerable and not right:
        return ()
    longest = max(wordings, key=len)
    if absent or not fact.answerable:
        passages: Sequence[Passage] = others[: library.limit]
        kept = library.fit(longest, passages).passages
        kind = ExampleKind.ABSENT if fact.answerable else ExampleKind.UNKNOWN
        answer = REFUSAL
    else:
        shown = others[: library.limit - 1]
        served = sum(found.index(passage) < found.index(right[0]) for passage in shown)
        place = chance.choice([served, chance.randint(0, len(shown))])
        kept = _around(right[0], shown, place, longest, library)
        kind = ExampleKind.GROUNDED
        answer = f"{fact.answer} [{kept.index(right[0]) + 1}]"
    return tuple(Example(kind, fact.id, library.prompt(text, kept), answer) for text in wordings)


def _around(
    right: Passage, others: Sequence[Passage], wanted: int, wording: str, library: Library
) -> tuple[Passage, ...]:
    """Put the right passage at the place `wanted`, or first where it would not fit there."""
    for place in (wanted, 0):
        passages = [*others[:place], right, *others[place:]]
        kept = library.fit(wording, passages).passages
        if right in kept:
            return kept
    return (right,)
