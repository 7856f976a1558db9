"""What became of a teacher's answers, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paddle_ground.data.command import describe_split
from paddle_ground.data.distill.labels import LabelTally

if TYPE_CHECKING:
    from paddle_ground.data.distill.run import DistillReport

_SHOWN = 5
# From such a share on, numbers beyond the image are no slip of the teacher's.
_OUTSIDE_SHARE = 0.1


def describe(report: DistillReport, teacher_space: str) -> list[str]:
    """Word what was asked, agreed on, and left out, and what was prepared, a line each."""
    counts, prepared = report.tally.counts, report.prepared
    kept = counts["images"] - counts["left_out_images"]
    lines = [
        f"asked about {report.asked} images now; {counts['images']} have answers",
        f"labelled: {kept} images, {counts['boxes']} boxes, {counts['empty_questions']} questions with "
        "nothing to find",
        f"  left out {counts['left_out_images']} images on which samplings disagree",
        f"  dropped {counts['dropped_boxes']} boxes that too few samplings named",
    ]
    words = {
        "cut_off_answers": "answers cut off before their end; raise --max-tokens",
        "unreadable_answers": "answers without boxes that can be read",
        "outside_answers": "answers with boxes beyond the image only",
        "other_names_answers": "answers with other names only",
        "unknown_labels": "boxes with names that were not asked for",
    }
    lines += [f"  not used: {counts[name]} {text}" for name, text in words.items() if counts[name]]
    lines += [f"  {hint}" for hint in suspect_space(report.tally, teacher_space)]
    lines += [line for result in prepared.splits for line in describe_split(result)]
    places = ", ".join(str(prepared.samples_path(result.split)) for result in prepared.splits)
    return [*lines, f"{'already there' if prepared.reused else 'written'}: {places}"]


def suspect_space(tally: LabelTally, teacher_space: str) -> list[str]:
    """Say that the teacher's numbers may mean something else, where many lie beyond the image."""
    outside, answers = tally.counts["beyond_image"], tally.counts["answers"]
    if outside <= _OUTSIDE_SHARE * answers:
        return []
    other = "absolute" if teacher_space == "relative_1000" else "relative_1000"
    return [
        f"{outside} of {answers} answers have boxes beyond the image; --teacher-space {other} may be right, "
        "and asks nothing anew"
    ]


def describe_left_out(reasons: tuple[str, ...]) -> list[str]:
    """Name the first image files that were not labelled, and count the others."""
    lines = [f"not labelled: {reason}" for reason in reasons[:_SHOWN]]
    return lines + [f"not labelled: {len(reasons) - _SHOWN} more"] * (len(reasons) > _SHOWN)
