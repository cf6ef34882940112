r"""The template languages that static sites wrap around text: what of them a page shows.

Written as walks along the text. A pattern such as `\{\{.*?\}\}` looks for its end anew from every
opening, so that a small file of nothing but openings takes minutes.
"""

import re
from collections.abc import Callable

Shown = tuple[int, str]
"""Where a piece ends, and what of it is shown."""

COMMENT = re.compile(r"\{%-?\s*comment\s*-?%\}|\{#|<!--|<%#")
TAG = re.compile(r"\{%|\{\{|<%")
TARGET = re.compile(r"\]\(\s*(?=\{%|\{\{|<%)")
NAME = re.compile(r"\{%-?\s*(\w+)")
QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
ENDS = {
    "{%": re.compile(r"%\}"),
    "{{": re.compile(r"\}\}"),
    "{#": re.compile(r"#\}"),
    "<%": re.compile(r"%>"),
    "<!": re.compile(r"-->"),
    ")": re.compile(r"\)"),
    "line": re.compile(r"\n"),
    "comment": re.compile(r"\{%-?\s*endcomment\s*-?%\}"),
}


class Ends:
    """Finds the next end of a kind; asked in reading order it searches the text once a kind."""

    def __init__(self, text: str) -> None:
        """Search in `text`."""
        self.text = text
        self._next: dict[str, re.Match[str] | None] = {}

    def after(self, kind: str, start: int) -> re.Match[str] | None:
        """Return the first end of this kind at `start` or later."""
        known = self._next.get(kind)
        if kind not in self._next or (known is not None and known.start() < start):
            known = self._next[kind] = ENDS[kind].search(self.text, start)
        return known


def strip_templates(text: str) -> str:
    """Remove template tags and comments; the text that they show stays."""
    for opening, read in ((COMMENT, _comment), (TARGET, _target), (TAG, _tag)):
        text = _rewrite(text, opening, read)
    return text


def _rewrite(
    text: str, opening: re.Pattern[str], read: Callable[[re.Match[str], Ends], Shown | None]
) -> str:
    """Replace what `read` makes of every opening; None leaves the opening as it is."""
    ends = Ends(text)
    parts: list[str] = []
    at = kept = 0
    while found := opening.search(text, at):
        shown = read(found, ends)
        if shown is None:
            at = found.start() + 1
            continue
        parts += text[kept : found.start()], shown[1]
        at = kept = shown[0]
    return "".join([*parts, text[kept:]])


def _comment(found: re.Match[str], ends: Ends) -> Shown | None:
    kind = found.group()[:2]
    end = ends.after("comment" if kind == "{%" else kind, found.end())
    return (end.end(), "") if end else None


def _target(found: re.Match[str], ends: Ends) -> Shown | None:
    """A link's target that a tag writes: `](` with the tag up to `)` on its line."""
    start = found.end()
    tag = ends.after(ends.text[start : start + 2], start + 2)
    close = ends.after(")", tag.end()) if tag else None
    if tag is None or close is None:
        return None
    line = ends.after("line", tag.end())
    return None if line and line.start() < close.start() else (close.end(), "]()")


def _tag(found: re.Match[str], ends: Ends) -> Shown | None:
    kind = found.group()
    name = NAME.match(ends.text, found.start()) if kind == "{%" else None
    if kind == "{%" and name is None:
        return None
    end = ends.after(kind, name.end() if name else found.end())
    if end is None:
        return None
    shown = _shown_by(name.group(1), ends.text[name.end() : end.start()]) if name else ""
    return end.end(), shown


def _shown_by(name: str, arguments: str) -> str:
    strings = [a or b for a, b in QUOTED.findall(arguments)]
    if name == "slack_channel" and strings:
        return f"#{strings[0]}"
    if name in {"include", "render", "page", "import", "extends", "set", "assign"}:
        return ""
    return next((text for text in reversed(strings) if " " in text or "/" not in text), "")
