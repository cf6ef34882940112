"""Words of a restricted document stay with those who may read it, whatever becomes of the document.

The language model here is the worst there can be: it repeats every secret word of its prompt.
"""

import json

import pytest

from core.errors import NotFound
from tests.attack.office import PEOPLE, SECRET, Office, kept, office, question, said
from tests.served import fire, handlers

__all__ = ["office"]


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
