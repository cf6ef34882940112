"""The built-in reader: on the shelf, in the mode `rag`, and said wherever it was on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.answering import Assistant, Question
from assistant.engines.base import AdapterRef
from assistant.engines.source import embedded_hash
from assistant.modes import Answer, AnswerFinished, AnswerMode
from assistant.prompts import PROMPT_VERSION, QUOTING_VERSION
from assistant.reader import NAME, serving_reader
from assistant.shelf import Shelf, check_name
from core.errors import Conflict, InvalidInput, NotFound, SettingsError
from core.home import Home
from core.settings import Settings
from eval.arms import Arm
from eval.formatting import reading_line
from eval.subject import Parts
from retrieval.passages import Passage
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ListRetriever, ScriptedModel
from tests.unit.adapters import build_adapter, put_adapter
from ui.chat_view import provenance_rows, turn_html, view_of_answer
from ui.parts import adapter_label
from ui.training_view import shelf_html

LEAVE = Passage(1, 1, "leave.md", "Leave", "", "Employees get 28 days of leave.", 0.8)
READER = Settings(rag_reader="builtin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader that fits the embedded model, as far as its manifest tells."""
    made = tmp_path_factory.mktemp("builtin") / "reader"
    build_adapter(made, b"read", base_hash=embedded_hash())
    return made


def said(text: str, adapter: AdapterRef | None) -> str:
    return f"{adapter.name if adapter else 'plain'} says 28 days [1]."


def test_it_is_on_the_shelf_last_and_cannot_be_deleted(home: Home, folder: Path) -> None:
    put_adapter(home, "zoo")
    put_adapter(home, NAME)
    shelf = Shelf(home, folder)
    own, reader = shelf.list()
    assert (own.name, own.built_in, reader.name, reader.built_in) == ("zoo", False, NAME, True)
    assert shelf.get(NAME) == reader
    assert reader.ref.path == folder
    with pytest.raises(Conflict, match="comes with the product"):
        shelf.delete(NAME)
    assert folder.is_dir()
    shelf.set_default(NAME, None, "reads best")
    assert shelf.default() == NAME
    with pytest.raises(InvalidInput, match="Choose another name"):
        check_name(NAME)


@pytest.mark.parametrize("model", ["embedded", "/models/other"])
def test_it_is_listed_only_where_its_model_runs(home: Home, tmp_path: Path, model: str) -> None:
    fits = model != "embedded"
    build_adapter(tmp_path / "r", base_hash=embedded_hash() if fits else "another base")
    changed = replace(home, settings=home.settings.model_copy(update={"model": model}))
    shelf = Shelf(changed, tmp_path / "r")
    assert shelf.list() == []
    with pytest.raises(NotFound, match=NAME):
        shelf.get(NAME)
    Shelf(home).set_default(None, None)
    assert shelf.default() is None


def test_the_setting_wants_it_to_fit(folder: Path, tmp_path: Path) -> None:
    assert serving_reader(Settings(rag_reader="off"), folder) is None
    found = serving_reader(READER, folder)
    assert found is not None
    assert found.name == NAME
    variable, remedy = "INHOUSE_RAG_READER=builtin", "Set INHOUSE_RAG_READER=off, or"
    with pytest.raises(SettingsError, match=rf"{variable}.*is not in '.*nowhere'\. {remedy}"):
        serving_reader(READER, tmp_path / "nowhere")
    build_adapter(tmp_path / "other", base_hash="another base")
    with pytest.raises(SettingsError, match=rf"{variable}.*other weights.*{remedy} train"):
        serving_reader(READER, tmp_path / "other")
    build_adapter(tmp_path / "half", base_hash=embedded_hash())
    (tmp_path / "half" / "adapter_config.json").unlink()
    with pytest.raises(SettingsError, match=r"is damaged: .*adapter_config\.json missing"):
        serving_reader(READER, tmp_path / "half")
    elsewhere = READER.model_copy(update={"model": "/models/qwen"})
    with pytest.raises(SettingsError, match=r"INHOUSE_MODEL=/models/qwen.*INHOUSE_MODEL=embedded"):
        serving_reader(elsewhere, folder)


@pytest.fixture
def assistant(home: Home, folder: Path) -> Assistant:
    settings = home.settings.model_copy(update={"rag_reader": "builtin"})
    put_adapter(home, "house")
    shelf = Shelf(home, folder)
    return Assistant(ScriptedModel(said), ListRetriever([LEAVE]), shelf, settings)


def asked(assistant: Assistant, mode: AnswerMode, adapter: str = "house") -> Answer:
    *_, last = assistant.answer(Question("How many days of leave?", mode, adapter=adapter))
    assert isinstance(last, AnswerFinished)
    return last.answer


