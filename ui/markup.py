"""HTML for people: templates with escaping on, and answers turned from Markdown into safe HTML."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import nh3
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markupsafe import Markup, escape

from assistant.brackets import Role, find_brackets
from core.database import now

FOLDER = Path(__file__).parent
_TAGS = {
    "p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "blockquote", "hr",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


def _trusted(html: str) -> Markup:
    """Mark what was escaped or cleaned just now; called in this file only."""
    return Markup(html)  # noqa: S704 - the one place


def lines_kept(text: str) -> Markup:
    """Escape `text`, keeping its line breaks where white space is shown as written."""
    return _trusted(str(escape(text)).replace("\r\n", "\n").replace("\n", "&#10;"))


def answer_html(text: str, links: Sequence[str | None] = ()) -> Markup:
    """Turn a model's Markdown into HTML that cannot carry a script, an image or a link.

    A citation becomes a link to `links[n - 1]`, where there is one.
    """
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
    markdown.disable(["image", "link", "autolink", "reference", "html_inline", "html_block"])
    # Indented code would swallow the leading spaces of a model that starts with a blank.
    markdown.disable("code")
    # The cleaning below knows no link, so a citation passes it under a name nobody can guess.
    name = f"cite-{secrets.token_hex(8)}-"
    markdown.inline.ruler.push("citation", partial(_cite, count=len(links), name=name))
    safe = nh3.clean(markdown.render(text), tags=_TAGS, attributes={})

    def linked(match: re.Match[str]) -> str:
        number = int(match[1])
        target = links[number - 1]
        if target is None:
            return f"[{number}]"
        return (
            f'<a class="cite" href="{escape(target)}" target="_blank" rel="noopener" '
            f'aria-label="Open source {number}">{number}</a>'
        )

    return _trusted(re.sub(rf"{name}(\d+);", linked, safe).replace("\n", "&#10;"))


def _cite(state: StateInline, silent: bool, *, count: int, name: str) -> bool:
    """Take a citation that begins here; code was taken before, so none is inside of it."""
    if state.src[state.pos] != "[":
        return False
    known = state.env.setdefault("citations", {})
    if state.src not in known:
        found = find_brackets(state.src, count)
        known[state.src] = {one.start: one for one in found if one.role is Role.CITES}
    one = known[state.src].get(state.pos)
    if one is None:
        return False
    if not silent:
        state.push("text", "", 0).content = "".join(f"{name}{n};" for n in one.numbers)
    state.pos = one.end
    return True


def ago(moment: datetime | None) -> str:
    """Say how long ago something was, the way people do."""
    if moment is None:
        return ""
    seconds = max(0.0, (now() - moment).total_seconds())
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h ago"
    return moment.strftime("%d %b %Y")


def duration(seconds: float | None) -> str:
    """Write seconds as `0.4 s`, `12 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds is None:
        return ""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Write bytes as B, KB, MB or GB."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def number(value: float | int | None) -> str:
    """Write a number with thin groups of thousands, or a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{int(value):,}"


def _make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "lines": lines_kept, "ago": ago, "duration": duration, "size": size, "number": number,
    }  # fmt: skip
    return environment


_ENVIRONMENT = _make_environment()


def page(name: str, /, **context: Any) -> str:
    """Render a whole server-made page."""
    return _ENVIRONMENT.get_template(name).render(**context)


def piece(name: str, /, **context: Any) -> Markup:
    """Render HTML for a place inside a Gradio page.

    It stands on one line: the component there reads Markdown, in which a line that starts
    with `<div` is passed on as it is, up to the next empty line.
    """
    html = page(name, **context)
    return _trusted(" ".join(line.strip() for line in html.splitlines() if line.strip()))
