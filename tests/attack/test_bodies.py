"""Bodies that would hold up everybody, and rights that are looked at before anything arrives."""

import time
from typing import Any

import pytest

from assistant.modes import AnswerMode
from core.permissions import Role
from tests.served import Served, fire, handlers, served
from tests.waiting import eventually
from ui.asking import Asked, ask

__all__ = ["served"]

FINDER = "builtin"
"""What is endless reaches the network, too."""
MANY = b"[" + b"[]," * 1_200_000 + b"[]]"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_anybody_may_see_is_only_read(served: Served, method: str) -> None:
    with served.client(None) as client:
        for path in ("/theme.css", "/healthz", "/readyz", "/assets/x", "/look/inhouse.css"):
            started = time.monotonic()
            assert client.request(method, path, content=MANY).status_code == 405, path
            assert client.get("/healthz").status_code == 200
            assert time.monotonic() - started < 5
        for path in ("/sign-in", "/api/sign-in"):
            expected = (405,) if method != "POST" else (413, 422)
            assert client.request(method, path, content=MANY).status_code in expected


def test_a_million_values_are_refused_unread(served: Served) -> None:
    headers = {"content-type": "application/json"}
    with served.client("anna") as client:
        for path in ("/api/ask", "/api/feedback", "/gradio_api/queue/join", "/gradio_api/cancel"):
            response = client.post(path, content=MANY, headers=headers)
            assert response.status_code == 422, path
            assert "more than 50,000 values" in response.json()["error"]


def test_an_employees_documents_are_refused_before_they_arrive(served: Served) -> None:
    endless = (b"x" * 65_536 for _ in range(10_000))
    with served.client("anna") as client:
        response = client.post("/api/documents", content=endless)
        assert response.status_code == 403
        assert client.delete("/api/documents/1").status_code == 403
    with served.client("boss") as client:
        headers = {"content-type": "application/json"}
        content = b'"' + b"x" * 5_000_000 + b'"'
        assert client.post("/api/documents", content=content, headers=headers).status_code == 413


def test_gradios_reset_does_nothing_whatever_is_sent(served: Served) -> None:
    with served.client("anna") as client:
        for kind in ("text/plain", "application/json", "multipart/form-data", "x"):
            response = client.post(
                "/gradio_api/reset", content=b"\xff\xfe{\x00", headers={"content-type": kind}
            )
            assert response.status_code < 500


@pytest.mark.parametrize("text", ["x" * 60_000, "sick leave " * 30_000])
def test_endless_texts_in_the_search_fields_are_told(served: Served, text: str) -> None:
    fields = ("Find by name", "Question or words")
    found = [
        (number, place)
        for number, fn in served.pages.fns.items()
        for place, one in enumerate(fn.inputs)
        if fn.fn is not None and getattr(one, "label", "") in fields
    ]
    assert len(found) >= 3
    usual: dict[int, list[Any]] = {number: empty for number, _, empty in handlers(served.pages)}
    with served.client("anna") as client:
        for number, place in found:
            data = [50 if one is None else one for one in usual[number]]
            data[place] = text
            assert "Internal error" not in fire(client, number, data)["text"]


def test_rights_that_changed_while_a_question_waited_count(served: Served) -> None:
    services = served.services
    lena = services.accounts.by_token(served.tokens["lena"])
    assert lena.role is Role.EMPLOYEE
    services.accounts.update(lena.id, groups=set())
    try:
        # Asked by somebody as she was before: what is looked up is what she is now.
        turn = ask(services, lena, Asked("secret merger Zebra", [AnswerMode.RAG], None, None))
        eventually(lambda: turn.finished)
        (part,) = turn.parts
        assert "changed while this question waited" in part.problem
        assert part.passages == ()
    finally:
        services.accounts.update(lena.id, groups={"legal"})