def test_it_answers_the_mode_rag_alone_and_says_so(
    home: Home, folder: Path, assistant: Assistant
) -> None:
    reader = Shelf(home, folder).get(NAME)
    answer = asked(assistant, AnswerMode.RAG)
    assert answer.text == f"{NAME} says 28 days [1]."
    assert answer.adapter is None
    facts = answer.provenance
    assert (facts["reader"], facts["adapter_hash"]) == (NAME, reader.ref.hash)
    for mode, who in (("base", "plain"), ("tuned", "house"), ("tuned_rag", "house")):
        other = asked(assistant, AnswerMode(mode))
        assert other.text.startswith(f"{who} says")
        assert other.provenance["reader"] is None
    named = asked(assistant, AnswerMode.TUNED_RAG, NAME)
    assert (named.adapter, named.provenance["reader"]) == (NAME, None)
    batch = assistant.answer_batch(
        [Question("days of leave", mode, adapter="house") for mode in AnswerMode]
    )
    assert [one.text.split()[0] for one in batch] == ["plain", NAME, "house", "house"]


def test_the_page_says_who_read(assistant: Assistant) -> None:
    answer = asked(assistant, AnswerMode.RAG)
    view = view_of_answer(answer, 7)
    html = str(turn_html("Leave?", [view]))
    assert '<b>Documents</b><span class="tag">read by the built-in reader</span>' in html
    rows = dict(provenance_rows(answer))
    assert rows["Read by"].startswith("the built-in reader (")
    plain = asked(assistant, AnswerMode.BASE)
    assert "built-in reader" not in str(turn_html("Leave?", [view_of_answer(plain, 8)]))


def test_pages_call_it_built_in(home: Home, folder: Path) -> None:
    put_adapter(home, "house")
    adapters = Shelf(home, folder).list()
    assert [adapter_label(one, "house") for one in adapters] == [
        "house (default)",
        f"{NAME} (built in)",
    ]
    assert adapter_label(adapters[1], NAME) == f"{NAME} (built in, default)"
    html = shelf_html(adapters, "house")
    assert f'<b>{NAME}</b> <span class="chip">built in</span>' in html
    assert html.count("built in") == 1


def test_an_evaluation_measures_it_as_a_configuration_of_its_own(
    home: Home, folder: Path, tmp_path: Path
) -> None:
    retrieval = open_retrieval(home, HashingEmbedder())
    (tmp_path / "a.md").write_text("# Leave\n\nEmployees get 28 days of leave.\n")
    retrieval.ingestor.ingest([tmp_path / "a.md"])
    on = home.settings.model_copy(update={"rag_reader": "builtin"})
    parts = Parts(ScriptedModel(), retrieval, Shelf(home, folder), on)
    read = reader_keys(parts.configuration(Arm(AnswerMode.RAG)))
    assert read == {"reader": NAME, "adapter_hash": Shelf(home, folder).get(NAME).ref.hash}
    assert reader_keys(parts.configuration(Arm(AnswerMode.BASE))) == {}
    off = replace(parts, settings=home.settings)
    assert reader_keys(off.configuration(Arm(AnswerMode.RAG))) == {}


def reader_keys(configuration: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in configuration.items() if k in ("reader", "adapter_hash")}


class QuotingRetriever(ListRetriever):
    """Finds what it was given, and knows the best sentence of it."""

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        return [(0, "Employees get 28 days."), (0, "Ask early.")][:count]


@pytest.fixture
def quoting(home: Home, folder: Path) -> Assistant:
    settings = home.settings.model_copy(update={"rag_reader": "quote"})
    return Assistant(ScriptedModel(said), QuotingRetriever([LEAVE]), Shelf(home, folder), settings)


def test_quotations_answer_the_mode_rag_alone_without_a_model(quoting: Assistant) -> None:
    answer = asked(quoting, AnswerMode.RAG)
    assert answer.text == "Employees get 28 days. [1] Ask early. [1]"
    assert answer.cited == (1,)
    facts = answer.provenance
    assert (facts["reader"], facts["model"], facts["adapter_hash"]) == ("quotation", None, None)
    assert asked(quoting, AnswerMode.BASE).text.startswith("plain says")
    (batch,) = quoting.answer_batch([Question("days of leave", AnswerMode.RAG)])
    assert (batch.text, batch.timing.answer_tokens) == (answer.text, 0)
    html = str(turn_html("Leave?", [view_of_answer(answer, 7)]))
    assert '<span class="tag">quoted, without a language model</span>' in html
    assert "no language model" in dict(provenance_rows(answer))["Read by"]


