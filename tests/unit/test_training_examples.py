"""Examples: the serving prompt, the right passage among others, and splits that never leak."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.engines.base import LanguageModel
from assistant.prompts import REFUSAL, Profile, PromptBuilder, render
from assistant.quoting import quoted_answer
from core.errors import InvalidInput
from core.permissions import Reader
from retrieval.passages import Passage
from tests.fakes import ScriptedModel
from training.config import TrainingConfig, parse_assignments, preset
from training.dataset import Dataset, Fact
from training.evidence_match import holds_evidence
from training.examples import (
    Curriculum,
    Example,
    ExampleKind,
    Library,
    build_curriculum,
    split_facts,
)
from training.prefix_tree import Tokens, build_tree
from training.schedule import early_end, passes, plan, plan_from_json, plan_to_json, tokens_of
from training.unknown import unknown_questions


def fact(number: int, wordings: int = 4, *, answerable: bool = True) -> Fact:
    return Fact(
        id=f"f{number}",
        wordings=tuple(f"subject{number} wording{w} number{number}?" for w in range(wordings)),
        answer=f"Answer {number} is value{number}." if answerable else REFUSAL,
        short_answers=(f"value{number}",) if answerable else (),
        answerable=answerable,
    )


def dataset(facts: Sequence[Fact]) -> Dataset:
    return Dataset("d.jsonl", "0" * 64, tuple(facts), (), len(facts))


@dataclass
class ShelfOfPassages:
    """Returns all passages, those of the asked subject first; notes who asked."""

    passages: list[Passage]
    readers: list[Reader] = field(default_factory=list)
    version: str = "1"
    threshold: float = 0.0

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        self.readers.append(reader)
        subject = query.split(maxsplit=1)[0]
        return sorted(self.passages, key=lambda p: subject not in p.text.split())[:limit]


def passage(number: int) -> Passage:
    text = f"subject{number} rests on value{number} here"
    return Passage(number, number, f"d{number}.md", f"Title {number}", "Place", text, 0.5)


def library(count: int, limit: int = 4) -> Library:
    model: LanguageModel = ScriptedModel()
    builder = PromptBuilder(model, evidence_tokens=60, answer_tokens=32)
    return Library(ShelfOfPassages([passage(n) for n in range(count)]), limit, builder.build)


def all_of(curriculum: Curriculum) -> list[Example]:
    return [example for epoch in curriculum.epochs for unit in epoch for example in unit]


def test_closed_book_uses_the_serving_prompt() -> None:
    data = dataset([fact(n) for n in range(6)])
    curriculum = build_curriculum(data, preset("quick"), None)
    closed = [e for e in all_of(curriculum) if e.kind is ExampleKind.CLOSED]
    assert {e.messages for e in closed} <= {render(w, None) for f in data.facts for w in f.wordings}
    assert all(e.answer == f"Answer {e.fact_id[1:]} is value{e.fact_id[1:]}." for e in closed)
    assert "closed-book" in curriculum.notes[0]


def test_a_large_model_learns_the_prompt_it_is_served_with() -> None:
    small = library(12)
    builder = PromptBuilder(ScriptedModel(), 60, 32, Profile.LARGE)
    large = Library(small.retriever, small.limit, builder.build, builder.profile)
    data, config = dataset([fact(n) for n in range(12)]), preset("quick", refusal_share=0.5)
    curriculum = build_curriculum(data, config, large, (), Profile.LARGE)
    rules = {kind: {e.messages[0].content for e in all_of(curriculum) if e.kind is kind}
             for kind in ExampleKind}  # fmt: skip
    assert rules[ExampleKind.CLOSED] == {Profile.LARGE.rules(grounded=False)}
    assert rules[ExampleKind.UNKNOWN] == {Profile.LARGE.rules(grounded=False)}
    assert rules[ExampleKind.GROUNDED] == {Profile.LARGE.rules(grounded=True)}


@dataclass
class LastWordsFirst:
    """A `Quoter`: the passages in reverse, each with its subject and the question's."""

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        said = [(n, f"{question.split(maxsplit=1)[0]} or {p.text}") for n, p in enumerate(passages)]
        return said[::-1][:count]


def test_who_goes_on_from_a_reader_of_quotations_learns_its_prompt() -> None:
    model: LanguageModel = ScriptedModel()
    builder = PromptBuilder(model, evidence_tokens=60, answer_tokens=32)
    plain = library(12)
    quoter = LastWordsFirst()
    quoting = Library(plain.retriever, plain.limit, plain.fit, plain.profile, quoter)
    data, config = dataset([fact(n) for n in range(12)]), preset("quick", absent_share=0.5)
    kinds = {ExampleKind.GROUNDED, ExampleKind.ABSENT}
    pairs = [
        (with_line, without)
        for with_line, without in zip(
            all_of(build_curriculum(data, config, quoting)),
            all_of(build_curriculum(data, config, plain)),
            strict=True,
        )
        if without.kind in kinds
    ]
    assert {without.kind for _, without in pairs} == kinds
    for with_line, without in pairs:
        found, question = without.messages[1].content.rsplit("\n\nQuestion: ", 1)
        shown = [p for p in plain.retriever.search("x y", limit=99, reader=Reader())
                 if p.text in found]  # fmt: skip
        shown.sort(key=lambda p: found.index(p.text))
        served = builder.build(
            question, shown, quote=partial(quoted_answer, question, quoter=quoter)
        )
        assert with_line.messages == served.messages
        assert f"Best sentences: {question.split()[0]} or subject" in with_line.messages[1].content
        assert with_line.answer == without.answer


