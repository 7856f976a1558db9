"""The page: its tabs, its language, and the application that shows it.

Takes a service or none, a folder of samples or none; gives an ASGI app. With a model it is the server's own
app, so that the page stands behind the same limits and beside the same API.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddle_ground.errors import MissingExtraError
from paddle_ground.prompts import Language
from paddle_ground.serve.options import Limits
from paddle_ground.serve.service import Service
from paddle_ground.web.origin import own_page_only
from paddle_ground.web.reports import add_reports
from paddle_ground.web.train_style import STYLE as TRAIN_STYLE
from paddle_ground.web.words import LANGUAGES, Wording

# The browser may load and call nothing but this server, whatever Gradio's pages ask for.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' data: blob:",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)
_STYLE = """
footer { display: none !important; }
.head { align-items: center; justify-content: space-between; }
/* Which one is chosen, the colour tells: the circles leave no room on a phone. */
#language input { position: absolute; opacity: 0; pointer-events: none; }
#language label span { margin-left: 0; }
#language label:focus-within { outline: 2px solid var(--color-accent); outline-offset: 2px; }
/* The theme draws them in white on white. */
input[type="checkbox"] { border: 1px solid var(--body-text-color-subdued) !important; }
.head > * { flex: none !important; width: auto !important; min-width: 0 !important; }
/* Pictures in a conversation come with one, whatever the component is told; the policy blocks it anyway. */
[aria-label="Share"], [title="Share"] { display: none !important; }
/* Their labels would lie over the boxes. */
#ground-drawn { padding-top: 44px !important; }
/* As many pictures side by side as can be seen. */
#data-pictures .grid-container {
  grid-template-columns: repeat(auto-fill, minmax(min(220px, 45%), 1fr)) !important; }
/* A number is not broken into two lines on a phone. */
@media (max-width: 640px) {
  #ground-table .cell-wrap, #ground-table .header-cell, #ground-table [role="columnheader"] {
    font-size: 11px; padding: 4px !important; } }
