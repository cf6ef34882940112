"""Evidence: the few sentences of the found chunks that answer a question, best first.

A small language model reads three good sentences better and faster than four whole chunks.
What scores the sentences is a model behind `SentenceScorer`; choosing among them is done here.
"""

import functools
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from core.permissions import Reader
from retrieval.passages import Array, Passage, Retriever, check_limit
from retrieval.sentences import WORD, Span, leads_in, plain, split_sentences

CANDIDATES = 12
LIKELIEST = 5
"""Sentences of all chunks that the chance of an answer is reckoned from."""
JOINT = "\n"
"""Between neighbouring sentences: a line each, so that they can be told apart again."""
GAP = " … "
"""Between sentences with others left out."""
_BETWEEN = re.compile(f"{JOINT}|{GAP}")
MARKS_OF_A_PASSAGE = 6
"""Tokens that number, line break and separators of a passage take in a prompt."""


@dataclass(frozen=True)
class Candidate:
    """A chunk as the scorer reads it."""

    heading: str
    sentences: tuple[str, ...]


class SentenceScorer(Protocol):
    """Judges sentences within their chunk."""

    @property
    def name(self) -> str:
        """Identity of the weights, for provenance."""

    def score(self, question: str, candidates: Sequence[Candidate]) -> list[Array]:
        """Return for each candidate the log-odds of each sentence, (sentences,) float32.

        0 means: as likely to answer as that nothing here does.
        """


@dataclass(frozen=True)
class Calibration:
    """From scores to the order of sentences and to the chance that a question is answered.

    Fitted on sources kept out of training (Platt 1999).
    """

    rank_weight: float = 0.0
    """Added per unit of 1 / (1 + rank): how much the search's own order counts."""
    word_weight: float = 0.0
    """Added per unit of the score by words (`retrieval.evidence_words`)."""
    bias: float = 0.0
    slope: float = 1.0
    similarity_weight: float = 0.0
    """Counted per unit of the highest score of the search, its cosine."""
    total_weight: float = 0.0
    """Counted per unit of the log-odds that any sentence answers (`log_odds_of_any`)."""
    threshold: float = 0.0
    """Chance of the best sentence below which to refuse, 0 to 1; 0: never."""

    def chance(self, score: float, similarity: float = 0.0, total: float = 0.0) -> float:
        """Probability, 0 to 1, that a question is answered, were every second one answerable.

        Args:
            score: of its best sentence.
            similarity: the highest score of the chunks that the search found for it.
            total: the log-odds that any of their sentences answers.
        """
        odds = self.bias + self.slope * score
        odds += self.similarity_weight * similarity + self.total_weight * total
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, odds))))


@dataclass(frozen=True)
class Evidence:
    """What of one chunk is handed on."""

    passage: Passage
    """Text: the chosen sentences in reading order; score: chance that they answer."""
    spans: tuple[Span, ...]
    """The chosen sentences in the chunk's text."""
    best: Span
    """The sentence that answers best."""


class _Sentences(NamedTuple):
    passage: Passage
    spans: tuple[Span, ...]
    sentences: tuple[str, ...]


class _Scored(NamedTuple):
    passage: Passage
    spans: tuple[Span, ...]
    sentences: tuple[str, ...]
    scores: tuple[float, ...]
    own: Array
    """By the scorer alone, without words and order."""


