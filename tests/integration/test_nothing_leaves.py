"""The application, its models and its jobs open no connection to anywhere."""

import time
from pathlib import Path

import httpx

from core.accounts import Accounts
from core.home import open_home
from core.permissions import Role
from tests.running import PASSWORD, RunningApp
from tests.waiting import PATIENCE_S
from tests.watched import recorded, watching


def test_a_full_chat_and_an_ingest_without_a_single_outgoing_connection(
    tmp_path: Path, models: Path
) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "models").symlink_to(models)
    home = open_home(workspace=workspace)
    Accounts(home.database, home.settings).create("boss", PASSWORD, Role.ADMIN)
    home.database.close()
    environment = {**watching(tmp_path), "INHOUSE_ANSWER_TOKENS": "8"}
    with (
        RunningApp(workspace, "--no-sample", environment=environment) as app,
        httpx.Client(base_url=app.url, timeout=PATIENCE_S) as client,
    ):
        body = {"name": "boss", "password": PASSWORD}
        token = client.post("/api/sign-in", json=body).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        text = b"# Leave\n\nSick leave is ten days a year for everybody.\n"
        job = client.post("/api/documents", files={"files": ("leave.md", text)}).json()["job"]
        assert finished(client, job)["state"] == "succeeded"
        for mode in ("base", "rag"):
            question = {"question": "How many days of sick leave?", "mode": mode}
            answer = client.post("/api/ask", json=question)
            assert answer.status_code == 200, answer.text
            assert answer.json()["text"]
        for path in ("/", "/documents", "/training", "/evaluation", "/people"):
            client.cookies.set("inhouse_session", token)
            assert client.get(path).status_code == 200
    processes, attempts = recorded(tmp_path)
    assert processes >= 2
    assert attempts == []


def test_the_first_start_makes_the_model_without_a_connection(models: Path) -> None:
    processes, attempts = recorded(models)
    assert processes >= 1
    assert attempts == []


def finished(client: httpx.Client, job: int) -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE_S
    found: dict[str, str] = {"state": "unknown"}
    while time.monotonic() < deadline:
        found = client.get(f"/api/jobs/{job}").json()
        if found["state"] in ("succeeded", "failed", "stopped"):
            break
        time.sleep(0.3)
    return found
