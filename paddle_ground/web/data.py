"""The tab that looks at samples.

Takes a folder; makes the tab. What it shows comes from `samples` beside this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_ground.prompts import Language
from paddle_ground.web.notices import noticed, refuse
from paddle_ground.web.samples import Opened, list_samples, open_samples
from paddle_ground.web.words import Wording, text


def data_tab(wording: Wording, language: Any, tab: Any, root: Path, pixels: int) -> None:
    """Make the tab.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        tab: That this is made in; chosen, it looks for files again.
        root: Folder that nothing leaves, its links resolved.
        pixels: That a picture may have to be shown.
    """
    import gradio as gr

    with gr.Row():
        file = wording.make(
            gr.Dropdown, {"label": "samples"}, choices=list_samples(root), value=None, scale=4, min_width=260,
            elem_id="data-file",
        )  # fmt: skip
        look = wording.make(
            gr.Button, {"value": "check"}, variant="primary", scale=1, min_width=200, elem_id="data-open"
        )
    verdict = wording.make(
        gr.Textbox, {"placeholder": "verdict_hint"}, show_label=False, container=False, interactive=False,
        elem_id="data-verdict",
    )  # fmt: skip
    pictures = wording.make(
        gr.Gallery, {"label": "pictures"}, columns=4, height=560, object_fit="contain", interactive=False,
        buttons=["fullscreen"], elem_id="data-pictures",
    )  # fmt: skip
    page = wording.make(
        gr.Slider, {"label": "page"}, minimum=1, maximum=2, step=1, value=1, interactive=True, visible=False,
        elem_id="data-page",
    )  # fmt: skip
    problems = wording.make(
        gr.Dataframe, {"label": "problems", "headers": "problem_headers"}, interactive=False, type="array",
        datatype="str", wrap=True, buttons=["copy"], show_search="search",
        column_widths=["100px", "180px", "180px", "360px", "360px"], elem_id="data-problems",
    )  # fmt: skip
    wording.make(gr.Markdown, {"value": "charts"})
    charts = gr.HTML(elem_id="data-charts")
    state = gr.State(None, time_to_live=3600)

    def open_file(name: str | None, lang: Language) -> tuple[Any, ...]:
        if not name:
            raise refuse(text("no_file", lang))
        with noticed(root):
            opened = open_samples(root, name, pixels)
            slider = gr.update(maximum=max(2, opened.pages), value=1, visible=opened.pages > 1)
            return opened, opened.page(1), slider, *said(opened, lang)

    def said(opened: Opened | None, lang: Language) -> tuple[Any, ...]:
        if opened is None:
            return (gr.skip(),) * 3
        headers = text("problem_headers", lang).split(",")
        table = {"headers": headers, "data": opened.problems(lang)}
        return opened.verdict(lang), table, opened.charts(lang)

    def turn(opened: Opened | None, number: float) -> Any:
        with noticed(root):
            return [] if opened is None else opened.page(int(number))

    look.click(
        open_file, [file, language], [state, pictures, page, verdict, problems, charts],
        api_visibility="private", concurrency_limit=2,
    )  # fmt: skip
    language.change(
        said, [state, language], [verdict, problems, charts], api_visibility="private", show_progress="hidden"
    )
    page.input(turn, [state, page], pictures, api_visibility="private", trigger_mode="always_last")
    tab.select(
        lambda: gr.update(choices=list_samples(root)), None, file, api_visibility="private",
        show_progress="hidden",
    )  # fmt: skip
