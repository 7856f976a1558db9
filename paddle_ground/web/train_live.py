"""The lower half of the Train tab: a run's state, curves and log, drawn again while it goes on.

Takes words and folders; makes the components. Nothing is sent while nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.prompts import Language
from paddle_ground.web.notices import noticed
from paddle_ground.web.train_charts import charts
from paddle_ground.web.train_folders import TrainPlace
from paddle_ground.web.train_runs import Progress, progress, resume, signature, state, stop, tail
from paddle_ground.web.words import Wording, text

_TICK_S = 2.0


@dataclass(frozen=True, slots=True)
class Live:
    """What the rest of the tab needs of it.

    Attributes:
        run: Which run is shown.
    """

    run: Any


def live_parts(wording: Wording, language: Any, folders: TrainPlace) -> Live:
    """Make the components and what keeps them up to date.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        folders: Of the runs.
    """
    import gradio as gr

    with gr.Row(elem_classes="bottom"):
        run = wording.make(
            gr.Dropdown, {"label": "runs"}, choices=folders.runs_found(), value=None, scale=3, min_width=220,
            elem_id="train-run",
        )  # fmt: skip
        again = wording.make(
            gr.Button, {"value": "resume"}, interactive=False, min_width=120, elem_id="train-resume"
        )
        end = wording.make(
            gr.Button, {"value": "stop_run"}, variant="stop", interactive=False, min_width=120,
            elem_id="train-stop",
        )  # fmt: skip
    status = gr.HTML(elem_id="train-status", padding=False)
    curves = gr.HTML(elem_id="train-curves", padding=False)
    log = gr.HTML(elem_id="train-log", padding=False)
    seen = gr.State(None, time_to_live=86_400)
    timer = gr.Timer(_TICK_S)
    shown = [status, curves, log, again, end, seen]

    def show(name: str | None, lang: Language) -> list[Any]:
        with noticed(folders.runs):
            return _shown(folders, name, lang)

    def tick(name: str | None, lang: Language, before: Any) -> list[Any]:
        if not name and not before:
            # What runs, else what ran last.
            found = folders.runs_found()
            if not found and before is not None:  # that there is none was said
                return [gr.skip()] * (len(shown) + 1)
            name = next((one for one in found if _runs(folders, one)), found[0] if found else None)
            return [gr.update(choices=found, value=name), *show(name, lang)]
        mark = _mark(folders, name, lang) if name else ()
        if not mark or before == mark:
            return [gr.skip()] * (len(shown) + 1)
        return [gr.skip(), *show(name, lang)]

    def go_on(name: str | None, lang: Language) -> list[Any]:
        with noticed(folders.runs):
            resume(folders.run(name))
            return _shown(folders, name, lang)

    def halt(name: str | None, lang: Language) -> list[Any]:
        with noticed(folders.runs):
            stop(folders.run(name))
            return _shown(folders, name, lang)

    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    timer.tick(tick, [run, language, seen], [run, *shown], **quiet, concurrency_limit=4)
    gr.on([run.change, language.change], show, [run, language], shown, **quiet)
    run.focus(lambda: gr.update(choices=folders.runs_found()), None, run, **quiet)
    again.click(go_on, [run, language], shown, api_visibility="private")
    end.click(halt, [run, language], shown, api_visibility="private")
    return Live(run)


def _runs(folders: TrainPlace, name: str) -> bool:
    return state(folders.runs / name) in ("running", "elsewhere")


def _mark(folders: TrainPlace, name: str, lang: Language) -> Any:
    try:
        return (name, lang, *signature(folders.run(name)))
    except ConfigError:  # It is gone.
        return ()


def _shown(folders: TrainPlace, name: str | None, lang: Language) -> list[Any]:
    import gradio as gr

    if not name:
        nothing = f'<p class="small">{escape(text("no_runs", lang))}</p>'
        return [nothing, "", "", gr.update(interactive=False), gr.update(interactive=False), ()]
    folder = folders.run(name)
    mark = _mark(folders, name, lang)
    found, logged = progress(folder)
    return [
        folders.shown(_status(found, lang)),
        charts(logged, lambda key: text(key, lang)) if logged else "",
        _log(folders.shown(tail(folder)), lang),
        gr.update(interactive=found.state == "stopped"),
        gr.update(interactive=found.state == "running"),
        mark,
    ]


def _log(lines: str, lang: Language) -> str:
    return (
        f'<p class="caption">{escape(text("log", lang))}</p><div class="log"><pre>{escape(lines)}</pre></div>'
    )


def _status(found: Progress, lang: Language) -> str:
    """Write how far a run is, in one line with a bar."""
    said = [f"<b>{escape(text(f'run_{found.state}', lang))}</b>"]
    if found.step:
        total = f" / {found.total:,}" if found.total else ""
        said.append(f"{text('run_step', lang)} {found.step:,}{total}")
        said.append("" if found.loss is None else f"{text('run_loss', lang)} {found.loss:.4f}")
    elif found.state == "running":
        said.append(escape(text("run_starting", lang)))
    if found.seconds_left is not None:
        said.append(f"{text('run_left', lang)} {_clock(found.seconds_left)}")
    share = min(1.0, found.step / found.total) if found.total else 0.0
    line = f'<p class="state {found.state}">{" · ".join(filter(None, said))}</p>'
    bar = f'<div class="bar"><i class="m1" style="width:{share:.1%}"></i></div>' if found.total else ""
    why = f'<p class="finding bad">{escape(found.said)}</p>' if found.said else ""
    return f'<div class="plan">{line}{bar}{why}</div>'


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
