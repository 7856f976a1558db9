"""The tab that scores a model on a samples file and opens the report.

Takes the folders that the page may open; makes the tab. The work is the program's own commands, in
`evaluation` and `work` beside this; the report goes out through `reports`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.prompts import Language
from paddle_ground.web.evaluation import (
    FOLDER,
    REPORT,
    Evaluation,
    EvaluationFiles,
    find_file,
    headline,
    list_evaluations,
)
from paddle_ground.web.notices import noticed, refuse
from paddle_ground.web.run_folders import find_model, list_models
from paddle_ground.web.samples import find_samples, list_samples
from paddle_ground.web.standing import standing_html, without
from paddle_ground.web.words import Wording, text
from paddle_ground.web.work import Work


@dataclass(frozen=True, slots=True)
class _Current:
    """The evaluation that was started last."""

    name: str
    files: EvaluationFiles
    total: int


class Evaluator:
    """Starts evaluations, one at a time, whoever asks.

    Args:
        runs: Folder that models are chosen from and results are written to, its links resolved.
        data: Folder of samples files, its links resolved.
        own: The model that the page shows; it may lie elsewhere.
    """

    def __init__(self, runs: Path, data: Path, own: Path | None = None) -> None:
        self.runs, self.data = runs, data
        self.work = Work()
        self._own = {} if own is None or own.is_relative_to(runs) else {own.name: own}
        self._first = None if own is None else own.name if self._own else own.relative_to(runs).as_posix()
        self._current: _Current | None = None

    def models(self) -> list[str]:
        """List what may be evaluated: the page's own model first."""
        found = list_models(self.runs)
        first = [] if self._first is None else [self._first]
        return first + [name for name in found if name not in first]

    def start(self, model: str, samples: str, limit: int | None, anew: bool) -> None:
        """Begin.

        Raises:
            PaddleGroundError: No such model or samples file, or an evaluation runs already.
        """
        evaluation = Evaluation(model, samples, limit)
        folder = self.runs / FOLDER / evaluation.name
        if not folder.resolve().is_relative_to(self.runs):
            raise ConfigError(f"{FOLDER} is a link out of {self.runs.name}; make it a folder")
        found = self._own.get(model) or find_model(self.runs, model)
        files = EvaluationFiles(folder, found, find_samples(self.data, samples), limit)
        current = _Current(evaluation.name, files, files.total())
        self.work.start(files.steps, folder, lambda: files.prepare(evaluation, anew))
        self._current = current

    @property
    def name(self) -> str | None:
        """Name the evaluation that was started last."""
        return self._current.name if self._current else None

    def standing(self, language: Language) -> str:
        """Say as HTML how far it is."""
        standing, current = self.work.standing, self._current
        answered = current.files.answered() if current else 0
        total = current.total if current else 0
        said = without(standing.said, self.runs, self.data, *(one.parent for one in self._own.values()))
        progress = (answered, total) if standing.step == "predict" else None
        return standing_html(standing, said, language, progress)


