"""Questions made from a sentence by rule: the fact becomes a question word at the front.

'Employees can use up to 8 hours of leave a day.' and '8 hours' give 'Up to how many hours of
leave can employees use a day?'. English, and only sentences of a few plain shapes; for others
there is no question rather than a wrong one.
"""

import re
from dataclasses import dataclass

from assistant.citations import content_words
from eval.facts import Fact, FactKind
from eval.spots import Spot
from eval.texts import words

_AUX = (
    r"must|can|may|should|will|shall|is|are|was|were|cannot|has(?=\sbeen)|have(?=\sbeen)|has to|"
    r"have to|need to|needs to"
)
_BASE = frozenset((
    "get", "receive", "earn", "accrue", "have", "need", "cost", "take", "last", "open", "close",
    "start", "begin", "end", "work", "carry", "accumulate", "use", "report", "pay", "contribute",
    "offer", "provide", "hold", "meet", "run", "cover", "include", "require", "allow", "grant",
    "give", "spend", "limit", "expire", "become", "serve", "complete", "submit", "request",
    "send",
))  # fmt: skip
_COMMANDS = frozenset((
    "ask", "post", "contact", "email", "send", "submit", "join", "notify", "use", "request",
    "complete", "allow", "wait", "plan", "give", "schedule", "check", "reach", "make", "file",
    "read", "include", "keep", "set", "share", "add", "limit", "report", "announce", "try",
    "spend", "provide", "fill", "let", "message", "ping", "book", "return", "leave", "write",
    "put", "expect", "aim",
))  # fmt: skip
_LEAD = re.compile(
    r"^((?:If|When|For|In|During|After|Before|At|As|On|Once|Under|Unless|While|To|By|Upon|Within)"
    r"\s[^,]{3,110}),\s+(.+)$"
)
_STOP = re.compile(
    r"\s*(?:\(.*?\)|;.*|:.*|\s[-–—]\s.*|,\s(?:but|and|so|or|which|who|although|though|while|unless|"
    r"however|depending|including|as|if|when|even|whichever|not)\b.*|\s(?:--|but\s).*|"
    r"\sand\s(?:they|both|it|you|we|then|will|have|has|must)\b.*|"
    r",\s[^,]*\b(?:is|are|will|must|can|should|who|which)\b.*|,\s\w+ing\b.*|\sor\s(?:by|via)\b.*)"
)
_OF = re.compile(
    r"^\s(?:of\s(?:(?!\b(?:to|for|in|on|at|by|from|per|if|when|before|after|during|each|every|and|"
    r"within|into|with|as|prior|is|are|a|an|what|\w+ing)\b)\S+\s?){1,4})"
)
_HEDGES = (
    ("up to", "Up to {}"), ("at least", "At least {}"), ("no more than", "{} at most"),
    ("a maximum of", "{} at most"), ("a minimum of", "{} at least"), ("at most", "{} at most"),
    ("no less than", "{} at least"), ("within", "Within {}"), ("for", "For {}"),
    ("more than", "More than {}"), ("less than", "Less than {}"), ("over", "Over {}"),
    ("a total of", "{} in total"), ("about", "About {}"), ("approximately", "Approximately {}"),
    ("around", "Around {}"), ("after", "After {}"), ("only", "{}"), ("exactly", "{}"),
    ("every", ""), ("a", ""), ("an", ""), ("the", ""), ("first", ""), ("last", ""), ("next", ""),
    ("another", ""), ("by", "By {}"), ("in", "In {}"), ("of", ""), ("to", "To {}"),
    ("under", "Under {}"), ("above", "Above {}"), ("below", "Below {}"), ("from", ""),
    ("between", ""), ("since", ""), ("until", ""), ("on", "On {}"), ("at", "At {}"),
    ("before", "Before {}"), ("and", ""), ("or", ""), ("than", ""), ("with", "With {}"),
)  # fmt: skip
"""What may stand before a fact, and the question words it makes; '' where it makes none."""
_FITTING = {
    FactKind.TIME: ("at", "by", "before", "after", "until"),
    FactKind.DATE: ("on", "by", "in", "before", "after"),
    FactKind.CHANNEL: ("in", "to", "on"),
    FactKind.ADDRESS: ("at", "to"),
}
_SUBJECT = re.compile(
    r"^(?!\w+ing\b|what\b|how\b|(?:\S+\s){5,}.*\band\b)(?!.*\b(?:that|which|who|if|when|because|where|is|are|was|were|has|have|do|does|whether)\b)"
    r"[^,;:()]{2,90}$",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[,;:()/]|\s[-–—]|\b(?:that|which|who|if|when|because|where|whether|while|unless|until|as|than|"
    r"and|or|but|so|these|those|this|it|them|they|not|never)\b",
    re.IGNORECASE,
)
_LOOSE_END = re.compile(
    r"\b(?:of|for|to|with|by|in|on|at|from|into|about|under|per|the|a|an|your|their|its|or|"
    r"and|well|emailing|contacting|calling)$"
)
_POINTING = re.compile(
    r"\b(?:this|these|those|such|here|there)\b|\bafter that\b|"
    r"\b(?:it|them|they|that|following|is|are|was|were)\?$|"
    r"\b(?:is|are|was|were|will|do|does|must|should|can|may|shall)\s(?:it|they|he|she|there)\b",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(
    r"(?:for|in|on|at|by|per|from|before|after|during|each|every|within|a|prior|to|of|with|under|if|"
    r"when|until|once|without|between|over|into|as|through|long|old|away|early|ahead)\b"
)
_COMMON_OPENING = re.compile(
    r"^(?:the|a|an|all|many|each|every|your|our|any|some|most|no|new|you|we|they|he|she|people|"
    r"everyone|everybody|anyone|both|other|these|those|this|that|its|their|full|part|\w+s)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Parts:
    """A plain statement: [lead,] subject auxiliary before FACT after."""

    subject: str
    auxiliary: str
    before: str
    after: str


def question_of(spot: Spot) -> str | None:
    """The question whose answer is the fact, or None where no rule fits."""
    sentence, fact = spot.sentence.rstrip("."), spot.fact
    lead, start = "", fact.start
    led = _LEAD.match(sentence)
    if led and led.start(2) <= fact.start:
        lead, start = led[1], fact.start - led.start(2)
        sentence = led[2]
    before, after = sentence[:start], sentence[start + len(fact.text) :]
    asked = _asked(before, after, spot)
    if asked is None:
        return None
    asked = f"{lead}, {asked[:1].lower()}{asked[1:]}" if lead else asked[:1].upper() + asked[1:]
    question = re.sub(r"\s+,", ",", " ".join(asked.split())).rstrip(" ,") + "?"
    return None if _POINTING.search(question) else in_context(question, spot)


def in_context(question: str, spot: Spot) -> str:
    """Name the heading where the question does not say what it is about."""
    about = content_words(spot.heading)
    if not about or len(about & content_words(question)) * 2 > len(about):
        return question
    return f"Regarding {spot.heading}: {question[:1].lower()}{question[1:]}"


def heading_question(spot: Spot) -> str | None:
    """A question by the heading alone, where its section holds a single fact of that kind."""
    words_of = {
        FactKind.MONEY: "Which amount of money is",
        FactKind.CHANNEL: "Which Slack channel is",
        FactKind.ADDRESS: "Which e-mail address is",
    }
    asked = words_of.get(spot.fact.kind)
    if asked is None or not spot.alone or len(words(spot.heading)) < 2:
        return None
    return f"{asked} named in the section “{spot.heading}” of “{spot.document.title}”?"


def _asked(before: str, after: str, spot: Spot) -> str | None:
    fact, after = spot.fact, _STOP.sub("", after)
    if re.match(r"\s?(?:and|or|to|-)\b|[-–/]", after):
        return None
    if not before.strip():
        counted = fact.kind in (FactKind.DURATION, FactKind.COUNT, FactKind.MONEY, FactKind.SHARE)
        follows = re.match(rf"^\s(?:{_AUX})\s", after)
        return f"{_question_words(fact)}{after}" if counted and follows else None
    hedged = _hedged(before, fact)
    return None if hedged is None else _turned(*hedged, after, spot)


def _turned(made: str, before: str, after: str, spot: Spot) -> str | None:
    """Question words, auxiliary, subject, the rest."""
    fact = spot.fact
    what, after = _with_complement(_question_words(fact), after, fact, whole=made == "Within {}")
    if made.startswith("{} at") and before.endswith(" for"):
        made, before = f"For {made}", before.removesuffix(" for")
    parts = _parts(before, after)
    if parts is None or _CLAUSE.search(parts.before) or _LOOSE_END.search(parts.before):
        return None
    joins = not parts.after or _PREPOSITION.match(parts.after)
    bare = parts.auxiliary in ("is", "are", "was", "were") and not parts.before
    if not joins and (bare or fact.kind is FactKind.COUNT):
        return None
    subject = _lowered(parts.subject, spot.chunk.text)
    return f"{made.format(what)} {parts.auxiliary} {subject} {parts.before} {parts.after}"


def _with_complement(what: str, after: str, fact: Fact, *, whole: bool) -> tuple[str, str]:
    """Draw '… of leave' from behind the fact to the question words."""
    if fact.kind in (FactKind.CHANNEL, FactKind.ADDRESS, FactKind.TIME, FactKind.DATE):
        return what, re.sub(r"^\s(?:channel\s)?(?:on|in)\sSlack\b", "", after)
    tied = re.match(
        r"^\s(?:(?:before|after|prior to)\s(?:(?!\sto\s).)+|later|ago|in advance)", after
    )
    if fact.kind is FactKind.DURATION and tied:
        return what + tied[0], after[tied.end() :]
    if whole and after.startswith(" of "):
        of_all = re.match(r"^(?:(?!\sto\s).)+", after)
        return what + (of_all[0] if of_all else ""), after[of_all.end() :] if of_all else after
    of = _OF.match(after)
    if of is None:
        return what, after
    return f"{what} {of[0].strip()}", after[len(of[0].rstrip()) :]


_WORDS_OF = {
    FactKind.MONEY: "how much",
    FactKind.SHARE: "what percentage",
    FactKind.TIME: "what time",
    FactKind.CHANNEL: "which Slack channel",
    FactKind.ADDRESS: "which e-mail address",
}


def _question_words(fact: Fact) -> str:
    if fact.kind is FactKind.DATE:
        if re.match(r"\d{4}$|[A-Z][a-z]+\s\d{4}$", fact.text):
            return "what year" if fact.text.isdigit() else "what month and year"
        return "what date"
    many = fact.unit if fact.unit.endswith("s") or fact.unit == "people" else f"{fact.unit}s"
    return _WORDS_OF.get(fact.kind, f"how many {many}")


def _hedged(before: str, fact: Fact) -> tuple[str, str] | None:
    """What stood before the fact as a pattern for the question words, and what is left before."""
    text = before.rstrip()
    for hedge, made in sorted(_HEDGES, key=lambda pair: -len(pair[0])):
        if re.search(rf"(?:^|\s){hedge}$", text, re.IGNORECASE):
            fitting = _FITTING.get(fact.kind)
            if not made or (fitting is not None and hedge not in fitting):
                return None
            return made, text[: len(text) - len(hedge)].rstrip()
    return None if fact.kind in _FITTING and fact.kind is not FactKind.ADDRESS else ("{}", text)


def _parts(before: str, after: str) -> _Parts | None:
    found = re.search(rf"\s(?P<aux>{_AUX})(?=\s|$)", before)
    if found is None:
        return _command(before, after) or _present(before, after)
    subject, rest = before[: found.start()], before[found.end() :].strip()
    if not _SUBJECT.match(subject) or re.match(r"(?:and|or|but|then|also)\b", subject, re.I):
        return None
    return _with_auxiliary(subject, found["aux"], rest, after.strip())


def _with_auxiliary(subject: str, auxiliary: str, rest: str, after: str) -> _Parts | None:
    if auxiliary.endswith(" to"):
        verb = auxiliary.removesuffix(" to")
        does = "does" if verb in ("has", "needs") else "do"
        base = "have to" if verb in ("has", "have") else "need to"
        return _Parts(subject, does, f"{base} {rest}".strip(), after)
    if auxiliary == "cannot" or re.match(r"(?:not|never|only|also)\b", rest):
        return None
    if not rest and not after and auxiliary not in ("is", "are", "was", "were"):
        return None
    return _Parts(subject, auxiliary, rest, after)


def _command(before: str, after: str) -> _Parts | None:
    first, _, rest = before.partition(" ")
    if first.casefold() not in _COMMANDS:
        return None
    return _Parts("you", "should", f"{first.casefold()} {rest}".strip(), after.strip())


def _present(before: str, after: str) -> _Parts | None:
    """'The office opens' becomes 'does the office open'."""
    for found in re.finditer(r"\s([a-z]+)\b", before):
        verb, subject, rest = found[1], before[: found.start()], before[found.end() :]
        if not _SUBJECT.match(subject) or re.search(r"\sto$", subject):
            continue
        if verb in _BASE:
            head = re.split(r"\s(?:of|in|for|with|on|at|from|to)\s", subject)[0]
            plural = re.search(r"(?:[^s]s|[Yy]ou|[Ww]e|[Tt]hey|[Pp]eople)$", head)
            return _Parts(subject, "do", f"{verb}{rest}".strip(), after.strip()) if plural else None
        for base in _BASE:
            if verb in (f"{base}s", f"{base}es") or (verb, base) == ("has", "have"):
                return _Parts(subject, "does", f"{base}{rest}".strip(), after.strip())
    return None


def _lowered(subject: str, text: str) -> str:
    """Without the capital of a sentence's start, unless the word may be a name."""
    first, _, rest = subject.partition(" ")
    common = (
        _COMMON_OPENING.match(subject)
        or re.match(r"[a-z]", rest)
        or re.search(rf"\b{re.escape(first.lower())}\b", text)
    )
    if (first.isupper() and len(first) > 1) or not common:
        return subject
    return subject[:1].lower() + subject[1:]
