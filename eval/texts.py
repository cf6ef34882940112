"""Texts made comparable: markup stripped, white space and typography folded.

Every comparison of this package goes through here, so that a quote kept as raw markdown and the
same sentence in a clean chunk are the same words.
"""

import html
import re
import unicodedata

_TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{:.*?\}")
_IMAGE_OR_LINK = re.compile(r"!?\[([^\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\])")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_WORD = re.compile(r"\w+(?:[.,:]\d+)*")
_CITATION = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")


def fold(text: str) -> str:
    """Lower case, straight quotes and dashes, single spaces; words and marks stay."""
    plain = unicodedata.normalize("NFKC", text).translate(_TYPOGRAPHY)
    return " ".join(plain.casefold().split())


def strip_markup(text: str) -> str:
    """Drop markdown links' addresses, HTML tags and entities, and template commands."""
    text = _TEMPLATE.sub(" ", html.unescape(text))
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    return _TAG.sub(" ", text)


def words(text: str) -> list[str]:
    """Words of `text` without markup; '1,500' and '9:30' stay whole, underscores are marks."""
    return _WORD.findall(fold(strip_markup(text)).replace("_", " "))


def without_citations(text: str) -> str:
    """The answer's words only: '[1]' and '[2, 3]' are not part of what was said."""
    return _CITATION.sub("", text).strip()


def contains_phrase(text: str, phrase: str) -> bool:
    """Tell whether `phrase` stands in `text`, any case, on word boundaries."""
    wanted = fold(phrase)
    if not wanted:
        return False
    return bool(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", fold(text)))
