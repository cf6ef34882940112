"""Files that something else changed: each is mended from the truth, or told with the remedy."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.engines import embedded
from assistant.engines.adapter_files import check_adapter
from assistant.engines.source import ModelSource
from assistant.shelf import Shelf
from core.checkup import check_files
from core.errors import AdapterError, NotFound
from core.home import Home
from core.permissions import OPERATOR
from core.seals import seal, sealed
from retrieval.service import Retrieval, open_retrieval
from tests.fakes import HashingEmbedder
from tests.unit.adapters import put_adapter
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]

Spoil = Callable[[Path], None]


def garble(file: Path) -> None:
    """Overwrite a stretch in the middle, of the same length."""
    luck = random.Random(file.name)
    with file.open("r+b") as handle:
        handle.seek(file.stat().st_size // 3)
        handle.write(luck.randbytes(max(1, file.stat().st_size // 4)))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def remove(file: Path) -> None:
    file.unlink()


SPOILS = [garble, cut, empty, remove]


@pytest.fixture
def retrieval(home: Home, tmp_path: Path) -> Retrieval:
    for name, text in (("leave.md", "# Leave\n\nTen days."), ("pay.md", "# Pay\n\nOn Fridays.")):
        (tmp_path / name).write_text(text)
    opened = open_retrieval(home, HashingEmbedder())
    opened.ingestor.ingest([tmp_path / "leave.md", tmp_path / "pay.md"])
    return opened


def found(home: Home) -> list[tuple[str, float]]:
    retriever = open_retrieval(home, HashingEmbedder()).retriever
    hits = retriever.search("leave days", limit=5, reader=OPERATOR)
    return [(hit.text, round(hit.score, 6)) for hit in hits]


@pytest.mark.parametrize("spoil", SPOILS)
def test_index_files_are_made_again(home: Home, retrieval: Retrieval, spoil: Spoil) -> None:
    right = found(home)
    assert right
    (folder,) = (one for one in home.workspace.index.iterdir() if one.is_dir())
    for name in sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file()):
        spoil(folder / name)
        assert any("made again" in line for line in check_files(home)), name
        assert found(home) == right, name
        assert sealed(folder), name
    assert check_files(home) == []


@pytest.mark.parametrize("spoil", SPOILS)
def test_an_original_is_never_handed_out_garbled(
    home: Home, retrieval: Retrieval, spoil: Spoil
) -> None:
    document = retrieval.library.documents(OPERATOR)[0]
    spoil(retrieval.library.original(document.id, OPERATOR))
    with pytest.raises(NotFound, match=r"missing|not as it was stored"):
        retrieval.library.original(document.id, OPERATOR)
    (said,) = check_files(home)
    assert document.path in said
    assert "Restore it from a backup" in said


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "adapter_config.json", "manifest.json"]
)
def test_an_adapter_is_refused_with_the_remedy(home: Home, name: str, spoil: Spoil) -> None:
    put_adapter(home, "staff")
    put_adapter(home, "other")
    spoil(home.workspace.adapters / "staff" / name)
    info = Shelf(home).get("staff")
    base = ModelSource("small", home.workspace.models, "base")
    with pytest.raises(AdapterError, match=r"(?s)staff.*(Delete|Restore|restore|Train)"):
        if info.problem:
            raise AdapterError(info.problem)
        check_adapter(info.ref, base)
    assert [one.problem for one in Shelf(home).list() if one.name == "other"] == [None]
    assert any("'staff' is damaged" in line for line in check_files(home))


class Converter:
    """Writes a small model in the place of the large one, and counts."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, _gguf: Path, target: Path) -> None:
        self.made += 1
        target.mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (target / name).write_text(json.dumps({"name": name}) * 20)
        seal(target)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "complete.json"]
)
def test_the_converted_model_is_converted_again(
    home: Home, name: str, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = Converter()
    monkeypatch.setattr(embedded, "_convert", converter)
    monkeypatch.setattr(embedded, "embedded_gguf", lambda: Path("x.gguf"))
    folder = embedded.embedded_folder(home.workspace.models)
    assert embedded.embedded_folder(home.workspace.models) == folder
    assert converter.made == 1
    spoil(folder / name)
    assert sealed(embedded.embedded_folder(home.workspace.models))
    assert converter.made == 2


def start(root: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Start the application on a port that is taken: it never comes to serve."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "app.py", "--port", port, "--workspace", str(root), *flags]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )


def test_the_app_does_not_start_on_a_damaged_database(home: Home, tmp_path: Path) -> None:
    home.database.close()
    root = tmp_path / "copy"
    shutil.copytree(home.workspace.root, root)
    garble(root / "inhouse.db")
    refused = start(root)
    assert refused.returncode == 6
    for word in ("is damaged", "kept as they were found", "backup", "--accept-damage"):
        assert word in refused.stderr
    assert "Internal error" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(root.glob("damaged-*"))
    accepted = start(root, "--accept-damage")
    assert "Starting without what cannot be read" in accepted.stderr
    assert "Internal error" not in accepted.stderr
