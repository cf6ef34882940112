"""The report of a model audit: a table, a plot of quality against speed, JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.workspace import write_atomically
from eval.formatting import figure
from eval.plots import audit_plot
from eval.recommend import label

HEAD = ("Model", "Parameters", "Context", "Weights", "Memory", "Load", "First token",
        "Tokens a second", "Licence")  # fmt: skip


def write_audit(
    results: Sequence[Mapping[str, Any]], markdown: str, at: datetime, folder: Path
) -> Path:
    """Write audit.html, audit.md and audit.json; return the HTML's path.

    Args:
        results: `ModelAudit`s as JSON.
        markdown: their table.
        at: when the audit was asked for.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps({"models": list(results)}, ensure_ascii=False, indent=1)
    write_atomically(folder / "audit.json", f"{document}\n".encode())
    write_atomically(folder / "audit.md", f"# Base models side by side\n\n{markdown}\n".encode())
    write_atomically(folder / "audit.html", html(results, at).encode())
    return folder / "audit.html"


def html(results: Sequence[Mapping[str, Any]], at: datetime) -> str:
    """The page: no network, readable without script, on paper and in the dark."""
    style = (files("eval") / "assets" / "report.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Base models side by side</title><style>{style}</style></head><body>"
        f"<h1>Base models side by side</h1><p class=soft>{at:%d %b %Y %H:%M} UTC. Each model was "
        "loaded in a process of its own on this machine; times are medians of three answers. "
        "Memory is main memory: what an accelerator holds is not in it.</p>"
        f"<figure>{audit_plot(results)}<figcaption>{escape(caption(results))}</figcaption></figure>"
        f'<div class="scroll">{_table(results)}</div></body></html>\n'
    )


def caption(results: Sequence[Mapping[str, Any]]) -> str:
    """What the plot shows."""
    if any(one["quality"] for one in results):
        return (
            "Questions handled rightly, with 95% intervals, against speed. The larger the mark, "
            "the more memory."
        )
    return "Memory against speed. Quality was not measured: name a question set to do so."


def _table(results: Sequence[Mapping[str, Any]]) -> str:
    modes = list(dict.fromkeys(mode for one in results for mode in one["quality"] or {}))
    head = "".join(
        f"<th>{escape(name)}</th>" for name in (*HEAD, *(f"Right: {label(m)}" for m in modes))
    )
    body = "".join(_row(one, modes) for one in results)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(one: Mapping[str, Any], modes: Sequence[str]) -> str:
    cells = [
        one["model"],
        f"{one['parameters']:,}" if one["parameters"] else "packed",
        f"{one['context_tokens']:,}",
        f"{one['weights_mb']:,.0f} MB",
        f"{one['memory_mb']:,.0f} MB",
        f"{one['load_s']:.1f} s",
        f"{one['first_token_s']:.2f} s",
        f"{one['tokens_per_s']:.1f}",
        one["licence"] or "not declared",
        *(figure((one["quality"] or {})[m]["correct"], "share")
          if m in (one["quality"] or {}) else "–" for m in modes),
    ]  # fmt: skip
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
