"""How the Training page is laid out; what it does is in `ui.training`."""

import enum
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from training.config import Preset, TrainingConfig, preset
from ui.confirm import bind, confirmation
from ui.guard import Guard
from ui.parts import TICK, html, sheet
from ui.promotion import promotion_panel
from ui.services import Services
from ui.training import FIELDS, FRESH, TrainingPage

PRESETS = [
    ("Quick: a first look", Preset.QUICK.value),
    ("Balanced", Preset.BALANCED.value),
    ("Thorough: learns most", Preset.THOROUGH.value),
]
METHODS = [("LoRA", "lora"), ("QLoRA: 4-bit base, less memory", "qlora")]
AGREED = [
    ("Leave out rows with errors", "skip"),
    ("Train even if held-out questions are in the data", "overlap"),
]


def control_for(name: str) -> Any:
    """Return the form control that fits a hyper-parameter's type."""
    field = TrainingConfig.model_fields[name]
    label, info = name.replace("_", " ").capitalize(), field.description
    value = preset(Preset.BALANCED.value).model_dump(mode="json")[name]
    choices = choices_of(field.annotation)
    if choices:
        return gr.Dropdown(choices, value=value, label=label, info=info)
    if field.annotation is bool:
        return gr.Checkbox(value=value, label=label, info=info)
    if field.annotation in (int, float):
        precision = 0 if field.annotation is int else None
        return gr.Number(value=value, label=label, info=info, precision=precision)
    return gr.Textbox(value=value, label=label, info=info, max_lines=1)


def choices_of(annotation: Any) -> list[str]:
    """Return the values of an enum or a Literal, or none."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, enum.StrEnum):
        return [member.value for member in annotation]
    return []


def training_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    guard = services.guard
    with gr.Column(elem_classes="sheet"):
        sheet("Training", "Teach the model your questions and answers; watch it learn.")
        with gr.Column(elem_classes="plate"):
            html("<h2>1. Data</h2>")
            file = gr.File(
                label="Questions and answers: JSONL or CSV", height=130,
                file_types=[".jsonl", ".ndjson", ".csv", ".tsv", ".json", ".txt"],
            )  # fmt: skip
            check = gr.Button("Check the data", variant="primary")
            found = html()
            data = gr.State("")
            with gr.Accordion("As the model will see it", open=False, visible=False) as shown:
                examples = html()
        with gr.Column(elem_classes="plate"):
            html("<h2>2. How to train</h2>")
            name, agreed, basis, start, values = _form()
        with gr.Column(elem_classes="plate"):
            html("<h2>3. Watch it learn</h2>")
            picked = gr.Dropdown(label="Run", choices=[], value=None)
            run = html()
            stop = gr.Button("Stop the run", visible=False)
            tools = _run_tools()
        html("<h2>Runs</h2>")
        runs = html()
        panel, on_shelf = promotion_panel(services)
    page = TrainingPage(services, panel)
    timer = gr.Timer(TICK, active=False)
    watched, listed = [run, stop, tools["resume"], tools["ask"], timer], [runs, picked]
    guard.admin(blocks.load, page.load, None, [*listed, *watched, *on_shelf, basis])
    guard.admin(
        check.click, page.check, [file, basis, *values], [data, found, examples, shown, name]
    )
    for control in values[:2]:
        guard.admin(control.input, page.use_preset, values[:2], values[2:])
    guard.admin(start.click, page.start, [data, name, agreed, basis, *values],
                [*listed, *watched])  # fmt: skip
    guard.admin(picked.input, page.watch, [picked], watched)
    guard.admin(timer.tick, page.tick, [picked], [*watched, *listed, *on_shelf, basis])
    guard.admin(stop.click, page.stop, [picked], watched)
    _wire_run_tools(guard, page, tools, picked, [*listed, *watched])


def _run_tools() -> dict[str, Any]:
    with gr.Row(elem_classes="tools"):
        resume = gr.Button("Resume the run", size="sm", visible=False)
        ask = gr.Button("Delete the run…", size="sm", visible=False)
    return {"resume": resume, "ask": ask, "confirm": confirmation("Delete it")}


def _wire_run_tools(
    guard: Guard, page: TrainingPage, tools: dict[str, Any], picked: Any, shown: list[Any]
) -> None:
    guard.admin(tools["resume"].click, page.resume, [picked], shown)
    bind(guard, tools["confirm"], tools["ask"].click, (page.ask_discard, [picked]),
         (page.discard, shown))  # fmt: skip


def _form() -> tuple[Any, Any, Any, Any, list[Any]]:
    chosen = gr.Radio(PRESETS, value=Preset.BALANCED.value, label="How long it may take")
    method = gr.Radio(METHODS, value="lora", label="Method")
    with gr.Accordion("Advanced: every setting", open=False), gr.Row(elem_classes="settings"):
        controls = [control_for(name) for name in FIELDS]
    basis = gr.Dropdown([FRESH], value="", label="Start from")
    agreed = gr.CheckboxGroup(AGREED, value=[], label="If the check found something")
    with gr.Row():
        name = gr.Textbox(label="Name of the adapter", max_lines=1, scale=3)
        start = gr.Button("Start training", variant="primary", scale=1)
    return name, agreed, basis, start, [chosen, method, *controls]
