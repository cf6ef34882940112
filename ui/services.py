"""Everything a page may ask for, put together once."""

from dataclasses import dataclass

from assistant.answering import Assistant
from assistant.conversations import Conversations
from assistant.feedback import Feedback
from assistant.profiles import fitted
from assistant.service import open_assistant
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.audit import Audit
from core.home import Home
from core.jobs import Jobs
from core.settings import Settings
from eval.audit import Audits
from eval.candidates import Candidates
from eval.evaluations import Evaluations
from eval.gate import Gate
from eval.question_sets import QuestionSets
from eval.row_access import RowAccess
from eval.watch import Watch
from eval.watcher import Watcher
from retrieval.service import Retrieval, open_retrieval
from training.runs import Runs
from ui.departure import STORING, Farewell
from ui.guard import Guard
from ui.line import Limits
from ui.readiness import Readiness
from ui.sign_in_queue import SignInQueue
from ui.turns import Turns

JOB_MODULES = {
    "ingest": "retrieval.jobs",
    "train": "training.jobs",
    "evaluate": "eval.jobs",
    "draft": "eval.draft_jobs",
    "audit": "eval.audit_jobs",
}


@dataclass(frozen=True)
class Services:
    """The doors of the floors below."""

    home: Home
    accounts: Accounts
    audit: Audit
    jobs: Jobs
    retrieval: Retrieval
    assistant: Assistant
    shelf: Shelf
    conversations: Conversations
    feedback: Feedback
    runs: Runs
    question_sets: QuestionSets
    candidates: Candidates
    evaluations: Evaluations
    row_access: RowAccess
    audits: Audits
    gate: Gate
    watch: Watch
    watcher: Watcher
    readiness: Readiness
    turns: Turns
    farewell: Farewell
    guard: Guard
    sign_ins: SignInQueue

    def close(self) -> None:
        """Stop what runs; jobs save and are queued again for the next start."""
        self.sign_ins.close()
        self.watcher.close()
        self.turns.close(STORING)
        self.jobs.close()
        self.home.database.close()


def open_services(
    home: Home,
    retrieval: Retrieval | None = None,
    assistant: Assistant | None = None,
    accounts: Accounts | None = None,
) -> Services:
    """Put the services of an installation together; models load when `readiness` begins.

    Args:
        home: the installation.
        retrieval: another than the settings' own.
        assistant: another than the settings' own.
        accounts: others than those that hash as the settings' own do.
    """
    home = fitted(home)
    accounts = accounts or Accounts(home.database, home.settings)
    retrieval = retrieval or open_retrieval(home)
    assistant = assistant or open_assistant(home, retrieval)
    conversations = Conversations(home.database)
    logs = home.workspace.logs
    jobs = Jobs(home, JOB_MODULES)
    readiness = Readiness(lambda: _load(retrieval, assistant), logs)
    turns = Turns(assistant, conversations, readiness, limits_of(home.settings), logs)
    watch = Watch(home, jobs, lambda: retrieval.retriever.version)
    return Services(
        home=home,
        accounts=accounts,
        audit=Audit(home.database),
        jobs=jobs,
        retrieval=retrieval,
        assistant=assistant,
        shelf=Shelf(home),
        conversations=conversations,
        feedback=Feedback(home.database),
        runs=Runs(home),
        question_sets=QuestionSets(home),
        candidates=Candidates(home),
        evaluations=Evaluations(home),
        row_access=RowAccess(home),
        audits=Audits(home),
        gate=Gate(home),
        watch=watch,
        watcher=Watcher(watch, logs),
        readiness=readiness,
        turns=turns,
        farewell=Farewell(turns.close),
        guard=Guard(accounts, logs),
        sign_ins=SignInQueue(),
    )


def limits_of(settings: Settings) -> Limits:
    """Return how many questions the settings let be open and answered at once."""
    return Limits(settings.parallel_answers, settings.asks_per_person, settings.asks_in_all)


def _load(retrieval: Retrieval, assistant: Assistant) -> None:
    # One after the other: what is being loaded changes defaults that what runs relies on.
    retrieval.load()
    assistant.load()
