"""The one rule that says whether an answer is right, and why.

Accuracy, the verdict, the gate, the watch and the benchmarks all grade through `grade`. The rule is
that of open-domain question answering by containment (Mallen et al. 2023, arXiv:2212.10511): an
answer is right if one of the accepted short answers stands in it. It stands there if its tokens
(`eval.reading`) follow each other in the answer, within one sentence. So

* numbers are compared as numbers: 5 is not in 5.5, -5, 1,500, 10:30, 5 May or '5-10 days', while
  1500, 1,500, 1'500 and 1.500 are one number, '50%' is '50 percent', '$500' is '500 dollars',
  'five days' is '5 days', and '9.30 am' is '9:30'. A bare number accepts any unit, a short answer
  with a unit wants that unit. '5-10 days' is one range, neither 5 nor 10;
* what is denied was not said: 'allowed' is not in 'not allowed', 'never allowed' or 'without
  being allowed'. Only a negation directly before the phrase counts, so that 'no more than 5 days'
  still says 5 days, and none where the question itself is negative ('What is not allowed?');
* 'yes', 'no', 'true', 'false' and single letters, which stand in any text, must stand in the
  answer's opening clause, and not behind their opposite;
* markup, case, quotation marks, hyphens and dashes do not count. C++ is not C, nor A+ an A;
* scripts that do not part words are compared character by character, so a short answer may stand
  inside a longer word there (京都 in 東京都): name it as it must stand.

The rule sees words, not claims: a right phrase in a wrong sentence passes, a right answer in words
nobody listed fails. Time grows with the length of the text times that of the short answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assistant.prompts import is_refusal
from eval.reading import Kind, Token, read, same
from eval.texts import strip_markup

RULE = 2
"""Version of this rule; raised with every change of it. Summaries name it."""

_YES = frozenset(
    ("yes", "yeah", "yep", "ja", "oui", "sí", "si", "true", "sim", "是")
)  # fmt: skip
_NO = frozenset(
    ("no", "nope", "nein", "non", "false", "não", "否")
)  # fmt: skip
_NEGATORS = frozenset(
    ("not", "no", "never", "without", "neither", "nor", "non", "nicht", "kein", "keine",
     "keinen", "keiner", "keinem", "keines", "nie", "niemals", "ohne", "pas", "jamais",
     "sans", "aucun", "aucune", "nunca", "jamás", "sin", "ningún", "ninguna", "não", "sem",
     "不", "没", "沒", "未", "無", "无", "非")
)  # fmt: skip
_BETWEEN = frozenset(
    ("a", "an", "the", "any", "all", "even", "be", "been", "being", "yet", "currently",
     "usually", "always", "to", "in", "at", "on", "by", "for", "of", "longer", "mehr", "der",
     "die", "das", "den", "dem", "ein", "eine", "le", "la", "les", "un", "une", "el", "los",
     "las", "está", "es", "有", "need", "require", "have", "get", "receive", "offer", "allow",
     "permit", "accept", "provide")
)  # fmt: skip
"""What may stand between a negation and what it denies; other words end its reach, as in 'no more
than 5 days', 'not only HR' or 'not until Friday'."""
_LINKS = frozenset(
    ("is", "are", "was", "were", "may", "can", "will", "ist", "sind", "wird", "werden", "est",
     "sont")
)  # fmt: skip
_SUBJECTS = frozenset(
    ("no", "none", "nobody", "nothing", "neither", "kein", "keine", "keiner", "aucun",
     "aucune", "nadie")
)  # fmt: skip
"""'No dogs are allowed' denies 'allowed'."""
_INSTEAD = (("instead", "of"), ("rather", "than"), ("anstatt",), ("statt",), ("au", "lieu", "de"))
_REACH = 4
_ARTICLES = ("a", "an", "the")
_OPENING = re.compile(r"[,.;!?\n。，、；]|\s[-–—]+\s")
_LABEL = re.compile(
    r"(?:the\s+)?(?:(?:correct|right|short)\s+)?(?:answer|option|choice)\s*(?:is\b|:)\s*",
    re.IGNORECASE,
)
_VERBS = frozenset(
    ("is", "was", "and", "or", "because", "as", "since", "applies")
)  # fmt: skip
"""Behind these a capital A that opens an answer is a letter; before a noun it is the article."""


@dataclass(frozen=True)
class Grade:
    """The grade of one answer."""

    right: bool
    reason: str
    """In a few words."""
    short_answer: str = ""
    """The accepted answer that the reason is about."""


