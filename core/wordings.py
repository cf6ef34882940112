"""What makes two questions the same question, for training data and question sets alike."""

import re
import unicodedata

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Letters of scripts in which no space ends a word (Thai, Lao, Burmese, Khmer, Chinese, Japanese,
and Korean, whose particles stand on the word), as the inside of a character class."""

_TRIMMED = str.maketrans("–—−‐‑’‘“”", "-----''\"\"", "™®©℠\u00ad\u200b\u200c\u200d\ufe0e\ufe0f")
_THOUSANDS = re.compile(r"(?<=\d)[,'](?=\d{3}(?!\d))")
_SPACED_PERCENT = re.compile(r"(?<=\d)\s+(?=%)")
_MARK = re.compile(
    r"""
      (?P<meant>
          (?<=\d)[.,:/-](?=\d)                           # 2.1, 10:30, 24/7, 5-10
        | (?<=[^\W_])\.(?=[^\W_])                        # node.js
        | (?<![^\s(\["'-])\.(?=\d) | (?<![^\s(\["'])\.(?=[^\W_])     # .5, .NET
        | (?<![^\s(\["'])-(?=\.?\d|[$€£]\d)              # -5, -$5
        | (?<=(?<![^\W_])[^\W\d_])-(?![\w-])             # A-
        | (?<!\S)/+(?!\S) | !(?==)                         # 'what does / do', !=
      )
    | [^\w\s] | _
    """,
    re.VERBOSE,
)


def normalise(text: str) -> str:
    """Fold case, width, sentence marks and white space: equal results ask the same thing.

    Characters that carry meaning stay: symbols, signs and versions, so that C++ and C#, A+ and
    A-, 5 and -5, 50 and 50%, 2.1 and 21 are different things, and so are two emoji.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_TRIMMED)).translate(_TRIMMED)
    plain = unicodedata.normalize("NFKC", plain.casefold())
    kept = _MARK.sub(_kept, _THOUSANDS.sub("", plain))
    return _SPACED_PERCENT.sub("", " ".join(kept.split()))


def normalised_words(text: str) -> tuple[str, ...]:
    """The words of a question, as its key knows them."""
    return tuple(normalise(text).split())


def telling(words: frozenset[str]) -> frozenset[str]:
    """Words that tell one thing from another: with a figure or a symbol in them.

    However much two questions share, "26 pay periods" and "13 pay periods", or C++ and C#, are
    not the same.
    """
    return frozenset(word for word in words if not word.isalpha())


def _kept(match: re.Match[str]) -> str:
    mark = match.group()
    if match["meant"] or mark in "#%&@\\":
        return mark
    return mark if unicodedata.category(mark) in ("Sm", "Sc", "So", "Mn", "Mc", "Me") else " "
