"""An engine that says what a test tells it to, so that a test can know every number by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from paddle_ground.families import QWEN2_5_VL
from paddle_ground.infer import Answer, Engine, Request
from paddle_ground.infer.request import open_image
from paddle_ground.records import GroundingConfig
from paddle_ground.spaces import CoordinateSpace, coordinate_space


class ScriptedEngine(Engine):
    """Answers each prompt with `say(prompt)`, and remembers what it was asked.

    Attributes:
        asked: The prompts, in order.
        batches: How many were asked at once, call by call.
    """

    def __init__(
        self,
        say: Callable[[str], str],
        grounding: GroundingConfig | None = None,
        fingerprint: str = "scripted",
    ) -> None:
        weight = SimpleNamespace(weight=SimpleNamespace(dtype="float32"))
        self.loaded = SimpleNamespace(
            checkpoint=SimpleNamespace(fingerprint=lambda: fingerprint), model=SimpleNamespace(lm_head=weight)
        )
        self.grounding = grounding
        self.vocabulary = None  # type: ignore[assignment]
        self.say = say
        self.asked: list[str] = []
        self.batches: list[int] = []

    @property
    def coordinate_space(self) -> CoordinateSpace:
        name = self.grounding.coordinate_space if self.grounding else "relative_1000"
        return coordinate_space(name, QWEN2_5_VL.resize())

    def prepare(self, request: Request) -> Any:
        first, *more = (open_image(image).size for image in request.images)
        text = request.prompt.replace("<image>", "")
        return SimpleNamespace(text=text, size_wh=first, more_sizes_wh=tuple(more))

    def grammar(self, labels: Sequence[str] | None = None) -> None:
        return None

    def generate(self, prompts: Sequence[Any], **options: Any) -> list[Answer]:
        self.batches.append(len(prompts))
        self.asked += [prompt.text for prompt in prompts]
        return [Answer(self.say(p.text), tuple(range(5)), 0.25, "stop", p.size_wh, 9) for p in prompts]
