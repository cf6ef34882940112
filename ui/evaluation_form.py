"""The form of a new evaluation: its fields, and the plan that they say."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from assistant.modes import AnswerMode
from core.errors import EngineError
from core.home import Home
from core.values import whole
from eval.arms import Plan
from eval.model_identity import model_hash
from ui.audits import known_models
from ui.guard import message
from ui.markup import piece
from ui.parts import html

MODES = [(mode.label, mode.value) for mode in AnswerMode]
NO_JUDGE = ("Nobody: measures alone", "")


def judges(home: Home) -> list[tuple[str, str]]:
    """Return who may judge: nobody, the engine of the settings, engines that lie here."""
    engines = dict.fromkeys([home.settings.judge, *known_models(home)])
    return [NO_JUDGE, *((name, name) for name in engines if name)]


def plan_of(home: Home, *values: Any) -> Plan:
    """Return the plan that the fields after sets and title say.

    Args:
        home: the installation.
        values: modes, adapter, limit, with the right passage, judge, price of an hour, watts,
            price of a kilowatt-hour; an empty number is 0, that is: not given.

    Raises:
        EngineError: the judge is not there.
        InvalidInput: a rate below zero, or modes that need an adapter without one.
    """
    modes, adapter, limit, oracle, judge, *rates = values
    if not modes:
        raise message("Choose at least one mode.", "No mode")
    per_hour, watts, per_kwh = (float(rate or 0) for rate in rates)
    return Plan(
        modes=tuple(mode for mode in AnswerMode if mode.value in modes),
        adapters=(adapter,) if adapter else (),
        limit=whole(limit, "number of questions") if limit else None,
        oracle=bool(oracle),
        judge=_checked_judge(home, judge or ""),
        price_per_hour=per_hour,
        watts=watts,
        price_per_kwh=per_kwh,
    )


def _checked_judge(home: Home, judge: str) -> str:
    if judge not in [value for _, value in judges(home)]:
        raise message(f"The judge '{judge}' is not known here. Choose one of the list.", "No judge")
    if judge:
        try:
            model_hash(home, judge)
        except EngineError as error:
            raise EngineError(
                f"The judge '{judge}' cannot be opened. Choose another, or '{NO_JUDGE[0]}'. "
                f"{error.message}"
            ) from error
    return judge


@dataclass(frozen=True)
class EvaluationForm:
    """The controls of the form."""

    chosen: list[Any]
    """Fields whose choices are filled when the page loads: sets, adapter, judge."""
    inputs: list[Any]
    """All fields: sets, title, then those of `plan_of` in its order."""
    run: Any
    stop: Any


def evaluation_form(home: Home) -> EvaluationForm:
    """Build the form; judge and rates begin as the settings have them."""
    html("<h2>New evaluation</h2>")
    html(piece("to_question_sets.html"))
    sets = gr.Dropdown(label="Question sets", choices=[], multiselect=True, value=[])
    modes = gr.CheckboxGroup(MODES, value=[value for _, value in MODES], label="Modes")
    with gr.Row():
        adapter = gr.Dropdown(label="Adapter, for the fine-tuned modes", choices=[], value=None)
        limit = gr.Number(
            label="Questions at most (0: all)", value=0, precision=0, minimum=0
        )  # fmt: skip
    title = gr.Textbox(label="Title", placeholder="Names of the question sets", max_lines=1)
    oracle = gr.Checkbox(
        label="Also with the right passage given: what perfect search would bring", value=False
    )
    with gr.Accordion("More: a judge, energy and price", open=False):
        judge, *rates = _more(home)
    with gr.Row():
        run = gr.Button("Run the evaluation", variant="primary")
        stop = gr.Button("Stop", visible=False)
    inputs = [sets, title, modes, adapter, limit, oracle, judge, *rates]
    return EvaluationForm([sets, adapter, judge], inputs, run, stop)


def _more(home: Home) -> list[Any]:
    settings = home.settings
    html(piece("evaluation_more.html"))
    judge = gr.Dropdown(
        label="Language model that also grades the answers",
        choices=judges(home),
        value=settings.judge,
    )
    with gr.Row():
        # Without `minimum`: Gradio's own refusal would name neither the field nor the remedy.
        rates = [
            gr.Number(label="Price of an hour of the machine", value=settings.price_per_hour),
            gr.Number(label="Watts while it answers", value=settings.watts),
            gr.Number(label="Price of a kilowatt-hour", value=settings.price_per_kwh),
        ]
    return [judge, *rates]
