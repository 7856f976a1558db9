"""The tab that finds things in a picture.

Takes a service and what may be uploaded; makes the tab. Asking is the server's own `/v1/ground`, drawing the
project's own: a threshold only draws again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from paddle_ground.boxes import smallest_at
from paddle_ground.prompts import Language
from paddle_ground.records import Region
from paddle_ground.serve.asking import IMAGE_FORMATS
from paddle_ground.serve.images import ImageDoor
from paddle_ground.serve.jobs import Done
from paddle_ground.serve.looking import job_of
from paddle_ground.serve.service import Service
from paddle_ground.serve.waiting import answers_of
from paddle_ground.web.notices import noticed, refuse
from paddle_ground.web.uploads import local_only
from paddle_ground.web.words import LANGUAGES, Wording, text

_SHOWN_PX = 1600
_READABLE_PX = 640
# Browsers without a clipboard (a page over plain http from elsewhere) copy what is selected.
_COPY = """async (text) => {
  if (!text) return;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = Object.assign(document.createElement('textarea'), {value: text});
    document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
  }
}"""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with its picture, to be drawn again without asking again."""

    image: bytes
    answer: Done


def ground_tab(
    wording: Wording,
    language: Any,
    service: Service,
    door: ImageDoor,
    seconds: float,
    examples: Sequence[Path],
) -> None:
    """Make the tab.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        service: Answers; it knows its classes already.
        door: Lets pictures in.
        seconds: For an answer.
        examples: Pictures to begin with.
    """
    import gradio as gr

    names = list(service.card.get("class_names", ()))
    with gr.Row():
        with gr.Column():
            image = wording.make(
                local_only(gr.Image), {"label": "image"}, type="filepath", image_mode=None, height=360,
                sources=["upload", "clipboard"], elem_id="ground-image", buttons=["fullscreen"],
            )  # fmt: skip
            phrase = wording.make(
                gr.Textbox, {"label": "phrase", "placeholder": "phrase_hint"}, elem_id="ground-phrase",
                max_length=2000,
            )  # fmt: skip
            classes = wording.make(
                gr.Dropdown, {"label": "classes", "info": "nothing_said"}, choices=names, multiselect=True,
                allow_custom_value=True, value=[], elem_id="ground-classes",
            )  # fmt: skip
            asked_in = wording.make(
                gr.Radio, {"label": "prompt_language"}, choices=list(LANGUAGES), value="en"
            )
            find = wording.make(gr.Button, {"value": "find"}, variant="primary", elem_id="ground-find")
            # Gradio's own `Examples` would set the picture's label back to English.
            tried = wording.make(
                gr.Dataset, {"label": "examples"}, components=[image], type="index",
                samples=[[str(path)] for path in examples], visible=bool(examples), elem_id="ground-examples",
            )  # fmt: skip
        with gr.Column():
            drawn = wording.make(
                gr.Image, {"label": "found"}, interactive=False, elem_id="ground-drawn", format="png",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
            picked = wording.make(
                gr.Textbox, {"label": "picked", "placeholder": "picked_hint"}, interactive=False,
                max_lines=3, buttons=["copy"], elem_id="ground-picked",
            )  # fmt: skip
            threshold = wording.make(
                gr.Slider, {"label": "threshold", "info": "threshold_hint"}, minimum=0, maximum=1,
                step=0.01, value=0, elem_id="ground-threshold",
            )  # fmt: skip
            table = wording.make(
                gr.Dataframe, {"label": "boxes", "headers": "box_headers"}, interactive=False, type="array",
                datatype=["str", "number", "number", "number", "number", "number"], buttons=["copy"],
                wrap=True, column_widths=["28%", "16%", "14%", "14%", "14%", "14%"], elem_id="ground-table",
            )  # fmt: skip
            copied = wording.make(
                gr.Code, {"label": "as_json"}, language="json", interactive=False, elem_id="ground-json",
                max_lines=12, buttons=["copy"],
            )  # fmt: skip
            raw = wording.make(
                gr.Textbox, {"label": "raw"}, interactive=False, lines=2, max_lines=12, buttons=["copy"],
                elem_id="ground-raw",
            )  # fmt: skip
    state = gr.State(None, time_to_live=3600)

    async def look(
        path: str | None, said: str, chosen: list[str], lang: Language, least: float, shown: Language
    ) -> tuple[Any, ...]:
        from paddle_ground.serve.schemas import GroundRequest

        if not path:
            raise refuse(text("no_image", shown))
        with noticed():
            (file,) = await door.take([path])
            asked = {"phrase": said.strip() or None, "classes": list(chosen) or None, "lang": lang}
            request = GroundRequest.model_validate({"image": "", **asked})
            (answer,) = await answers_of(service, [job_of(request, (file,))], seconds)
            found = Found(file, answer)
            return found, answer.text, *drawing(found, least, shown)

    def again(found: Found | None, least: float, shown: Language) -> tuple[Any, ...]:
        with noticed():
            return drawing(found, least, shown)

    def pick(found: Found | None, least: float, where: Any) -> str:
        with noticed():
            return picked_box(found, least, where.index)

    pick.__annotations__["where"] = gr.SelectData  # Gradio reads it

    inputs = [image, phrase, classes, asked_in, threshold, language]
    outputs = [drawn, table, copied]
    gr.on(
        [find.click, phrase.submit], look, inputs, [state, raw, *outputs], api_visibility="private",
        concurrency_limit=None,
    )  # fmt: skip
    threshold.release(
        again, [state, threshold, language], outputs, api_visibility="private", show_progress="hidden"
    )
    drawn.select(pick, [state, threshold], picked, api_visibility="private", show_progress="hidden").success(
        None, picked, js=_COPY, api_visibility="private"
    )
    tried.click(lambda index: str(examples[index]), tried, image, api_visibility="private")
    language.change(lambda lang: lang, language, asked_in, api_visibility="private")


def drawing(found: Found | None, least: float, language: Language = "en") -> tuple[Any, Any, str | None]:
    """Give the picture with its boxes, the table and the JSON of those that score enough.

    Args:
        found: None draws nothing.
        least: Score, 0..1; what has no score stays.
        language: Of the table's head.
    """
    if found is None:
        return None, None, None
    from PIL import Image

    from paddle_ground.view import draw_regions

    regions = _scoring(found, least)
    with Image.open(BytesIO(found.image), formats=IMAGE_FORMATS) as image:
        picture = draw_regions(image, regions, enlarge_to_px=_READABLE_PX)
    picture.thumbnail((_SHOWN_PX, _SHOWN_PX))
    headers = text("box_headers", language).split(",")
    return picture, {"headers": headers, "data": [_row(one) for one in regions]}, _as_json(regions)


def picked_box(found: Found | None, least: float, point_xy: Sequence[float]) -> str:
    """Give the box that was clicked in the drawn picture, the smallest one there, as a line of JSON.

    Args:
        found: That is drawn; none gives nothing.
        least: Score of those that are drawn.
        point_xy: In pixels of the picture as `drawing` gives it.

    Returns:
        The line, or "" beside all boxes.
    """
    if found is None:
        return ""
    from PIL import Image

    regions = _scoring(found, least)
    with Image.open(BytesIO(found.image), formats=IMAGE_FORMATS) as image:
        longer = max(image.size)
    # As it is drawn: enlarged to be readable, shrunk to be sent.
    scale = longer / min(max(longer, _READABLE_PX), _SHOWN_PX)
    point = (point_xy[0] * scale, point_xy[1] * scale)
    hit = smallest_at([one.box_xyxy_px for one in regions], point)
    return "" if hit is None else json.dumps(_entry(regions[hit]), ensure_ascii=False)


def _scoring(found: Found, least: float) -> list[Region]:
    return [one for one in found.answer.regions if one.score is None or one.score >= least]


def _row(region: Region) -> list[Any]:
    score = None if region.score is None else round(region.score, 3)
    return [region.label, score, *(round(number, 1) for number in region.box_xyxy_px)]


def _as_json(regions: Sequence[Region]) -> str:
    """Write regions as `/v1/ground` does, one a line."""
    return "[" + ",\n ".join(json.dumps(_entry(one), ensure_ascii=False) for one in regions) + "]"


def _entry(region: Region) -> dict[str, Any]:
    return {
        "label": region.label,
        "box_xyxy_px": [round(x, 2) for x in region.box_xyxy_px],
        "score": region.score and round(region.score, 4),
    }