def grade(text: str, short_answers: Sequence[str], question: str = "") -> Grade:
    """Grade an answer.

    Args:
        text: what was answered, without citations.
        short_answers: the accepted answers; any is enough.
        question: where it is negative itself, a negation in the answer denies nothing.
    """
    said = read(text)
    denies = not _negative(question)
    found = Grade(False, "no accepted answer stands in it")
    for short in short_answers:
        wanted = _wanted(short)
        one: Grade | None
        if len(wanted) == 1 and _brief(wanted[0]):
            one = _opening(text, short.strip(), wanted[0])
        else:
            one = _standing(said, wanted, short, denies)
        if one is not None and one.right:
            return one
        found = one or found
    return found


def contains_phrase(text: str, phrase: str) -> bool:
    """Tell whether a phrase stands in a text, denied or not; see the rule above."""
    wanted = _wanted(phrase)
    return bool(wanted) and next(_places(read(text), wanted), None) is not None


def _wanted(phrase: str) -> tuple[Token, ...]:
    tokens = read(phrase)
    return tokens[1:] if len(tokens) > 1 and tokens[0].text in _ARTICLES[1:] else tokens


def _places(said: Sequence[Token], wanted: Sequence[Token]) -> Iterator[int]:
    """Where the wanted tokens stand in what was said."""
    for start in range(len(said) - len(wanted) + 1):
        first = said[start]
        cut = first.glued and not wanted[0].glued and first.kind is not Kind.WORD
        if not cut and _stand(said, start, wanted):
            yield start


def _stand(said: Sequence[Token], start: int, wanted: Sequence[Token]) -> bool:
    for place, token in enumerate(wanted):
        found = said[start + place]
        if not same(token, found) or (place and found.gap == 2 and not token.gap):
            return False
    return True


def _standing(
    said: Sequence[Token], wanted: Sequence[Token], short: str, denies: bool
) -> Grade | None:
    denied = None
    negative = any(token.text in _NEGATORS for token in wanted)
    for start in _places(said, wanted) if wanted else ():
        if negative or not denies or not _denied(said, start):
            return Grade(True, f"'{short}' stands in it", short)
        denied = Grade(False, f"'{short}' is denied in it", short)
    return denied


def _denied(said: Sequence[Token], start: int) -> bool:
    """Whether a negation stands directly before a place, in the same clause."""
    before = [token.text for token in _clause(said, start)]
    plain = [text for text in before if text not in _ARTICLES]
    if any(tuple(reversed(plain[: len(words)])) == words for words in _INSTEAD):
        return True
    for place, text in enumerate(before[:_REACH]):
        if text in _NEGATORS:
            return True
        if text in _LINKS:
            return not _SUBJECTS.isdisjoint(before[place + 1 : place + _REACH])
        if text not in _BETWEEN and (text == "only" or not text.endswith("ly")):
            return False
    return False


def _clause(said: Sequence[Token], start: int) -> Iterator[Token]:
    """The tokens of the same clause before a place, the nearest first."""
    for place in range(start, max(0, start - 2 * _REACH), -1):
        if said[place].gap:
            return
        yield said[place - 1]


def _negative(question: str) -> bool:
    return any(token.text in _NEGATORS for token in read(question))


def _brief(wanted: Token) -> bool:
    """Whether a short answer is one that stands in any text."""
    return wanted.text in _YES | _NO or re.fullmatch("[a-z]", wanted.text) is not None


def _opening(text: str, short: str, wanted: Token) -> Grade:
    """Grade by the opening clause alone."""
    opening = _LABEL.sub("", strip_markup(text).lstrip(" \n\t-*>_\"'("), count=1)
    clause = _OPENING.split(opening, maxsplit=1)[0]
    said = _agrees if wanted.text in _YES | _NO else _names
    if not is_refusal(text) and said(clause, wanted.text):
        return Grade(True, f"it opens with '{short}'", short)
    return Grade(False, f"it does not open with '{short}'", short)


def _agrees(clause: str, wanted: str) -> bool:
    first = next((t.text for t in read(clause) if t.text in _YES | _NO), "")
    return first in (_YES if wanted in _YES else _NO)


def _names(clause: str, letter: str) -> bool:
    """Whether a clause names a letter: not as an article, a pronoun or a part of 'A+'."""
    capital = letter.upper()
    if re.fullmatch(rf"\W*{letter}\W*", clause, re.IGNORECASE):
        return not re.search(r"[+#-]\W*$", clause)
    for found in re.finditer(rf"(?<![\w'’+#-]){capital}(?![\w'’+#]|-(?!\w))", clause):
        before = re.findall(r"\w+", clause[: found.start()])
        after = re.match(r"\s+([a-z]+)", clause[found.end() :])
        bare = after is None or after[1] in _VERBS or capital not in "AI"
        if (bare or (before and capital == "A")) and before[-1:] not in (["not"], ["Not"]):
            return True
    return False
