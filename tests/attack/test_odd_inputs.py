"""Values that are none, over every route and page event: a message, and never a fault of ours."""

import contextlib
import inspect
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import select

from core.errors import InvalidInput
from core.home import Home, open_home
from core.permissions import Role
from core.tables import AccountRow, AuditRow
from core.values import whole
from tests.fakes import ScriptedModel
from tests.integration.conftest import any_home, database_url, postgres_server
from tests.served import PASSWORD, gradio_pages, handlers, make_app, plain_client, running
from tests.waiting import PATIENCE_S, complete
from ui.gate import is_open
from ui.plain_requests import DEEPEST, LONGEST_TARGET, check_json

__all__ = ["any_home", "database_url", "postgres_server"]

NUMBERS = ["0", "-1", str(2**31), str(2**63), str(2**70), "9" * 5000, "1e999", "x", "٣"]
TEXTS = ["%00", "%ff%fe", "%ed%a0%80", "..%2f..", "x" * 3000, "x" * 9_000]
LITERALS = [
    "null", "-1", "1.5", str(2**31), str(2**70), "9" * 5000, "NaN", "1e999", '"\\u0000"',
    '"\\ud800"', "[[]]", '{"a": {}}', '"' + "x" * 100_000 + '"', "[" * 100_000,
]  # fmt: skip
RAW = [b"\xff\xfe\x00", b"{", b"", b'{"a":' * 5000, b'"\xed\xa0\x80"']
BODIES = {
    "/api/sign-in": ["name", "password"],
    "/api/ask": ["question", "mode", "adapter", "conversation_id", "stream"],
    "/api/feedback": ["answer_id", "value", "comment"],
    "/gradio_api/queue/join": [
        "data",
        "event_data",
        "trigger_id",
        "fn_index",
        "session_hash",
    ],
    "/gradio_api/cancel": ["session_hash", "event_id", "fn_index"],
    "/gradio_api/reset": ["event_id"],
}
GOOD: dict[str, dict[str, Any]] = {
    "/api/sign-in": {"name": "nobody", "password": "x"},
    "/api/ask": {"question": "Who?", "mode": "base"},
    "/api/feedback": {"answer_id": 1, "value": 1},
    "/gradio_api/queue/join": {"data": [], "fn_index": 0, "session_hash": "s"},
    "/gradio_api/cancel": {"session_hash": "s", "fn_index": 0, "event_id": "e"},
    "/gradio_api/reset": {"event_id": "e"},
}


PARAMETER = re.compile(r"{[^}]+}")
SIGN_OUT = ("/sign-out", "/api/sign-out")
"""Left out: they would end the session that the others need."""
READY = ("/api/ready", "/readyz")
"""Left out: until a model is loaded they say so with a 503, whatever they are asked."""
STREAMS = ("/gradio_api/queue/data", "/gradio_api/heartbeat/{session_hash}")
"""Left out: they answer before they look at what they were asked."""


