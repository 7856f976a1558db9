"""An engine that says what a test tells it to, so that a test can know every number by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from paddle_ground.infer import Answer, Engine, Request
from paddle_ground.infer.request import open_image
from paddle_ground.records import GroundingConfig


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

    def prepare(self, request: Request) -> Any:
        return request.prompt.replace("<image>", ""), open_image(request.image).size

    def grammar(self, labels: Sequence[str] | None = None) -> None:
        return None

    def generate(self, prompts: Sequence[Any], **options: Any) -> list[Answer]:
        self.batches.append(len(prompts))
        self.asked += [prompt for prompt, _ in prompts]
        return [Answer(self.say(prompt), tuple(range(5)), 0.25, "stop", size, 9) for prompt, size in prompts]
