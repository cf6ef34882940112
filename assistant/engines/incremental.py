"""Small parts of decoding that need no torch: text from tokens, batches from lengths."""

from collections.abc import Callable, Sequence


class IncrementalText:
    """Turns tokens into text piece by piece; a letter made of several tokens comes out whole.

    Method: decode from a boundary some tokens back, emit what was added, hold back while the
    end is an unfinished UTF-8 sequence (as vLLM and TGI do).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """`decode` turns token ids into text, dropping special tokens."""
        self._decode = decode
        self._ids: list[int] = []
        self._start = 0
        self._read = 0

    def push(self, token: int) -> str:
        """Add a token; return the text that is now certain, often one word, maybe nothing."""
        self._ids.append(token)
        before, whole = self._texts()
        if whole.endswith("�") or len(whole) <= len(before):
            return ""
        self._start, self._read = self._read, len(self._ids)
        return whole[len(before) :]

    def finish(self) -> str:
        """Return what was held back."""
        before, whole = self._texts()
        self._read = len(self._ids)
        return whole[len(before) :]

    def _texts(self) -> tuple[str, str]:
        before = self._decode(self._ids[self._start : self._read])
        return before, self._decode(self._ids[self._start :])


def plan_batches(lengths: Sequence[int], extra: int, *, tokens: int, rows: int) -> list[list[int]]:
    """Group positions of `lengths` by like length, longest first, evenly where that fits.

    Args:
        lengths: prompt lengths in tokens.
        extra: tokens each row may grow by.
        tokens: most tokens of one batch, padding and growth included.
        rows: most rows of one batch.

    Returns:
        Lists of positions; together each position once. A row longer than `tokens` is alone.
    """
    full = _filled(lengths, extra, tokens, rows)
    if not full:
        return full
    # A last batch of few rows would cost nearly as much a token as a full one.
    even = _filled(lengths, extra, tokens, -(-len(lengths) // len(full)))
    return even if len(even) == len(full) else full


def _filled(lengths: Sequence[int], extra: int, tokens: int, rows: int) -> list[list[int]]:
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        current = batches[-1] if batches else []
        width = (lengths[current[0]] if current else lengths[position]) + extra
        if current and len(current) < rows and (len(current) + 1) * width <= tokens:
            current.append(position)
        else:
            batches.append([position])
    return batches


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Length of the opening that all rows share; leaves at least one token of the shortest."""
    limit = min(len(row) for row in rows) - 1
    first = rows[0]
    for place in range(limit):
        if any(row[place] != first[place] for row in rows):
            return place
    return max(0, limit)
