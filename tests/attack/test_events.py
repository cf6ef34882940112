"""Page events called by programs: who may, whose files, whose session."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.permissions import Role, require_admin
from tests.served import PASSWORD, Served, fire, handlers, plain_client, served
from tests.waiting import eventually
from ui.gate import PAGES

__all__ = ["served"]


class OpenedFiles:
    """Paths that this process opened, told by the interpreter itself."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.listening = True
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.listening and event in ("open", "shutil.copyfile"):
            self.paths += [str(one) for one in args[:2]]


@pytest.fixture
def opened() -> Iterator[OpenedFiles]:
    found = OpenedFiles()
    yield found
    found.listening = False


def file_in(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def wrapped(file: Any) -> list[Any]:
    """The same file in every place where a value may carry one."""
    return [
        [file], file, {"value": file}, {"a": [{"b": file}]}, {"value": {"files": [[file]]}},
        [{"image": file, "caption": "x"}],
    ]  # fmt: skip


def second_admin(served: Served) -> httpx.Client:
    accounts = served.services.accounts
    if "carl" not in {one.name for one in accounts.list()}:
        accounts.create("carl", PASSWORD, Role.ADMIN)
    token = accounts.sign_in("carl", PASSWORD, "test")
    return plain_client(served.url, {"inhouse_session": token})


def upload(client: httpx.Client, name: str, content: bytes) -> str:
    response = client.post("/gradio_api/upload", files={"files": (name, content)})
    assert response.status_code == 200, response.text
    return str(response.json()[0])


def with_files(served: Served) -> list[tuple[int, int]]:
    """Events that take a file, and the place of that file among their values."""
    return [
        (number, place)
        for number, fn in served.pages.fns.items()
        for place, one in enumerate(fn.inputs)
        if fn.fn is not None and one.get_block_name() == "file"
    ]


def test_no_identity_makes_gradio_open_a_file_that_was_not_uploaded(
    served: Served, opened: OpenedFiles, tmp_path: Path
) -> None:
    root = served.services.home.workspace.root
    pipe, link = tmp_path / "pipe", root / "uploads" / "arriving" / "link.md"
    os.mkfifo(pipe)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(root / "inhouse.db")
    named = [
        root / "inhouse.db", root / "inhouse.db-wal", root / "inhouse.db-shm", "/dev/zero", pipe,
        "/etc/passwd", "/proc/self/environ", link, root / "uploads" / "arriving" / "x", "../x",
        "http://127.0.0.1:9/x.md", "https://127.0.0.1:9/x.md", "file:///etc/passwd", "", None, 7,
        ["/etc/passwd"], "/gradio_api/file=/etc/passwd",
    ]  # fmt: skip
    for name in (None, "anna", "boss"):
        with served.client(name) as client:
            for number, place in with_files(served):
                for path in named:
                    data: list[Any] = [None] * len(served.pages.fns[number].inputs)
                    data[place] = [
                        file_in(path if isinstance(path, list | int) else path and str(path))
                    ]
                    result = fire(client, number, data)
                    assert result.get("status") in (401, 403), (name, number, path, result)
    for path in named[:8]:
        assert str(path) not in opened.paths, path


def test_a_file_is_found_wherever_a_value_hides_it(served: Served, opened: OpenedFiles) -> None:
    secret = str(served.services.home.workspace.root / "inhouse.db")
    files = [file_in(secret), {"path": secret}, {"url": "http://127.0.0.1:9/x", "path": secret}]
    files += [{"url": "http://127.0.0.1:9/x"}, {"meta": {"_type": "gradio.FileData"}}]
    with served.client("boss") as client:
        for number, fn, empty in handlers(served.pages):
            if not empty:
                continue
            thorough = number % 20 == 0
            for file in files if thorough else files[number % len(files) :][:1]:
                for value in wrapped(file)[: None if thorough else 1]:
                    result = fire(client, number, [value, *empty[1:]])
                    assert result.get("status") == 403, (number, fn.__qualname__, value, result)
    assert secret not in opened.paths


def test_an_upload_is_for_the_account_that_sent_it(served: Served) -> None:
    number, place = next(
        (number, place)
        for number, place in with_files(served)
        if served.pages.fns[number].inputs[place].label.startswith("JSONL or CSV of held-out")
    )
    data: list[Any] = [None] * len(served.pages.fns[number].inputs)
    with served.client("boss") as client, second_admin(served) as other:
        path = upload(client, "mine.md", b"# Mine\n\nText of mine.\n")
        data[place] = [file_in(path)]
        assert fire(other, number, data).get("status") == 403
        result = fire(client, number, data)
        assert "status" not in result, result
        again = upload(other, "mine.md", b"# Mine\n\nText of mine.\n")
        data[place] = [file_in(again)]
        assert "status" not in fire(other, number, data)


def test_an_upload_that_is_gone_or_became_a_link_is_told(served: Served, tmp_path: Path) -> None:
    number, place = with_files(served)[0]
    data: list[Any] = [None] * len(served.pages.fns[number].inputs)
    with served.client("boss") as client:
        path = upload(client, "gone.md", b"# Gone soon\n")
        data[place] = [file_in(path)]
        Path(path).unlink()
        assert "choose the file again" in fire(client, number, data)["text"].lower()
        Path(path).symlink_to("/etc/passwd")
        assert fire(client, number, data)["status"] == 422


def test_every_event_is_refused_before_gradio_to_whoever_may_not(served: Served) -> None:
    accounts = served.services.accounts
    made = accounts.create(f"new {time.monotonic_ns()}", PASSWORD, Role.ADMIN)
    accounts.set_password(made.id, PASSWORD + "!")
    token = accounts.sign_in(made.name, PASSWORD + "!", "test")
    fresh = plain_client(served.url, {"inhouse_session": token})
    forged = plain_client(served.url, {"inhouse_session": "forged"})
    with fresh, forged, served.client(None) as nobody, served.client("anna") as anna:
        for number, fn, empty in handlers(served.pages):
            for client in (nobody, fresh, forged):
                assert fire(client, number, empty).get("status") == 401
            if fn.needs is require_admin:
                assert fire(anna, number, empty).get("status") == 403


@pytest.mark.parametrize(
    "body",
    [
        "[]", "nonsense", "{}", '{"fn_index": 0}', '{"fn_index": true, "data": []}',
        '{"fn_index": 0, "data": {}, "session_hash": "s"}',
        '{"fn_index": "0", "data": [], "session_hash": "s"}',
        '{"fn_index": 99999999999999999999999, "data": [], "session_hash": "s"}',
        '{"fn_index": 0, "data": [NaN], "session_hash": "s"}',
        '{"fn_index": -1, "data": [], "session_hash": "s"}',
        '{"fn_index": 0, "data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "session_hash": "s"}',
        '{"fn_index": 0, "data": ' + "[" * 100_000 + "]" * 100_000 + ', "session_hash": "s"}',
        '{"fn_index": 0, "data": ' + "[" * 900 + "]" * 900 + ', "session_hash": "s"}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_with_words(served: Served, body: str) -> None:
    with served.client("anna") as client:
        for path in ("/gradio_api/queue/join", "/gradio_api/cancel"):
            response = client.post(path, content=body.encode())
            assert response.status_code in (404, 422), (body[:60], response.text)
            assert response.json()["error"]


def test_a_page_session_is_not_open_to_another_account(served: Served) -> None:
    load = next(n for n, fn, _ in handlers(served.pages) if fn.needs is not require_admin)
    with served.client("lena") as lena, served.client("anna") as anna:
        empty = {n: e for n, _, e in handlers(served.pages)}[load]
        body = {"data": empty, "fn_index": load, "session_hash": "lenas-page"}
        event = lena.post("/gradio_api/queue/join", json=body).json()["event_id"]
        stolen = anna.get("/gradio_api/queue/data", params={"session_hash": "lenas-page"})
        assert stolen.status_code == 404
        assert anna.get("/gradio_api/heartbeat/lenas-page").status_code == 404
        assert anna.post("/gradio_api/queue/join", json=body).status_code == 404
        for session in ("lenas-page", "annas-page"):
            cancel = {"session_hash": session, "fn_index": load, "event_id": event}
            assert anna.post("/gradio_api/cancel", json=cancel).status_code == 404
        url = "/gradio_api/queue/data?session_hash=lenas-page"
        with lena.stream("GET", url) as stream:
            assert any("process_completed" in line for line in stream.iter_lines())


def test_one_account_holds_a_bounded_number_of_streams(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.events.MOST_STREAMS", 5)
    with contextlib.ExitStack() as open_ones, served.client("lena") as client:
        for number in range(5):
            stream = client.stream("GET", f"/gradio_api/heartbeat/many{number}")
            assert open_ones.enter_context(stream).status_code == 200
        for path in ("/gradio_api/heartbeat/more", "/gradio_api/queue/data?session_hash=more"):
            refused = client.get(path)
            assert (refused.status_code, "pages open" in refused.text) == (429, True)
        with served.client("anna") as other:
            stream = other.stream("GET", "/gradio_api/heartbeat/hers")
            assert open_ones.enter_context(stream).status_code == 200
    with served.client("lena") as client:
        eventually(lambda: opens(client, "/gradio_api/heartbeat/after"))


def opens(client: httpx.Client, path: str) -> bool:
    with client.stream("GET", path) as stream:
        return stream.status_code == 200


def test_halves_of_surrogate_pairs_and_nul_never_reach_a_handler(served: Served) -> None:
    texts = [
        (number, place)
        for number, fn in served.pages.fns.items()
        for place, one in enumerate(fn.inputs)
        if fn.fn is not None and one.get_block_name() == "textbox"
    ]
    assert len(texts) > 10
    with served.client("boss") as client:
        for number, place in texts:
            data: list[Any] = [None] * len(served.pages.fns[number].inputs)
            data[place] = "\ud800 \0 \udfff"
            result = fire(client, number, data, "one-page")
            assert "surrogate" not in result["text"], result
            assert "NUL" not in result["text"], result


@pytest.mark.parametrize("query", ["page=people", "page=nope", "page=training", "deep_link=x"])
def test_no_address_shows_another_page_than_its_own(served: Served, query: str) -> None:
    with served.client("anna") as client:
        plain, asked = client.get("/"), client.get(f"/?{query}")
        assert asked.status_code == 200
        assert "New account" not in asked.text
        assert len(asked.text) == pytest.approx(len(plain.text), abs=100)
        config = client.get(f"/config?{query}")
        assert config.status_code == 200
        for word in ("New account", "First password", "Start training"):
            assert word not in config.text
        for page in PAGES:
            assert client.get(f"{page}?page=people").status_code in (200, 303)
