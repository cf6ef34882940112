"""What the Ask page shows, made from answers: pure translation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from assistant.conversations import Conversation, StoredAnswer, Turn
from assistant.modes import Answer, AnswerMode
from assistant.quoting import NAME as QUOTATION
from assistant.reader import READ_BY
from core.errors import InvalidInput
from retrieval.passages import Passage
from ui.markup import answer_html, duration, piece
from ui.turns import WAKING, Part, Stage

COMPARE = "compare"
"""The value of the mode picker that asks in all modes."""

MODE_CHOICES = [*((mode.label, mode.value) for mode in AnswerMode), ("Compare all four", COMPARE)]

_STATUS = {
    Stage.LOADING: WAKING,
    Stage.WAITING: "waits for its turn",
    Stage.SEARCHING: "searching the documents…",
    Stage.WRITING: "writing…",
}
_SNIPPET = 180
WITHHELD = "This answer was made from documents that are no longer open to you."

INTERRUPTED = "This answer was interrupted."
"""By a stop or a fault of the app; the question can be asked again."""


@dataclass(frozen=True)
class Card:
    """A source below an answer."""

    number: int
    title: str
    location: str
    snippet: str
    href: str
    """Empty where there is nothing to open any more."""
    cited: bool


@dataclass(frozen=True)
class AnswerView:
    """One answer, ready for its template."""

    stage: str
    mode_label: str
    adapter: str
    read_by: str
    """What read the passages in place of the plain model; '' where that did."""
    status: str
    busy: bool
    finished: bool
    html: Markup
    problem: str
    cited: list[Card]
    uncited: list[Card]
    answer_id: int | None
    rating: int
    provenance: list[tuple[str, str]]
    first_word: str
    notice: str = ""
    """Why there is nothing to read."""


def modes_of(choice: str) -> list[AnswerMode]:
    """Return the modes behind a choice of the picker."""
    if choice == COMPARE:
        return list(AnswerMode)
    if choice not in list(AnswerMode):
        raise InvalidInput(f"There is no way of answering '{choice}'. Choose one of the page.")
    return [AnswerMode(choice)]


def cards(
    passages: Sequence[Passage], cited: Sequence[int], answer_id: int | None = None
) -> list[Card]:
    """Number passages as the prompt did."""
    return [
        Card(n, p.title, place(p), snippet(p.text), source_path(p, answer_id), n in cited)
        for n, p in enumerate(passages, start=1)
    ]


def place(passage: Passage) -> str:
    """Return where in its document a passage stands, without repeating the title."""
    return passage.location.removeprefix(passage.title).removeprefix(" > ")


def source_path(passage: Passage, answer_id: int | None = None) -> str:
    """Where a passage can be read in its document; of an answer, with its sentences marked."""
    if passage.is_gone:
        return ""
    answer = "" if answer_id is None else f"&answer={answer_id}"
    return f"/source/{passage.chunk_id}?document={passage.document_id}{answer}#passage"


def snippet(text: str) -> str:
    """Return the beginning of a passage on one line."""
    flat = " ".join(text.split())
    if len(flat) <= _SNIPPET:
        return flat
    return flat[:_SNIPPET].rsplit(" ", 1)[0] + " …"


def view_of_part(part: Part) -> AnswerView:
    """Translate an answer that may still be under way."""
    if part.answer is not None:
        return view_of_answer(part.answer, part.answer_id)
    numbered = cards(part.passages, ())
    return AnswerView(
        stage=part.stage.value,
        mode_label=part.mode.label,
        adapter="",
        read_by="",
        status=_STATUS.get(part.stage, ""),
        busy=part.stage in (Stage.LOADING, Stage.SEARCHING, Stage.WRITING),
        finished=False,
        html=answer_html(part.text) if part.text else Markup(""),
        problem=part.problem,
        cited=[],
        uncited=numbered,
        answer_id=None,
        rating=0,
        provenance=[],
        first_word=duration(part.first_word_s),
    )


def view_of_answer(answer: Answer, answer_id: int | None, rating: int = 0) -> AnswerView:
    """Translate a stored answer."""
    numbered = cards(answer.passages, answer.cited, answer_id)
    return AnswerView(
        stage=Stage.DONE.value,
        mode_label=answer.mode.label,
        adapter=answer.adapter or "",
        read_by=READ_BY.get(str(answer.provenance.get("reader")), ""),
        status="cut short" if answer.cut_off else "",
        busy=False,
        finished=True,
        html=answer_html(answer.text or "(nothing was said)", [c.href or None for c in numbered]),
        problem="",
        cited=[card for card in numbered if card.cited],
        uncited=[card for card in numbered if not card.cited],
        answer_id=answer_id,
        rating=rating,
        provenance=provenance_rows(answer),
        first_word=duration(answer.timing.first_token_s) if answer.timing.total_s else "",
    )


def view_of_stored(stored: StoredAnswer, *, answering: bool = False) -> AnswerView:
    """Translate an answer with the rating its reader gave.

    Args:
        stored: the answer.
        answering: its conversation's newest question is being answered right now.
    """
    if stored.withheld:
        nothing = view_of_part(Part(stored.answer.mode, Stage.DONE))
        return replace(nothing, notice=WITHHELD)
    if stored.unfinished:
        answer = stored.answer
        stage = Stage.WRITING if answering else Stage.FAILED
        part = Part(answer.mode, stage, answer.text, answer.passages)
        return view_of_part(replace(part, problem="" if answering else INTERRUPTED))
    return view_of_answer(stored.answer, stored.id, stored.rating)


def provenance_rows(answer: Answer) -> list[tuple[str, str]]:
    """Say in rows how an answer was made."""
    facts: dict[str, Any] = answer.provenance
    timing = answer.timing
    rows = [
        ("Mode", answer.mode.label),
        ("Model", facts.get("model")),
        ("Adapter", _adapter(answer)),
        ("Read by", _reader(answer)),
        ("Searched for", facts.get("query")),
        ("Index version", _short(facts.get("index_version"))),
        ("Prompt version", facts.get("prompt_version")),
        ("Decoding", _sampling(facts.get("sampling"))),
        ("Search", duration(timing.search_s) if answer.mode.uses_retrieval else None),
        ("First word after", duration(timing.first_token_s)),
        ("In all", duration(timing.total_s)),
        ("Tokens read / written", f"{timing.prompt_tokens:,} / {timing.answer_tokens:,}"),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def turn_html(question: str, answers: Sequence[AnswerView]) -> Markup:
    """Render a question with its answer, or its answers side by side."""
    return piece("turn.html", question=question, answers=answers)


def thread_html(turns: Sequence[Markup]) -> str:
    """Render a conversation."""
    return piece("thread.html", turns=turns)


def running_html(question: str, parts: Sequence[Part]) -> str:
    """Render a turn that is under way."""
    return thread_html([turn_html(question, [view_of_part(part) for part in parts])])


def conversation_html(conversation: Conversation, *, answering: bool = False) -> str:
    """Render a stored conversation: answers to one question, given together, side by side."""
    return thread_html(
        [
            turn_html(
                turn.question,
                [
                    view_of_stored(one, answering=answering and turn is conversation.turns[-1])
                    for one in turn.answers
                ],
            )
            for turn in conversation.turns
        ]
    )


def without(conversation: Conversation, answer_ids: Sequence[int]) -> Conversation:
    """Return a conversation without some answers, and without questions that then have none."""
    left = [
        replace(turn, answers=tuple(one for one in turn.answers if one.id not in answer_ids))
        for turn in conversation.turns
    ]
    return replace(conversation, turns=tuple(turn for turn in left if turn.answers))


def interrupted(conversation: Conversation) -> Turn | None:
    """Return the newest question if an answer to it was interrupted."""
    newest = conversation.turns[-1] if conversation.turns else None
    return newest if newest and any(one.unfinished for one in newest.answers) else None


def _adapter(answer: Answer) -> str | None:
    if answer.adapter is None:
        return None
    digest = _short(answer.provenance.get("adapter_hash"))
    return f"{answer.adapter} ({digest})" if digest else answer.adapter


def _reader(answer: Answer) -> str | None:
    if not answer.provenance.get("reader"):
        return None
    if answer.provenance["reader"] == QUOTATION:
        return "no language model: the best sentences, quoted"
    return f"the built-in reader ({_short(answer.provenance.get('adapter_hash'))})"


def _short(value: Any) -> str:
    return str(value or "")[:12]


def _sampling(sampling: Any) -> str | None:
    if not isinstance(sampling, dict):
        return None
    temperature = float(sampling.get("temperature") or 0.0)
    how = f"temperature {temperature:g}" if temperature else "greedy"
    return f"{how}, at most {sampling.get('max_tokens')} tokens"