def test_rounds_cite_the_right_passage_at_every_place() -> None:
    config = preset("balanced", passage_rounds=12, absent_share=0.0)
    curriculum = build_curriculum(dataset([fact(n) for n in range(12)]), config, library(12))
    grounded = [e for e in all_of(curriculum) if e.kind is ExampleKind.GROUNDED]
    places = set()
    for example in grounded:
        answer, _, cited = example.answer.rpartition(" [")
        number = int(cited.rstrip("]"))
        places.add(number)
        shown = example.messages[1].content.split("\n\n")
        assert f"value{example.fact_id[1:]} " in f"{shown[number - 1]} "
        assert answer == f"Answer {example.fact_id[1:]} is value{example.fact_id[1:]}."
        assert example.messages[0] == render("", [])[0]
    assert places == {1, 2, 3, 4}


def test_without_the_right_passage_it_refuses() -> None:
    config = preset("balanced", absent_share=1.0, passage_rounds=2)
    curriculum = build_curriculum(dataset([fact(n) for n in range(12)]), config, library(12))
    absent = [e for e in all_of(curriculum) if e.kind is ExampleKind.ABSENT]
    assert absent
    for example in absent:
        assert example.answer == REFUSAL
        assert f"value{example.fact_id[1:]} " not in example.messages[1].content


def test_only_documents_open_to_everybody_are_searched() -> None:
    shown = library(12)
    build_curriculum(dataset([fact(n) for n in range(12)]), preset("balanced"), shown)
    assert isinstance(shown.retriever, ShelfOfPassages)
    assert set(shown.retriever.readers) == {Reader()}


def test_facts_without_a_recognisable_passage_are_told() -> None:
    curriculum = build_curriculum(
        dataset([fact(n) for n in range(12)]), preset("balanced"), library(6)
    )
    assert "rounds no passage with the evidence was found" in curriculum.notes[-1]


def test_unanswerable_facts_are_refused_with_and_without_passages() -> None:
    facts = [*(fact(n) for n in range(11)), fact(11, answerable=False)]
    curriculum = build_curriculum(dataset(facts), preset("balanced"), library(11))
    own = [e for e in all_of(curriculum) if e.fact_id == "f11"]
    assert {e.answer for e in own} == {REFUSAL}
    assert {len(e.messages[1].content) > 60 for e in own} == {True, False}


def test_refusals_and_replay_have_their_shares() -> None:
    config = preset(
        "balanced", epochs=1, refusal_share=0.2, replay_share=0.1, validation_wordings=0
    )
    pairs = [(f"Say {n}", str(n)) for n in range(50)]
    data = dataset([fact(n) for n in range(20)])
    examples = all_of(build_curriculum(data, config, None, pairs))
    kinds = [example.kind for example in examples]
    assert kinds.count(ExampleKind.CLOSED) == 80
    assert kinds.count(ExampleKind.UNKNOWN) == 16
    assert kinds.count(ExampleKind.REPLAY) == 8


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_splits_never_leak(count: int, wordings: int, seed: int, documents: bool) -> None:
    facts = [fact(n, wordings) for n in range(count)]
    config = preset("balanced", seed=seed, validation_share=0.1)
    split = split_facts(facts, config, documents=documents)
    assert split == split_facts(facts, config, documents=documents)
    taught = {f.id: set(f.wordings) for f in split.taught}
    assert not taught.keys() & {f.id for f in split.read}
    assert taught.keys() | {f.id for f in split.read} == {f.id for f in facts}
    assert bool(split.read) == (documents and count > 20)
    for held in split.asked:
        assert len(held.wordings) == 1
        assert not set(held.wordings) & taught[held.id]
        assert len(taught[held.id]) >= 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 50))
def test_no_example_of_training_shows_what_is_held_out(seed: int) -> None:
    config = preset("quick", seed=seed, validation_share=0.1, passage_rounds=1)
    curriculum = build_curriculum(dataset([fact(n) for n in range(30)]), config, library(30))
    trained = all_of(curriculum)
    held = {example.fact_id for example in curriculum.reading}
    assert len(held) == 3
    assert not held & {example.fact_id for example in trained}
    questions = {example.messages[1].content for example in curriculum.wordings}
    assert questions
    for example in trained:
        asked = example.messages[1].content.rpartition("Question: ")[2]
        assert asked not in questions


