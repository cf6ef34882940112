"""Questions, restrictions, deletions and people who come and go, in orders nobody wrote down."""

import json
from typing import Any

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

from tests.attack.office import GROUPS, PEOPLE, Office, Paper, kept, office, question, said

__all__ = ["office"]


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
