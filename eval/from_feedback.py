"""Proposed questions from what people asked and how they rated the answer."""

from collections.abc import Sequence
from typing import Any

from assistant.citations import content_words, without_citations
from assistant.feedback import Feedback, Rated
from assistant.prompts import is_refusal
from core.permissions import Account
from core.privacy import mask_personal
from eval.candidates import Candidates, Proposal, Source, key_of
from eval.facts import FactKind, find_facts
from eval.grading import contains_phrase
from eval.near import Wordings
from eval.questions import Kind
from eval.texts import words
from retrieval.evidence import GAP
from retrieval.passages import Passage
from retrieval.sentences import split_sentences

RATINGS = 1000
"""The newest are looked at."""
SUPPORTED = 0.5
"""Least share of an answer's content words in the sentence that is proposed as its evidence."""
LONGEST = 1000
"""Characters of a question that can become a held-out one."""


def collect(feedback: Feedback, candidates: Candidates, account: Account) -> int:
    """Propose what was rated since the last time; return how many are new.

    Proposals whose conversation or rating was deleted meanwhile are forgotten.

    Raises:
        PermissionDenied: the account is no admin's.
    """
    rated = feedback.list(account, limit=RATINGS)
    if len(rated) < RATINGS:
        candidates.withdraw([one.answer_id for one in rated])
    proposals = from_ratings(rated, candidates.asked_wordings())
    return candidates.add(proposals)


def from_ratings(rated: Sequence[Rated], asked: Wordings) -> list[Proposal]:
    """One proposal for each question, from its best rated answer; none for those in `asked`.

    Personal data that the fixed rules know is masked in all texts.
    """
    best: dict[str, Proposal] = {}
    for one in sorted(rated, key=lambda rating: -rating.rating):
        question = mask_personal(one.question.strip())
        if not words(question) or len(question) > LONGEST or asked.nearest(question):
            continue
        key = key_of(Source.FEEDBACK, question)
        best.setdefault(key, Proposal(Source.FEEDBACK, key, _row(one, question), _about(one)))
    return list(best.values())


def _row(one: Rated, question: str) -> dict[str, Any]:
    row: dict[str, Any] = {"question": question, "kind": Kind.UNSEEN.value}
    if one.rating < 0:
        return row
    if is_refusal(one.text):
        return {**row, "kind": Kind.UNANSWERABLE.value}
    answer = mask_personal(without_citations(one.text, len(one.passages)))
    row["answer"] = answer
    passages = [one.passages[n - 1] for n in one.cited if n <= len(one.passages)]
    found = supporting_sentence(answer, passages, question)
    if found is None:
        return row
    passage, sentence = found
    row |= {"evidence_file": passage.document, "evidence_quote": sentence}
    row["short_answers"] = short_answers(answer, sentence, question)
    return row


def supporting_sentence(
    answer: str, passages: Sequence[Passage], question: str = ""
) -> tuple[Passage, str] | None:
    """The sentence that holds most of what an answer says, if it holds half of it.

    Words of the question do not count: every passage that was found repeats them.
    """
    said = content_words(answer) - content_words(question) or content_words(answer)
    best: tuple[float, Passage, str] | None = None
    for passage in passages:
        for sentence in _sentences(passage.text):
            share = len(said & content_words(sentence)) / len(said) if said else 0.0
            if share >= SUPPORTED and (best is None or share > best[0]):
                best = (share, passage, sentence)
    return None if best is None else (best[1], best[2])


def short_answers(answer: str, sentence: str, question: str) -> list[str]:
    """Concrete facts that answer and evidence share, and the question does not give away."""
    found = []
    for fact in find_facts(answer):
        texts = [fact.text]
        if fact.kind in (FactKind.DURATION, FactKind.COUNT):
            texts.append(fact.text[: -len(fact.unit)].strip(" -"))
        found += [
            text for text in texts
            if contains_phrase(sentence, text) and not contains_phrase(question, text)
        ]  # fmt: skip
    # Of '27 days' and '27' the shorter one is right wherever the longer one is.
    return [
        text for text in found if not any(t != text and contains_phrase(text, t) for t in found)
    ]


def _sentences(text: str) -> list[str]:
    return [
        " ".join(part[start:end].split())
        for part in text.split(GAP)
        for start, end in split_sentences(part)
    ]


def _about(one: Rated) -> dict[str, Any]:
    asked_as = mask_personal(one.asked_as.strip())
    return {
        "answer_id": one.answer_id,
        "rating": one.rating,
        "comment": mask_personal(one.comment),
        "said": mask_personal(one.text),
        "asked_as": asked_as if words(asked_as) != words(mask_personal(one.question)) else "",
        "mode": one.mode,
        "sources": [
            {"chunk": passage.chunk_id, "document": passage.document_id, "path": passage.document,
             "text": passage.text, "cited": number in one.cited}
            for number, passage in enumerate(one.passages, start=1)
            if not passage.is_gone
        ],
    }  # fmt: skip
