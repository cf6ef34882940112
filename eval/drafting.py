"""Proposed questions from documents: a model's and a rule's wordings, checked without mercy.

Whatever words a question, the answer is a concrete fact of a sentence that stands in a document,
and a question is kept only if fixed checks find nothing against it. A person reviews the rest.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from assistant.citations import content_words
from assistant.engines.base import LanguageModel, Sampling
from assistant.modes import Message
from eval.candidates import Proposal, Source, key_of
from eval.facts import FactKind
from eval.grading import contains_phrase
from eval.near import Wordings
from eval.questions import Kind
from eval.spots import Spot
from eval.templates import heading_question, question_of
from eval.texts import words

TOKENS = 48
"""Longest question a model may write."""
FEWEST_WORDS, MOST_WORDS = 5, 45
GROUNDED = 0.85
"""Least share of a question's content words that stand in sentence, heading or title."""
SAID = 2
"""Least number of content words that question and sentence share."""

_ASKS = re.compile(
    r"\b(?:how (?:many|much|long|often|soon|far|old)|what|which|when|where|who)\b", re.IGNORECASE
)
_FITTING = {
    FactKind.MONEY: r"\bhow much\b|\b(?:what|which)\b.*\b(?:amount|cost|price|limit|fee|fare|rate|"
                    r"allowance|salary|sum|maximum|minimum|bonus|budget|threshold)",
    FactKind.SHARE: r"\b(?:percent|percentage|share|how much|rate|portion|fraction)",
    FactKind.TIME: r"\b(?:what time|which time|when)\b",
    FactKind.DATE: r"\b(?:when|(?:what|which) (?:date|day|year|month)|deadline)\b",
    FactKind.CHANNEL: r"\bchannel\b|\bwhere\b",
    FactKind.ADDRESS: r"\b(?:address|e-?mail)\b",
    FactKind.DURATION: r"\bhow (?:many|long|soon|far|old|often)\b|\bnumber of\b|\bwhen\b",
    FactKind.COUNT: r"\bhow many\b|\bnumber of\b",
}  # fmt: skip
_LEFTOVER = re.compile(r"\b(?:sentence|passage|text above|question|answer)\s*:", re.IGNORECASE)
_POINTING = re.compile(r"\b(?:this|these|those)\b|\b(?:it|them|they|that)\?$", re.IGNORECASE)

_ENDING = re.compile(r"(?:'s|ing|ed|es|s|e)$")
_ASKING = frozenset({
    "how", "many", "much", "what", "which", "when", "who", "wher", "long", "often", "soon", "tim",
    "dat", "day", "year", "month", "amount", "number", "percentag", "regard", "nam", "section",
    "slack", "channel", "mail", "addres", "up", "least", "most", "maximum",
})  # fmt: skip
"""What asking itself brings along, as `_stems` writes it."""

_SYSTEM = (
    "You write one short question for a test about a company's documents. The given answer, and "
    "nothing else, must answer it. Do not write the answer."
)
_SHOTS: dict[FactKind, tuple[tuple[str, str, str, str], ...]] = {
    FactKind.DURATION: (
        ("Parental leave", "Employees receive 16 weeks of paid leave after the birth of a child.",
         "16 weeks",
         "How many weeks of paid leave do employees receive after the birth of a child?"),
        ("Complaints", "A complaint is answered by the support team within 3 days.", "3 days",
         "Within how many days is a complaint answered by the support team?"),
    ),
    FactKind.COUNT: (
        ("Interviews", "An applicant is interviewed by 4 people from two departments.", "4 people",
         "How many people from two departments interview an applicant?"),
        ("Library", "Everybody may borrow up to 5 books from the library.", "5 books",
         "Up to how many books may everybody borrow from the library?"),
    ),
    FactKind.MONEY: (
        ("Equipment", "The company pays up to $400 for a desk at home.", "$400",
         "Up to how much does the company pay for a desk at home?"),
        ("Parking", "A place in the garage costs $35 a month.", "$35",
         "How much does a place in the garage cost a month?"),
    ),
    FactKind.SHARE: (
        ("Pension", "The company adds 6% of the salary to the pension fund.", "6%",
         "What percentage of the salary does the company add to the pension fund?"),
        ("Tests", "New code should have tests for 90 percent of its lines.", "90 percent",
         "For what percentage of its lines should new code have tests?"),
    ),
    FactKind.DATE: (
        ("Expenses", "Receipts must be handed in by March 31.", "March 31",
         "By what date must receipts be handed in?"),
        ("History", "The office in Lisbon was opened in 2014.", "2014",
         "In what year was the office in Lisbon opened?"),
    ),
    FactKind.TIME: (
        ("Canteen", "The canteen closes at 2:30 pm on Fridays.", "2:30 pm",
         "At what time does the canteen close on Fridays?"),
        ("Stand-up", "The team meets every morning at 9:15 in the kitchen.", "9:15",
         "At what time does the team meet every morning in the kitchen?"),
    ),
    FactKind.CHANNEL: (
        ("Badges", "Report a lost badge in #front-desk.", "#front-desk",
         "In which channel is a lost badge reported?"),
        ("Travel", "For help with a visa, post to #travel-questions.", "#travel-questions",
         "In which channel do you post for help with a visa?"),
    ),
    FactKind.ADDRESS: (
        ("Invoices", "Invoices are sent to bills@example.com.", "bills@example.com",
         "To which e-mail address are invoices sent?"),
        ("Security", "Report a stolen laptop to alarm@example.com.", "alarm@example.com",
         "To which e-mail address do you report a stolen laptop?"),
    ),
}  # fmt: skip
_USUAL = (FactKind.DURATION, FactKind.MONEY, FactKind.DATE, FactKind.CHANNEL)


