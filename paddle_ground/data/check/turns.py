"""Are the turns in order, is there something to learn, and does no sample contradict or repeat another?

Takes `SampleView`s, gives problems. Knows no box.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from paddle_ground.data.check.problems import Problem
from paddle_ground.data.check.view import SampleCheck, SampleView, shown
from paddle_ground.records import Sample


class TurnCheck(SampleCheck):
    """System first if any, then user and assistant taking turns, an answer at the end."""

    def look(self, view: SampleView) -> Iterator[Problem]:
        """Check one sample."""
        roles = [message.role for message in view.sample.messages]
        turns = roles[1:] if roles[0] == "system" else roles
        expected = ["user", "assistant"] * (len(turns) // 2 + 1)
        if turns != expected[: len(turns)] or not turns:
            yield view.problem("turn_order", f"turns are {', '.join(roles[:8])}")
        elif turns[-1] != "assistant":
            yield view.problem("no_answer", "the last turn is the user's")
        elif not all(m.content.strip() for m in view.sample.messages if m.role == "assistant"):
            yield view.problem("no_answer", "an assistant turn is empty")
        if not view.sample.images:
            yield view.problem("no_image", f"text only: {shown(view.sample.prompt)}")


class RepeatCheck(SampleCheck):
    """The same images and question twice: with one answer a repetition, with two a contradiction."""

    def __init__(self) -> None:
        # Numbers only, so that memory stays small: hash of the question -> hash of the answer, line.
        self._seen: dict[int, tuple[int, int]] = {}

    def look(self, view: SampleView) -> Iterable[Problem]:
        """Compare one sample with the earlier ones."""
        question, answer = _hashes(view.sample)
        earlier = self._seen.setdefault(question, (answer, view.line))
        if earlier[1] == view.line:
            return
        if earlier[0] == answer:
            yield view.problem("sample_repeated", f"line {earlier[1]} is the same")
        else:
            prompt = shown(view.sample.prompt, 40)
            yield view.problem("answers_differ", f"line {earlier[1]} asks {prompt} of the same image")


def _hashes(sample: Sample) -> tuple[int, int]:
    """Hash what is asked, and what is answered."""
    asked = [*sample.images, *(m.content for m in sample.messages if m.role != "assistant")]
    told = [*(m.content for m in sample.messages if m.role == "assistant"), *sample.refs]
    told += [str(box) for box in sample.boxes]
    return _hash(asked), _hash(told)


def _hash(texts: list[str]) -> int:
    data = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
