"""The tab that exports a run or a model for others to load.

Takes the folder of runs; makes the tab. What it starts and shows comes from `exporting` beside this.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paddle_ground.prompts import Language
from paddle_ground.web.evaluate import choices_of
from paddle_ground.web.exporting import (
    DTYPES,
    Export,
    card_of,
    default_out,
    export_step,
    files_of,
    serve_lines,
)
from paddle_ground.web.notices import noticed, refuse
from paddle_ground.web.run_folders import list_models
from paddle_ground.web.standing import standing_html, without
from paddle_ground.web.words import Wording, text
from paddle_ground.web.work import Work

_WORK_FOLDER = ".page-export"


class Exporter:
    """Starts exports, one at a time, whoever asks.

    Args:
        runs: Folder that is read and written, its links resolved.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.work = Work()
        self._out: Path | None = None

    def sources(self) -> list[str]:
        """List what may be exported."""
        return list_models(self.runs, adapters=True)

    def start(self, export: Export) -> None:
        """Begin.

        Raises:
            PaddleGroundError: A name or a setting can't be, or an export runs already.
        """
        step, out = export_step(self.runs, export)
        self.work.start([step], self.runs / _WORK_FOLDER)
        self._out = out

    def standing(self, language: Language) -> str:
        """Say as HTML where it stands."""
        standing = self.work.standing
        return standing_html(standing, without(standing.said, self.runs), language)

    def written(self) -> Path | None:
        """Give the folder of the export that ended well last."""
        return self._out if self._out and self.work.standing.state == "done" and self._out.is_dir() else None


def export_tab(wording: Wording, language: Any, opening: Sequence[Any], exporter: Exporter) -> None:
    """Make the tab.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        opening: Events at which it looks at the folder again.
        exporter: Does it.
    """
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            source = wording.make(
                gr.Dropdown, {"label": "export_source", "info": "export_hint"}, choices=exporter.sources(),
                value=None, elem_id="export-source",
            )  # fmt: skip
            out = wording.make(
                gr.Textbox, {"label": "export_out", "info": "export_out_hint"}, max_length=500,
                elem_id="export-out",
            )  # fmt: skip
            with gr.Row():
                size = wording.make(
                    gr.Textbox, {"label": "shard_size"}, value="5GB", max_length=20, min_width=120,
                    elem_id="export-size",
                )  # fmt: skip
                dtype = wording.make(
                    gr.Dropdown, {"label": "dtype"}, choices=list(DTYPES), value="keep", min_width=120,
                    elem_id="export-dtype",
                )  # fmt: skip
            metrics = wording.make(
                gr.Dropdown, {"label": "card_metrics"}, choices=_evaluations(exporter.runs, "en"), value="",
                elem_id="export-metrics",
            )  # fmt: skip
            with gr.Row():
                start = wording.make(
                    gr.Button, {"value": "export"}, variant="primary", min_width=120, elem_id="export-start"
                )
                stop = wording.make(
                    gr.Button, {"value": "stop"}, variant="stop", interactive=False, min_width=120,
                    elem_id="export-stop",
                )  # fmt: skip
            standing = gr.HTML(elem_id="export-standing")
        with gr.Column(scale=3, min_width=280), gr.Column(visible=False) as written:
            files = wording.make(
                gr.Dataframe, {"label": "files", "headers": "file_headers"}, interactive=False, type="array",
                datatype=["str", "str"], max_height=900, buttons=["copy"], elem_id="export-files",
            )  # fmt: skip
            lines = wording.make(
                gr.Code, {"label": "serve_lines"}, language="shell", interactive=False, wrap_lines=True,
                lines=4, elem_id="export-lines", buttons=["copy"],
            )  # fmt: skip
            wording.make(gr.Markdown, {"value": "serve_note"})
            with wording.make(gr.Accordion, {"label": "card"}, open=True):
                card = gr.Markdown(elem_id="export-card")
    timer = gr.Timer(1.0, active=False)
    running, result = [standing, start, stop, timer], [written, files, lines, card]

    def now(lang: Language) -> list[Any]:
        goes = exporter.work.is_running
        buttons = [gr.update(interactive=not goes), gr.update(interactive=goes)]
        return [exporter.standing(lang), *buttons, gr.update(active=goes)]

    def begin(
        chosen: str | None, named: str, largest: str, kept: str, scored: str | None, lang: Language
    ) -> list[Any]:
        if not chosen:
            raise refuse(text("no_model", lang))
        with noticed(exporter.runs):
            exporter.start(Export(chosen, named, largest, kept, scored or None))
        return [*now(lang), *_written(exporter, lang)]

    def tick(lang: Language) -> list[Any]:
        return [*now(lang), *_written(exporter, lang)]

    def end(lang: Language) -> list[Any]:
        exporter.work.stop()
        return now(lang)

    def look(lang: Language) -> list[Any]:
        known = gr.update(choices=exporter.sources()), gr.update(choices=_evaluations(exporter.runs, lang))
        return [*known, *now(lang), *_written(exporter, lang)]

    private: dict[str, Any] = {"api_visibility": "private"}
    hidden = {**private, "show_progress": "hidden"}
    source.input(default_out, source, out, **hidden)
    start.click(begin, [source, out, size, dtype, metrics, language], [*running, *result], **private)
    stop.click(end, language, running, **private)
    timer.tick(tick, language, [*running, *result], **hidden)
    gr.on([*opening, language.change], look, language, [source, metrics, *running, *result], **hidden)


def _evaluations(runs: Path, language: Language) -> list[tuple[str, str]]:
    return [("—", ""), *choices_of(runs, language)]


def _written(exporter: Exporter, language: Language) -> list[Any]:
    """Give files, lines and card of what was written; empty ones for nothing."""
    import gradio as gr

    out, headers = exporter.written(), text("file_headers", language).split(",")
    if out is None:
        return [gr.update(visible=False), {"headers": headers, "data": []}, "", ""]
    table = {"headers": headers, "data": files_of(out)}
    return [gr.update(visible=True), table, serve_lines(exporter.runs, out), card_of(out)]
