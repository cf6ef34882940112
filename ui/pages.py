"""Composes the Gradio pages and mounts them."""

import warnings
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request

from core.settings import Settings
from ui.account import account_page
from ui.chat import ask_page
from ui.documents import documents_page
from ui.evaluation import evaluation_page
from ui.people import people_page
from ui.question_sets import question_sets_page
from ui.services import Services
from ui.theme import theme
from ui.training_page import training_page

_PAGES = [
    ("Documents", "documents", documents_page),
    ("Training", "training", training_page),
    ("Evaluation", "evaluation", evaluation_page),
    ("Question sets", "question-sets", question_sets_page),
    ("People", "people", people_page),
    ("Account", "account", account_page),
]


def build_pages(services: Services) -> Any:
    """Return the Gradio application with all pages."""
    with gr.Blocks(
        title="Inhouse", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86_400)
    ) as blocks:
        ask_page(blocks, services)
        for name, path, build in _PAGES:
            # As `blocks.route` does, which must be left and entered: each time Gradio then makes
            # its whole server anew.
            blocks.pages.append((path, name, True))
            blocks.current_page = path
            build(blocks, services)
    return blocks


def mount_pages(app: FastAPI, blocks: Any, settings: Settings) -> None:
    """Mount the pages at `/`. Who may open which is decided by the gate and by each event."""
    # Gradio looks whether a named file was uploaded only where it believes to serve by itself.
    blocks.has_launched = True
    # Gradio's places for events under way: an open answer takes one, though no thread.
    blocks.max_threads += settings.asks_in_all
    blocks.queue(api_open=False, default_concurrency_limit=16, status_update_rate="auto")
    # How often Gradio looks for an event; its own 1,000 times a second keep an idle machine busy.
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = 0.02
    # Gradio warns that its server-side rendering, which is off here, cannot serve several pages.
    warnings.filterwarnings("ignore", message="SSR mode is not supported", category=UserWarning)
    gr.mount_gradio_app(
        app, blocks, path="", auth_dependency=_name_of, footer_links=[], show_error=False,
        ssr_mode=False, run_history=False, mcp_server=False, enable_monitoring=False, pwa=False,
        max_file_size=settings.upload_megabytes * 1_000_000,
        theme=theme(), app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )  # fmt: skip


def _name_of(request: Request) -> str | None:
    account = request.scope["state"].get("account")
    return account.name if account else None