class EvidenceFinder:
    """Chooses sentences. Safe to share between threads if its scorer is."""

    def __init__(
        self,
        scorer: SentenceScorer,
        count_tokens: Callable[[str], int],
        calibration: Calibration | None = None,
        words: SentenceScorer | None = None,
    ) -> None:
        """Choose by `scorer` and, as much as the calibration says, by shared `words`.

        `count_tokens` measures what is chosen; any tokenizer near the language model's does.
        """
        self._scorer = scorer
        self._words = words
        self._count = count_tokens
        self._calibration = calibration or Calibration()

    @property
    def name(self) -> str:
        """Identity of the weights, for provenance."""
        return self._scorer.name

    @property
    def threshold(self) -> float:
        """Chance of the best sentence below which to refuse, 0 to 1; 0: never."""
        return self._calibration.threshold

    def select(
        self, question: str, found: Sequence[Passage], *, limit: int, tokens: int
    ) -> list[Evidence]:
        """Choose what answers `question`, best chunk first.

        Args:
            question: as a person wrote it.
            found: chunks in the order of the search.
            limit: most chunks to take sentences from.
            tokens: most tokens of all evidence, headings included; the best sentence of all
                is taken even when it alone is longer.
        """
        scored = self._scored(question, [_cut(passage) for passage in found])
        picked = self._picked(scored, limit, tokens)
        similarity = max((passage.score for passage in found), default=0.0)
        facts = similarity, log_odds_of_any([item.own for item in scored])
        chosen = [self._evidence(scored[n], sorted(places), facts) for n, places in picked.items()]
        return sorted(chosen, key=lambda evidence: -evidence.passage.score)

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        """Return up to `count` sentences, best first: (place in `passages`, text).

        A heading or a lead-in comes with the sentence below it, where that was chosen too: alone
        it says nothing.

        Args:
            question: as a person wrote it.
            passages: as `select` chose them; their order does not matter, their scores do.
            count: most sentences.
        """
        places = {id(passage): place for place, passage in enumerate(passages)}
        best_first = sorted(passages, key=lambda passage: -passage.score)
        ranked = sorted(
            (
                (score, item, number)
                for item in self._scored(question, [_chosen(passage) for passage in best_first])
                for number, score in enumerate(item.scores)
            ),
            key=lambda found: -found[0],
        )
        said: list[tuple[int, str]] = []
        quoted: set[tuple[int, int]] = set()
        for _, item, number in ranked:
            place = places[id(item.passage)]
            whole = range(number, _end_of_quote(item, number))
            if len(said) < count and quoted.isdisjoint((place, one) for one in whole):
                quoted.update((place, one) for one in whole)
                said.append((place, " ".join(item.sentences[one] for one in whole)))
        return said

    def _scored(self, question: str, found: Sequence[_Sentences]) -> list[_Scored]:
        cut = [one for one in found if one.sentences]
        candidates = [Candidate(heading_of(one.passage), one.sentences) for one in cut]
        own = self._scorer.score(question, candidates) if candidates else []
        said = self._words.score(question, candidates) if self._words and candidates else own
        weights = self._calibration
        shared = weights.word_weight if self._words else 0.0
        return [
            _Scored(*one, tuple(map(float, row + shared * more + weights.rank_weight / rank)), row)
            for rank, (one, row, more) in enumerate(zip(cut, own, said, strict=True), start=1)
        ]

    def _picked(self, scored: Sequence[_Scored], limit: int, tokens: int) -> dict[int, set[int]]:
        """Greedy by score; what no longer fits is passed over for something shorter."""
        order = sorted(
            ((n, k) for n, item in enumerate(scored) for k in range(len(item.scores))),
            key=lambda place: -scored[place[0]].scores[place[1]],
        )
        picked: dict[int, set[int]] = {}
        said: set[str] = set()
        used = 0
        for n, k in order:
            text = scored[n].sentences[k]
            opens = n not in picked
            if text.casefold() in said or (opens and len(picked) >= limit):
                continue
            cost = self._count(text) + 1
            if opens:
                cost += self._count(heading_of(scored[n].passage)) + MARKS_OF_A_PASSAGE
            if used + cost > tokens and picked:
                continue
            picked.setdefault(n, set()).add(k)
            said.add(text.casefold())
            used += cost
        return picked

    def _evidence(
        self, item: _Scored, places: Sequence[int], facts: tuple[float, float]
    ) -> Evidence:
        best = max(places, key=lambda k: item.scores[k])
        text = joined_sentences(item.sentences, places)
        chance = self._calibration.chance(item.scores[best], *facts)
        passage = replace(item.passage, text=text, score=chance)
        return Evidence(passage, tuple(item.spans[k] for k in places), item.spans[best])


