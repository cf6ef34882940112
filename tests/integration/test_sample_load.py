"""The demonstration company goes into a workspace once, and overwrites nothing."""

import hashlib
import shutil
from pathlib import Path

import pytest

import sample.load
from assistant.manifest import CONFIG, MANIFEST, WEIGHTS, AdapterInfo, Manifest
from assistant.shelf import NO_ADAPTER, Shelf
from core.home import Home
from core.permissions import OPERATOR
from eval.gate import Gate
from eval.question_sets import QuestionSets
from retrieval.service import Retrieval, open_retrieval
from sample.load import ADAPTER, QUESTION_SETS, load_sample
from tests.fakes import HashingEmbedder

DOCUMENT_COUNT = 32


class Lines:
    """A `Progress` that keeps the log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        pass

    def log(self, line: str) -> None:
        self.lines.append(line)

    def stop_requested(self) -> bool:
        return False


def write_adapter(folder: Path) -> None:
    weights = b"weights"
    manifest = Manifest(
        name="fresh",
        base_model="embedded",
        base_model_hash="0",
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        created_at="2027-01-04T09:00:00+00:00",
        method="lora",
        data_sha256="0",
    )
    folder.mkdir()
    (folder / CONFIG).write_text("{}", "utf-8")
    (folder / WEIGHTS).write_bytes(weights)
    (folder / MANIFEST).write_text(manifest.to_json(), "utf-8")


@pytest.fixture
def with_adapter(few_documents: Path) -> Path:
    """A small sample's folder with the files of an adapter."""
    built = few_documents / "adapter"
    write_adapter(built)
    return built


@pytest.fixture
def retrieval(home: Home) -> Retrieval:
    return open_retrieval(home, HashingEmbedder())


@pytest.fixture
def without_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample's folder as it is before an adapter was trained."""
    root = tmp_path / "sample"
    for part in ("documents", "questions"):
        shutil.copytree(sample.load.ROOT / part, root / part)
    monkeypatch.setattr(sample.load, "ROOT", root)
    return root


@pytest.fixture
def few_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with one document and a few questions: what becomes of an adapter needs no more."""
    root = tmp_path / "sample"
    (root / "documents").mkdir(parents=True)
    shutil.copy(sample.load.ROOT / "documents" / "company" / "overview.md", root / "documents")
    shutil.copytree(sample.load.ROOT / "questions", root / "questions")
    for file in (root / "questions").iterdir():
        file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:5]), "utf-8")
    monkeypatch.setattr(sample.load, "ROOT", root)
    return root


def own_shelf(home: Home) -> Shelf:
    """The shelf without the adapter that comes with the product."""
    return Shelf(home, home.workspace.root / "no built-in reader")


def paths(retrieval: Retrieval) -> set[str]:
    return {document.path for document in retrieval.library.documents(OPERATOR)}


def test_loads_documents_and_question_sets_and_says_that_no_adapter_is_there(
    home: Home, retrieval: Retrieval, without_adapter: Path
) -> None:
    sets, shelf, progress = QuestionSets(home), own_shelf(home), Lines()
    load_sample(home, retrieval, shelf, sets, progress)
    assert retrieval.library.count(OPERATOR) == DOCUMENT_COUNT
    assert "company/overview.md" in paths(retrieval)
    assert [known.name for known in sets.list()] == list(QUESTION_SETS)
    assert all(known.warnings == () for known in sets.list())
    assert shelf.list() == []
    assert any("make sample-adapter" in line for line in progress.lines)


def test_a_second_call_changes_nothing_and_what_was_deleted_stays_deleted(
    home: Home, retrieval: Retrieval, without_adapter: Path
) -> None:
    sets, shelf = QuestionSets(home), own_shelf(home)
    load_sample(home, retrieval, shelf, sets)
    gone = retrieval.library.documents(OPERATOR, query="glossary")[0]
    retrieval.library.delete([gone.id])
    sets.delete(sets.list()[0].id)
    load_sample(home, retrieval, shelf, sets)
    assert retrieval.library.count(OPERATOR) == DOCUMENT_COUNT - 1
    assert len(sets.list()) == len(QUESTION_SETS) - 1


def test_a_document_of_the_same_path_is_not_overwritten(
    home: Home, retrieval: Retrieval, without_adapter: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    (own / "people").mkdir(parents=True)
    (own / "people" / "leave.md").write_text("# Our leave\n\nForty days.\n", "utf-8")
    retrieval.ingestor.ingest([own], groups={"people"})
    progress = Lines()
    load_sample(home, retrieval, own_shelf(home), QuestionSets(home), progress)
    kept = retrieval.library.documents(OPERATOR, query="people/leave.md")[0]
    assert kept.title == "Our leave"
    assert kept.groups == {"people"}
    assert retrieval.library.count(OPERATOR) == DOCUMENT_COUNT
    assert any("people/leave.md" in line for line in progress.lines)


def test_the_adapter_is_installed_once_and_becomes_the_default(
    home: Home, retrieval: Retrieval, with_adapter: Path
) -> None:
    shelf = own_shelf(home)
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert [(known.name, known.problem) for known in shelf.list()] == [(ADAPTER, None)]
    assert shelf.default() == ADAPTER
    assert (with_adapter / WEIGHTS).is_file()
    shelf.delete(ADAPTER, NO_ADAPTER)
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert shelf.list() == []


def test_an_adapter_built_later_is_loaded_by_a_later_call(
    home: Home, retrieval: Retrieval, few_documents: Path
) -> None:
    shelf = own_shelf(home)
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert shelf.list() == []
    write_adapter(few_documents / "adapter")
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert [known.name for known in shelf.list()] == [ADAPTER]


class KilledError(Exception):
    """Stands for the end of the process at that very place."""


class DyingShelf(Shelf):
    """A shelf whose process ends right after an adapter was put there."""

    def install(self, name: str, built_folder: Path) -> AdapterInfo:
        super().install(name, built_folder)
        raise KilledError


def test_killed_between_the_adapter_and_its_promotion_the_next_call_promotes_it(
    home: Home, retrieval: Retrieval, with_adapter: Path
) -> None:
    dying = DyingShelf(home, home.workspace.root / "no built-in reader")
    with pytest.raises(KilledError):
        load_sample(home, retrieval, dying, QuestionSets(home))
    shelf = own_shelf(home)
    assert shelf.default() is None
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert shelf.default() == ADAPTER
    Gate(home).clear("we do not want it")
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert shelf.default() is None


def test_an_adapter_of_the_name_stays_and_is_not_promoted(
    home: Home, retrieval: Retrieval, with_adapter: Path
) -> None:
    shelf, progress = own_shelf(home), Lines()
    shelf.install(ADAPTER, with_adapter)
    load_sample(home, retrieval, shelf, QuestionSets(home), progress)
    assert shelf.default() is None
    assert any(ADAPTER in line for line in progress.lines)


def test_a_chosen_default_stays(home: Home, retrieval: Retrieval, with_adapter: Path) -> None:
    shelf = own_shelf(home)
    shelf.install("own", with_adapter)
    shelf.set_default("own", None, "chosen before")
    load_sample(home, retrieval, shelf, QuestionSets(home))
    assert {known.name for known in shelf.list()} == {"own", ADAPTER}
    assert shelf.default() == "own"
