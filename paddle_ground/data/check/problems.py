"""What can be wrong with samples: every kind of problem, with a stable code, how bad it is and the way out.

Takes nothing, gives the table of kinds and the record of one problem. Knows no check.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Severity(str, Enum):
    """How bad a problem is."""

    ERROR = "error"
    """Training or scoring goes wrong."""
    WARNING = "warning"
    """Very likely a mistake, or it makes a worse model."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    Attributes:
        code: Its stable name.
        severity: How bad it is.
        title: What it is, in a few words.
        remedy: What to do.
    """

    code: str
    severity: Severity
    title: str
    remedy: str


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

_KINDS = (
    # --- lines and turns
    Kind("no_samples", _E, "no sample at all", "write samples with `paddle-ground prepare`"),
    Kind("not_utf8", _E, "not UTF-8 text", "save the file as UTF-8"),
    Kind("bad_json", _E, "not valid JSON", "repair or remove the line: one JSON object a line"),
    Kind("bad_record", _E, "not a record of the messages format", "give each record messages and images"),
    Kind("bad_box", _E, "a box is not four whole numbers", "write x1, y1, x2, y2 in the model's space"),
    Kind(
        "marks_mismatch", _E, "placeholders and values differ in number", "add the missing one or drop a mark"
    ),
    Kind("turn_order", _E, "turns out of order", "system first if any, then user and assistant taking turns"),
    Kind("no_answer", _E, "no answer to learn", "end each sample with an assistant turn that has text"),
    Kind("no_image", _W, "a sample without an image", "name its image, or keep text in a set of its own"),
    # --- boxes and answers
    Kind("wrong_space", _E, "boxes in another coordinate space", "convert with `paddle-ground prepare`"),
    Kind("box_outside", _E, "a box sticks out of the image", "clip it at the border or remove it"),
    Kind("box_degenerate", _E, "a box without area", "give the upper left corner first, or remove the box"),
    Kind("box_repeated", _W, "the same box twice in one answer", "keep one: repetition teaches loops"),
    Kind("many_boxes", _W, "very many boxes in one answer", "tile the image or cap the boxes: answers loop"),
    Kind("answer_unreadable", _E, "an answer that can't be read", "write it as `prepare` does"),
    Kind("answer_mended", _W, "an answer that reads only after mending", "write it as `prepare` does"),
    Kind("answer_format", _E, "answers in another format", "one format a set, the one of its meta file"),
    Kind("answers_differ", _E, "same image and question, different answers", "merge them or keep one"),
    Kind("sample_repeated", _W, "the same sample twice", "keep one, or repeat it by sampling in training"),
    # --- labels
    Kind("label_unusable", _E, "a label that can't stand in an answer", "rename it to plain words"),
    Kind("label_variant", _W, "two spellings of one label", "settle on one spelling"),
    Kind("label_unknown", _W, "a label that is not among the classes", "add the class or rename the label"),
    Kind("label_conflict", _W, "one box, two labels", "keep the right one"),
    Kind("class_imbalance", _N, "very rare classes", "repeat their images, or gather more of them"),
    Kind("no_negatives", _W, "every image has objects", "add images without: the model learns to invent"),
    # --- images
    Kind("image_missing", _E, "an image file that is not there", "put it there, or prepare the data again"),
    Kind("image_outside", _E, "an image path out of the folder", "move the image into the folder"),
    Kind("image_unreadable", _E, "an image that can't be read", "replace the file or remove the sample"),
    Kind(
        "image_rotated", _W, "an EXIF rotation, which trainers ignore", "rotate the pixels and drop the tag"
    ),
    Kind("image_mode", _W, "colours that don't convert faithfully", "save it as 8-bit RGB"),
    Kind("image_animated", _W, "more than one frame; only the first is used", "save the frame that is meant"),
    Kind("image_kind", _W, "an unusual image format", "convert it to JPEG or PNG"),
    Kind("image_aspect", _E, "sides more than 200 to 1, which Qwen refuses", "crop or tile the image"),
    Kind("image_tiny", _W, "a tiny image, enlarged in training", "use the original picture"),
    Kind("image_repeated", _W, "the same image under two names", "keep one and merge the boxes"),
    Kind("image_alike", _W, "two images that look the same", "keep one, unless both are meant"),
    Kind("leak", _E, "an image that another split has too", "remove it from one: scores would lie"),
    Kind("leak_alike", _W, "an image that looks like one of another split", "remove it from one of them"),
    # --- files beside
    Kind("meta_missing", _N, "no meta file beside the samples", "prepare the data with this tool"),
    Kind("meta_unreadable", _E, "a meta file that can't be read", "prepare the data again"),
    Kind("meta_stale", _W, "the samples changed since their meta file", "prepare again, or remove the meta"),
    Kind("space_differs", _E, "boxes in a space that the model does not speak", "prepare for this model"),
    Kind("format_differs", _W, "answers in a format that the model was not tuned on", "use one format"),
    Kind("truth_missing", _N, "no truth file, so `eval` can't score", "prepare the data with this tool"),
    Kind("truth_unreadable", _E, "a truth file that can't be read", "prepare the data again"),
    Kind("truth_lacks_image", _E, "an image that the truth does not know", "prepare the data again"),
    Kind("truth_size", _E, "an image of another size than the truth says", "prepare the data again"),
    Kind("truth_differs", _W, "boxes that are not those of the truth", "prepare the data again"),
    # --- tokens
    Kind("too_long", _E, "longer than max_seq_len: skipped in training", "raise it, or shorten the sample"),
    Kind("image_shrunk", _N, "images above the pixel limit, shrunk", "raise image_max_pixels, or tile them"),
)

KINDS = {kind.code: kind for kind in _KINDS}
"""All kinds by code, in the order of a report."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        code: Of its kind.
        path: The file that it is in.
        line: From 1 on; 0 where the whole file is meant.
        message: What was found, without the place and the remedy.
    """

    code: str
    path: Path
    line: int
    message: str

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return KINDS[self.code]

    @property
    def where(self) -> str:
        """`file:line`, or `file`."""
        return f"{self.path}:{self.line}" if self.line else f"{self.path}"