@dataclass
class Target:
    """A running application, its routes and who may sign in."""

    url: str
    pages: Any
    paths: list[tuple[str, str]]
    """Method and path of every route."""
    tokens: dict[str, str]
    log: Path

    def client(self, name: str | None) -> httpx.Client:
        cookies = {"inhouse_session": self.tokens[name]} if name else {}
        return plain_client(self.url, cookies, timeout=PATIENCE_S)

    def faults(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def all_paths(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route, also of the application that Gradio mounts."""
    for route in app.routes:
        inner = getattr(route, "app", None)
        if hasattr(inner, "get_blocks"):
            yield from all_paths(inner)
    for context in iter_route_contexts(app.routes):
        for method in sorted(context.methods or ()):
            yield method, str(context.path)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    # There are no documents, so no network would judge them; words need no torch.
    workspace = tmp_path_factory.mktemp("odd") / "workspace"
    home = open_home(workspace=workspace, port=1, evidence_finder="words")
    app, services = make_app(home, ScriptedModel())
    tokens = {}
    for name, role in (("anna", Role.EMPLOYEE), ("boss", Role.ADMIN)):
        services.accounts.create(name, PASSWORD, role)
        tokens[name] = services.accounts.sign_in(name, PASSWORD, "test")
    paths = sorted({*all_paths(app), ("GET", "/look/{path:path}")})
    with running(app) as url:
        yield Target(url, gradio_pages(app), paths, tokens, home.workspace.logs / "app.log")


def odd_addresses(method: str, path: str) -> Iterator[str]:
    """The path with each parameter replaced, and with odd queries."""
    if "{" in path:
        for value in (*NUMBERS, *TEXTS):
            yield PARAMETER.sub(quote(value, safe="%"), path)
    if method == "GET":
        plain = PARAMETER.sub("1", path)
        for value in (str(2**63), str(2**70), "%00%ed%a0%80"):
            keys = ("document", "answer", "limit", "offset", "query", "target", "session_hash")
            yield f"{plain}?{'&'.join(f'{key}={value}' for key in keys)}"


def odd_bodies(path: str) -> Iterator[bytes]:
    """Bodies that are no JSON, or JSON with one odd field."""
    yield from RAW
    for field in BODIES.get(path, ()):
        rest = {name: one for name, one in GOOD[path].items() if name != field}
        for literal in LITERALS:
            comma = ", " if rest else ""
            yield (json.dumps(rest)[:-1] + f'{comma}"{field}": {literal}}}').encode()


def odd_forms() -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and the rest of each form."""
    for value in ("\0", "x" * 5000, "\x80\x9f", "٣", "a\r\nb: c"):
        yield "/sign-in", {"data": {"name": value, "password": value, "target": value}}
        yield "/password", {"data": {"old": value, "new": value, "again": value}}
    for name in ("\0.md", "x" * 300 + ".md", "..", "\x80.md", ""):
        yield "/api/documents", {"files": {"files": (name, b"x")}, "data": {"groups": name}}
        yield "/gradio_api/upload", {"files": {"files": (name, b"x")}}
    body = b'--b\r\ncontent-disposition: form-data; name="name"\r\n\r\n\xff\r\n--b--\r\n'
    for kind in ("", "; boundary=b; charset=nonsense", "; boundary=b", '; boundary="\xff"'):
        for path in ("/sign-in", "/password", "/api/documents", "/gradio_api/upload"):
            headers = {"content-type": f"multipart/form-data{kind}".encode("latin-1")}
            yield path, {"content": body, "headers": headers}


def refused(client: httpx.Client, method: str, address: str, **rest: Any) -> None:
    """Send a request; whatever comes, it is no fault of ours. A stream is not read."""
    with client.stream(method, address, **rest) as response:
        # What is read to its end leaves the connection open for the next.
        ends = response.status_code >= 500 or "content-length" in response.headers
        text = response.read()[:300] if ends else b""
        assert response.status_code < 500, (method, address[:200], str(rest)[:200], text)


@pytest.mark.parametrize("identity", [None, "anna", "boss"])
def test_no_odd_value_over_http_is_our_fault(target: Target, identity: str | None) -> None:
    assert len(target.paths) > 30
    before = target.faults()
    with target.client(identity) as client:
        for method, path in target.paths:
            if path in (*STREAMS, *READY):
                continue
            # Whoever has not signed in is stopped at one place; a part of the values shows it.
            step = 1 if identity or is_open(path) else 6
            for address in list(odd_addresses(method, path))[::step]:
                refused(client, method, address)
            if method != "POST" or path in SIGN_OUT:
                continue
            for body in odd_bodies(path):
                headers = {"content-type": "application/json"}
                refused(client, "POST", path, content=body, headers=headers)
        for address, rest in odd_forms():
            refused(client, "POST", address, **rest)
        if identity is not None:
            assert client.get("/api/documents").status_code == 200
    assert target.faults() == before


@pytest.mark.parametrize(
    "lines",
    [
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x",
        b"GET /api/documents HTTP/1.1\r\nhost: \xff\xfe\r\norigin: \xff",
        b"GET / HTTP/1.1\r\nhost: x\r\ncookie: inhouse_session=\xff; \xff=\x80; a",
        b"GET /api/documents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe",
        b"POST /api/ask HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999",
        b"POST /api/ask HTTP/1.1\r\nhost: x\r\ncontent-type: \xff/json\r\ncontent-length: 0",
        b"GET /api/health?" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: x",
        b"GET /sign-in HTTP/1.1\r\nhost: x\r\nx-forwarded-for: \xff, , ::1::",
        b"POST /api/ask HTTP/1.1\r\nhost: x\r\norigin: http://[\r\ncontent-length: 0",
        b"POST /sign-in HTTP/1.1\r\nhost: x\r\norigin: http://[::1\r\ncontent-length: 0",
    ],
    ids=range(10),
)
def test_no_odd_bytes_in_a_request_are_our_fault(target: Target, lines: bytes) -> None:
    before = target.faults()
    with socket.create_connection(("127.0.0.1", httpx.URL(target.url).port or 0), 30) as wire:
        wire.sendall(lines + b"\r\nconnection: close\r\n\r\n")
        answer = wire.recv(65_536)
    assert 200 <= int(answer.split()[1]) < 500, answer[:500]
    assert target.faults() == before


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"a": NaN}', "NaN"), (b"[1e999]", "infinite"), (b"[%d]" % 2**70, "64 bits"),
        (b"9" * 5000, "64 bits"), (b'["\\ud800"]', "half a letter"), (b'{"\\u0000": 1}', "NUL"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested"), (b"[" * 40_000, "nested"),
        (b"[" * 100_000, "values"),
        (b'["\xff"]', "UTF-8"),
    ],
)  # fmt: skip
def test_json_that_nobody_can_use_is_told_apart(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        check_json(body)
    check_json('{"a": [1, -2.5, null, true, "ä\U0001f600"], "b": {}}'.encode())
    check_json(b"{")


def test_an_address_that_never_ends_is_refused(target: Target) -> None:
    with target.client(None) as client:
        assert client.get(f"/sign-in?target={'x' * LONGEST_TARGET}").status_code == 414


class Visit:
    """What a page event is told of the request that caused it."""

    def __init__(self, token: str) -> None:
        self.cookies = {"inhouse_session": token}
        self.session_hash = "odd"
        self.headers: dict[str, str] = {}
        self.query_params: dict[str, str] = {}


TYPED = ["", "x" * 5000, "a\0b", "\ud800", "٣", "1e999", "../../x", "<b>"]
PICKED = [
    None, "nope", "", -1, 0, 1.5, 2**31, 2**40, 2**70, float("nan"), float("inf"), True,
    [], ["nope"], [2**70], [None], {"a": 1}, "\0",
]  # fmt: skip
ODD: dict[str, list[Any]] = {
    "textbox": TYPED,
    "number": [None, -1.0, 0.5, 1e300, 2.0**63],
    "slider": [None, -1.0, 0.5, 1e300],
    "checkbox": [True, False, None],
    "dropdown": PICKED,
    "radio": PICKED,
    "browserstate": PICKED,
    "checkboxgroup": [[], None, ["nope"], [2**70], [None], [-1, 2**40]],
}
"""What a program can put into each kind of field. State and files are not its to choose."""


def test_no_odd_value_of_a_page_event_is_our_fault(target: Target) -> None:
    visit = Visit(target.tokens["boss"])
    fired, faults = 0, []
    for number, handler, _ in handlers(target.pages):
        fields = target.pages.fns[number].inputs
        kinds = [one.get_block_name() for one in fields]
        usual = [
            one.value if kind == "state" else ODD.get(kind, [None])[0]
            for one, kind in zip(fields, kinds, strict=True)
        ]
        for place, kind in enumerate(kinds):
            for value in ODD.get(kind, ()):
                try:
                    taken = fields[place].preprocess(value)
                except (gr.Error, ValueError, TypeError):
                    continue  # Gradio itself refuses it, before any of our handlers.
                fired += 1
                said = run(handler, visit, [*usual[:place], taken, *usual[place + 1 :]])
                if "Internal error" in said:
                    where = target.faults()[-1000:].strip().splitlines()[-4:]
                    faults.append((number, kinds, place, repr(value)[:60], where))
    assert fired > 300
    assert faults == []


def run(handler: Any, visit: Visit, values: list[Any]) -> str:
    """Call an event's function as Gradio does, a stream to its end; return what was refused."""
    try:
        found = handler(visit, *values)
        if inspect.isgenerator(found):
            for _ in found:
                pass
        if inspect.isasyncgen(found):
            complete(to_the_end(found))
    except gr.Error as error:
        return str(error.message)
    return ""


async def to_the_end(found: AsyncIterator[Any]) -> None:
    async for _ in found:
        pass


@pytest.mark.parametrize("value", [2**31, 2**40, 2**63, 2**70, -(2**70)])
def test_a_number_no_column_holds_is_the_senders_to_correct(any_home: Home, value: int) -> None:
    # SQLite holds 64 bits, PostgreSQL 32: neither may answer with an error of its own.
    with contextlib.suppress(InvalidInput), any_home.database.session() as session:
        assert session.get(AccountRow, value) is None
    with contextlib.suppress(InvalidInput), any_home.database.session() as session:
        assert session.scalars(select(AccountRow).limit(1).offset(abs(value))).all() == []


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 300])
def test_a_text_no_column_holds_is_the_senders_to_correct(any_home: Home, text: str) -> None:
    row = AuditRow(actor=text, action="x", subject=text, detail={"text": text})
    with contextlib.suppress(InvalidInput), any_home.database.session() as session:
        session.add(row)
    with contextlib.suppress(InvalidInput), any_home.database.session() as session:
        session.scalars(select(AccountRow).where(AccountRow.name_key == text)).all()


def test_what_is_no_number_of_a_thing_is_told() -> None:
    odd: list[Any] = [
        "nope",
        None,
        [],
        {},
        2**31,
        2**70,
        10**5000,
        1.5,
        float("nan"),
        float("-inf"),
        "\0",
    ]
    for value in odd:
        with pytest.raises(InvalidInput, match=r"is no run here\. Choose it again"):
            whole(value, "run")
    assert [whole(one, "run") for one in (1, "2", 3.0, 2**31 - 1)] == [1, 2, 3, 2**31 - 1]
