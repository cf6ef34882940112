"""Small parts that several pages share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from assistant.manifest import AdapterInfo
from core.errors import InvalidInput
from core.jobs import Job
from core.permissions import group_names
from ui.markup import piece

TICK = 1.5
"""Seconds between looks at the database while something runs."""


def html(value: str = "", **options: Any) -> Any:
    """Return a place for our own, already escaped HTML.

    Gradio's HTML component compiles templates in the browser, which our content policy
    forbids; its Markdown component passes a block of HTML on as it is.
    """
    settings = {"sanitize_html": False, "latex_delimiters": [], "show_label": False, **options}
    return gr.Markdown(value, **settings)


def sheet(title: str, lead: str) -> None:
    """Open a page with its heading."""
    html(piece("heading.html", title=title, lead=lead))


def adapter_label(adapter: AdapterInfo, default: str | None = None) -> str:
    """Return how an adapter is called in pickers; `default` is the name of the promoted one."""
    marks = [
        *(["built in"] if adapter.built_in else []),
        *(["default"] if adapter.name == default else []),
    ]
    return f"{adapter.name} ({', '.join(marks)})" if marks else adapter.name


def job_html(job: Job | None, log: str = "") -> Markup:
    """Render a job's progress, or nothing."""
    if job is None:
        return Markup("")
    share = min(1.0, job.done / job.total) if job.total else 0.0
    return piece("job.html", job=job, share=share, log=log)


def uploaded(files: Any) -> list[Path]:
    """Return the paths of what a file field holds."""
    if not files:
        return []
    items: Sequence[Any] = files if isinstance(files, list) else [files]
    return [Path(str(getattr(item, "name", item))) for item in items]


def one_file(files: Any, what: str) -> Path:
    """Return the path of the only file of a field.

    Raises:
        InvalidInput: no file was chosen.
    """
    paths = uploaded(files)
    if not paths:
        raise InvalidInput(f"No file was chosen. Choose {what} first.")
    return paths[0]


def groups_of(given: str | Sequence[str] | None) -> frozenset[str]:
    """Return groups that were typed with commas or chosen in a list, in their one spelling.

    Raises:
        InvalidInput: a name that cannot be used.
    """
    if not isinstance(given, str | Sequence | None):
        raise InvalidInput("Groups are names, typed with commas or chosen in the list.")
    texts = [given] if isinstance(given, str) else list(given or ())
    names = [name for text in texts for name in str(text).split(",")]
    return group_names(name for name in names if name.strip())
