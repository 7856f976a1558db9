"""Can every answer be read, and are all written in the one format?

Takes `SampleView`s, gives problems. Knows no image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from paddle_ground.answers import AnswerFormat, Repair
from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.view import SampleCheck, SampleView, shown

_SHARE_OF_BOXES = 0.9  # From here on a set is about boxes, and an answer without is suspicious.
_ENOUGH = 100


class AnswerCheck(SampleCheck):
    """Answers that a model should learn must be what a renderer writes.

    Args:
        fmt: The format that the meta file states; None where there is none.
        prompt: The detection prompt that the meta file states; its answers are boxes or nothing.
        max_boxes: More in one answer are a problem.
    """

    def __init__(self, fmt: AnswerFormat | None, prompt: str, max_boxes: int) -> None:
        self._fmt, self._prompt, self._max_boxes = fmt, prompt, max_boxes
        self._first: dict[AnswerFormat, SampleView] = {}
        self._counts: Counter[AnswerFormat] = Counter()
        self._readings: Counter[str] = Counter()
        self._last: SampleView | None = None

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Check one sample's answers."""
        self._last = view
        for target in view.targets:
            self._readings[target.reading] += 1
            if target.reading == "failed" or (target.reading == "text" and self._asks_for_boxes(view)):
                yield view.problem(
                    "answer_unreadable", f"neither boxes nor none: {shown(view.sample.target)}"
                )
            elif target.reading == "mended":
                yield view.problem("answer_mended", ", ".join(target.repairs).replace("_", " "))
            if Repair.DUPLICATE_DROPPED.value in target.repairs:
                yield view.problem("box_repeated", "a label and its box stand there twice")
            if len(target.regions) > self._max_boxes:
                count = len(target.regions)
                yield view.problem(
                    "many_boxes", f"{count} boxes in one answer; up to {self._max_boxes} are usual"
                )
            # "none" and "[]" are both understood by anybody who reads tokens or JSON.
            if target.fmt is not None and target.regions:
                self._counts[target.fmt] += 1
                self._first.setdefault(target.fmt, view)

    def finish(self) -> Iterator[Problem]:
        """Compare the formats of all answers."""
        if self._counts:
            expected = self._fmt or self._counts.most_common(1)[0][0]
            said = "the meta file says" if self._fmt else "most are"
            for fmt, view in self._first.items():
                if fmt is not expected:
                    message = (
                        f"{self._counts[fmt]} answers in {fmt.value}, this the first; {said} {expected.value}"
                    )
                    yield view.problem("answer_format", message)
        total = sum(self._readings.values())
        with_boxes = self._readings["boxes"] + self._readings["mended"]
        if total >= _ENOUGH and not self._readings["nothing"] and with_boxes > _SHARE_OF_BOXES * total:
            assert self._last is not None
            yield Problem("no_negatives", self._last.path, 0, f"{with_boxes} answers, each with boxes")

    def _asks_for_boxes(self, view: SampleView) -> bool:
        return bool(self._prompt) and view.sample.prompt == self._prompt
