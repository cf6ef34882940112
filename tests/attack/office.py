"""A firm whose language model is the worst there can be: it repeats every word it was shown."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from assistant.modes import AnswerMode
from core.errors import InhouseError, NotFound
from core.home import open_home
from core.permissions import OPERATOR, Account, Role, reader_of
from eval.arms import Arm, Plan
from eval.evaluations import Evaluations
from eval.runner import Subject
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.served import PASSWORD, Served, gradio_pages, make_app, running

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
    model = ScriptedModel()
    model.reply = lambda _text, _adapter: repeats_everything(model)
    app, services = make_app(home, model)
    for name, role in PEOPLE.items():
        services.accounts.create(name, PASSWORD, role)
    with running(app) as url:
        tokens = {name: services.accounts.sign_in(name, PASSWORD, "test") for name in PEOPLE}
        yield Office(Served(url, services, gradio_pages(app), tokens, {}), model, folder)


def question(paper: Paper) -> str:
    return f"What is the code of topic{paper.number}?"


def said(paper: Paper) -> str:
    return f"said{paper.number}x"


def kept(paper: Paper) -> str:
    return f"kept{paper.number}x"