BEST = "Best sentences: Employees get 28 days. [1] Ask early. [1]"


def test_a_reader_of_quotations_is_shown_the_best_sentences(home: Home, tmp_path: Path) -> None:
    base = embedded_hash()
    build_adapter(tmp_path / "r", b"read", base, prompt_version=QUOTING_VERSION)
    put_adapter(home, "house")
    settings = home.settings.model_copy(update={"rag_reader": "builtin"})
    model, shelf = ScriptedModel(said), Shelf(home, tmp_path / "r")
    assistant = Assistant(model, QuotingRetriever([LEAVE]), shelf, settings)
    shown = {
        ("rag", "house"): True,
        ("tuned_rag", NAME): True,
        ("tuned_rag", "house"): False,
        ("tuned", NAME): False,
        ("base", "house"): False,
    }
    for (mode, adapter), wanted in shown.items():
        answer = asked(assistant, AnswerMode(mode), adapter)
        assert (BEST in model.seen[-1][-1].content) is wanted, (mode, adapter)
        version = QUOTING_VERSION if wanted else PROMPT_VERSION
        assert answer.provenance["prompt_version"] == version
    assistant.answer_batch([Question("days of leave", AnswerMode.RAG)])
    assert BEST in model.seen[-1][-1].content
    blind = Assistant(model, ListRetriever([LEAVE]), shelf, settings)
    assert asked(blind, AnswerMode.RAG).provenance["prompt_version"] == PROMPT_VERSION
    assert BEST not in model.seen[-1][-1].content


def test_an_evaluation_names_the_prompt_of_a_reader_of_quotations(
    home: Home, tmp_path: Path
) -> None:
    finding = {"evidence_finder": "words", "rag_reader": "builtin"}
    home = replace(home, settings=home.settings.model_copy(update=finding))
    retrieval = open_retrieval(home, HashingEmbedder())
    (tmp_path / "a.md").write_text("# Leave\n\nEmployees get 28 days of leave.\n")
    retrieval.ingestor.ingest([tmp_path / "a.md"])
    build_adapter(tmp_path / "r", b"read", embedded_hash(), prompt_version=QUOTING_VERSION)
    parts = Parts(ScriptedModel(), retrieval, Shelf(home, tmp_path / "r"), home.settings)
    versions = {
        arm.mode.value: parts.configuration(arm)["prompt_version"]
        for arm in (
            Arm(AnswerMode.BASE),
            Arm(AnswerMode.RAG),
            Arm(AnswerMode.TUNED, NAME),
            Arm(AnswerMode.TUNED_RAG, NAME),
        )
    }
    one, quoting = PROMPT_VERSION, QUOTING_VERSION
    assert versions == {"base": one, "rag": quoting, "tuned": one, "tuned_rag": quoting}


def test_quotations_need_what_judges_sentences(home: Home, folder: Path) -> None:
    settings = home.settings.model_copy(update={"rag_reader": "quote", "evidence_finder": "off"})
    with pytest.raises(SettingsError, match="INHOUSE_EVIDENCE_FINDER=off"):
        Assistant(ScriptedModel(), ListRetriever([LEAVE]), Shelf(home, folder), settings)


def test_an_evaluation_keeps_quotations_apart(home: Home, folder: Path, tmp_path: Path) -> None:
    retrieval = open_retrieval(home, HashingEmbedder())
    (tmp_path / "a.md").write_text("# Leave\n\nEmployees get 28 days of leave.\n")
    retrieval.ingestor.ingest([tmp_path / "a.md"])
    settings = home.settings.model_copy(update={"rag_reader": "quote"})
    parts = Parts(ScriptedModel(), retrieval, Shelf(home, folder), settings)
    assert reader_keys(parts.configuration(Arm(AnswerMode.RAG))) == {"reader": "quotation"}
    assert reader_keys(parts.configuration(Arm(AnswerMode.BASE))) == {}
    assert reading_line({"rag": {"reader": "quotation"}}) == (
        "Documents was quoted, without a language model."
    )


def test_the_report_says_in_a_sentence_what_read() -> None:
    plain: dict[str, object] = {"model": "m"}
    read = {"reader": NAME, "adapter_hash": "0123456789abcdef"}
    assert reading_line({"base": plain, "rag": plain}) == (
        "Base model and Documents used the plain model."
    )
    assert reading_line({"base": plain, "rag": read, "tuned": plain}) == (
        "Base model used the plain model; "
        "Documents was read by the built-in reader (weights 0123456789ab)."
    )
    assert reading_line({"tuned": plain}) == ""