def test_evidence_is_recognised_through_markup() -> None:
    found = Passage(1, 1, "docs/a.md", "A", "", "You may request 240 hours of leave now.", 0.1)
    quote = "You **may request** [240 hours](#x) of leave"
    named = Fact("f", ("q",), "a", (), "a.md", quote)
    assert holds_evidence(found, named)
    assert not holds_evidence(found, Fact("f", ("q",), "a", (), "b.md", quote))
    assert holds_evidence(found, Fact("f", ("q",), "a", ("240 HOURS",)))
    assert not holds_evidence(found, Fact("f", ("q",), "a", ("40 hours",)))


def test_unknown_questions_leave_taught_ones_out() -> None:
    everything = unknown_questions([])
    assert len(everything) >= 30
    assert len(unknown_questions([everything[0].upper()])) == len(everything) - 1


def encode(example: Example) -> Tokens:
    prompt = [ord(c) for m in example.messages for c in m.content]
    return Tokens((*prompt, *map(ord, example.answer)), len(prompt))


def test_an_example_is_encoded_once_however_many_epochs_see_it() -> None:
    config = preset("quick", epochs=7, passage_rounds=4, batch_size=8)
    curriculum = build_curriculum(dataset([fact(n) for n in range(12)]), config, library(12))
    seen: list[Example] = []

    def counting(example: Example) -> Tokens:
        seen.append(example)
        return encode(example)

    made = plan(curriculum, config, counting)
    distinct = set(all_of(curriculum)) | set(curriculum.wordings) | set(curriculum.reading)
    assert len(all_of(curriculum)) > 2 * len(distinct)
    assert len(seen) == len(set(seen)) == len(distinct)
    assert made == plan(curriculum, config, encode)


def test_plan_keeps_every_example_once_and_tells_what_is_too_long() -> None:
    config = preset("quick", epochs=3, batch_size=5, max_tokens=400, passage_rounds=1)
    curriculum = build_curriculum(dataset([fact(n) for n in range(7)]), config, library(7))
    made = plan(curriculum, config, encode)
    wanted = [encode(example) for example in all_of(curriculum)]
    short = [tokens for tokens in wanted if len(tokens.ids) <= 400]
    got = [tokens for step in made.steps for examples in step for tokens in examples]
    assert sorted(got, key=lambda t: t.ids) == sorted(short, key=lambda t: t.ids)
    assert made.too_long == len(wanted) - len(short)
    assert plan_from_json(plan_to_json(made)) == made
    assert made.epoch(len(made.steps)) == pytest.approx(3.0)
    sizes = [sum(map(len, step)) for step in made.steps[:-1]]
    assert all(size >= 5 for size in sizes)


TOKENS = st.builds(
    lambda prompt, answer: Tokens((1, *prompt, *answer), 1 + len(prompt)),
    st.lists(st.integers(2, 4), max_size=6),
    st.lists(st.integers(2, 4), min_size=1, max_size=4),
)


@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_tree_holds_every_example(examples: list[Tokens]) -> None:
    tree = build_tree(examples)
    assert len(tree.ids) == len({e.ids[:n] for e in examples for n in range(1, len(e.ids) + 1)})
    assert len(tree.targets) == sum(len(example.answer) for example in examples)
    at = 0
    for example in examples:
        for place, token in enumerate(example.answer, start=example.answer_start):
            seen = tree.visible[tree.sources[at]].nonzero()[0]
            assert tuple(tree.ids[seen]) == example.ids[:place]
            assert tree.positions[seen].tolist() == list(range(place))
            assert tree.targets[at] == token
            at += 1


@given(st.lists(TOKENS, min_size=1, max_size=12), st.integers(4, 40))
def test_passes_fit_and_lose_nothing(examples: list[Tokens], room: int) -> None:
    step = passes(examples, room)
    assert sorted(t.ids for p in step for t in p) == sorted(t.ids for t in examples)
    assert all(len(build_tree(p).ids) <= room or len(p) == 1 for p in step)
    assert tokens_of(step) == sum(len(t.ids) for t in examples)


def test_early_end() -> None:
    assert not early_end([3, 2, 1], 0)
    assert not early_end([3, 2], 2)
    assert not early_end([3, 2, 2.5, 1.9], 2)
    assert early_end([3, 2, 2.5, 2.1], 2)


def test_presets_and_overrides() -> None:
    assert preset("quick").epochs < preset("balanced").epochs < preset("thorough").epochs
    assert preset("quick", **parse_assignments(["rank=8", "learning-rate=2e-4"])).rank == 8
    assert preset("balanced").with_changes({"documents": "false"}).documents is False
    assert TrainingConfig.model_validate({}) == preset("balanced")
    assert all(f.description for f in TrainingConfig.model_fields.values())


def test_impossible_settings_are_all_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        preset("quick", rank=0, learning_rate="fast", colour="red")
    for words in ("rank=0", "learning_rate='fast'", "colour: no such setting"):
        assert words in caught.value.message
    with pytest.raises(InvalidInput, match="quick, balanced, thorough"):
        preset("slow")
    with pytest.raises(InvalidInput, match="name=value"):
        parse_assignments(["rank"])
