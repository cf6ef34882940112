"""Measures of one answer. Small pure functions; each names its source.

Shares are 0 to 1. `None` means "not defined for this answer" and is left out of every mean:
a missing measurement is never a zero.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.wordings import UNSPACED
from eval.grading import contains_phrase, grade
from eval.quantities import readings
from eval.reading import Kind, Token, read
from eval.texts import fold, strip_markup, words

_ARTICLES = ("a", "an", "the")
_MARKS = re.compile(
    r"(?!(?<=\d)[.,:]\d)(?!(?<!\S)-[.\d])(?!(?<=[^\W\d_])[+#])(?!(?<=[^\W\d_]\+)\+)[^\w\s]|_"
)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)\b[A-Z][\w&'-]+(?:\s+[A-Z][\w&'-]+)*")
_FUNCTION_WORDS = """
a about after all also an and any are as at be because been before but by can could do does
for from had has have he her his how i if in into is it its may more most must my no not of
on one only or other our out over she should so some such than that the their them then there
these they this those to up us was we were what when where which who will with would you your
i'm don t s
"""
_STOPWORDS = frozenset(_FUNCTION_WORDS.split())


def is_right(text: str, short_answers: Sequence[str], question: str = "") -> bool:
    """Any short answer stands in the text, by the one rule of `eval.grading`."""
    return grade(text, short_answers, question).right


def squad_tokens(text: str) -> list[str]:
    """SQuAD v1.1 normalisation (Rajpurkar et al. 2016): case, punctuation, articles, spaces.

    Other than there, marks that make another thing of a number or a name stay: 3.5 is not 35, -5
    not 5, C++ not C, while 1,500 is 1500. Scripts that do not part words are split into
    characters, as is usual for them (Cui et al. 2019, CMRC): white space is no measure there.
    """
    kept = _UNSPACED.sub(r" \g<0> ", _MARKS.sub("", fold(text)))
    return [_figure(token) for token in kept.split() if token not in _ARTICLES]


def _figure(token: str) -> str:
    sign, digits = ("-", token[1:]) if token.startswith("-") else ("", token)
    return f"{sign}{values[0]}" if (values := readings(digits)) else token


def exact_match(text: str, references: Sequence[str]) -> float:
    """1.0 if the text equals any reference after SQuAD normalisation."""
    said = squad_tokens(text)
    return float(any(said == squad_tokens(reference) for reference in references))


@dataclass(frozen=True)
class Overlap:
    """Token precision, recall and F1, each 0 to 1."""

    precision: float
    recall: float
    f1: float


def token_overlap(text: str, references: Sequence[str]) -> Overlap:
    """SQuAD token overlap with the reference that gives the highest F1 (Rajpurkar et al. 2016)."""
    best = Overlap(0.0, 0.0, 0.0)
    said = squad_tokens(text)
    for reference in references:
        wanted = squad_tokens(reference)
        common = sum((Counter(said) & Counter(wanted)).values())
        if common == 0:
            continue
        precision, recall = common / len(said), common / len(wanted)
        f1 = 2 * precision * recall / (precision + recall)
        if f1 > best.f1:
            best = Overlap(precision, recall, f1)
    return best


@lru_cache(maxsize=1)
def _rouge() -> Any:
    # rouge_score brings all of nltk with it: seconds that `--help` need not wait for.
    from rouge_score import rouge_scorer, tokenizers

    class Words(tokenizers.Tokenizer):  # type: ignore[misc]
        """Of ASCII text the library's own words; it drops every other letter, so those are ours."""

        def __init__(self) -> None:
            self._ascii = tokenizers.DefaultTokenizer(use_stemmer=True)

        def tokenize(self, text: str) -> list[str]:
            if text.isascii():
                return list(self._ascii.tokenize(text))
            return [word for said in words(text) for word in self._ascii.tokenize(said) or [said]]

    return rouge_scorer.RougeScorer(["rougeL"], tokenizer=Words())


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F-measure with Porter stemming (Lin 2004; Google's `rouge_score`).

    The library knows no letters but ASCII's; of other texts the words of `eval.texts` are compared.
    """
    return float(_rouge().score(reference, text)["rougeL"].fmeasure)


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()


def chrf(text: str, reference: str) -> float:
    """Sentence chrF, 0 to 1 (Popović 2015; `sacrebleu`, character 6-grams, beta 2)."""
    return float(_chrf().sentence_score(text, [reference]).score) / 100.0


def crag_point(right: bool, refused: bool, answerable: bool) -> float:
    """CRAG's truthfulness (Yang et al. 2024, arXiv:2406.04744): right +1, refused 0, wrong -1.

    On an unanswerable question the refusal is the right answer.
    """
    if not answerable:
        return 1.0 if refused else -1.0
    if right:
        return 1.0
    return 0.0 if refused else -1.0


def _longest_run(needle: Sequence[str], hay: Sequence[str]) -> int:
    """Length of the longest contiguous run of words in both. Quadratic in words, small inputs."""
    best, previous = 0, [0] * (len(hay) + 1)
    for word in needle:
        current = [0] * (len(hay) + 1)
        for at, other in enumerate(hay, start=1):
            if word == other:
                current[at] = previous[at - 1] + 1
        best = max(best, *current)
        previous = current
    return best


def holds_quote(passage: str, quote: str, *, same_document: bool = False) -> bool:
    """Tell whether a passage holds an evidence quote, both without markup.

    Held: all the quote's words in order; or three quarters of them (five at least) in one run,
    because a chunk may cut a quote; or, in the document the quote comes from, 85% of its words in
    any order, because tables and spreadsheets are laid out anew when they are read.
    """
    wanted, found = words(quote), words(passage)
    if not wanted:
        return False
    shared = set(wanted) & set(found)
    if len(shared) < 0.75 * len(set(wanted)):
        return False
    if same_document and len(shared) >= 0.85 * len(set(wanted)):
        return True
    needed = len(wanted) if len(wanted) < 5 else max(5, math.ceil(0.75 * len(wanted)))
    return _longest_run(wanted, found) >= needed


def reciprocal_rank(relevant: Sequence[bool]) -> float:
    """1 / rank of the first relevant passage, 0 if there is none."""
    return next((1.0 / rank for rank, hit in enumerate(relevant, start=1) if hit), 0.0)


def recall_at(relevant: Sequence[bool], k: int) -> float:
    """1.0 if a relevant passage is among the first `k`. One fact, so recall is hit rate."""
    return float(any(relevant[:k]))


def ndcg(relevant: Sequence[bool]) -> float:
    """Normalised DCG with one fact to find (Järvelin & Kekäläinen 2002): 1 / log2(1 + first rank).

    Further chunks that repeat the evidence add nothing: the fact is found once.
    """
    return next((1.0 / math.log2(1 + r) for r, hit in enumerate(relevant, start=1) if hit), 0.0)


def groundedness(text: str, passages: Sequence[str]) -> float | None:
    """Share of the answer's content words that stand in the passages; None without any.

    Lexical support, the precision side of K-F1 (Shuster et al. 2021, arXiv:2104.07567). Not
    validated against human labels: it sees words, not claims.
    """
    content = [word for word in words(text) if word not in _STOPWORDS]
    if not content:
        return None
    found = {word for passage in passages for word in words(passage)}
    return sum(word in found for word in content) / len(content)


def unsupported(text: str, sources: Sequence[str]) -> list[str]:
    """Numbers and names of the answer that stand in no source (passages and the question).

    Names are capitalised words not at a sentence's start; dates and amounts show as numbers.
    """
    joined = "\n\n".join(sources)
    known = {figure for token in read(joined) for figure in _figures(token)}
    numbers = [
        token.text for token in read(text)
        if re.search(r"\d", token.text) and known.isdisjoint(_figures(token))
    ]  # fmt: skip
    names = [match.group() for match in _NAME.finditer(strip_markup(text))]
    missing = [name for name in names if not contains_phrase(joined, name)]
    return list(dict.fromkeys([*numbers, *missing]))


def _figures(token: Token) -> set[object]:
    """What a number can be known by, whatever it counts; a range by its ends."""
    if token.kind in (Kind.CODE, Kind.WORD):
        return {token.text}
    clock = 720 if token.kind is Kind.TIME else 0
    return {(bool(clock), value % clock if clock else value) for value in token.values}


def citation_precision(cited: Sequence[int], relevant: Sequence[bool]) -> float | None:
    """Share of cited passages that hold the evidence; None if nothing was cited.

    As in ALCE (Gao et al. 2023, arXiv:2305.14627) with the evidence quote in place of an NLI model.
    """
    if not cited:
        return None
    return sum(_holds(number, relevant) for number in cited) / len(cited)


def citation_recall(cited: Sequence[int], relevant: Sequence[bool]) -> float | None:
    """1.0 if a passage with the evidence is cited; None if no passage held it."""
    if not any(relevant):
        return None
    return float(any(_holds(number, relevant) for number in cited))


def _holds(number: int, relevant: Sequence[bool]) -> bool:
    return 1 <= number <= len(relevant) and relevant[number - 1]
