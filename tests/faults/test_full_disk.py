"""A file system of a few megabytes, filled to the brim below a served application."""

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant.answering import Assistant
from assistant.shelf import Shelf
from core.errors import StorageError
from core.health import start_check
from core.home import Home, open_home
from core.permissions import OPERATOR, Role
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.served import running
from tests.waiting import PATIENCE_S
from ui.environment import prepare_environment

PASSWORD = "seven quiet lamps at noon"
MEGABYTES = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of its own; where none may be mounted there is nothing to fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "inhouse-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, name: str = "filler") -> None:
    """Write until not one byte more goes in."""
    with (folder / name).open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    assert os.statvfs(folder).f_bavail == 0


@pytest.fixture
def home(small_disk: Path) -> Iterator[Home]:
    opened = open_home(partial(start_check, accept=False), workspace=small_disk / "workspace")
    opened.workspace.reserve.keep()
    yield opened
    opened.database.close()


@pytest.fixture
def served(home: Home) -> Iterator[tuple[httpx.Client, Any]]:
    prepare_environment(home.workspace.uploads, allow_downloads=False)
    from ui.server import create_app
    from ui.services import open_services

    retrieval = open_retrieval(home, HashingEmbedder())
    model = ScriptedModel(lambda text, adapter: "Ten days.")
    assistant = Assistant(model, retrieval.retriever, Shelf(home), home.settings)
    services = open_services(home, retrieval, assistant)
    services.accounts.create("boss", PASSWORD, Role.ADMIN)
    with (
        running(create_app(services)) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S) as client,
    ):
        yield client, services


def sign_in(client: httpx.Client) -> httpx.Response:
    answer = client.post("/api/sign-in", json={"name": "boss", "password": PASSWORD})
    if answer.status_code == 200:
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
    return answer


def ask(client: httpx.Client) -> httpx.Response:
    return client.post("/api/ask", json={"question": "How long is leave?", "mode": "base"})


def test_people_sign_in_delete_and_go_on(
    served: tuple[httpx.Client, Any], small_disk: Path, tmp_path: Path
) -> None:
    client, services = served
    root = services.home.workspace.root
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{name} " + "leave pay travel " * 20_000)
        services.retrieval.ingestor.ingest([tmp_path / name])
    first, second = services.retrieval.library.documents(OPERATOR)
    kept = services.home.workspace.reserve.file
    assert kept.exists()
    fill(small_disk)

    assert client.get("/api/health").status_code == 200
    assert sign_in(client).status_code == 200
    assert not kept.exists(), "what was kept for this is given up"

    fill(small_disk, "more")
    for answer in (ask(client), upload(client)):
        assert "Internal error" not in answer.text
        assert "is full" in answer.text, answer.text
        assert str(small_disk) in answer.text
    assert upload(client).status_code == 507

    # What is left of the journal, and of the document's own room, must do for a deletion.
    (small_disk / "more").unlink()
    original = root / "files" / str(first.id)
    assert original.exists()
    before = os.statvfs(small_disk).f_bavail
    assert client.delete(f"/api/documents/{first.id}").status_code == 200
    assert not original.exists()
    assert os.statvfs(small_disk).f_bavail > before
    assert [one.id for one in services.retrieval.library.documents(OPERATOR)] == [second.id]

    (small_disk / "filler").unlink()
    assert sign_in(client).status_code == 200
    assert kept.exists(), "and taken again when there is room"
    assert ask(client).json()["text"] == "Ten days."
    assert upload(client).status_code == 202
    services.retrieval.ingestor.ingest([tmp_path / "a.txt"])
    assert len(services.retrieval.library.documents(OPERATOR)) == 2


def upload(client: httpx.Client) -> httpx.Response:
    return client.post("/api/documents", files={"files": ("c.txt", b"pay " * 300_000)})


def test_the_app_starts_on_a_full_disk(home: Home, small_disk: Path) -> None:
    root = home.workspace.root
    home.database.close()
    fill(small_disk)
    opened = open_home(partial(start_check, accept=False), workspace=root)
    opened.database.close()
    assert not home.workspace.reserve.file.exists()


def test_a_command_on_a_full_disk_says_so(home: Home, small_disk: Path) -> None:
    root = home.workspace.root
    home.database.close()
    fill(small_disk)
    with pytest.raises(StorageError, match="is full"):
        open_home(workspace=root)


def test_what_was_half_written_is_rolled_back(home: Home, small_disk: Path, tmp_path: Path) -> None:
    ingestor = open_retrieval(home, HashingEmbedder()).ingestor
    (tmp_path / "small.txt").write_text("leave pay travel " * 100)
    ingestor.ingest([tmp_path / "small.txt"])
    (tmp_path / "large.txt").write_text("leave pay travel " * 30_000)
    fill(small_disk)
    with pytest.raises(Exception, match=r"full|No space"):
        ingestor.ingest([tmp_path / "large.txt"])
    (small_disk / "filler").unlink()
    library = open_retrieval(home, HashingEmbedder()).library
    assert [one.path for one in library.documents(OPERATOR)] == ["small.txt"]
    report = ingestor.ingest([tmp_path / "small.txt"])
    assert report.skipped == 1