def evaluate_tab(wording: Wording, language: Any, opening: Sequence[Any], evaluator: Evaluator) -> None:
    """Make the tab.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        opening: Events at which it looks at the folders again.
        evaluator: Does it.
    """
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            model = wording.make(
                gr.Dropdown, {"label": "evaluate_model"}, choices=evaluator.models(), value=None,
                elem_id="evaluate-model",
            )  # fmt: skip
            samples = wording.make(
                gr.Dropdown, {"label": "samples"}, choices=list_samples(evaluator.data), value=None,
                elem_id="evaluate-samples",
            )  # fmt: skip
            limit = wording.make(
                gr.Number, {"label": "limit", "info": "limit_hint"}, value=0, minimum=0, precision=0,
                elem_id="evaluate-limit",
            )  # fmt: skip
            anew = wording.make(
                gr.Checkbox, {"label": "anew", "info": "anew_hint"}, value=False, elem_id="evaluate-anew"
            )
            with gr.Row():
                start = wording.make(
                    gr.Button, {"value": "begin"}, variant="primary", min_width=120, elem_id="evaluate-start"
                )
                stop = wording.make(
                    gr.Button, {"value": "stop"}, variant="stop", interactive=False, min_width=120,
                    elem_id="evaluate-stop",
                )  # fmt: skip
        with gr.Column(scale=3, min_width=280):
            standing = gr.HTML(elem_id="evaluate-standing")
            earlier = wording.make(
                gr.Dropdown, {"label": "earlier"}, choices=choices_of(evaluator.runs, "en"), value=None,
                elem_id="evaluate-earlier",
            )  # fmt: skip
            report = gr.HTML(elem_id="evaluate-report", visible=False)
            table = wording.make(
                gr.Dataframe, {"label": "metrics", "headers": "metric_headers"}, interactive=False,
                type="array", datatype="str", buttons=["copy"], max_height=900, visible=False,
                elem_id="evaluate-table",
            )  # fmt: skip
    timer = gr.Timer(1.0, active=False)
    running = [standing, start, stop, timer]
    result = [table, report]

    def now(lang: Language) -> list[Any]:
        goes = evaluator.work.is_running
        buttons = [gr.update(interactive=not goes), gr.update(interactive=goes)]
        return [evaluator.standing(lang), *buttons, gr.update(active=goes)]

    def show(name: str | None, lang: Language) -> list[Any]:
        with noticed(evaluator.runs):
            return result_of(evaluator.runs, name, lang)

    def begin(
        chosen: str | None, file: str | None, most: float | None, forget: bool, lang: Language
    ) -> list[Any]:
        if not chosen or not file:
            raise refuse(text("no_file" if chosen else "no_model", lang))
        if most is not None and (most < 0 or most != int(most)):
            raise refuse(text("bad_limit", lang))
        with noticed(evaluator.runs, evaluator.data):
            evaluator.start(chosen, file, int(most or 0) or None, forget)
        return [*now(lang), gr.update(value=None), *result_of(evaluator.runs, None, lang)]

    def tick(lang: Language) -> list[Any]:
        told = now(lang)
        name = evaluator.name
        if evaluator.work.standing.state != "done" or name is None:
            return [*told, gr.skip(), gr.skip(), gr.skip()]
        chosen = gr.update(choices=choices_of(evaluator.runs, lang), value=name)
        with noticed(evaluator.runs):
            return [*told, chosen, *result_of(evaluator.runs, name, lang)]

    def end(lang: Language) -> list[Any]:
        evaluator.work.stop()
        return now(lang)

    def look(chosen: str | None, lang: Language) -> list[Any]:
        known = choices_of(evaluator.runs, lang)
        names = [name for _, name in known]
        # Who comes back sees what ended meanwhile.
        shown = next((name for name in (chosen, evaluator.name) if name in names), None)
        with noticed(evaluator.runs):
            return [
                gr.update(choices=evaluator.models()),
                gr.update(choices=list_samples(evaluator.data)),
                # What somebody chose while this was under way stays.
                gr.update(choices=known, value=shown) if shown else gr.update(choices=known),
                *now(lang),
                *(result_of(evaluator.runs, shown, lang) if shown else (gr.skip(), gr.skip())),
            ]

    private: dict[str, Any] = {"api_visibility": "private"}
    hidden = {**private, "show_progress": "hidden"}
    start.click(begin, [model, samples, limit, anew, language], [*running, earlier, *result], **private)
    stop.click(end, language, running, **private)
    timer.tick(tick, language, [*running, earlier, *result], **hidden)
    earlier.input(show, [earlier, language], result, **private)
    gr.on(
        [*opening, language.change], look, [earlier, language], [model, samples, earlier, *running, *result],
        **hidden,
    )  # fmt: skip


def choices_of(runs: Path, language: Language) -> list[tuple[str, str]]:
    """Give evaluations as a list to choose from: how they are called, and their names."""
    return [
        (" · ".join((one.model, one.samples, *_first(one, language))), one.name)
        for one in list_evaluations(runs)
    ]


def _first(one: Evaluation, language: Language) -> list[str]:
    return [text("first", language).format(count=one.limit)] if one.limit else []


def result_of(runs: Path, name: str | None, language: Language) -> list[Any]:
    """Give the table of an evaluation and the link to its report; empty ones for none."""
    import gradio as gr

    headers = text("metric_headers", language).split(",")
    if not name:
        return [gr.update(value={"headers": headers, "data": []}, visible=False), gr.update(visible=False)]
    rows = [[text(key, language), value] for key, value in headline(runs, name)]
    try:
        find_file(runs, name, REPORT)
        link = (
            f'<a class="report-link" href="{FOLDER}/{escape(name)}/report" target="_blank" '
            f'rel="noopener noreferrer">{escape(text("open_report", language))} ↗</a>'
        )
    except ConfigError:
        link = escape(text("no_report", language))
    return [
        gr.update(value={"headers": headers, "data": rows}, visible=True),
        gr.update(value=link, visible=True),
    ]
