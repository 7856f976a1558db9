"""The tab that talks about pictures.

Takes a service and what may be uploaded; makes the tab. A conversation becomes a request of the server's own
chat completions, so that the same is allowed and the same is answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from paddle_ground.prompts import Language
from paddle_ground.serve.chat import FRAME, jobs_of
from paddle_ground.serve.images import ImageDoor
from paddle_ground.serve.jobs import Delta, Job
from paddle_ground.serve.service import Service
from paddle_ground.serve.waiting import events_of
from paddle_ground.web.notices import noticed, refuse
from paddle_ground.web.uploads import local_only
from paddle_ground.web.words import Wording, text


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer.

    Attributes:
        said: The question's text.
        files: Its pictures, uploaded.
        answer: So far.
    """

    said: str
    files: tuple[str, ...]
    answer: str = ""


def chat_tab(wording: Wording, language: Any, service: Service, door: ImageDoor, seconds: float) -> None:
    """Make the tab.

    Args:
        wording: Gets what has words.
        language: Component with the page's language.
        service: Answers.
        door: Lets pictures in.
        seconds: For an answer.
    """
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=3):
            shown = wording.make(
                # As plain text: a model's answer may hold tags, and addresses that a browser would load.
                gr.Chatbot, {"label": "conversation"}, height=520, render_markdown=False, buttons=["copy"],
                feedback_options=None, elem_id="chat-shown",
            )  # fmt: skip
            message = wording.make(
                local_only(gr.MultimodalTextbox), {"placeholder": "message_hint", "label": "message"},
                sources=["upload"], file_types=["image"], file_count="multiple", elem_id="chat-message",
            )  # fmt: skip
        with gr.Column(scale=1, min_width=240):
            system = wording.make(gr.Textbox, {"label": "system"}, lines=3, elem_id="chat-system")
            temperature = wording.make(
                gr.Slider, {"label": "temperature", "info": "temperature_hint"}, minimum=0, maximum=2,
                step=0.05, value=0, elem_id="chat-temperature",
            )  # fmt: skip
            most = wording.make(
                gr.Slider, {"label": "max_tokens", "info": "max_tokens_hint"}, minimum=1, maximum=2048,
                step=1, value=256, elem_id="chat-most",
            )  # fmt: skip
            stop = wording.make(gr.Button, {"value": "stop"}, variant="stop", elem_id="chat-stop")
            clear = wording.make(gr.Button, {"value": "clear"}, elem_id="chat-clear")
    state = gr.State((), time_to_live=3600)

    async def talk(
        wanted: dict[str, Any] | None, earlier: Sequence[Exchange], rule: str, heat: float, limit: float,
        lang: Language,
    ) -> AsyncIterator[tuple[Any, Any, Any]]:  # fmt: skip
        said = (wanted or {}).get("text") or ""
        files = tuple(
            file if isinstance(file, str) else file["path"] for file in (wanted or {}).get("files") or ()
        )
        if not said.strip() and not files:
            raise refuse(text("no_message", lang))
        talked = [*earlier, Exchange(said, files)]
        with noticed():
            job = await _job(talked, rule, heat, int(limit), door)
            # Emptied once it was taken: what is refused can be mended.
            yield _shown(talked), None, tuple(earlier)
            async with aclosing(events_of(service, [job], seconds)) as events:  # type: ignore[type-var]
                async for _, event in events:
                    answer = talked[-1].answer + event.text if isinstance(event, Delta) else event.text
                    talked[-1] = Exchange(said, files, answer)
                    yield _shown(talked), gr.skip(), tuple(talked)

    inputs = [message, state, system, temperature, most, language]
    talking = message.submit(
        talk, inputs, [shown, message, state], api_visibility="private", concurrency_limit=None
    )
    stop.click(None, cancels=[talking], api_visibility="private")
    gr.on(
        [clear.click, shown.clear], lambda: ([], ()), None, [shown, state], cancels=[talking],
        api_visibility="private",
    )  # fmt: skip


async def _job(talked: Sequence[Exchange], rule: str, heat: float, limit: int, door: ImageDoor) -> Job:
    from paddle_ground.serve.schemas import ChatRequest

    files = await door.take([file for one in talked for file in one.files])
    turns: list[dict[str, Any]] = [{"role": "system", "content": rule}] if rule.strip() else []
    for one in talked:
        # Where the images are is not asked again: the door has let them in.
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": ""}} for _ in one.files]
        turns.append({"role": "user", "content": [*parts, {"type": "text", "text": one.said}]})
        if one is not talked[-1]:
            # A model may write what nobody may say to it; the conversation should not end at that.
            turns.append({"role": "assistant", "content": FRAME.sub("", one.answer)})
    asked = {"model": "", "messages": turns, "temperature": float(heat), "max_tokens": limit, "stream": True}
    (job,) = jobs_of(ChatRequest.model_validate(asked), files)
    return job


def _shown(talked: Sequence[Exchange]) -> list[dict[str, Any]]:
    """Give the turns as the component has them."""
    turns: list[dict[str, Any]] = []
    for one in talked:
        turns += [{"role": "user", "content": {"path": file}} for file in one.files]
        turns += [{"role": "user", "content": one.said}] if one.said else []
        turns += [{"role": "assistant", "content": one.answer}] if one.answer else []
    return turns
