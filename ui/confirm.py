"""A question before something that cannot be undone: it names the thing and acts on no other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.permissions import Account
from ui.guard import Guard, message
from ui.markup import piece
from ui.parts import html


@dataclass(frozen=True)
class Confirmation:
    """A hidden question with its two buttons.

    What was asked about is kept on the server: a picker that was changed meanwhile, or a value
    that a program sends, is not what gets deleted.
    """

    group: Any
    text: Any
    asked: Any
    choice: Any
    """A picker beside the question, where the deed needs one."""
    yes: Any
    no: Any

    @property
    def parts(self) -> list[Any]:
        """What `ask` and `closed` fill."""
        return [self.group, self.text, self.asked]


def confirmation(yes: str, no: str = "Keep it", choice: str = "") -> Confirmation:
    """Build the question with the labels of its buttons, and of a picker if it has one."""
    asked = gr.State(None)
    with gr.Group(visible=False, elem_classes="confirm") as group:
        text = html()
        picker = gr.Dropdown(label=choice, choices=[], value=None) if choice else None
        with gr.Row():
            agree = gr.Button(yes, variant="stop", size="sm")
            keep = gr.Button(no, size="sm")
    return Confirmation(group, text, asked, picker, agree, keep)


def ask(about: Any, question: str, *, loss: str = "This cannot be undone.") -> list[Any]:
    """Open the question about `about`, e.g. an id; `question` is plain text that names it."""
    shown = piece("confirm_deed.html", question=question, loss=loss)
    return [gr.update(visible=True), shown, about]


def closed() -> list[Any]:
    """Close the question."""
    return [gr.update(visible=False), "", None]


def leave(account: Account) -> list[Any]:
    """Close a question that was answered with no."""
    return closed()


def confirmed(asked: Any) -> Any:
    """Return what was asked about, or say that nothing was."""
    if asked is None:
        raise message("Choose what is meant, and confirm it.", "Nothing to confirm")
    return asked


def bind(
    guard: Guard,
    made: Confirmation,
    trigger: Any,
    asking: tuple[Callable[..., Any], list[Any]],
    doing: tuple[Callable[..., Any], list[Any]],
) -> None:
    """Bind the button that asks and both answers, for admins.

    Args:
        guard: the door of every event.
        made: the question.
        trigger: the click that asks.
        asking: handler and its inputs; it returns `ask(...)`.
        doing: handler and what it fills; it gets what was asked about.
    """
    guard.admin(trigger, asking[0], asking[1], made.parts)
    guard.admin(made.no.click, leave, None, made.parts)

    def act(account: Account, asked: Any) -> list[Any]:
        return [*closed(), *doing[0](account, confirmed(asked))]

    guard.admin(made.yes.click, act, [made.asked], [*made.parts, *doing[1]])