@dataclass(frozen=True)
class Draft:
    """A wording that passed every check."""

    spot: Spot
    question: str
    made_by: str
    """'model', 'rule' or 'heading'."""


@dataclass
class Tally:
    """What became of the sentences that were tried."""

    tried: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    """By what made the question."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Sentences without a question, by what was against the last wording of each."""

    def as_json(self) -> dict[str, Any]:
        """For a report, and to go on from."""
        return {
            "tried": self.tried,
            "survived": self.kept.total(),
            "made_by": dict(self.kept),
            "dropped": dict(self.dropped.most_common()),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Tally":
        """Read what `as_json` wrote."""
        return cls(found["tried"], Counter(found["made_by"]), Counter(found["dropped"]))


def prompts_for(spot: Spot) -> list[tuple[Message, ...]]:
    """Two prompts: examples of this sort of fact, and examples of several sorts."""
    same = _SHOTS.get(spot.fact.kind, ())
    return [_prompt(spot, same), _prompt(spot, tuple(_SHOTS[kind][0] for kind in _USUAL))]


def _prompt(spot: Spot, shots: Sequence[tuple[str, str, str, str]]) -> tuple[Message, ...]:
    turns = [Message("system", _SYSTEM)]
    for heading, sentence, answer, question in shots:
        turns += [
            Message("user", _asked(heading, sentence, answer)),
            Message("assistant", question),
        ]
    asked = _asked(spot.heading, spot.sentence, spot.fact.text)
    return (*turns, Message("user", asked))


def _asked(heading: str, sentence: str, answer: str) -> str:
    return f"About: {heading}\nSentence: {sentence}\nAnswer: {answer}"


def tidy(text: str) -> str:
    """The first question of what a model said, on one line."""
    line = next((line for line in text.strip().splitlines() if line.strip()), "")
    line = re.sub(r"^\W*(?:question\s*:)?\s*", "", line, flags=re.IGNORECASE)
    return line.partition("?")[0].strip() + "?" if "?" in line else line.strip()


def objection(question: str, spot: Spot, taken: Wordings) -> str:
    """Why a question cannot be kept, in a few words; '' if nothing is against it.

    Args:
        question: as proposed.
        spot: the sentence and the fact that is its answer.
        taken: questions that are asked or trained on already.
    """
    known = _stems(f"{spot.sentence} {spot.heading} {spot.document.title}")
    said = _stems(question) - _ASKING
    checks: tuple[tuple[str, bool], ...] = (
        ("not a question", not question.endswith("?") or not _ASKS.search(question)),
        ("too short or too long", not FEWEST_WORDS <= len(words(question)) <= MOST_WORDS),
        ("the answer is not in the sentence", not contains_phrase(spot.sentence, spot.fact.text)),
        ("gives its answer away", _gives_away(question, spot)),
        ("asks for another sort of answer", not _fits(question, spot)),
        ("points at something unnamed", bool(_POINTING.search(question))),
        ("leftovers of the prompt", bool(_LEFTOVER.search(question))),
        ("says what the sentence does not", _share(said, known) < GROUNDED),
        ("hardly about the sentence", len(said & _stems(spot.sentence)) < SAID),
        ("asked already", taken.nearest(question) is not None),
    )
    return next((name for name, against in checks if against), "")


def _stems(text: str) -> frozenset[str]:
    """Content words without the commonest endings: 'expires' and 'expire' are one."""
    return frozenset(_ENDING.sub("", word) or word for word in content_words(text))


def _share(some: frozenset[str], known: frozenset[str]) -> float:
    return len(some & known) / len(some) if some else 0.0


def _gives_away(question: str, spot: Spot) -> bool:
    number = spot.fact.text[: len(spot.fact.text) - len(spot.fact.unit)].strip(" -")
    return contains_phrase(question, spot.fact.text) or (
        bool(spot.fact.unit) and contains_phrase(question, number)
    )


def _fits(question: str, spot: Spot) -> bool:
    wanted = _FITTING.get(spot.fact.kind, "")
    if not re.search(wanted, question, re.IGNORECASE):
        return False
    many = re.search(r"\bhow many (\w+)", question, re.IGNORECASE)
    if many is None or spot.fact.kind not in (FactKind.DURATION, FactKind.COUNT):
        return True
    return many[1].rstrip("s") in {word.rstrip("s") for word in words(spot.fact.unit)}


class Drafter:
    """Makes questions of sentences with a language model, and with rules where it fails."""

    def __init__(self, model: LanguageModel | None, taken: Wordings) -> None:
        """Use `model`; None: rules only. `taken` are wordings not to be asked again."""
        self._model = model
        self._taken = taken
        self._made: list[str] = []

    def draft(self, spots: Sequence[Spot], tally: Tally) -> list[Draft]:
        """Return a question for each sentence where one passes; the tally counts the rest.

        A rule's wording comes first where one fits: it says what the sentence says. Then the
        model's, its prompts in their order, then one by the heading.
        """
        kept: list[Draft] = []
        wordings = self._wordings(spots)
        for spot, proposed in zip(spots, wordings, strict=True):
            tally.tried += 1
            reason = "no wording"
            made = Wordings(self._made)
            for made_by, question in proposed:
                reason = objection(question, spot, self._taken) or objection(question, spot, made)
                if not reason:
                    self._made.append(question)
                    kept.append(Draft(spot, question, made_by))
                    tally.kept[made_by] += 1
                    break
            if reason:
                tally.dropped[reason] += 1
        return kept

    def _wordings(self, spots: Sequence[Spot]) -> list[list[tuple[str, str]]]:
        found: list[list[tuple[str, str]]] = []
        for spot in spots:
            ruled = question_of(spot)
            found.append([("rule", ruled)] if ruled else [])
        # A model is asked only where no rule fits: each question costs seconds.
        left = [number for number, proposed in enumerate(found) if not proposed]
        if self._model is not None and left:
            prompts = [prompts_for(spots[number]) for number in left]
            flat = [prompt for pair in prompts for prompt in pair]
            said = self._model.generate_batch(
                flat, adapter=None, sampling=Sampling(max_tokens=TOKENS)
            )
            for place, number in enumerate(left):
                own = said[place * 2 : place * 2 + 2]
                found[number] += [("model", tidy(one.text)) for one in own]
        for number in left:
            last = heading_question(spots[number])
            if last:
                found[number].append(("heading", last))
        return found


def spread_spots(by_document: Sequence[Sequence[Spot]]) -> Iterator[Spot]:
    """One sentence of each document in turn; first those that a rule understands."""
    plain = [[spot for spot in spots if question_of(spot)] for spots in by_document]
    other = [[spot for spot in spots if not question_of(spot)] for spots in by_document]
    for part in (plain, other):
        for row in zip_longest(*part):
            yield from (spot for spot in row if spot is not None)


def proposal_of(draft: Draft) -> Proposal:
    """Put a draft into the form that a person reviews."""
    spot = draft.spot
    fact = spot.fact
    short = [fact.text]
    number = fact.text[: len(fact.text) - len(fact.unit)].strip(" -")
    if fact.unit and len(words(number)) == 1 and number.isdigit():
        short = [number]
    row = {
        "question": draft.question,
        "answer": fact.text,
        "short_answers": short,
        "kind": Kind.UNSEEN.value,
        "evidence_file": spot.document.path,
        "evidence_quote": spot.quote,
        "tags": [],
    }
    about = {
        "made_by": draft.made_by, "document": spot.document.id, "chunk": spot.chunk.id,
        "path": spot.document.path, "heading": spot.heading, "sentence": spot.sentence,
        "start": fact.start, "end": fact.end,
    }  # fmt: skip
    return Proposal(Source.DOCUMENTS, spot_key(spot), row, about)


def spot_key(spot: Spot) -> str:
    """Identity of a fact in a sentence, whatever question is asked about it."""
    return key_of(Source.DOCUMENTS, spot.document.path, spot.sentence, spot.fact.text)
