"""The Documents page and its API by their own handlers, over real services without a server."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from assistant.answering import Assistant
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.errors import Conflict, InvalidInput
from core.home import open_home
from core.job_store import JobStore
from core.jobs import JobState
from core.permissions import OPERATOR, Account, Role
from retrieval.jobs import handle
from retrieval.library import Document
from retrieval.origins import SameName
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.quick import QUICK
from ui.environment import prepare_environment

PASSWORD = "forty-two open doors"


@dataclass
class Desk:
    """An admin before the page, and what is behind it."""

    services: Any
    page: Any
    boss: Account
    folder: Path

    def store(self, name: str, text: str, *groups: str) -> Document:
        folder = self.folder / name
        folder.mkdir()
        (folder / name).write_text(text)
        self.services.retrieval.ingestor.ingest_uploads([folder], groups=groups)
        found: list[Document] = self.services.retrieval.library.uploaded([name], OPERATOR)
        return found[0]

    def get(self, document: Document) -> Document:
        found: Document = self.services.retrieval.library.get(document.id, OPERATOR)
        return found

    def sent(self, name: str, text: str) -> list[str]:
        file = self.folder / "arriving" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return [str(file)]

    def set_groups(self, document: Document, groups: Any) -> list[Any]:
        answer: list[Any] = self.page.set_groups(self.boss, [document.id], groups, "", 50)
        return answer

    @property
    def jobs(self) -> JobStore:
        return JobStore(self.services.home.database)

    @property
    def audited(self) -> list[Any]:
        return [(one.action, one.subject, one.detail) for one in self.services.audit.entries()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("page")
    home = open_home(workspace=folder / "workspace", evidence_finder="off", rag_reader="off")
    prepare_environment(home.workspace.uploads, allow_downloads=False)
    # These import Gradio, which reads its environment while it is imported.
    from ui.documents import DocumentsPage
    from ui.services import open_services

    retrieval = open_retrieval(home, HashingEmbedder())
    assistant = Assistant(ScriptedModel(), retrieval.retriever, Shelf(home), home.settings)
    accounts = Accounts(home.database, home.settings, passwords=QUICK)
    services = open_services(home, retrieval, assistant, accounts)
    boss = services.accounts.create("boss", PASSWORD, Role.ADMIN)
    services.accounts.create("lena", PASSWORD, Role.EMPLOYEE, {"Legal "})
    yield Desk(services, DocumentsPage(services), boss, folder)
    home.database.close()


@pytest.fixture(autouse=True)
def no_jobs_left(desk: Desk) -> Iterator[None]:
    yield
    for job in desk.services.jobs.list():
        if job.active:
            desk.jobs.ask_stop(job.id)
            desk.jobs.finish(job.id, job.attempts, JobState.STOPPED, "Over.")
    from ui.uploads import forget_uploads

    forget_uploads(desk.services.home.workspace.uploads, [])


def test_an_empty_field_opens_nothing_before_somebody_said_yes(desk: Desk) -> None:
    pay = desk.store("pay.md", "Salaries.", "legal")
    asked, question, shown, *_ = desk.set_groups(pay, [])
    assert desk.get(pay).groups == {"legal"}
    assert shown["visible"]
    assert "<b>pay.md</b>: until now legal (1 person); then everyone" in question
    from gradio import Error

    with pytest.raises(Error, match="changed since you were asked"):
        desk.page.widen(desk.boss, asked, [pay.id], ["board"], "", 50)
    with pytest.raises(Error, match="changed since you were asked"):
        desk.page.widen(desk.boss, None, [pay.id], [], "", 50)
    assert desk.get(pay).groups == {"legal"}
    desk.page.widen(desk.boss, asked, [pay.id], [], "", 50)
    assert desk.get(pay).groups == frozenset()
    detail = {"document": pay.id, "before": ["legal"], "groups": []}
    assert desk.audited[0] == ("documents.groups", "pay.md", detail)


@pytest.mark.parametrize("groups", [["legal", "board"], "board", "Legal, HR"])
def test_any_wider_choice_asks(desk: Desk, groups: Any) -> None:
    document = desk.store(f"{abs(hash(str(groups)))}.md", f"Text for {groups}.", "legal")
    assert "until now legal" in desk.set_groups(document, groups)[1]
    assert desk.get(document).groups == {"legal"}


def test_the_field_is_filled_and_the_groups_of_all_are_offered(desk: Desk) -> None:
    one = desk.store("one.md", "One.", "legal", "hr")
    two = desk.store("two.md", "Two.")
    field, differ, *hidden = desk.page.pick(desk.boss, [one.id])
    assert (field["value"], differ) == (["hr", "legal"], "")
    assert {"hr", "legal"} <= {name for name, _ in [(c, c) for c in field["choices"]]}
    assert [one["visible"] for one in hidden] == [False, False]
    field, differ, *_ = desk.page.pick(desk.boss, [one.id, two.id])
    assert "two.md: everyone" in differ
    assert desk.page.pick(desk.boss, [])[0]["value"] == []


def test_a_narrower_choice_is_done_and_an_empty_group_is_warned_of(desk: Desk) -> None:
    document = desk.store("narrow.md", "Narrow.")
    with pytest.warns(UserWarning, match="Nobody is in the group “lgeal”"):
        desk.set_groups(document, ["lgeal", " LEGAL"])
    assert desk.get(document).groups == {"legal", "lgeal"}
    desk.set_groups(document, ["Legal"])
    assert desk.get(document).groups == {"legal"}
    lena = next(one for one in desk.services.accounts.list() if one.name == "lena")
    assert lena.groups == {"legal"}


def test_a_deletion_deletes_what_was_asked_about(desk: Desk) -> None:
    first, second = desk.store("first.md", "First."), desk.store("second.md", "Second.")
    asked, *_ = desk.page.ask_delete(desk.boss, [first.id])
    from gradio import Error

    with pytest.raises(Error, match="changed since"):
        desk.page.delete(desk.boss, asked, [second.id], "", 50)
    desk.page.delete(desk.boss, asked, [first.id], "", 50)
    assert desk.get(second)
    assert desk.audited[0][:2] == ("documents.delete", "first.md")


def test_a_taken_name_is_asked_about(desk: Desk) -> None:
    old = desk.store("handbook.md", "Old.", "legal")
    before = len(desk.services.jobs.list())
    adding = desk.page.adding
    _files, question, shown, *_ = adding.add(desk.boss, desk.sent("handbook.md", "New."), [])
    assert shown["visible"]
    assert "<b>handbook.md</b>, for legal (1 person)" in question
    assert len(desk.services.jobs.list()) == before
    adding.replace(desk.boss, desk.sent("handbook.md", "New."), [])
    adding.keep_both(desk.boss, desk.sent("handbook.md", "Newer."), ["Legal"])
    kept, replaced = desk.services.jobs.list(limit=2)
    assert (kept.payload["same_name"], replaced.payload["same_name"]) == ("keep_both", "replace")
    assert kept.payload["groups"] == ["legal"]
    assert desk.audited[0][:2] == ("documents.add", "handbook.md")
    for job in (replaced, kept):
        folder = Path(job.payload["paths"][0])
        desk.services.retrieval.ingestor.ingest_uploads(
            [folder], groups=job.payload["groups"], same_name=SameName(job.payload["same_name"])
        )
    original = desk.services.retrieval.library.original(old.id, OPERATOR)
    assert original.read_text() == "New."
    assert desk.get(old).groups == {"legal"}


def test_the_same_file_again_is_not_asked_about(desk: Desk) -> None:
    desk.store("same.md", "Same.")
    _files, question, *_ = desk.page.adding.add(desk.boss, desk.sent("same.md", "Same."), [])
    assert question == ""


def test_stop_stops_what_is_shown_and_no_other(desk: Desk) -> None:
    adding = desk.page.adding
    for number in (1, 2):
        adding.add(desk.boss, desk.sent(f"upload-{number}.md", f"Text {number}."), [])
    second, first = desk.services.jobs.list(limit=2)
    assert desk.jobs.claim()
    html, _stop, running, *_ = adding.watch(desk.boss)
    assert running == first.id
    assert "1 more upload waits" in html
    adding.stop(desk.boss, running)
    assert desk.services.jobs.get(first.id).state is JobState.STOPPING
    assert desk.services.jobs.get(second.id).state is JobState.QUEUED
    desk.jobs.finish(first.id, 1, JobState.STOPPED, "Stopped.")
    adding.stop(desk.boss, running)
    assert desk.services.jobs.get(second.id).state is JobState.QUEUED
    assert adding.watch(desk.boss)[2] == second.id


def failed_upload(desk: Desk, name: str) -> tuple[int, Path]:
    desk.page.adding.add(desk.boss, desk.sent(name, f"Text of {name}."), [])
    (job,) = desk.services.jobs.list(limit=1)
    while (claim := desk.jobs.claim()) is not None and claim.job_id != job.id:
        desk.jobs.finish(claim.job_id, claim.attempt, JobState.SUCCEEDED, "")
    desk.jobs.finish(job.id, 1, JobState.FAILED, "Given up.")
    return job.id, Path(job.payload["paths"][0])


def test_a_failed_upload_keeps_its_files_and_is_tried_again(desk: Desk) -> None:
    from ui.uploads import forget_uploads

    number, folder = failed_upload(desk, "kept.md")
    forget_uploads(desk.services.home.workspace.uploads, desk.services.jobs.unsettled())
    assert (folder / "kept.md").is_file()
    _html, _stop, _running, again, held, _timer = desk.page.adding.watch(desk.boss)
    assert (again["visible"], held) == (True, number)
    desk.page.adding.try_again(desk.boss, held)
    assert desk.services.jobs.get(number).state is JobState.QUEUED
    assert desk.jobs.claim()
    desk.services.retrieval.ingestor.ingest_uploads([folder])
    result = handle(desk.services.home, desk.services.jobs.get(number).payload, Progressing())
    desk.jobs.finish(number, 2, JobState.SUCCEEDED, "", result)
    assert not folder.exists()
    assert desk.page.adding.watch(desk.boss)[4] is None
    with pytest.raises(Conflict, match="keeps no files"):
        desk.page.adding.try_again(desk.boss, number)


class Progressing:
    """A `Progress` of a job that nobody watches."""

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        pass

    def log(self, line: str) -> None:
        pass

    def stop_requested(self) -> bool:
        return False


def test_the_files_of_a_failed_upload_are_discarded_when_somebody_says_so(desk: Desk) -> None:
    number, folder = failed_upload(desk, "unwanted.md")
    asked, question, shown = desk.page.adding.ask_discard(desk.boss, number)
    assert (asked, shown["visible"]) == (number, True)
    assert "Reading unwanted.md" in question
    assert folder.is_dir()
    desk.page.adding.discard(desk.boss, asked)
    assert not folder.exists()
    assert desk.audited[0][0] == "documents.discard"


@pytest.fixture(scope="module")
def api(desk: Desk) -> TestClient:
    from ui.server import create_app

    token = desk.services.accounts.sign_in("boss", PASSWORD, "test")
    return TestClient(create_app(desk.services), headers={"Authorization": f"Bearer {token}"})


def test_the_api_says_what_shall_become_of_a_taken_name(desk: Desk, api: TestClient) -> None:
    files = [("files", ("..\\evil\\ a.md ", b"# A"))]
    sent = api.post("/api/documents", files=files, data={"groups": "Legal", "same_name": "replace"})
    assert sent.status_code == 202, sent.text
    job = desk.services.jobs.get(sent.json()["job"])
    assert (job.payload["same_name"], job.payload["groups"]) == ("replace", ["legal"])
    assert [file.name for file in Path(job.payload["paths"][0]).iterdir()] == ["a.md"]
    assert api.post("/api/documents", files=files, data={"same_name": "x"}).status_code == 422
    twice = api.post("/api/documents", files=files * 2, data={"same_name": "replace"})
    assert twice.status_code == 422
    assert "named 'a.md'" in twice.json()["error"]
    assert api.post(f"/api/jobs/{job.id}/try-again").status_code == 409
    number, _folder = failed_upload(desk, "api.md")
    assert api.post(f"/api/jobs/{number}/try-again").status_code == 202
    assert desk.services.jobs.get(number).state is JobState.QUEUED


def test_lists_say_where_documents_of_one_path_come_from(desk: Desk, api: TestClient) -> None:
    for name in ("alpha", "beta"):
        folder = desk.folder / name
        folder.mkdir()
        (folder / "policy.md").write_text(f"Policy of {name}.")
        desk.services.retrieval.ingestor.ingest([folder])
    listed = api.get("/api/documents?query=policy.md").json()["documents"]
    assert [Path(one["collection"]).name for one in listed] == ["alpha", "beta"]
    table = desk.page.listing(desk.boss, "policy.md", 50)[0]
    assert "policy.md (alpha)" in table
    assert "policy.md (beta)" in table


def test_names_that_no_file_can_have() -> None:
    from ui.uploads import clean_name

    assert clean_name(" a.md ") == "a.md"
    assert clean_name("e\u0301.md") == "é.md"
    assert clean_name("می‌خواهم.md") == "می‌خواهم.md"  # A joiner is a letter's business.
    assert clean_name("../../a\\b.md") == "b.md"
    assert clean_name("x" * 252 + ".md")
    for wrong in ("", "..", "a/", "  ", "a\0.md", "a\n.md", "\ud800.md", "ü" * 127 + ".md"):
        with pytest.raises(InvalidInput):
            clean_name(wrong if wrong != "a/" else "/")


def test_two_files_of_one_upload_that_share_the_longest_name(tmp_path: Path) -> None:
    from ui.uploads import keep

    paths = []
    for number in range(3):
        paths.append(tmp_path / str(number) / ("ü" * 126 + ".md"))
        paths[-1].parent.mkdir()
        paths[-1].write_text(str(number))
    folder = keep(paths, tmp_path / "uploads")
    assert sorted(file.read_text() for file in folder.iterdir()) == ["0", "1", "2"]
