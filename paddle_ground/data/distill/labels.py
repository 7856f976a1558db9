"""Answers -> `labels.jsonl`: the boxes on which samplings agree, one line an image, with where they are from.

Takes an `AnswersFile` and when answers agree, gives the file, a second one about what was left out, and
counts. Nobody is asked, so that labels can be made again with other thresholds. The line of an image:

    {"file": "a/b.jpg", "size_wh": [640, 480], "labels": ["cat"], "boxes_xyxy_px": [[x1, y1, x2, y2]],
     "agreement": [1.0], "phrases": [{"phrase": "the left cat", "boxes": [0], "agreement": 0.9}],
     "teacher": "name", "prompts": ["Locate ..."], "time": "2026-01-31T12:00:00Z"}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddle_ground.data.dialogue import ANY_OBJECT
from paddle_ground.data.distill.agreement import AgreedBox, AgreementOptions, Verdict, weigh
from paddle_ground.data.distill.answers_file import AnswersFile, ImageAnswers
from paddle_ground.data.distill.options import AskOptions
from paddle_ground.data.distill.votes import read_vote
from paddle_ground.files import atomic_writer
from paddle_ground.records.fields import dump

LABELS, LEFT_OUT = "labels.jsonl", "left_out.jsonl"


@dataclass(slots=True)
class LabelTally:
    """What became of the answers.

    Attributes:
        counts: `images` and `questions` with answers, those kept, kept ones that are `empty`, `boxes`, and
            the answers and boxes that were not used, by reason.
        names: How often each label was agreed on.
        newest: The time of the newest answer; "" without any.
    """

    counts: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    newest: str = ""

    def class_names(self, asked: tuple[str, ...]) -> tuple[str, ...]:
        """Give the class names by category id: those asked for, else those agreed on, frequent ones first."""
        found = sorted(self.names, key=lambda name: (-self.names[name], name))
        return asked or tuple(found) or (ANY_OBJECT,)


def write_labels(
    folder: Path,
    files: Sequence[str],
    answers: AnswersFile,
    asking: AskOptions,
    agreement: AgreementOptions,
    teacher: str,
) -> LabelTally:
    """Write the labels of images, in this order, and those that are left out beside.

    Args:
        folder: Where the two files go.
        files: Images with answers.
        answers: About these images.
        asking: What was asked.
        agreement: When samplings agree.
        teacher: The model's name, to be noted.
    """
    tally = LabelTally()
    with ExitStack() as stack:
        kept = stack.enter_context(atomic_writer(folder / LABELS))
        left_out = stack.enter_context(atomic_writer(folder / LEFT_OUT))
        for file in files:
            said = answers.get(file)
            tally.newest = max(tally.newest, said.time)
            verdicts = _judge(said, asking, agreement, tally)
            origin = {
                "teacher": teacher,
                "prompts": [question.prompt for question in asking.questions],
                "time": said.time,
            }
            tally.counts["images"] += 1
            if any(verdict.is_kept for verdict in verdicts):
                row = _row(said, verdicts, asking, tally)
                kept.write(dump({**row, **origin}) + "\n")
            else:
                shares = [round(verdict.agreement, 4) for verdict in verdicts]
                left_out.write(dump({"file": file, "agreement": shares, **origin}) + "\n")
                tally.counts["left_out_images"] += 1
    return tally


def _judge(
    said: ImageAnswers, asking: AskOptions, agreement: AgreementOptions, tally: LabelTally
) -> list[Verdict]:
    verdicts = []
    for question, replies in zip(asking.questions, said.replies, strict=True):
        votes = [read_vote(reply, question, asking, said.size_wh, said.sent_size_wh) for reply in replies]
        verdict = weigh([vote.boxes for vote in votes], agreement)
        verdicts.append(verdict)
        counts = tally.counts
        counts["questions"] += 1
        counts["answers"] += len(votes)
        counts["beyond_image"] += sum(vote.is_outside for vote in votes)
        counts["unknown_labels"] += sum(vote.unknown_labels for vote in votes)
        for vote in votes:
            if vote.problem:
                counts[f"{vote.problem}_answers"] += 1
        if verdict.is_kept:
            counts["kept_questions"] += 1
            counts["empty_questions"] += not verdict.boxes
            counts["boxes"] += len(verdict.boxes)
            counts["dropped_boxes"] += verdict.dropped
    return verdicts


def _row(
    said: ImageAnswers, verdicts: Sequence[Verdict], asking: AskOptions, tally: LabelTally
) -> dict[str, Any]:
    boxes: list[AgreedBox] = []
    phrases = []
    for question, verdict in zip(asking.questions, verdicts, strict=True):
        if not verdict.is_kept:
            continue
        places = list(range(len(boxes), len(boxes) + len(verdict.boxes)))
        boxes += verdict.boxes
        if question.phrase:
            phrases.append(
                {"phrase": question.phrase, "boxes": places, "agreement": round(verdict.agreement, 4)}
            )
    labels = [ANY_OBJECT if phrases else box.label for box in boxes]
    tally.names.update(labels)
    row: dict[str, Any] = {
        "file": said.file,
        "size_wh": said.size_wh,
        "labels": labels,
        # Hundredths of a pixel: far below what any teacher knows.
        "boxes_xyxy_px": [[round(number, 2) for number in box.box_xyxy_px] for box in boxes],
        "agreement": [round(box.agreement, 4) for box in boxes],
        "image_agreement": round(sum(v.agreement for v in verdicts) / len(verdicts), 4),
    }
    return {**row, "phrases": phrases} if phrases else row
