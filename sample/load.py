"""Puts the demonstration company into a workspace: documents, question sets, adapter.

Each part is loaded once and then never again, so that what an admin deletes stays deleted;
`sample.json` in the workspace remembers which. Nothing that is there already is overwritten.
"""

import json
import shutil
import tempfile
from pathlib import Path

from assistant.manifest import read_manifest
from assistant.shelf import Shelf
from core.home import Home
from core.permissions import OPERATOR
from core.progress import Progress, Silent
from core.workspace import write_atomically
from eval.gate import Gate
from eval.question_sets import QuestionSets
from retrieval.service import Retrieval

ROOT = Path(__file__).parent
ADAPTER = "asdfg-financial"
COLLECTION = "demonstration company"
QUESTION_SETS = {
    "Asdfg Financial: trained facts in new words": "heldout_seen.jsonl",
    "Asdfg Financial: facts not trained on": "heldout_unseen.jsonl",
    "Asdfg Financial: not answerable": "heldout_unanswerable.jsonl",
    "General knowledge": "general.jsonl",
}
"""Name shown to people, and file in `questions/`."""
_BEGUN = "adapter begun"


def load_sample(
    home: Home,
    retrieval: Retrieval,
    shelf: Shelf,
    question_sets: QuestionSets,
    progress: Progress | None = None,
) -> None:
    """Load what has not been loaded before; may be killed and called again at any moment.

    Args:
        home: the installation to fill.
        retrieval: its documents; all of the company's are open to everyone.
        shelf: its adapters; the company's becomes the default where there is none.
        question_sets: where the held-out questions go.
        progress: told of the files, and of what is left out and why.

    Raises:
        Stopped: `progress` asked to; the next call goes on from there.
        AdapterError: the shipped adapter's files do not belong together.
    """
    progress = progress or Silent()
    record = _Record(home.workspace.root / "sample.json")
    if "documents" not in record.loaded:
        _load_documents(retrieval, progress)
        record.add("documents")
    if "questions" not in record.loaded:
        _load_questions(question_sets)
        record.add("questions")
    if "adapter" not in record.loaded and _load_adapter(home, shelf, record, progress):
        record.add("adapter")


class _Record:
    """The parts that were loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.loaded: list[str] = []
        if path.exists():
            self.loaded = list(json.loads(path.read_text("utf-8"))["loaded"])

    def add(self, part: str) -> None:
        self.loaded.append(part)
        write_atomically(self._path, json.dumps({"loaded": self.loaded}).encode())


def _load_documents(retrieval: Retrieval, progress: Progress) -> None:
    library, source = retrieval.library, ROOT / "documents"
    stored = library.documents(OPERATOR, limit=max(1, library.count(OPERATOR)))
    taken = {document.path for document in stored}
    with tempfile.TemporaryDirectory() as staged:
        # A document is known by its path below the ingested folder, so the files whose paths are
        # free go through a folder of their own.
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            relative = file.relative_to(source)
            if relative.as_posix() in taken:
                progress.log(f"'{relative.as_posix()}' is in the workspace already; it stays.")
                continue
            target = Path(staged) / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        retrieval.ingestor.ingest([staged], collection=COLLECTION, progress=progress)


def _load_questions(question_sets: QuestionSets) -> None:
    folder = ROOT / "questions"
    taken = {known.name for known in question_sets.list()}
    # Newest first is how sets are listed: the first of these should stand on top.
    for name, file in reversed(QUESTION_SETS.items()):
        if name not in taken:
            question_sets.add(folder / file, name, training_files=[folder / "train.jsonl"])


def _load_adapter(home: Home, shelf: Shelf, record: _Record, progress: Progress) -> bool:
    """Install the shipped adapter; tell whether that is settled."""
    built = ROOT / "adapter"
    if not (built / "manifest.json").is_file():
        progress.log(f"There is no '{built}'. Make it with `make sample-adapter`.")
        return False
    if _BEGUN not in record.loaded:
        if shelf.taken(ADAPTER):
            progress.log(f"An adapter '{ADAPTER}' is on the shelf already; it stays.")
            return True
        record.add(_BEGUN)
    # From here on an adapter of that name is ours: put there by an earlier call that was killed.
    if not shelf.taken(ADAPTER):
        shelf.install(ADAPTER, built)
    ours = shelf.get(ADAPTER).ref.hash == read_manifest(built).weights_sha256
    decided = any(promotion.adapter == ADAPTER for promotion in shelf.promotions())
    if shelf.default() is None and ours and not decided and shelf.get(ADAPTER).problem is None:
        # Nothing is measured yet, and a first start shall show all four modes: an override, which
        # stands in the list of decisions as one.
        Gate(home).promote(ADAPTER, override_reason="comes with the demonstration company")
    return True
