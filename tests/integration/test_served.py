"""The served application over real HTTP: who may do what, what is stored, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.modes import Answer, AnswerMode
from core.errors import NotFound
from core.permissions import OPERATOR, Role, require_admin
from retrieval.passages import Passage
from tests.conversing import answered
from tests.served import PASSWORD, Served, fire, handlers, plain_client, served
from ui.gate import SMALL_BODY

__all__ = ["served"]


def test_every_page_event_is_behind_the_guard_and_private(served: Served) -> None:
    found = handlers(served.pages)
    assert len(found) > 40
    for number, handler, _ in found:
        assert hasattr(handler, "needs"), (number, handler.__qualname__)
        assert served.pages.fns[number].api_visibility == "private"


def test_an_employee_who_calls_admin_events_by_number_is_refused_each_one(served: Served) -> None:
    before = len(served.services.audit.entries(1000))
    admin = [(n, empty) for n, fn, empty in handlers(served.pages) if fn.needs is require_admin]
    assert len(admin) > 30
    with served.client("anna") as client:
        for number, empty in admin:
            result = fire(client, number, empty)
            assert result.get("success") is False, number
            assert "needs an admin" in result["text"], (number, result["text"])
    assert len(served.services.audit.entries(1000)) == before


def test_nobody_calls_events_without_signing_in(served: Served) -> None:
    with served.client(None) as client:
        for number, _, empty in handlers(served.pages):
            assert fire(client, number, empty).get("status") == 401


def test_an_ended_session_closes_pages_and_events(served: Served) -> None:
    token = served.services.accounts.sign_in("anna", PASSWORD, "test")
    with plain_client(served.url, {"inhouse_session": token}) as client:
        assert client.get("/").status_code == 200
        served.services.accounts.sign_out(token)
        assert client.get("/").status_code == 303
        assert client.get("/config").status_code == 401


def test_admin_pages_send_employees_away_and_are_not_in_their_bar(served: Served) -> None:
    with served.client("anna") as client:
        assert client.get("/training").headers["location"] == "/"
        assert client.get("/people").headers["location"] == "/"
        page = client.get("/").text
    bar = page[page.index("<header") : page.index("</header>")]
    assert "/documents" in bar
    assert "/training" not in bar
    assert "/people" not in bar


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://example.org", "/gradio_api/runs", "/monitoring", "/docs",
        "/openapi.json", "/gradio_api/call/x", "/gradio_api/component_server", "/robots.txt",
    ],
)  # fmt: skip
def test_what_gradio_offers_besides_its_pages_is_closed(served: Served, path: str) -> None:
    with served.client("boss") as client:
        assert client.get(path).status_code in (404, 405), path


def test_an_employee_may_not_upload(served: Served) -> None:
    with served.client("anna") as client:
        response = client.post("/gradio_api/upload", files={"files": ("a.md", b"x")})
        assert response.status_code == 403
        response = client.post("/api/documents", files={"files": ("a.md", b"x")})
        assert response.status_code == 403
        assert "needs an admin" in response.json()["error"]


def test_changes_from_another_site_are_refused(served: Served) -> None:
    with served.client("boss") as client:
        body = {"question": "Hello?", "mode": "base"}
        foreign = client.post("/api/ask", json=body, headers={"origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert client.post("/api/ask", json=body, headers={"origin": served.url}).is_success


def test_every_answer_carries_the_security_headers(served: Served) -> None:
    with served.client("boss") as client:
        for path in ("/", "/sign-in", "/api/health", "/nothing", "/look/inhouse.css"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            scripts = policy.split("script-src")[1].split(";")[0]
            assert "unsafe" not in scripts
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(served: Served) -> None:
    with plain_client(served.url, {}) as client:
        form = {"name": "anna", "password": PASSWORD, "target": "//evil.example"}
        response = client.post("/sign-in", data=form)
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert response.headers["location"] == "/"
        wrong = client.post("/sign-in", data={"name": "anna", "password": "no"})
        assert wrong.status_code == 401
        assert "wrong" in wrong.text


def test_a_first_password_opens_nothing_but_the_page_to_change_it(served: Served) -> None:
    made = served.services.accounts.create("newbie", PASSWORD, Role.EMPLOYEE)
    served.services.accounts.set_password(made.id, PASSWORD + "!")
    token = served.services.accounts.sign_in("newbie", PASSWORD + "!", "test")
    with plain_client(served.url, {"inhouse_session": token}) as client:
        assert client.get("/").headers["location"] == "/password"
        assert client.get("/api/documents").status_code == 401
        different = {"old": PASSWORD + "!", "new": "a b c d e f g h", "again": "another"}
        assert "differ" in client.post("/password", data=different).text
        good = {"old": PASSWORD + "!", "new": "my own long words", "again": "my own long words"}
        assert client.post("/password", data=good).status_code == 303
        assert client.get("/").status_code == 200


def test_an_answer_over_the_api_has_the_shape_of_the_command_line(served: Served) -> None:
    with served.client("anna") as client:
        answer = client.post("/api/ask", json={"question": "sick leave days", "mode": "rag"}).json()
    assert answer["cited"] == [1]
    assert answer["mode"] == "rag"
    assert set(answer["passages"][0]) == {"document", "location", "score", "text"}
    assert set(answer["timing"]) == {
        "search_s", "first_token_s", "total_s", "prompt_tokens", "answer_tokens",
    }  # fmt: skip


def test_an_answer_streams_as_events_and_is_stored(served: Served) -> None:
    body = {"question": "sick leave days", "mode": "rag", "stream": True}
    with served.client("anna") as client, client.stream("POST", "/api/ask", json=body) as stream:
        names = [line[7:] for line in stream.iter_lines() if line.startswith("event: ")]
    assert names[0] == "passages"
    assert names[-1] == "finished"
    anna = served.services.accounts.by_token(served.tokens["anna"])
    newest = served.services.conversations.list(anna)[0]
    thread = served.services.conversations.get(newest.id, anna)
    assert thread.turns[0].question == "sick leave days"


def test_documents_of_other_groups_are_not_there(served: Served) -> None:
    secret = served.documents["merger.md"]
    with served.client("anna") as client:
        listed = client.get("/api/documents").json()
        assert [one["document"] for one in listed["documents"]] == ["leave.md", "tags.txt"]
        for path in (f"/document/{secret}", f"/original/{secret}", f"/source/1?document={secret}"):
            response = client.get(path)
            assert response.status_code == 404, path
            assert "Zebra" not in response.text
        answer = client.post("/api/ask", json={"question": "secret merger Zebra", "mode": "rag"})
        assert "Zebra is secret" not in answer.text
    with served.client("lena") as client:
        assert "Zebra" in client.get(f"/document/{secret}").text


def test_the_source_page_marks_the_sentences_of_an_answer_of_ones_own(served: Served) -> None:
    services = served.services
    document, reader = served.documents["tags.txt"], OPERATOR
    (chunk,) = services.retrieval.library.chunks(document, reader)
    used = Passage(chunk.id, document, "tags.txt", "Tags", "", "Wear <b>tags</b> & badges.", 0.9)
    anna, boss = (services.accounts.by_token(served.tokens[name]) for name in ("anna", "boss"))
    thread = services.conversations.create(anna)
    answer = Answer("Tags [1].", AnswerMode.RAG, (used,), (1,), None)
    number = answered(services.conversations, thread.id, "What to wear?", answer)
    with pytest.raises(NotFound, match=f"no answer {number} of yours"):
        services.conversations.answer(number, boss)
    marked = "<mark>Wear &lt;b&gt;tags&lt;/b&gt; &amp; badges.</mark>"
    path = f"/source/{chunk.id}?document={document}&answer="
    with served.client("anna") as client:
        page = client.get(f"{path}{number}").text
        assert (
            f'<mark id="passage" tabindex="-1" class="around">Ask first. {marked} Go home' in page
        )
        assert "<b>tags" not in page
        assert "<mark>" not in client.get(f"{path}999999").text
    with served.client("boss") as client:
        others = client.get(f"{path}{number}")
        assert others.status_code == 200
        assert "<mark>" not in others.text


def test_the_source_page_marks_the_passage_and_the_original_is_a_download(served: Served) -> None:
    document = served.documents["leave.md"]
    with served.client("anna") as client:
        answer = client.post("/api/ask", json={"question": "sick leave days", "mode": "rag"}).json()
        anna = served.services.accounts.by_token(served.tokens["anna"])
        thread = served.services.conversations.get(answer["conversation_id"], anna)
        chunk = thread.turns[0].answers[0].answer.passages[0].chunk_id
        page = client.get(f"/source/{chunk}?document={document}").text
        assert '<mark id="passage"' in page
        assert "changed after" in client.get(f"/source/999999?document={document}").text
        original = client.get(f"/original/{document}")
        assert original.headers["content-disposition"].startswith("attachment")


def test_somebody_elses_conversation_is_not_there(served: Served) -> None:
    with served.client("anna") as client:
        made = client.post("/api/ask", json={"question": "Mine?", "mode": "base"}).json()
    with served.client("boss") as client:
        body = {"question": "And?", "mode": "base", "conversation_id": made["conversation_id"]}
        assert client.post("/api/ask", json=body).status_code == 404
        rating = {"answer_id": made["answer_id"], "value": 1}
        assert client.post("/api/feedback", json=rating).status_code == 404


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"question": "", "mode": "base"}, "empty"),
        ({"question": "x" * 100_000, "mode": "base"}, "100,000"),
        ({"question": "Who?", "mode": "tuned"}, "adapter"),
        ({"question": "Who?", "mode": "tuned", "adapter": "nobody"}, "nobody"),
        ({"question": "Who?", "mode": "psychic"}, "mode"),
        ({"question": "Who?", "extra": 1}, "extra"),
        ({}, "question"),
        ('{"question": ', "The request's body is not JSON ("),
    ],
)
def test_bad_questions_get_a_message(served: Served, body: Any, says: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    with served.client("anna") as client:
        headers = {"content-type": "application/json"}
        response = client.post("/api/ask", content=content, headers=headers)
    assert 400 <= response.status_code < 500
    assert says in response.json()["error"]


def test_a_huge_request_is_refused_unread(served: Served) -> None:
    with served.client("anna") as client:
        assert client.post("/api/ask", content=b"x" * (SMALL_BODY + 1)).status_code == 413
        endless = (b"x" * 65_536 for _ in range(SMALL_BODY // 65_536 + 2))
        assert client.post("/api/ask", content=endless).status_code == 413


def test_uploads_over_the_api_become_a_job_and_names_stay_inside(served: Served) -> None:
    with served.client("boss") as client:
        files = [("files", ("../../evil.md", b"# Evil\n\nText.")), ("files", ("evil.md", b"# B"))]
        job = client.post("/api/documents", files=files, data={"groups": "legal"}).json()["job"]
        found = served.services.jobs.get(job)
        folder = Path(found.payload["paths"][0])
        assert sorted(path.name for path in folder.iterdir()) == ["evil (2).md", "evil.md"]
        assert folder.is_relative_to(served.services.home.workspace.uploads)
        assert found.payload["groups"] == ["legal"]
        assert client.get(f"/api/jobs/{job}").json()["kind"] == "ingest"
    with served.client("anna") as client:
        assert client.get(f"/api/jobs/{job}").status_code == 404


def test_a_fault_shows_a_number_and_no_trace(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(served.services.retrieval.library, "count", broken)
    with served.client("anna") as client:
        response = client.get("/api/documents")
    assert response.status_code == 500
    assert "Internal error" in response.json()["error"]
    assert "secret detail" not in response.text
    assert "secret detail" in (served.services.home.workspace.logs / "app.log").read_text()