.charts { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.charts figure { margin: 0; } .chart { display: block; width: 100%; height: auto; }
.chart text { fill: var(--body-text-color-subdued); font-size: 11px; }
.chart .bar, .chart .dot { fill: var(--color-accent); } .chart .dot { fill-opacity: 0.6; }
.work { display: grid; gap: 8px; } .work progress { width: 100%; accent-color: var(--color-accent); }
.work code { font-size: 12px; overflow-wrap: anywhere; white-space: pre-wrap; }
.work[data-state="failed"] strong { color: var(--error-text-color); }
.report-link { display: inline-block; padding: 8px 16px; border-radius: var(--button-large-radius);
  background: var(--button-primary-background-fill); color: var(--button-primary-text-color) !important;
  font-weight: 600; text-decoration: none !important; }
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where files of the page may be.

    Attributes:
        uploads: Folder of what browsers send and are shown; empty at first, and the caller's to remove.
        data: Folder whose samples files may be opened; none for no data tab.
        limits: What may be sent.
        runs: Folder of models, where work may be started that reads and writes in it; none for no such tabs.
        configs: Folder of training YAMLs; with `runs`, there is a tab that trains.
        model: That the service answers with; it may be evaluated wherever it lies.
    """

    uploads: Path
    data: Path | None = None
    limits: Limits = field(default_factory=Limits)
    runs: Path | None = None
    configs: Path | None = None
    model: Path | None = None


def create_page(app: Any, service: Service | None, place: Place) -> Any:
    """Put the page at the root of an application.

    Args:
        app: A FastAPI application; what it has already goes first.
        service: That answers, opened; none for a page without a model.
        place: Where its files may be.

    Returns:
        The application as ASGI, with headers that keep the browser from going elsewhere.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    # Read when Gradio is imported and when components are made.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(place.uploads)
    try:
        import gradio as gr
    except ImportError as error:
        raise MissingExtraError("the page", "gradio", "web") from error
    # Fonts of the machine: the themes' own would be fetched.
    plain, fixed = ([gr.themes.Font(name)] for name in ("system-ui", "ui-monospace"))
    theme = gr.themes.Soft(font=plain, font_mono=fixed)
    blocks = _blocks(service, place)
    if place.runs is not None:
        add_reports(app, place.runs)
    app = gr.mount_gradio_app(
        app, blocks, path="/", footer_links=[], run_history=False, allowed_paths=[], show_error=True,
        max_file_size=place.limits.image_bytes, ssr_mode=False, enable_monitoring=False, pwa=False,
        mcp_server=False, theme=theme, css=_STYLE + TRAIN_STYLE,
    )  # fmt: skip
    # Else Gradio does not ask whether a file that a client names was uploaded (see `uploads.local_only`).
    blocks.has_launched = True
    return _with_policy(own_page_only(app))


def _blocks(service: Service | None, place: Place) -> Any:
    import gradio as gr

    wording = Wording()
    with gr.Blocks(title="paddle_ground", analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        with gr.Row(elem_classes="head"):
            gr.Markdown("## paddle_ground")
            language = gr.Radio(
                list(LANGUAGES),
                value="en",
                show_label=False,
                container=False,
                elem_id="language",
                min_width=0,
            )
        with gr.Tabs():
            _tabs(wording, language, service, place)
            if place.runs is not None:
                _work_tabs(wording, language, blocks.load, place, place.runs)

        def say(chosen: Language) -> list[Any]:
            return wording.updates(gr.update, chosen)

        def first(request: Any) -> str:
            return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"

        # Gradio reads it, and can't see a name that is imported inside a function.
        first.__annotations__["request"] = gr.Request

        language.change(say, language, wording.components, api_visibility="private", show_progress="hidden")
        blocks.load(first, None, language, api_visibility="private", show_progress="hidden")
    blocks.queue(max_size=256, default_concurrency_limit=8, api_open=False)
    return blocks


def _tabs(wording: Wording, language: Any, service: Service | None, place: Place) -> None:
    import gradio as gr

    from paddle_ground.web.chat import chat_tab
    from paddle_ground.web.data import data_tab
    from paddle_ground.web.examples import write_examples
    from paddle_ground.web.ground import ground_tab
    from paddle_ground.web.train import train_tab
    from paddle_ground.web.train_folders import TrainPlace
    from paddle_ground.web.uploads import upload_door

    if service is not None:
        door, seconds = upload_door(place.uploads, place.limits), place.limits.seconds
        with wording.make(gr.Tab, {"label": "ground"}, id="ground"):
            examples = write_examples(place.uploads / "examples")
            ground_tab(wording, language, service, door, seconds, examples)
        with wording.make(gr.Tab, {"label": "chat"}, id="chat"):
            chat_tab(wording, language, service, door, seconds)
    if place.data is not None:
        with wording.make(gr.Tab, {"label": "data"}, id="data") as tab:
            data_tab(wording, language, tab, place.data, place.limits.pixels)
    if place.runs is not None and place.configs is not None:
        with wording.make(gr.Tab, {"label": "train"}, id="train") as tab:
            train_tab(wording, language, tab, TrainPlace(place.runs, place.configs, place.data))


def _work_tabs(wording: Wording, language: Any, load: Any, place: Place, runs: Path) -> None:
    import gradio as gr

    from paddle_ground.web.evaluate import Evaluator, evaluate_tab
    from paddle_ground.web.export import Exporter, export_tab

    if place.data is not None:
        with wording.make(gr.Tab, {"label": "evaluate"}, id="evaluate") as tab:
            evaluate_tab(wording, language, [tab.select, load], Evaluator(runs, place.data, place.model))
    with wording.make(gr.Tab, {"label": "export"}, id="export") as tab:
        export_tab(wording, language, [tab.select, load], Exporter(runs))


def _with_policy(app: Any) -> Any:
    """Add headers to each response."""
    headers = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        await app(scope, receive, sent)

    return guarded
