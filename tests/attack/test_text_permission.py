"""Words of a restricted document stay with those who may read it, whatever becomes of the document.

The language model here is the worst there can be: it repeats every secret word of its prompt.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from assistant.answering import Assistant
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.errors import InhouseError, NotFound
from core.home import open_home
from core.permissions import OPERATOR, Account, Role, reader_of
from eval.arms import Arm, Plan
from eval.evaluations import Evaluations
from eval.runner import Subject
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.integration.test_served import PASSWORD, Served, fire, gradio_pages, handlers, running
from ui.environment import prepare_environment

SAID = re.compile(r"\bsaid\d+x\b")
SECRET = re.compile(r"\b(?:said|kept)(\d+)x\b")
"""Of every document the model repeats one word, and keeps another to itself."""
PEOPLE = {"boss": Role.ADMIN, "anna": Role.EMPLOYEE, "ben": Role.EMPLOYEE}
GROUPS = ("legal", "board")
numbers = itertools.count(1)


@dataclass
class Paper:
    """A document as the test knows it: what must hold is worked out from this alone."""

    number: int
    """In its words."""
    id: int
    groups: frozenset[str]
    stored: bool = True


@dataclass
class Office:
    """A served installation, and what its people can see in it."""

    served: Served
    model: ScriptedModel
    folder: Path
    threads: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in PEOPLE})
    evaluations: list[int] = field(default_factory=list)
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """One client each: making one reads all certificates of the machine."""
        self.clients = {name: self.served.client(name) for name in PEOPLE}

    @property
    def services(self) -> Any:
        return self.served.services

    def account(self, name: str) -> Account:
        found: Account | None = self.services.accounts.by_token(self.served.tokens[name])
        assert found is not None
        return found

    def join(self, name: str, *groups: str) -> None:
        self.services.accounts.update(self.account(name).id, groups=groups)

    def ingest(self, *groups: str) -> Paper:
        number = next(numbers)
        path = self.folder / f"paper{number}.md"
        path.write_text(f"# Paper {number}\n\nThe code of topic{number} is said{number}x. "
                        f"Nobody repeats kept{number}x.\n")  # fmt: skip
        self.services.retrieval.ingestor.ingest([path], groups=groups)
        (found,) = self.services.retrieval.library.documents(OPERATOR, query=path.name)
        return Paper(number, found.id, frozenset(groups))

    def clear(self) -> None:
        """Delete what earlier tests stored: an evaluation reads whatever is found."""
        library = self.services.retrieval.library
        library.delete([one.id for one in library.documents(OPERATOR)])

    def ask(self, name: str, question: str, thread: int | None = None) -> dict[str, Any]:
        """Ask over the API; returns the answer as JSON."""
        body = {"question": question, "mode": "rag", "conversation_id": thread}
        client = self.clients[name]
        response = client.post("/api/ask", json=body)
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        if thread is None:
            self.threads[name].append(answer["conversation_id"])
        return answer

    def prompted(self) -> str:
        """All that the model was last given to read."""
        return "\n".join(message.content for message in self.model.seen[-1])

    def evaluate(self, *papers: Paper) -> int:
        """Ask about papers in an evaluation, as the job does."""
        rows = [
            {"question": f"What is the code of topic{one.number}?", "answer": f"said{one.number}x",
             "evidence_file": f"paper{one.number}.md", "evidence_quote": f"said{one.number}x"}
            for one in papers
        ]  # fmt: skip
        name = f"papers {next(numbers)}"
        found = self.services.question_sets.add(rows, name)
        service = Evaluations(self.services.home, lambda _home: lambda _model: self._subject())
        number = service.create([found.id], Plan(modes=(AnswerMode.RAG,), latency_sample=0))
        service.run(number)
        self.evaluations.append(number)
        return number

    def _subject(self) -> Subject:
        retrieval = self.services.retrieval

        def describe(_arm: Arm) -> dict[str, Any]:
            return {"documents": retrieval.retriever.version}

        return Subject(
            self.services.assistant, describe, HashingEmbedder().embed, lambda _question: None,
            lambda _path: None,
        )  # fmt: skip

    def seen_by(self, name: str, papers: list[Paper]) -> dict[str, str]:
        """Everything that a person can get to see, by where."""
        account = self.account(name)
        return {
            **self._conversations(name, account),
            **self._documents(account, papers),
            **self._evaluations(name, account),
        }

    def _conversations(self, name: str, account: Account) -> dict[str, str]:
        from ui.chat_view import conversation_html

        conversations, seen = self.services.conversations, {}
        seen["titles"] = str(conversations.list(account))
        for thread in self.threads[name]:
            found = conversations.get(thread, account)
            seen[f"conversation {thread}"] = f"{found} {conversation_html(found)}"
            seen[f"history {thread}"] = str(conversations.history(thread, AnswerMode.RAG, account))
            for stored in (one for turn in found.turns for one in turn.answers):
                with contextlib.suppress(NotFound):
                    seen[f"answer {stored.id}"] = str(conversations.answer(stored.id, account))
        return seen

    def _documents(self, account: Account, papers: list[Paper]) -> dict[str, str]:
        library, reader, seen = self.services.retrieval.library, reader_of(account), {}
        for paper in papers:
            with contextlib.suppress(NotFound):
                seen[f"document {paper.number}"] = str(library.chunks(paper.id, reader))
            with contextlib.suppress(NotFound):
                seen[f"original {paper.number}"] = library.original(paper.id, reader).read_text()
        topics = " ".join(f"topic{paper.number}" for paper in papers)
        found = self.services.retrieval.retriever.search(topics, limit=20, reader=reader)
        return {**seen, "search": str(found)}

    def _evaluations(self, name: str, account: Account) -> dict[str, str]:
        from ui.comparison import ComparisonPanel
        from ui.evaluation import EvaluationPage

        page, seen = EvaluationPage(self.services), {}
        client = self.clients[name]
        for number in self.evaluations:
            seen[f"evaluation {number}"] = str(page.show(account, number))
            with contextlib.suppress(InhouseError):
                seen[f"rows {number}"] = page.answers(account, number, "", "", "", "")
            seen[f"report {number}"] = client.get(f"/report/{number}/json").text
        for pair in itertools.pairwise(self.evaluations):
            seen[f"comparison {pair}"] = ComparisonPanel(self.services).compare(account, *pair)
        return seen

    def stored_words(self) -> str:
        """Whatever lies in tables that hold words of passages, and in reports."""
        kept = ("passage_texts", "chunks", "answers", "eval_answers")
        home = self.services.home
        with home.database.session() as session:
            rows = [session.execute(text(f"SELECT * FROM {table}")).all() for table in kept]
        reports = [file.read_text("utf-8") for file in home.workspace.evaluations.rglob("*.*")]
        return "\n".join([str(rows), *reports])


def repeats_everything(model: ScriptedModel) -> str:
    """Say every word of the prompt that is not to be kept, and cite the first passage."""
    read = "\n".join(message.content for message in model.seen[-1])
    return f"It is {' '.join(dict.fromkeys(SAID.findall(read)))} [1]."


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("permission")
    home = open_home(
        workspace=folder / "workspace", port=1, evidence_finder="off", rag_reader="off"
    )
    prepare_environment(home.workspace.uploads, allow_downloads=False)
    # These import Gradio, which reads its environment while it is imported.
    from ui.server import create_app
    from ui.services import open_services

    model = ScriptedModel()
    model.reply = lambda _text, _adapter: repeats_everything(model)
    retrieval = open_retrieval(home, HashingEmbedder())
    assistant = Assistant(model, retrieval.retriever, Shelf(home), home.settings)
    services = open_services(home, retrieval, assistant)
    for name, role in PEOPLE.items():
        services.accounts.create(name, PASSWORD, role)
    app = create_app(services)
    with running(app) as url:
        tokens = {name: services.accounts.sign_in(name, PASSWORD, "test") for name in PEOPLE}
        yield Office(Served(url, services, gradio_pages(app), tokens, {}), model, folder)


def question(paper: Paper) -> str:
    return f"What is the code of topic{paper.number}?"


def said(paper: Paper) -> str:
    return f"said{paper.number}x"


def kept(paper: Paper) -> str:
    return f"kept{paper.number}x"


def test_who_leaves_the_group_loses_the_answer_and_its_passages(office: Office) -> None:
    paper = office.ingest("legal")
    office.join("anna", "legal")
    answer = office.ask("anna", question(paper))
    assert said(paper) in answer["text"]
    thread, account = answer["conversation_id"], office.account("anna")
    stored = office.services.conversations.get(thread, account).turns[0].answers[0]
    chunk = stored.answer.passages[0].chunk_id
    source = f"/source/{chunk}?document={paper.id}&answer={answer['answer_id']}"
    client = office.clients["anna"]
    assert kept(paper) in client.get(source).text
    office.join("anna")
    assert kept(paper) not in client.get(source).text
    seen = office.seen_by("anna", [paper])
    assert not [where for where, shown in seen.items() if said(paper) in shown]
    page = seen[f"conversation {thread}"]
    assert question(paper) in page
    assert "made from documents that are no longer open to you" in page
    office.join("anna", "legal")
    assert said(paper) in office.seen_by("anna", [])[f"conversation {thread}"]


def test_a_follow_up_does_not_repeat_what_was_taken_away(office: Office) -> None:
    public, paper = office.ingest(), office.ingest("legal")
    office.join("anna", "legal")
    thread = office.ask("anna", question(paper))["conversation_id"]
    assert said(paper) in office.ask("anna", "And why is that?", thread)["text"]
    office.join("anna")
    again = office.ask("anna", question(public), thread)
    assert question(public) in office.prompted()
    assert said(paper) not in office.prompted()
    assert said(paper) not in json.dumps(again)


def test_an_answer_made_from_the_history_inherits_its_documents(office: Office) -> None:
    open_paper, paper = office.ingest(), office.ingest("legal")
    office.join("anna", "legal")
    thread = office.ask("anna", question(paper))["conversation_id"]
    # Nothing restricted is searched any more; the secret comes out of the conversation alone.
    office.services.retrieval.library.delete([paper.id])
    repeated = office.ask("anna", question(open_paper), thread)
    assert said(paper) in repeated["text"]
    assert kept(paper) not in json.dumps(repeated)
    office.join("anna")
    seen = office.seen_by("anna", [open_paper, paper])
    assert not [where for where, shown in seen.items() if said(paper) in shown]
    with pytest.raises(NotFound):
        office.services.conversations.answer(repeated["answer_id"], office.account("anna"))


def test_a_document_that_is_restricted_later_takes_its_answers_along(office: Office) -> None:
    paper = office.ingest()
    office.join("anna")
    thread = office.ask("anna", question(paper))["conversation_id"]
    office.services.retrieval.library.set_groups(paper.id, ["board"])
    seen = office.seen_by("anna", [paper])
    assert not [
        where for where, shown in seen.items() if SECRET.search(shown) and said(paper) in shown
    ]
    office.services.retrieval.library.set_groups(paper.id, [])
    assert said(paper) in office.seen_by("anna", [])[f"conversation {thread}"]


def test_deleting_takes_the_passages_and_leaves_the_answer_to_who_might_read_it(
    office: Office,
) -> None:
    paper = office.ingest("legal")
    office.join("anna", "legal")
    thread = office.ask("anna", question(paper))["conversation_id"]
    assert kept(paper) in office.stored_words()
    office.services.retrieval.library.delete([paper.id])
    page = office.seen_by("anna", [paper])[f"conversation {thread}"]
    assert said(paper) in page
    assert "Deleted document" in page
    assert f"/source/0?document={paper.id}" not in page
    for name in PEOPLE:
        seen = office.seen_by(name, [paper])
        assert not [where for where, shown in seen.items() if kept(paper) in shown]
    assert kept(paper) not in office.stored_words()
    office.join("anna")
    assert said(paper) not in office.seen_by("anna", [paper])[f"conversation {thread}"]


def test_deleting_a_restricted_document_publishes_no_evaluation(office: Office) -> None:
    office.clear()
    office.join("anna")
    office.join("ben", "legal")
    public, paper = office.ingest(), office.ingest("legal")
    number, other = office.evaluate(public, paper), office.evaluate(public, paper)
    routes = [f"/report/{number}/{kind}" for kind in ("html", "md", "json")]

    def readers() -> dict[str, bool]:
        found = {}
        for name in PEOPLE:
            client = office.clients[name]
            found[name] = {client.get(route).status_code for route in routes} == {200}
            shown = office.seen_by(name, [])
            rows = [where for where, one in shown.items() if where.startswith("rows")]
            assert (said(paper) in shown[f"comparison {(number, other)}"]) is False
            assert (f"rows {number}" in rows) is found[name]
        return found

    assert readers() == {"boss": True, "anna": False, "ben": True}
    client = office.clients["ben"]
    assert kept(paper) in client.get(routes[2]).text
    office.services.retrieval.library.delete([paper.id])
    assert readers() == {"boss": True, "anna": False, "ben": True}
    client = office.clients["boss"]
    for route in routes:
        assert kept(paper) not in client.get(route).text
    office.join("ben")
    assert readers() == {"boss": True, "anna": False, "ben": False}


def test_the_report_of_public_documents_stays_open_when_others_are_restricted(
    office: Office,
) -> None:
    office.clear()
    public = office.ingest()
    number = office.evaluate(public)
    office.ingest("board")
    client = office.clients["anna"]
    assert client.get(f"/report/{number}/md").status_code == 200
    office.services.retrieval.library.delete([public.id])
    client = office.clients["anna"]
    assert client.get(f"/report/{number}/md").status_code == 200


def test_page_events_and_the_api_withhold_alike(office: Office) -> None:
    """Every event that takes a conversation or an evaluation, called by number as programs can."""
    paper = office.ingest("legal")
    office.join("anna", "legal")
    thread = office.ask("anna", question(paper))["conversation_id"]
    number = office.evaluate(paper)
    office.join("anna")
    office.services.retrieval.library.delete([paper.id])
    client = office.clients["anna"]
    for event, handler, empty in handlers(office.served.pages):
        name = handler.__qualname__
        if not name.startswith(("AskPage", "EvaluationPage", "ComparisonPanel")):
            continue
        if "delete" in name or ".ask" in name:
            continue
        for value in (thread, number):
            told = fire(client, event, [value] * len(empty))["text"]
            assert said(paper) not in told, name
            assert kept(paper) not in told, name


class Secrets(RuleBasedStateMachine):
    """Nobody sees a word of a document that is closed to them, by whatever way it comes."""

    office: Office
    papers = Bundle("papers")

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Paper] = []
        for name in PEOPLE:
            self.office.join(name)
            self.office.threads[name].clear()
        self.office.evaluations.clear()

    @initialize(target=papers)
    def begin(self) -> Any:
        """One document for everyone, one for a group with a member."""
        self.office.join("anna", "legal")
        self.known += [self.office.ingest(), self.office.ingest("legal")]
        return multiple(*self.known)

    @rule(target=papers, groups=st.sets(st.sampled_from(GROUPS), max_size=1))
    def ingest(self, groups: set[str]) -> Paper:
        self.known.append(self.office.ingest(*groups))
        return self.known[-1]

    @rule(paper=papers, groups=st.sets(st.sampled_from(GROUPS), max_size=2))
    def restrict_or_open(self, paper: Paper, groups: set[str]) -> None:
        if paper.stored:
            self.office.services.retrieval.library.set_groups(paper.id, groups)
            paper.groups = frozenset(groups)
        self.nobody_sees_what_is_closed()

    @rule(paper=papers)
    def delete(self, paper: Paper) -> None:
        self.office.services.retrieval.library.delete([paper.id])
        paper.stored = False
        self.nobody_sees_what_is_closed()

    @rule(name=st.sampled_from(("anna", "ben")), groups=st.sets(st.sampled_from(GROUPS)))
    def join_or_leave(self, name: str, groups: set[str]) -> None:
        self.office.join(name, *groups)
        self.nobody_sees_what_is_closed()

    @rule(name=st.sampled_from(tuple(PEOPLE)), paper=papers)
    def ask(self, name: str, paper: Paper) -> None:
        self.asked(name, question(paper), None)

    @rule(name=st.sampled_from(tuple(PEOPLE)), paper=papers, points_back=st.booleans())
    def follow_up(self, name: str, paper: Paper, points_back: bool) -> None:
        threads = self.office.threads[name]
        words = "Why is it so?" if points_back else question(paper)
        self.asked(name, words, threads[-1] if threads else None)

    @precondition(lambda self: not self.office.evaluations)
    @rule(paper=papers)
    def evaluate(self, paper: Paper) -> None:
        if any(one.stored for one in self.known):
            self.office.evaluate(paper)

    def asked(self, name: str, words: str, thread: int | None) -> None:
        before = len(self.office.model.seen)
        answer = self.office.ask(name, words, thread)
        prompt = self.office.prompted() if len(self.office.model.seen) > before else ""
        self.hold(name, {"prompt": prompt, "answer": json.dumps(answer)})

    def teardown(self) -> None:
        """Look at everything once more, and make room."""
        self.nobody_sees_what_is_closed()
        self.office.clear()

    def nobody_sees_what_is_closed(self) -> None:
        for name in PEOPLE:
            self.hold(name, self.office.seen_by(name, self.known))

    def hold(self, name: str, seen: dict[str, str]) -> None:
        for paper in self.known:
            closed = not self.may_read(name, paper)
            for where, shown in seen.items():
                if closed:
                    assert said(paper) not in shown, (name, where, paper)
                if closed or not paper.stored:
                    assert kept(paper) not in shown, (name, where, paper)

    def may_read(self, name: str, paper: Paper) -> bool:
        """The rule in the test's own words."""
        groups = self.office.account(name).groups
        return name == "boss" or not paper.groups or bool(groups & paper.groups)


def test_no_order_of_events_shows_a_word_to_somebody_who_may_not_read_it(office: Office) -> None:
    machine = type("OfficeSecrets", (Secrets,), {"office": office})
    office.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=6, stateful_step_count=12, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
