"""What stands beside the measures: judge, depth of the evidence, costs; modes made worse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assistant.answering import Question
from assistant.engines.base import AdapterRef, Generation, Sampling, never
from assistant.modes import AnswerMode, Message
from assistant.shelf import Shelf
from core.errors import EngineError, NotFound
from core.home import Home
from eval.arms import Plan
from eval.evaluations import Evaluations, QuestionSets, RowFilter
from eval.runner import Subject
from retrieval.passages import Passage
from tests import eval_fakes
from tests.eval_fakes import ScriptedAssistant, TopicRetriever, good_assistant, read_well, rows
from tests.fakes import ScriptedModel
from tests.integration.test_eval_gate import shelf_with

MODES = (AnswerMode.BASE, AnswerMode.RAG)
PLAN = Plan(modes=MODES, latency_sample=0, judge="judge")


def judged_by_hand(shown: str, _adapter: AdapterRef | None) -> str:
    """Right if the reference's number is in the answer; does not know what to say of form3."""
    reference, answer = shown.partition("Reference: ")[2].split("\nAnswer: ")
    number = next((word for word in reference.split() if word.isdigit()), "know")
    if "form3 " in shown and "now?" in shown:
        return "It is right, I think."
    return "Right." if number in answer else "wrong"


@dataclass
class BreakingJudge(ScriptedModel):
    """Fails whenever one of its prompts holds `breaks`."""

    breaks: str = ""

    def generate_batch(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        adapter: AdapterRef | None,
        sampling: Sampling,
        cancelled: Callable[[], bool] = never,
    ) -> list[Generation]:
        """Grade all, or raise."""
        if self.breaks and any(self.breaks in p[-1].content for p in prompts):
            raise RuntimeError("out of memory")
        return super().generate_batch(
            prompts, adapter=adapter, sampling=sampling, cancelled=cancelled
        )


def opened(
    assistant: ScriptedAssistant, engine: ScriptedModel | None = None, **facts: Any
) -> Callable[[Home], Callable[[str | None], Subject]]:
    subject = replace(
        eval_fakes.subject(assistant, **facts), retriever=assistant.retriever, engine=engine
    )
    return lambda _home: lambda _model: subject


def asked_for(home: Home, service: Evaluations, plan: Plan, count: int = 40) -> int:
    return service.create([QuestionSets(home).add(rows(count), f"rules {count}").id], plan)


def test_a_judge_stands_beside_and_never_in_the_verdict(home: Home) -> None:
    engine = BreakingJudge(judged_by_hand, breaks="form5 ")
    service = Evaluations(home, opened(good_assistant(), engine))
    number = asked_for(home, service, PLAN)
    summary = service.run(number)
    found = summary["judge"]
    # Of 50 questions in two modes: one was judged in a sentence, the two on form5 failed.
    assert (found["judged"], found["missing"]) == (94, 6)
    assert found["kappa"] == 1.0
    figure = summary["modes"]["rag"]["judge"]
    assert (figure["value"], figure["n"]) == (1.0, 47)
    assert "6 judgements missing" in service.report_path(number, "md").read_text("utf-8")
    assert "LLM judge" in service.report_path(number).read_text("utf-8")
    graded = {row.scores["judge"] for row in service.rows(number, RowFilter(text="form5 "))}
    assert graded == {None}, "a failed judgement is no grade"
    assert all("judge" not in pair["measures"] for pair in summary["pairs"])
    alone = service.run(asked_for(home, service, replace(PLAN, judge="")))
    assert "judge" not in alone
    assert alone["recommendation"] == summary["recommendation"]


def test_a_judgement_is_asked_for_once(home: Home) -> None:
    engine = BreakingJudge(judged_by_hand, breaks="form5 ")
    service = Evaluations(home, opened(good_assistant(), engine))
    number = asked_for(home, service, PLAN)
    service.run(number)
    made = len(engine.seen)
    assert service.rescore(number)["judge"]["missing"] == 6
    assert len(engine.seen) == made
    engine.breaks = ""
    assert service.run(asked_for(home, service, PLAN))["judge"]["missing"] == 2
    # What failed is tried again, and only that; what was said in a sentence is not asked again.
    assert len(engine.seen) == made + 4


def test_a_judge_that_cannot_be_opened_costs_its_judgements_only(home: Home) -> None:
    subject = opened(good_assistant())(home)(None)

    def subject_of(model: str | None) -> Subject:
        if model == "judge":
            raise EngineError("There is no model 'judge'.")
        return subject

    service = Evaluations(home, lambda _home: subject_of)
    number = asked_for(home, service, PLAN)
    summary = service.run(number)
    assert (summary["judge"]["judged"], summary["judge"]["missing"]) == (0, 100)
    assert summary["modes"]["rag"]["judge"]["value"] is None
    assert "no model 'judge'" in service.report_path(number, "md").read_text("utf-8")


class CountingRetriever(TopicRetriever):
    """Puts eight other rules before the right one."""

    def __init__(self) -> None:
        self.searches = 0

    def search(self, query: str, *, limit: int, reader: Any) -> list[Passage]:
        """Return at most `limit` rules."""
        self.searches += 1
        right = super().search(query, limit=limit, reader=reader)
        others = [
            eval_fakes.passage(n, eval_fakes.FACTS[n])
            for n in range(len(eval_fakes.FACTS))
            if n not in {p.chunk_id for p in right}
        ]
        return [*others[:8], *right][:limit]


