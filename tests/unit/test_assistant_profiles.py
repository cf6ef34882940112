"""Two profiles: their wording, their budgets, what is dropped first, and who gets which."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.answering import Assistant, Question
from assistant.engines.source import context_of, count_parameters
from assistant.modes import AnswerFinished, AnswerMode, Message
from assistant.profiles import ModelSize, fitted, fitted_settings, size_of
from assistant.prompts import (
    PROMPT_VERSION,
    QUOTING_VERSION,
    Profile,
    PromptBuilder,
    profile_of,
    render,
)
from assistant.shelf import Shelf
from core.home import Home
from core.settings import Settings
from retrieval.passages import Passage
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ListRetriever, ScriptedModel

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PASSAGES = (
    Passage(1, 1, "leave.md", "Leave", "Annual", "Employees get 28 days of leave.", 0.8),
    Passage(2, 1, "leave.md", "Leave", "", "Many sick employees call the manager first.", 0.6),
)
HISTORY = (Message("user", "Who grants leave?"), Message("assistant", "The manager [1]."))
CASES: dict[str, tuple[Sequence[Passage] | None, tuple[Message, ...]]] = {
    "base": (None, ()),
    "rag": (PASSAGES, ()),
    "history": (PASSAGES, HISTORY),
    "nothing_found": ((), ()),
}
BIG = ModelSize(7_000_000_000, 32_768)
TINY = ModelSize(360_000_000, 8192)


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("case", CASES)
def test_the_prompts_are_the_golden_ones(profile: Profile, case: str) -> None:
    passages, history = CASES[case]
    builder = PromptBuilder(ScriptedModel(), 700, 128, profile)
    prompt = builder.build("How many days of leave?", passages, history)
    seen = "\n".join(f"<{m.role}>\n{m.content}" for m in prompt.messages) + "\n"
    path = GOLDEN / f"prompt_{profile}_{case}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(seen, "utf-8")
    assert seen == path.read_text("utf-8"), "raise the profile's version, then UPDATE_GOLDEN=1"


def test_the_best_sentences_stand_before_the_question_where_they_are_wanted() -> None:
    builder = PromptBuilder(ScriptedModel(), 700, 128)
    asked: list[Sequence[Passage]] = []

    def quote(kept: Sequence[Passage]) -> str:
        asked.append(kept)
        return "Employees get 28 days of leave. [1]"

    prompt = builder.build("How many days of leave?", PASSAGES, HISTORY, quote)
    seen = "\n".join(f"<{m.role}>\n{m.content}" for m in prompt.messages) + "\n"
    path = GOLDEN / "prompt_small_quoting.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(seen, "utf-8")
    assert seen == path.read_text("utf-8")
    assert prompt.version == QUOTING_VERSION
    assert asked == [list(PASSAGES)]
    for nothing in (None, ()):
        assert builder.build("Leave?", nothing, (), quote).version == PROMPT_VERSION
    assert len(asked) == 1


@pytest.mark.parametrize("profile", list(Profile))
def test_history_goes_first_then_the_last_passages_and_never_the_question(
    profile: Profile,
) -> None:
    history = [
        Message(role, f"{role} {n} " + "word " * 20)
        for n in range(3)
        for role in ("user", "assistant")
    ]
    passages = [replace(PASSAGES[0], chunk_id=n, text="word " * 30) for n in range(3)]
    bare = ScriptedModel().count_tokens(render("Why?", [], profile))
    seen = []
    for room in range(bare + 300, bare, -5):
        model = ScriptedModel(context_tokens=room + 10)
        prompt = PromptBuilder(model, 700, 10, profile).build("Why?", passages, history)
        turns = prompt.messages[1:-1]
        assert list(turns) == history[len(history) - len(turns) :]
        assert [p.chunk_id for p in prompt.passages] == list(range(len(prompt.passages)))
        assert prompt.messages[0].content == profile.rules(grounded=True)
        assert prompt.messages[-1].content.endswith("Question: Why?")
        assert model.count_tokens(prompt.messages) <= room
        seen.append((len(prompt.passages), len(turns) // 2))
    kept = list(dict.fromkeys(seen))
    assert kept[0] == (3, 3)
    assert kept[-1][0] == 0
    # A passage is dropped only where the history before it is gone; freed room may then take
    # a turn back that is shorter than the passage was.
    assert kept[:4] == [(3, 3), (3, 2), (3, 1), (3, 0)]
    assert sorted({passages for passages, _ in kept}, reverse=True) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("size", "profile"),
    [
        (BIG, Profile.LARGE),
        (TINY, Profile.SMALL),
        (ModelSize(999_999_999, 8192), Profile.SMALL),
        (ModelSize(1_000_000_000, 4096), Profile.LARGE),
        (ModelSize(7_000_000_000, 2048), Profile.SMALL),
        (ModelSize(None, 32_768), Profile.LARGE),
        (ModelSize(None, None), Profile.LARGE),
    ],
)
def test_size_and_context_decide(size: ModelSize, profile: Profile) -> None:
    assert size.profile is profile


def test_a_large_model_reads_whole_chunks_and_more_of_them() -> None:
    asked = Settings(evidence_finder="builtin")
    served = fitted_settings(Settings(), BIG)
    assert profile_of(served) is Profile.LARGE
    assert (served.evidence_finder, served.rag_reader) == ("off", "off")
    assert (served.passages, served.evidence_tokens, served.answer_tokens) == (8, 6000, 512)
    shorter = fitted_settings(Settings(), ModelSize(7_000_000_000, 8192))
    assert shorter.evidence_tokens == 2048
    assert fitted_settings(asked, BIG).evidence_finder == "builtin"
    assert fitted_settings(Settings(evidence_tokens=900), BIG).evidence_tokens == 900


def test_a_small_model_is_served_as_the_settings_say() -> None:
    for size in (None, TINY):
        served = fitted_settings(Settings(), size)
        assert served.prompt_profile == "small"
        as_read = {"prompt_profile": "auto", "rag_reader": Settings().rag_reader}
        assert served.model_copy(update=as_read) == Settings()


@pytest.mark.parametrize(
    ("settings", "size", "reader"),
    [
        (Settings(), None, "builtin"),
        (Settings(), TINY, "off"),
        (Settings(evidence_finder="words"), None, "builtin"),
        (Settings(evidence_finder="off"), None, "off"),
        (Settings(prompt_profile="large"), None, "off"),
        (Settings(evidence_finder="off", rag_reader="builtin"), None, "builtin"),
        (Settings(rag_reader="builtin"), TINY, "builtin"),
        (Settings(rag_reader="quote"), TINY, "quote"),
    ],
)
def test_the_reader_reads_for_the_embedded_model_what_a_finder_chose(
    settings: Settings, size: ModelSize | None, reader: str
) -> None:
    served = fitted_settings(settings, size)
    assert served.rag_reader == reader
    assert fitted_settings(served, size) == served


def test_a_person_chooses_the_profile() -> None:
    large = fitted_settings(Settings(prompt_profile="large"), None)
    assert (profile_of(large), large.evidence_tokens) == (Profile.LARGE, 1024)
    small = fitted_settings(Settings(prompt_profile="small"), BIG)
    assert (profile_of(small), small.passages) == (Profile.SMALL, Settings().passages)


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(prompt_profile="auto"), Settings(passages=3, prompt_profile="large")],
)
def test_fitting_again_forgets_the_model_before_and_no_choice(settings: Settings) -> None:
    once = fitted_settings(settings, BIG)
    assert fitted_settings(once, BIG) == once
    assert fitted_settings(once, TINY) == fitted_settings(settings, TINY)
    assert once.model_fields_set <= settings.model_fields_set


def test_the_size_is_read_from_the_files(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "BF16", "shape": [3, 4]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {
        "max_position_embeddings": 512}}))  # fmt: skip
    assert size_of(Settings(model=str(tmp_path))) == ModelSize(12, 512)
    assert size_of(Settings()) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "config.json").write_text("[")
    assert (count_parameters(tmp_path), context_of(tmp_path)) == (None, None)
    assert size_of(Settings(model=str(tmp_path / "nowhere"))) == ModelSize(None, None)


def test_answers_store_the_wording_that_made_them(home: Home) -> None:
    for profile, version in ((Profile.SMALL, "1"), (Profile.LARGE, "1-large")):
        settings = home.settings.model_copy(update={"prompt_profile": profile.value})
        model = ScriptedModel()
        found = ListRetriever(list(PASSAGES))
        assistant = Assistant(model, found, Shelf(home), settings)
        *_, last = assistant.answer(Question("How many days of leave?", AnswerMode.RAG))
        assert isinstance(last, AnswerFinished)
        assert last.answer.provenance["prompt_version"] == version
        assert model.seen[-1][0].content == profile.rules(grounded=True)


def test_the_finder_is_left_out_for_a_large_model_unless_it_was_set(home: Home) -> None:
    words = home.settings.model_copy(update={"evidence_finder": "words"})
    retrieval = open_retrieval(replace(home, settings=words), HashingEmbedder())
    assert retrieval.retriever.version.endswith("+words-1")
    large = fitted_settings(home.settings, BIG)
    assert retrieval.under(large).retriever is retrieval.whole
    assert retrieval.under(fitted_settings(words, BIG)).retriever.version.endswith("+words-1")
    assert fitted(home).settings.prompt_profile == "small"
