"""The Ask page: conversations, one question, four modes, sources below every answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.modes import AnswerMode
from assistant.shelf import NONE_APPROVED
from core.errors import NotFound
from core.permissions import Account, Role, reader_of
from ui.asking import Asked, ask
from ui.chat_view import (
    MODE_CHOICES,
    conversation_html,
    interrupted,
    modes_of,
    running_html,
    without,
)
from ui.guard import message
from ui.markup import piece
from ui.parts import adapter_label, html
from ui.services import Services
from ui.threads import Threads
from ui.turns import Stage, Turn

LOOK = 0.5
"""Longest wait for news of an answer, seconds."""
_FOLLOW = 1.0
"""Between two looks at an answer that another page asked for, seconds."""
_LOOKING = 8
"""Pages of answers rendered at once; each takes some milliseconds."""

_WATCHED = (gr.update(visible=False), gr.update(active=False))
"""No offer to ask again, and no need to follow: this page's own stream shows the answer."""
_SCRAMBLE = "inhouse"
"""The browser keeps the number of a conversation; opening it is checked on the server."""


class AskPage:
    """Handlers of the page; each gets the account first."""

    def __init__(self, services: Services) -> None:
        """Ask and keep conversations through `services`."""
        self._services = services
        self._conversations = services.conversations
        self._shelf = services.shelf
        self._library = services.retrieval.library
        self._threads = Threads(_LOOKING)

    def load(self, account: Account, remembered: Any) -> list[Any]:
        """Fill the page, with the conversation that was open before a reload."""
        return [*self.open(account, remembered), *self.adapters(account, None)]

    def open(self, account: Account, conversation_id: Any) -> list[Any]:
        """Show a conversation, or the welcome where there is none."""
        current = self._current(account, conversation_id)
        return [
            self._listed(account, current),
            current,
            self._thread(account, current),
            "",
            gr.update(visible=current is not None),
            gr.update(visible=False),
            gr.update(visible=False),
            *self._state(account, current),
        ]

    def follow(self, account: Account, conversation_id: Any) -> list[Any]:
        """Show how far an answer is that another page, or this one before a reload, asked for."""
        current = self._current(account, conversation_id)
        return [self._thread(account, current), *self._state(account, current)]

    def _state(self, account: Account, current: int | None) -> list[Any]:
        """Return whether to offer to ask again, and whether there is more to come."""
        under_way = current is not None and self._services.turns.answering(current)
        return [self._again(account, current), gr.update(active=under_way)]

    def _current(self, account: Account, conversation_id: Any) -> int | None:
        if not isinstance(conversation_id, int):
            return None
        try:
            return self._conversations.get(conversation_id, account).id
        except NotFound:
            return None

    def _listed(self, account: Account, current: int | None) -> Any:
        choices = [
            (one.title or "New conversation", one.id) for one in self._conversations.list(account)
        ]
        return gr.update(choices=choices, value=current, visible=bool(choices))

    def _thread(self, account: Account, current: int | None) -> str:
        if current is None:
            reader = reader_of(account)
            return piece(
                "welcome.html", documents=self._library.count(reader),
                adapters=sum(
                    not one.built_in for one in self._shelf.usable_by(account)
                ),
                admin=account.role is Role.ADMIN,
            )  # fmt: skip
        answering = self._services.turns.answering(current)
        return conversation_html(self._conversations.get(current, account), answering=answering)

    def adapters(self, account: Account, chosen: Any) -> list[Any]:
        """Return the adapters that this account may use now; new ones appear without a restart."""
        usable = self._shelf.usable_by(account)
        names, default = [one.name for one in usable], self._shelf.default()
        if not names:
            return [gr.update(choices=[(NONE_APPROVED, "")], value="")]
        value = chosen if chosen in names else default if default in names else None
        if value is None:
            # Who may try what nobody has approved finds it chosen where there is no other; never
            # the built-in one by itself: it was not taught this company's facts.
            taught = [one.name for one in usable if not one.built_in]
            value = taught[0] if len(taught) == 1 else None
        labels = [(adapter_label(one, default), one.name) for one in usable]
        return [gr.update(choices=labels, value=value)]

    def choose_mode(self, account: Account, mode: str, adapter: Any) -> Any:
        """Show the adapter picker where an adapter is used, with what is on the shelf now."""
        needed = any(one.uses_adapter for one in modes_of(mode))
        return {**self.adapters(account, adapter)[0], "visible": needed}

    async def ask(
        self, account: Account, text: str, mode: str, adapter: Any, conversation_id: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Answer, showing every step; what was said is stored whatever becomes of the page."""
        current = await self._threads.run(self._current, account, conversation_id)
        asked = Asked(text or "", modes_of(mode), adapter, current)
        async with aclosing(self._answered(account, asked)) as steps:
            async for step in steps:
                yield step

    async def ask_again(
        self, account: Account, conversation_id: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Ask the newest question again, in the modes whose answer was interrupted."""
        asked = await self._threads.run(self._left_open, account, conversation_id)
        if asked is None:
            raise message("This question was answered meanwhile. Reload the page.")
        async with aclosing(self._answered(account, asked)) as steps:
            async for step in steps:
                yield step

    def _left_open(self, account: Account, conversation_id: Any) -> Asked | None:
        current = self._current(account, conversation_id)
        if current is None or self._services.turns.answering(current):
            return None
        turn = interrupted(self._conversations.get(current, account))
        if turn is None:
            return None
        answers = [one.answer for one in turn.answers if one.unfinished]
        adapter = next((one.adapter for one in answers if one.adapter), None)
        return Asked(turn.question, [one.mode for one in answers], adapter, current)

    async def _answered(self, account: Account, asked: Asked) -> AsyncGenerator[list[Any], None]:
        run = self._threads.run
        turn = await run(ask, self._services, account, asked)
        try:
            current, question = turn.conversation_id, turn.questions[0].text
            listed: Any = await run(self._listed, account, current)
            thread: Any = await run(self._earlier, account, turn)
            version, done, live = -1, False, ""
            while not done:
                version, parts, done = await turn.look(version, LOOK)
                live = await run(running_html, question, parts)
                yield [listed, current, thread, live, *_busy(True), "", *_WATCHED]
                thread, listed = gr.update(), gr.update()
        finally:
            turn.stop()
        yield await run(self._ended, account, turn, live)

    def _ended(self, account: Account, turn: Turn, live: str) -> list[Any]:
        current, listed = turn.conversation_id, self._listed(account, turn.conversation_id)
        if any(part.stage is Stage.FAILED for part in turn.parts):
            question = turn.questions[0].text
            return [
                listed,
                current,
                gr.update(),
                live,
                *_busy(False),
                question,
                *_WATCHED,
            ]
        thread, again = self._thread(account, current), self._again(account, current)
        return [listed, current, thread, "", *_busy(False), gr.update(), again, _WATCHED[1]]

    def _earlier(self, account: Account, turn: Turn) -> str:
        """Return the conversation without what is being answered, which is shown below it."""
        conversation = self._conversations.get(turn.conversation_id, account)
        return conversation_html(without(conversation, turn.answer_ids))

    def _again(self, account: Account, current: int | None) -> Any:
        """Offer to ask again where an answer was interrupted."""
        return gr.update(visible=self._left_open(account, current) is not None)

    def stop(self, account: Account, conversation_id: Any) -> None:
        """Stop the answer; what was said so far is kept."""
        current = self._current(account, conversation_id)
        if current is not None:
            self._services.turns.stop(current)

    def start_rename(self, account: Account, conversation_id: Any) -> list[Any]:
        """Offer the title for change."""
        if not isinstance(conversation_id, int):
            raise message("Open a conversation first.", "No conversation open")
        title = self._conversations.get(conversation_id, account).title
        return [gr.update(visible=True), title, gr.update(visible=False)]

    def rename(self, account: Account, conversation_id: Any, title: str) -> list[Any]:
        """Change the title."""
        current = self._current(account, conversation_id)
        if current is not None:
            self._conversations.rename(current, account, (title or "").strip())
        return [self._listed(account, current), gr.update(visible=False)]

    def new(self, account: Account) -> list[Any]:
        """Start afresh; the conversation is stored with its first question."""
        return self.open(account, None)

    def ask_delete(self, account: Account) -> list[Any]:
        """Ask before deleting."""
        return [gr.update(visible=True), gr.update(visible=False)]

    def keep(self, account: Account) -> Any:
        """Put the question away."""
        return gr.update(visible=False)

    def delete(self, account: Account, conversation_id: Any) -> list[Any]:
        """Delete the open conversation."""
        current = self._current(account, conversation_id)
        if current is not None:
            self._services.turns.stop(current)
            self._conversations.delete(current, account)
        return self.open(account, None)


def _busy(busy: bool) -> list[Any]:
    return [gr.update(visible=not busy), gr.update(visible=busy), gr.update(visible=True)]


@dataclass(frozen=True)
class _Controls:
    """The components of the page that events need."""

    new: Any
    conversations: Any
    rename: Any
    delete: Any
    tools: Any
    rename_box: Any
    title: Any
    save_title: Any
    confirm: Any
    really: Any
    keep: Any


def ask_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    page = AskPage(services)
    gr.Navbar(visible=False)
    current = gr.BrowserState(None, storage_key="inhouse-conversation", secret=_SCRAMBLE)
    with gr.Row(elem_id="ask"):
        with gr.Column(elem_id="shelf"):
            shelf = _conversation_column()
        with gr.Column(elem_id="room"):
            thread = html(elem_classes="wide")
            live = html(elem_classes="wide stretch")
            again = gr.Button("Ask again", size="sm", elem_id="ask-again", visible=False)
            with gr.Column(elem_id="composer"), gr.Column(elem_classes="box"):
                question = gr.Textbox(
                    label="Question", placeholder="Ask a question…", lines=1, max_lines=8,
                    show_label=False, container=False, autofocus=True, elem_id="question",
                )  # fmt: skip
                with gr.Row(elem_id="controls"):
                    mode = gr.Radio(
                        MODE_CHOICES, value=AnswerMode.RAG.value, label="Mode", show_label=False,
                        container=False, elem_id="mode",
                    )  # fmt: skip
                    adapter = gr.Dropdown(
                        choices=[], label="Adapter", show_label=False, container=False,
                        visible=False, elem_id="adapter",
                    )  # fmt: skip
                    send = gr.Button("Ask", variant="primary", elem_id="send")
                    stop = gr.Button("Stop", elem_id="stop", visible=False)
    more = gr.Timer(_FOLLOW, active=False)
    opened = [shelf.conversations, current, thread, live, shelf.tools, shelf.rename_box,
              shelf.confirm, again, more]  # fmt: skip
    said = [
        shelf.conversations, current, thread, live, send, stop, shelf.tools, question, again, more,
    ]  # fmt: skip
    guard = services.guard
    guard.employee(blocks.load, page.load, [current], [*opened, adapter])
    asking = [question, mode, adapter, current]
    # How many are answered is limited where they are, by person: here all may wait.
    crowd: dict[str, Any] = {"trigger_mode": "once", "concurrency_limit": None}
    for trigger in (send.click, question.submit):
        guard.employee(trigger, page.ask, asking, said, **crowd)
    guard.employee(again.click, page.ask_again, [current], said, **crowd)
    guard.employee(more.tick, page.follow, [current], [thread, again, more])
    guard.employee(stop.click, page.stop, [current], None)
    guard.employee(mode.change, page.choose_mode, [mode, adapter], [adapter])
    guard.employee(adapter.focus, page.choose_mode, [mode, adapter], [adapter])
    guard.employee(shelf.conversations.input, page.open, [shelf.conversations], opened)
    guard.employee(shelf.new.click, page.new, None, opened)
    _bind_tools(page, services, shelf, current, opened)


def _bind_tools(
    page: AskPage, services: Services, shelf: _Controls, current: Any, opened: list[Any]
) -> None:
    guard = services.guard
    renaming = [shelf.rename_box, shelf.title, shelf.confirm]
    guard.employee(shelf.rename.click, page.start_rename, [current], renaming)
    for trigger in (shelf.save_title.click, shelf.title.submit):
        guard.employee(
            trigger, page.rename, [current, shelf.title], [shelf.conversations, shelf.rename_box]
        )
    guard.employee(shelf.delete.click, page.ask_delete, None, [shelf.confirm, shelf.rename_box])
    guard.employee(shelf.keep.click, page.keep, None, [shelf.confirm])
    guard.employee(shelf.really.click, page.delete, [current], opened)


def _conversation_column() -> _Controls:
    new = gr.Button("New conversation", elem_id="new-conversation", size="sm")
    html('<button id="show-conversations" type="button">Conversations</button>')
    conversations = gr.Radio(
        choices=[], label="Conversations", show_label=False, container=False, visible=False,
        elem_id="conversations",
    )  # fmt: skip
    with gr.Row(visible=False, elem_classes="tools") as tools:
        rename = gr.Button("Rename", size="sm")
        delete = gr.Button("Delete", size="sm")
    with gr.Group(visible=False, elem_classes="confirm") as rename_box:
        title = gr.Textbox(label="Title", max_lines=1, max_length=200)
        save_title = gr.Button("Save", size="sm", variant="primary")
    with gr.Group(visible=False, elem_classes="confirm") as confirm:
        html("<p>Delete this conversation?</p>")
        with gr.Row():
            really = gr.Button("Delete it", size="sm", variant="stop")
            keep = gr.Button("Keep it", size="sm")
    return _Controls(
        new, conversations, rename, delete, tools, rename_box, title, save_title, confirm, really,
        keep,
    )  # fmt: skip
