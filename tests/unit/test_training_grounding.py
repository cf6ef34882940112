"""What the evidence finder and the reader learn from."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.prompts import REFUSAL
from core.errors import DatasetError, Stopped
from core.progress import Silent
from retrieval.evidence import Candidate
from retrieval.passages import Array
from tests.fakes import HashingEmbedder
from training.embedding_cache import SLICE, CachedEmbedder
from training.evidence_data import (
    Chunk,
    Group,
    Material,
    quoted_sentences,
    read_material,
    training_pick,
    with_served_search,
)
from training.examples import ExampleKind
from training.reader_data import ReaderMix, ReaderPrompts, reader_units
from training.reading_data import READING, joined, read_reading

LEAVE = """# Leave

You can request up to **240 hours** of sick leave. Ask your supervisor first.

## Vacation

* Everybody has 30 days of vacation a year.
* Unused vacation days expire in March.
"""
OFFICE = """# Office

The office opens at 8 every day of the week. Dogs are welcome on Fridays in the office.
"""


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    for source in ("north", "south"):
        (tmp_path / source).mkdir()
        (tmp_path / source / "leave.md").write_text(LEAVE)
        (tmp_path / source / "office.md").write_text(OFFICE)
    return tmp_path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [
        row("n1", "How much sick leave?", "north/leave.md", "request up to **240 hours** of sick"),
        row("n2", "How much vacation?", "north/leave.md", "Everybody has 30 days of vacation"),
        {"id": "n3", "question": "Is there a gym?", "answer": "", "short_answers": []},
        row("s1", "When does the office open?", "south/office.md", "office opens at 8"),
        row("s2", "Are dogs allowed?", "south/office.md", "Dogs are welcome on Fridays"),
        row("s3", "Lost quote?", "south/office.md", "words that stand nowhere"),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(values) + "\n" for values in rows))
    return path


def row(name: str, question: str, file: str, quote: str) -> dict[str, object]:
    return {
        "id": name,
        "question": question,
        "wordings": [f"{question} please"],
        "answer": "A person's answer.",
        "short_answers": ["240 hours", "30 days", "8"],
        "evidence_file": file,
        "evidence_quote": quote,
    }


@pytest.fixture
def material(questions: Path, documents: Path) -> Material:
    return read_material([questions], documents, 110, Silent())


def test_quotes_are_found_whatever_their_markup() -> None:
    sentences = ("First one here.", "You can request up to 240 hours of leave.", "Last.")
    assert quoted_sentences(sentences, "up to **240 [hours](https://x.y)** of leave") == (1,)
    both = "First one here. You can request up to 240 hours of leave."
    assert quoted_sentences(sentences, both) == (0, 1)
    assert quoted_sentences(sentences, "nowhere") == ()
    assert quoted_sentences(sentences, "") == ()


def test_every_wording_is_a_group_with_the_sentence_that_answers(material: Material) -> None:
    group = next(g for g in material.groups if g.question == "How much sick leave? please")
    number, places = group.right[0]
    assert group.source == "north"
    assert [material.chunks[number].candidate.sentences[k] for k in places] == [
        "You can request up to 240 hours of sick leave."
    ]
    assert number in group.found


def test_a_quote_that_is_nowhere_is_left_out(material: Material) -> None:
    assert not any("Lost" in group.question for group in material.groups)


def test_unanswerable_questions_are_asked_of_the_documents_around_them(material: Material) -> None:
    group = next(g for g in material.groups if not g.answerable)
    assert (group.source, group.right) == ("north", ())


def test_whole_sources_are_held_out(material: Material) -> None:
    own, kept = material.split(["south"])
    assert {g.source for g in own} == {"north"}
    assert {g.source for g in kept} == {"south"}
    with pytest.raises(DatasetError, match=r"no such source.*north, south"):
        material.split(["west"])


def test_no_evidence_at_all_is_an_error(questions: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="No evidence quote"):
        read_material([questions], tmp_path / "empty", 110, Silent())


def test_held_out_questions_meet_the_served_search(material: Material) -> None:
    _, kept = material.split(["south"])
    served = with_served_search(material, kept, HashingEmbedder())
    assert [g.question for g in served] == [g.question for g in kept]
    assert all(material.chunks[n].source == "south" for g in served for n in g.found)


def test_what_was_embedded_once_is_not_embedded_again(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(SLICE + 3)]
    stops = Pressed(after=1)
    with pytest.raises(Stopped, match=f"after {SLICE} texts"):
        CachedEmbedder(HashingEmbedder(), tmp_path / "kept", stops).embed([*texts, *texts])
    counted = CountingEmbedder()
    rows = CachedEmbedder(counted, tmp_path / "kept", Silent()).embed(texts)
    assert counted.asked == 3
    assert np.array_equal(rows, HashingEmbedder().embed(texts))
    assert CachedEmbedder(counted, tmp_path / "kept", Silent()).embed([]).shape[0] == 0


class CountingEmbedder(HashingEmbedder):
    """Counts the texts that it is asked for."""

    asked = 0

    def embed(self, texts: Sequence[str]) -> Array:
        self.asked += len(texts)
        return super().embed(texts)


class Pressed(Silent):
    """Somebody presses stop before the step after `after`."""

    def __init__(self, after: int) -> None:
        self.left = after

    def stop_requested(self) -> bool:
        self.left -= 1
        return self.left < 0


def many(count: int = 12) -> tuple[Material, Group]:
    chunks = tuple(
        Chunk("s", "d", Candidate(f"T{n} > H", (f"Sentence {n} says x{n}.", "Another one.")))
        for n in range(count)
    )
    group = Group("What says?", "s", True, "Own words.", ("x3",), ((3, (0,)),), tuple(range(count)))
    return Material(chunks, (group,), "0"), group


def test_a_pick_has_one_right_chunk_or_none() -> None:
    _, group = many()
    chance = random.Random(0)
    picks = [training_pick(group, chance, wrong=2, absent_share=0.3) for _ in range(300)]
    assert all(len(shown) == len(set(shown)) for shown, _ in picks)
    present = [right for shown, right in picks if 3 in shown]
    assert all(right == {3: (0,)} for right in present)
    assert 0.6 < len(present) / len(picks) < 0.8


def test_the_reader_copies_the_sentence_and_cites_its_place() -> None:
    material, group = many()
    chance = random.Random(1)
    prompts = ReaderPrompts(material, [group], ReaderMix(absent_share=0.0, stray_share=0.0))
    places = set()
    for _ in range(60):
        (example,) = prompts.unit(group, chance)
        text, _, rest = example.answer.partition(" [")
        place = int(rest.partition("]")[0])
        assert text == "Sentence 3 says x3."
        assert f"[{place}] T3 > H\n" in example.messages[-1].content
        assert "x3" not in rest
        places.add(place)
    assert len(places) > 2


@pytest.mark.parametrize(
    ("shares", "named"),
    [((1.0, 0.0, 0.0), 0), ((0.0, 1.0, 0.0), 1), ((0.0, 0.0, 1.0), None)],
)
def test_the_right_sentence_is_named_where_the_mix_puts_it(
    shares: tuple[float, float, float], named: int | None
) -> None:
    material, group = many()
    first, second, unnamed = shares
    mix = ReaderMix(0.0, 0.0, first_share=first, second_share=second, unnamed_share=unnamed)
    prompts = ReaderPrompts(material, [group], mix)
    chance = random.Random(2)
    seen = set()
    for _ in range(40):
        (example,) = prompts.unit(group, chance)
        _, _, best = example.messages[-1].content.partition("\n\nBest sentences: ")
        sentences = [text.strip() for text in best.partition("\n\n")[0].split("]") if text]
        places = [n for n, text in enumerate(sentences) if text.startswith("Sentence 3 says")]
        # Where a passage's only other sentence is alike, nothing stands before the right one.
        assert len(sentences) <= 2
        seen.add(places[0] if places else None)
        answer = example.answer.split("]")
        assert answer[0].startswith("Sentence 3 says x3. [")
    assert named in seen
    assert seen <= {named, 0}


def test_without_the_right_passage_the_reader_refuses() -> None:
    material, group = many()
    prompts = ReaderPrompts(material, [group], ReaderMix(absent_share=1.0, stray_share=0.0))
    (example,) = prompts.unit(group, random.Random(0))
    assert (example.kind, example.answer) == (ExampleKind.ABSENT, REFUSAL)
    assert "x3" not in example.messages[-1].content


def test_the_same_passages_are_asked_for_other_facts_and_for_what_they_do_not_say() -> None:
    sentences = ("The gate opens at 7.", "The gate closes at 9.", "Bikes stand behind it.")
    chunks = (
        Chunk("s", "d", Candidate("Gate > Hours", sentences)),
        Chunk("s", "d", Candidate("Gate > Keys", ("The keeper has the keys of the gate.",))),
    )
    opens = Group("When does the gate open?", "s", True, "At 7.", ("7",), ((0, (0,)),), (0,))
    closes = Group("When does the gate close?", "s", True, "At 9.", ("9",), ((0, (1,)),), (0,))
    keys = Group("Who has keys?", "s", True, "The keeper.", ("keeper",), ((1, (0,)),), (1, 0))
    groups = (opens, closes, keys)
    mix = ReaderMix(absent_share=0.0, stray_share=1.0, unnamed_share=0.0)
    prompts = ReaderPrompts(Material(chunks, groups, "0"), groups, mix)
    unit = prompts.unit(opens, random.Random(0))
    said = {one.messages[-1].content.rpartition("Question: ")[2]: one.answer for one in unit}
    assert said == {
        opens.question: "The gate opens at 7. [1] The gate closes at 9. [1]",
        closes.question: "The gate closes at 9. [1] The gate opens at 7. [1]",
        keys.question: REFUSAL,
    }
    shown = {one.messages[-1].content.partition("Best sentences: ")[0] for one in unit}
    assert len(shown) == 1


def test_the_mix_has_reading_and_replay(tmp_path: Path) -> None:
    material, group = many()
    path = tmp_path / "reading.jsonl"
    rows = [
        {"title": f"Place {n}", "question": f"Where is river {n}?", "answerable": n % 3 > 0,
         "context": f"River {n} flows in land {n}. It is long and cold.",
         "answers": [f"land {n}"] if n % 3 else []}
        for n in range(12)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(values) + "\n" for values in rows))
    everything = joined(material, read_reading(path, 10, seed=0))
    reading = [g for g in everything.groups if g.source == READING]
    assert len(reading) == 10
    answerable = next(g for g in reading if g.answerable)
    number, places = answerable.right[0]
    assert everything.chunks[number].candidate.sentences[places[0]].startswith("River")
    own = [group] * 10
    replay = [("Say hi", "Hi there")] * 5
    units = reader_units(everything, own, reading, replay, ReaderMix(replay_share=0.1), 100)
    assert [unit[0].kind for unit in units].count(ExampleKind.REPLAY) == 1
    assert len(units) == 13
    few = reader_units(everything, own, reading, [], ReaderMix(reading_share=0.5), 6)
    assert len(few) == 6


@pytest.mark.parametrize(("share", "refused"), [(0.0, 0), (0.1, 2), (0.5, 5)])
def test_few_of_what_the_reader_learns_are_refusals(share: float, refused: int) -> None:
    material, group = many()
    unanswerable = replace(group, answerable=False, right=())
    mix = ReaderMix(unanswerable_share=share, stray_share=0.0, reading_share=0.0)
    units = reader_units(material, [group] * 20 + [unanswerable] * 5, [], [], mix, 20)
    answers = [example.answer for unit in units for example in unit]
    assert answers.count(REFUSAL) == refused
    assert len(answers) == 20 + refused


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl.zst"
    path.write_bytes(b"not compressed")
    with pytest.raises(DatasetError, match=r"broken\.jsonl\.zst"):
        read_reading(path, 5, seed=0)