class EvidenceRetriever:
    """A retriever that hands on evidence in place of whole chunks."""

    def __init__(
        self, inner: Retriever, finder: EvidenceFinder, tokens: int, passages: int
    ) -> None:
        """Choose from what `inner` finds at most `tokens` tokens for `passages` passages.

        Who asks for more passages, as training does to have wrong ones to show, gets as many
        more tokens: each passage stays as long as people's are.
        """
        self._inner = inner
        self._finder = finder
        self._tokens = tokens
        self._passages = passages

    @property
    def version(self) -> str:
        """Identity of the searched content and of what chooses from it."""
        return f"{self._inner.version}+{self._finder.name}"

    @property
    def threshold(self) -> float:
        """Chance of the best passage below which to refuse, as the finder was calibrated."""
        return self._finder.threshold

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        """Return evidence from at most `limit` chunks, best first, all readable by `reader`.

        A passage keeps its chunk's id and place; its text is the chosen sentences, its score
        the chance (0 to 1) that they answer the query.
        """
        check_limit(limit)
        found = self._inner.search(query, limit=max(CANDIDATES, limit), reader=reader)
        tokens = self._tokens * max(limit, self._passages) // self._passages
        chosen = self._finder.select(query, found, limit=limit, tokens=tokens)
        return [evidence.passage for evidence in chosen]

    def best_sentences(
        self, question: str, passages: Sequence[Passage], count: int
    ) -> list[tuple[int, str]]:
        """Return up to `count` sentences of what was handed on, as `Quoter` does."""
        return self._finder.best_sentences(question, passages, count)


def heading_of(passage: Passage) -> str:
    """Title and place, as a prompt shows them."""
    return f"{passage.title} > {passage.location}" if passage.location else passage.title


def log_odds_of_any(scores: Sequence[Array]) -> float:
    """Log-odds that one of the likeliest sentences answers, of (sentences,) scores of chunks.

    A score is log-odds against one and the same null, so their exponentials add up. Only the
    likeliest count: the sum of all would grow with the number of chunks at hand.
    """
    likeliest = np.sort(np.concatenate([[-60.0], *scores]))[-LIKELIEST:]
    return float(np.logaddexp.reduce(likeliest))


def joined_sentences(sentences: Sequence[str], places: Sequence[int]) -> str:
    """Those at `places`, in that order, as a passage's text: never empty where `places` is not."""
    text = sentences[places[0]] if places else ""
    for before, here in itertools.pairwise(places):
        text += (JOINT if here == before + 1 else GAP) + sentences[here]
    return text


def _cut(passage: Passage) -> _Sentences:
    """A chunk, in sentences."""
    spans = tuple(split_sentences(passage.text))
    return _Sentences(passage, spans, tuple(plain(passage.text[a:b]) for a, b in spans))


def _chosen(passage: Passage) -> _Sentences:
    """What was chosen of a chunk, in the sentences it was joined from; places in its text."""
    between = [found.span() for found in _BETWEEN.finditer(passage.text)]
    starts = [0, *(end for _, end in between)]
    ends = [*(start for start, _ in between), len(passage.text)]
    found = zip(starts, ends, strict=True)
    spans = tuple((a, b) for a, b in found if WORD.search(passage.text, a, b))
    return _Sentences(passage, spans, tuple(passage.text[a:b] for a, b in spans))


def _end_of_quote(item: _Scored, number: int) -> int:
    """The number after the last sentence to be quoted with sentence `number`."""
    while number + 1 < len(item.sentences) and leads_in(item.sentences[number]):
        between = item.passage.text[item.spans[number][1] : item.spans[number + 1][0]]
        if between != JOINT:
            break
        number += 1
    return number + 1


def highlights(chunk_text: str, evidence_text: str) -> list[Span]:
    """Places of a passage's sentences in the text of its whole chunk, for a source view.

    Empty where the passage is the whole chunk, or was not chosen from this text.
    """
    spans = split_sentences(chunk_text)
    said = [plain(chunk_text[start:end]) for start, end in spans]

    @functools.cache
    def following(last: int, read: int) -> tuple[int, ...] | None:
        """The sentences after `last` that make up the evidence from the letter `read` on."""
        if read == len(evidence_text):
            return ()
        for number in range(last + 1, len(said)):
            # Answers stored before there was a line each have a space there.
            joints = ("",) if last < 0 else (JOINT, " ") if number == last + 1 else (GAP,)
            for joint in joints:
                if evidence_text.startswith(joint + said[number], read):
                    rest = following(number, read + len(joint + said[number]))
                    if rest is not None:
                        return (number, *rest)
        return None

    chosen = following(-1, 0) or ()
    return [spans[number] for number in chosen] if len(chosen) < len(spans) else []
