"""The form of the Train tab: its components, and what they show of a configuration.

Takes words and folders; gives components. What their values mean is `train_fields`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from paddle_ground.prompts import Language
from paddle_ground.web.train_fields import DEGREES, FIELDS, NUMBERS, PARTS, STAGES, Form
from paddle_ground.web.train_folders import TrainPlace
from paddle_ground.web.words import Wording, text

_NUMBERS = {field.key: field for field in NUMBERS}


@dataclass(frozen=True, slots=True)
class Parts:
    """The components of the form.

    Attributes:
        config: Which configuration.
        fields: By the names of FIELDS.
        gpus: That it is planned for.
        memory: Of one, in GiB.
        hidden: Is there once a configuration was chosen.
        plan: HTML.
        apply: Takes the plan's first change.
        save_name: Of the YAML.
        save: Writes it.
        start: Starts a run.
    """

    config: Any
    fields: Mapping[str, Any]
    gpus: Any
    memory: Any
    hidden: tuple[Any, ...]
    plan: Any
    apply: Any
    save_name: Any
    save: Any
    start: Any


def form_parts(wording: Wording, folders: TrainPlace) -> Parts:
    """Make the components.

    Args:
        wording: Gets what has words.
        folders: Of the lists.
    """
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            config = wording.make(
                gr.Dropdown, {"label": "config", "info": "config_hint"}, choices=folders.configurations(),
                value=None, elem_id="train-config",
            )  # fmt: skip
            with gr.Column(visible=False) as form:
                fields = _fields(wording)
        with gr.Column(scale=2, min_width=320):
            with gr.Row():
                gpus = wording.make(
                    gr.Number,
                    {"label": "gpus"},
                    value=8,
                    visible=False,
                    precision=0,
                    min_width=100,
                    elem_id="train-gpus",
                )
                memory = wording.make(
                    gr.Number,
                    {"label": "gpu_memory"},
                    value=80,
                    visible=False,
                    min_width=100,
                    elem_id="train-gpu-memory",
                )
            plan = gr.HTML(nothing_chosen("en"), elem_id="train-plan", padding=False)
            apply = wording.make(gr.Button, {"value": "apply"}, visible=False, elem_id="train-apply")
    with gr.Row(elem_classes="bottom", visible=False) as bar:
        save_name = wording.make(
            gr.Textbox,
            {"label": "save_name"},
            max_length=300,
            min_width=200,
            scale=2,
            elem_id="train-save-name",
        )
        save = wording.make(gr.Button, {"value": "save"}, min_width=140, elem_id="train-save")
        start = wording.make(
            gr.Button, {"value": "start"}, variant="primary", min_width=140, elem_id="train-start"
        )
    return Parts(config, fields, gpus, memory, (form, bar), plan, apply, save_name, save, start)


def nothing_chosen(language: Language) -> str:
    """Say, where the plan will be, what to do first."""
    return f'<p class="small">{escape(text("choose_config", language))}</p>'


def _fields(wording: Wording) -> dict[str, Any]:
    import gradio as gr

    made: dict[str, Any] = {}

    def make(kind: Any, name: str, **settings: Any) -> None:
        settings.setdefault("min_width", 130)
        made[name] = wording.make(kind, {"label": name}, elem_id=f"train-{name}", **settings)

    def number(name: str, **settings: Any) -> None:
        make(gr.Number, name, value=_NUMBERS[name].stock, **settings)

    make(gr.Dropdown, "model", choices=[], value=None)
    with gr.Row():
        for name in ("train_data", "eval_data"):
            make(gr.Dropdown, name, choices=[], value=None, min_width=200)
    for row in (
        ("max_steps", "num_train_epochs", "learning_rate"),
        ("per_device_train_batch_size", "gradient_accumulation_steps", "save_steps"),
        ("max_seq_len", "image_max_pixels"),
    ):
        with gr.Row():
            for name in row:
                number(name)
    with gr.Row():
        make(gr.Radio, "fine_tuning", choices=["full", "LoRA"], value="full")
        number("lora_rank", visible=False)
        number("lora_alpha", visible=False)
        make(gr.CheckboxGroup, "freeze", choices=list(PARTS), min_width=200)
    with gr.Row():
        make(gr.Dropdown, "tensor_model_parallel_size", choices=list(DEGREES), value=1)
        make(gr.Dropdown, "sharding", choices=_stages(), value="")
    with gr.Row():
        make(gr.Checkbox, "recompute", min_width=160)
        make(gr.Checkbox, "packing", min_width=160)
    make(gr.Textbox, "output", max_length=300)
    return made


def _stages(own: str = "") -> list[tuple[str, str]]:
    return [(name or "—", name) for name in _and_own(STAGES, own)]


def _and_own(known: Any, own: Any) -> list[Any]:
    return [*known, *([] if own in known else [own])]


def form_updates(form: Form, folders: TrainPlace) -> list[Any]:
    """Show values, in the order of FIELDS; lists hold what is in the folders, and what the file says.

    Args:
        form: A value for each field.
        folders: Of the lists.
    """
    import gradio as gr

    data, models = list(folders.data_found()), list(folders.models_found())
    lists: dict[str, list[Any]] = {
        "model": _and_own(models, form["model"]),
        "train_data": _and_own(data, form["train_data"]),
        "eval_data": _and_own(data, form["eval_data"]),
        "tensor_model_parallel_size": _and_own(DEGREES, form["tensor_model_parallel_size"]),
        "sharding": _stages(form["sharding"]),
    }
    return [
        gr.update(value=form[name], **({"choices": lists[name]} if name in lists else {})) for name in FIELDS
    ]
