"""History, comparison and decisions as people see them: pure translations."""

from datetime import UTC, datetime

import pytest

from core.permissions import Account, Role
from eval.arms import Plan
from eval.audit import Audit, ModelAudit
from eval.comparison import CHANGES, History, Moment, changes, common, histories
from eval.stored import Evaluation
from eval.summary import summarise
from tests.unit.test_eval_verdicts import QUESTION, rows
from ui.audits import audits_html
from ui.comparison import history_html
from ui.evaluation_view import cause_rows, pair_rows
from ui.plots import (
    LABEL_CHARACTERS,
    Interval,
    Point,
    TimeSeries,
    difference_plot,
    history_plot,
    interval_plot,
)
from ui.shell import header

NOON = datetime(2027, 1, 4, 12, 0, tzinfo=UTC)
SHARE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}


def evaluation(number: int, *, models: tuple[str, ...] = (), **configuration: object) -> Evaluation:
    arm = {"name": "rag", "configuration": configuration}
    summary = {"modes": {"rag": {"accuracy": SHARE}}}
    return Evaluation(
        number, f"run {number}", "done", Plan(modes=Plan(adapters=("a",)).modes[:2], models=models),
        (QUESTION,), ({"id": 1, "name": "leave", "version": "v"},), (arm,), summary, (), "", None,
        NOON, NOON,
    )  # fmt: skip


def test_a_history_holds_the_evaluations_of_the_same_questions_oldest_first() -> None:
    (found,) = histories([evaluation(3), evaluation(2, models=("other",)), evaluation(1)])
    assert [moment.evaluation_id for moment in found.moments] == [1, 3]
    assert (found.name, found.questions) == ("leave", 1)


def test_a_history_is_drawn_and_readable_as_a_table() -> None:
    moments = tuple(Moment(n, f"run {n}", NOON, {"rag": SHARE}) for n in (1, 2))
    html = history_html(History("k", "leave", 9, moments))
    assert html.count("<circle") == 2
    assert "Documents, 1: 04 Jan: 50% (40% to 60%)" in html
    assert html.count("50% (40 to 60)") == 2
    assert "run another" in history_html(History("k", "leave", 9, moments[:1]))
    assert "No evaluation is finished" in history_html(None)


def test_a_history_without_any_share_draws_nothing() -> None:
    assert history_plot([], ["1"], "nothing") == ""
    assert history_plot([TimeSeries("a", [], 1)], [], "nothing") == ""


@pytest.mark.parametrize("value", [-1.0, -0.02, 0.0, 0.3, 1.0])
def test_differences_lie_inside_the_plot_and_on_their_side_of_zero(value: float) -> None:
    html = difference_plot([Interval("Documents", value, value, value, 1, "x")], "gap")
    at = float(html.split('<circle cx="')[1].split('"')[0])
    zero = (190.0 + 620.0) / 2
    assert 190.0 <= at <= 620.0
    assert (at > zero) == (value > 0)


def test_the_page_tells_which_differences_are_real_and_why_answers_are_wrong() -> None:
    summary = summarise(rows({"base": 0.2, "rag": 0.9, "tuned_rag": 0.88}, 100),
                        ["base", "rag", "tuned_rag"])  # fmt: skip
    found = {(row["first"], row["second"]): row["shown"] for row in pair_rows(summary)}
    assert found == {
        ("Base model", "Documents"): True,
        ("Base model", "Fine-tuned + documents"): True,
        ("Documents", "Fine-tuned + documents"): False,
    }
    causes = {name: counts for name, _, counts in cause_rows(summary)}
    assert causes == {"reading miss": [0, 10, 12], "invention": [80, 0, 0]}


def test_points_beside_each_other_do_not_cover_each_other() -> None:
    series = [TimeSeries(name, [Point(0, 0.5, 0.4, 0.6)], 1) for name in "abcd"]
    html = history_plot(series, ["1"], "shares")
    places = {part.split('"')[0] for part in html.split('<circle cx="')[1:]}
    assert len(places) == 4


def test_changes_name_what_differs_with_both_versions() -> None:
    before = evaluation(1, index_version="a" * 64, prompt_version="3", passages=4, repeat=1)
    after = evaluation(2, index_version="b" * 64, prompt_version="3", passages=5, repeat=2)
    assert changes(before, after, "rag") == [
        f"{CHANGES['index_version']}: {'a' * 12} → {'b' * 12}",
        "setting 'passages': 4 → 5",
    ]
    assert changes(before, after, "base") == []


def test_only_questions_that_both_answered_are_paired() -> None:
    found = rows({"rag": 1.0}, 5)
    assert len(common(found, found[2:], "rag")) == 3
    assert common(found, found, "base") == []


def test_open_alarms_stand_in_the_bar_of_nobody_but_admins() -> None:
    boss, anna = (
        Account(1, name, role) for name, role in (("b", Role.ADMIN), ("a", Role.EMPLOYEE))
    )
    assert "2 open alarms" in header(boss, "/", 2)
    assert "badge" not in header(boss, "/", 0)
    assert "badge" not in header(anna, "/", 2)


def test_audits_are_listed_with_their_figures_and_what_is_still_missing() -> None:
    plan = Plan(modes=Plan(adapters=("a",)).modes[:1])
    small = ModelAudit("small", "small/bf16", 12, 512, 1.0, 90.0, 0.5, 0.1, 20.0, "", None)
    large = ModelAudit("large", "large/bf16", None, 512, 1.0, 90.0, 0.5, 0.1, 20.0, "mit",
                       {"base": {"correct": SHARE}})  # fmt: skip
    done = Audit(2, ("small", "large"), (), plan, (small, large), None, NOON, NOON)
    half = Audit(
        1, ("small", "large"), (1,), plan, (small,), None, NOON, None, "failed", "It died."
    )
    html = audits_html([done, half])
    assert 'href="/report/audit/2/html"' in html
    assert "1 of 2 measured" in html
    assert '<span class="chip bad">failed</span>' in html
    assert "It died." in html
    for text in ("packed", "not declared", "mit", "50% (40 to 60)", "90.0 MB"):
        assert text in html
    assert "No model was measured yet" in audits_html([])


def test_a_long_name_beside_a_bar_is_broken_and_never_wider_than_its_room() -> None:
    name = "Fine-tuned + documents (right passage given)"
    row = Interval(name, 0.5, 0.4, 0.6, 4, "50%")
    assert row.lines == ["Fine-tuned + documents", "(right passage given)"]
    for draw in (interval_plot, difference_plot):
        assert all(f">{line}</text>" in draw([row], "shares") for line in row.lines)
    path = Interval("Base model#/srv/models/a-model-of-a-long-name-in-a-folder", 0, 0, 0, 1, "")
    assert all(len(line) <= LABEL_CHARACTERS for line in path.lines)
