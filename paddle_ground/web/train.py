"""The tab that trains: a form over a configuration with its plan beside it, and the runs below.

Takes the folders that it may reach; makes the tab. Planning, files and processes are in `train_...` beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from typing import Any

from paddle_ground.errors import ConfigError, PaddleGroundError
from paddle_ground.files import write_text
from paddle_ground.prompts import Language
from paddle_ground.train.config import TrainConfig, known_keys, load_config
from paddle_ground.train.lint import refuse
from paddle_ground.web.notices import noticed
from paddle_ground.web.train_fields import FIELDS, Form, apply_form, read_form
from paddle_ground.web.train_folders import TrainPlace
from paddle_ground.web.train_form import form_parts, form_updates, nothing_chosen
from paddle_ground.web.train_live import live_parts
from paddle_ground.web.train_plan import plan_html
from paddle_ground.web.train_runs import start
from paddle_ground.web.train_yaml import edited
from paddle_ground.web.words import Wording, text

# Memory is not the form's: these come with a change that the plan proposes.
_EXTRA_KEYS = ("_attn_implementation", "use_attn_mask_startend_row_indices", "sharding_parallel_size")


def train_tab(wording: Wording, language: Any, tab: Any, folders: TrainPlace) -> None:
    """Make the tab.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        tab: That this is made in; chosen, it looks for files again.
        folders: All that it reads and writes.
    """
    import gradio as gr

    known_keys()  # Read before somebody waits for it.
    parts = form_parts(wording, folders)
    live = live_parts(wording, language, folders)
    fields = [parts.fields[name] for name in FIELDS]
    extras = gr.State({}, time_to_live=86_400)
    inputs = [parts.config, parts.gpus, parts.memory, language, extras, *fields]
    lora = [parts.fields[name] for name in ("lora_rank", "lora_alpha")]
    shown = [parts.plan, parts.apply, *lora, parts.gpus, parts.memory]

    def look(
        name: str | None, gpus: float, memory: float, lang: Language, extra: Form, *said: Any
    ) -> list[Any]:
        with told(folders):
            return _shown(folders, name, gpus, memory, lang, extra, dict(zip(FIELDS, said, strict=True)))

    def choose(name: str | None, gpus: float, memory: float, lang: Language) -> list[Any]:
        with told(folders):
            config = load_config(folders.configuration(name))
            form = read_form(config, folders)
            there = [gr.update(visible=True)] * len(parts.hidden)
            shown = _shown(folders, name, gpus, memory, lang, {}, form)
            return [name, {}, *there, *form_updates(form, folders), *shown]

    def take(
        name: str | None, gpus: float, memory: float, lang: Language, extra: Form, *said: Any
    ) -> list[Any]:
        with told(folders):
            config = _edited(folders, name, extra, dict(zip(FIELDS, said, strict=True)))
            _, plan = plan_html(config, int(gpus or 0), float(memory or 0), lambda key: key)
            keys = dict(plan.changes[0].overrides) if plan and plan.changes else {}
            form = read_form(_with(config, keys), folders)
            more = {**extra, **{key: value for key, value in keys.items() if key in _EXTRA_KEYS}}
            shown = _shown(folders, name, gpus, memory, lang, more, form)
            return [more, *form_updates(form, folders), *shown]

    def save(wanted: str, name: str | None, lang: Language, extra: Form, *said: Any) -> Any:
        with told(folders):
            config = _edited(folders, name, extra, dict(zip(FIELDS, said, strict=True)))
            path = folders.new_configuration(wanted or "")
            if path.exists() and wanted.strip() != name:
                raise ConfigError(
                    f"{wanted}: is there already; choose it above to change it, or name another"
                )
            write_text(path, _text(config))
            gr.Info(f"{text('saved', lang)}: {wanted.strip()}")
            return gr.update(choices=folders.configurations(), value=wanted.strip())

    def begin(name: str | None, lang: Language, extra: Form, *said: Any) -> Any:
        with told(folders):
            form = dict(zip(FIELDS, said, strict=True))
            config = _edited(folders, name, extra, form)
            refuse(config)
            start(folders.new_run(form["output"]), _text(config))
            return gr.update(choices=folders.runs_found(), value=form["output"].strip())

    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    private = {"api_visibility": "private"}
    parts.config.input(
        choose,
        inputs[:4],
        [parts.save_name, extras, *parts.hidden, *fields, *shown],
        **private,
        concurrency_limit=2,
    )
    changed = [part.input for part in (*fields, parts.gpus, parts.memory)]
    # Gradio 6.31's textbox does not tell of the first change after one that came from here.
    changed.append(parts.fields["output"].blur)
    gr.on([*changed, language.change], look, inputs, shown, **quiet, trigger_mode="always_last")
    parts.apply.click(take, inputs, [extras, *fields, *shown], **private)
    parts.save.click(
        save, [parts.save_name, parts.config, language, extras, *fields], parts.config, **private
    )
    parts.start.click(begin, [parts.config, language, extras, *fields], live.run, **private)
    tab.select(lambda: gr.update(choices=folders.configurations()), None, parts.config, **quiet)


@contextmanager
def told(folders: TrainPlace) -> Iterator[None]:
    """Turn errors into notices, the places of this machine taken out."""
    with noticed():
        try:
            yield
        except PaddleGroundError as error:
            raise ConfigError(folders.shown(str(error))) from error


def _shown(
    folders: TrainPlace, name: str | None, gpus: float, memory: float, lang: Language, extra: Form, form: Form
) -> list[Any]:
    """Give the plan and what of the form is to be seen; what is wrong in the form is told there at once."""
    import gradio as gr

    lora = gr.update(visible=form["fine_tuning"] == "LoRA")
    machine = gr.skip()
    if not name:
        html, plan = nothing_chosen(lang), None
    else:
        try:
            config = _edited(folders, name, extra, form)
            machine = gr.update(visible=not config.on_cpu())
            html, plan = plan_html(config, int(gpus or 0), float(memory or 0), lambda key: text(key, lang))
        except PaddleGroundError as error:
            html, plan = _wrong(str(error)), None
    proposes = gr.update(visible=bool(plan and plan.changes))
    return [folders.shown(html), proposes, lora, lora, machine, machine]


def _wrong(message: str) -> str:
    return f'<div class="plan"><p class="finding bad">{escape(message)}</p></div>'


def _edited(folders: TrainPlace, name: str | None, extra: Form, form: Mapping[str, Any]) -> TrainConfig:
    """Give the chosen configuration as the form has it."""
    return apply_form(_with(load_config(folders.configuration(name)), extra), form, folders)


def _with(config: TrainConfig, keys: Mapping[str, Any]) -> TrainConfig:
    values = {**config.values, **keys}
    return replace(
        config, values={key: value for key, value in values.items() if key not in keys or value is not None}
    )


def _text(config: TrainConfig) -> str:
    return edited(config.path.read_text(encoding="utf-8"), config.to_mapping())