def test_evidence_below_the_prompt_is_found_out(home: Home) -> None:
    retriever = CountingRetriever()
    service = Evaluations(home, opened(ScriptedAssistant(read_well, retriever)))
    number = asked_for(home, service, replace(PLAN, judge=""))
    depth = service.run(number)["search_depth"]
    assert {k: depth["all"][k]["value"] for k in depth["all"]} == {
        "1": 0.0, "3": 0.0, "5": 0.0, "10": 1.0, "20": 1.0}  # fmt: skip
    assert (depth["seen"]["10"]["n"], depth["unseen"]["10"]["n"]) == (20, 20)
    assert "unanswerable" not in depth
    searches = retriever.searches
    assert service.rescore(number)["search_depth"] == depth
    assert retriever.searches == searches
    assert "How deep the evidence lies" in service.report_path(number).read_text("utf-8")


def test_costs_follow_from_the_rates_given(home: Home) -> None:
    service = Evaluations(home, opened(good_assistant()))
    plan = replace(PLAN, judge="", watts=200.0, price_per_kwh=0.5, price_per_hour=3.6)
    figures = service.run(asked_for(home, service, plan))["timing"]["rag"]
    hours = figures["seconds_per_question_in_batch"] * 1000 / 3600
    assert figures["kwh_per_1000"] == pytest.approx(hours * 0.2)
    assert figures["price_per_1000"] == pytest.approx(hours * 3.6 + hours * 0.2 * 0.5)
    assert figures["peak_memory_mb"] > 10
    free = service.run(asked_for(home, service, replace(PLAN, judge="")))["timing"]["rag"]
    assert (free["kwh_per_1000"], free["price_per_1000"]) == (None, None)


def forgetful(question: Question, passages: list[Passage]) -> str:
    """Has learned another company's facts: recalls none of these."""
    other = question.adapter == "other" and "form" in question.text
    return "It is 7 in the usual case." if other else read_well(question, passages)


@dataclass
class Blindfolded(ScriptedAssistant):
    """Searches, and leaves what it found out of the prompt."""

    def _answer(self, question: Question) -> Any:
        answer = super()._answer(replace(question, passages_override=()))
        return replace(answer, passages=())


@pytest.mark.parametrize(
    "worse",
    [ScriptedAssistant(read_well, eval_fakes.RandomRetriever()),
     Blindfolded(read_well, TopicRetriever())],
    ids=["random passages", "no passages in the prompt"],
)  # fmt: skip
def test_documents_made_worse_are_seen_and_laid_to_the_search(
    home: Home, worse: ScriptedAssistant
) -> None:
    good = Evaluations(home, opened(good_assistant(), index_version="good"))
    bad = Evaluations(home, opened(worse, index_version="worse"))
    plan = replace(PLAN, judge="")
    first, second = asked_for(home, good, plan), asked_for(home, bad, plan)
    good.run(first)
    causes = bad.run(second)["failures"]["rag"]["all"]
    tested = good.compare(first, second)["modes"]
    assert tested["rag"]["measures"]["correct"]["p"] < 0.001
    assert tested["rag"]["measures"]["correct"]["difference"]["low"] > 0
    assert tested["base"]["measures"]["correct"]["difference"]["value"] == 0
    assert causes["retrieval miss"] == sum(causes.values()) - causes["failed"] == 40


def test_an_adapter_of_another_company_is_seen_and_laid_to_its_memory(home: Home) -> None:
    service = Evaluations(home, opened(ScriptedAssistant(forgetful, TopicRetriever())))
    plan = Plan(modes=(AnswerMode.TUNED,), adapters=("staff", "other"), latency_sample=0)
    summary = service.run(asked_for(home, service, plan))
    (pair,) = summary["pairs"]
    assert pair["measures"]["correct"]["shown"]
    assert pair["measures"]["correct"]["difference"]["value"] == pytest.approx(0.4)
    causes = summary["failures"]["tuned@other"]["seen"]
    assert causes["memory miss"] == 20
    assert summary["failures"]["tuned@staff"]["seen"]["memory miss"] == 0


def test_three_questions_have_wide_intervals_and_no_recommendation(home: Home) -> None:
    service = Evaluations(home, opened(good_assistant()))
    number = service.create([QuestionSets(home).add(rows(2, 1), "few").id],
                            replace(PLAN, judge=""))  # fmt: skip
    summary = service.run(number)
    figure = summary["modes"]["rag"]["correct"]
    assert (figure["value"], figure["n"]) == (1.0, 3)
    assert figure["low"] < 0.5
    assert summary["recommendation"]["verdict"] == "withheld"
    assert "3 questions are too few" in summary["recommendation"]["headline"]


def test_an_adapter_deleted_while_queued_fails_by_name_before_any_model_is_loaded(
    home: Home, tmp_path: Path
) -> None:
    shelf_with(home, "staff")
    service = Evaluations(home)
    plan = Plan(modes=(AnswerMode.TUNED,), adapters=("staff",), latency_sample=0)
    number = asked_for(home, service, plan)
    Shelf(home).delete("staff")
    with pytest.raises(NotFound, match="staff"):
        service.run(number)
    assert service.get(number).state == "failed"
    assert "staff" in service.get(number).error
    assert list(home.workspace.models.iterdir()) == []
