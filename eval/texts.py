"""Texts made comparable: markup stripped, white space and typography folded.

Every comparison of this package goes through here, so that a quote kept as raw markdown and the
same sentence in a clean chunk are the same words.
"""

import html
import re
import unicodedata

from core.wordings import UNSPACED

TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})
# Each stops where its own opening comes again: a text of nothing but openings costs no more.
_TEMPLATE = re.compile(r"\{\{[^{}\n]*\}\}|\{%[^{}\n]*%\}|\{:[^{}\n]*\}")
_IMAGE_OR_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+(?:[.,:]\d+)*(?:\+\+|[+#](?!\w))?")


def fold(text: str) -> str:
    """Lower case, straight quotes and dashes, single spaces; words and marks stay."""
    plain = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHY)
    return " ".join(plain.casefold().split())


def strip_markup(text: str) -> str:
    """Drop markdown links' addresses, HTML tags and entities, and template commands."""
    text = _TEMPLATE.sub(" ", html.unescape(text))
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    return _TAG.sub(" ", text)


def words(text: str) -> list[str]:
    """Words of `text` without markup; '1,500', '9:30' and 'C++' stay whole, underscores are marks.

    Where no space parts words, every character is one.
    """
    return _WORD.findall(fold(strip_markup(text)).replace("_", " "))
