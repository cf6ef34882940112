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

from sacrebleu.metrics import CHRF

from eval.texts import contains_phrase, fold, strip_markup, words

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = re.compile(r"[^\w\s]|_")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)\b[A-Z][\w&'-]+(?:\s+[A-Z][\w&'-]+)*")
_FUNCTION_WORDS = """
a about after all also an and any are as at be because been before but by can could do does
for from had has have he her his how i if in into is it its may more most must my no not of
on one only or other our out over she should so some such than that the their them then there
these they this those to up us was we were what when where which who will with would you your
i'm don t s
"""
_STOPWORDS = frozenset(_FUNCTION_WORDS.split())


def is_right(text: str, short_answers: Sequence[str]) -> bool:
    """Any short answer stands in the text, any case, on word boundaries.

    The grading rule of open-domain QA by containment (Mallen et al. 2023, arXiv:2212.10511),
    with word boundaries so that '24' is not found in '240'.
    """
    return any(contains_phrase(text, answer) for answer in short_answers)


def squad_tokens(text: str) -> list[str]:
    """SQuAD v1.1 normalisation (Rajpurkar et al. 2016): case, punctuation, articles, spaces."""
    return _ARTICLES.sub(" ", _MARKS.sub("", fold(text))).split()


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
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F-measure with Porter stemming (Lin 2004; Google's `rouge_score`)."""
    return float(_rouge().score(reference, text)["rougeL"].fmeasure)


@lru_cache(maxsize=1)
def _chrf() -> Any:
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
    said = strip_markup(text)
    joined = fold(" ".join(strip_markup(source) for source in sources))
    claims = [*_NUMBER.findall(said), *(match.group() for match in _NAME.finditer(said))]
    return [claim for claim in dict.fromkeys(claims) if not contains_phrase(joined, claim)]


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
