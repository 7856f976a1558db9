"""One YOLO label file: lines of a class and numbers within 0..1.

Takes its text and place, gives class numbers and boxes as parts of the image's sides. As Ultralytics has
it: five numbers are a box (class, middle, size), six one with a confidence, nine a turned box by its
corners, any other odd count a polygon; of the last two the box around them is taken. Where the data set has
key points, which nothing in a line tells from a polygon, they follow the box and are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

from paddle_ground.data.readers.boxes_of import FourNumbers
from paddle_ground.errors import DataError

# Rounding may put an edge a little outside; pixels are far beyond.
_MOST = 1.5
_MAX_CLASS = 100_000


@dataclass(frozen=True, slots=True)
class YoloBoxes:
    """What a label file says.

    Attributes:
        classes: The class number of each box.
        boxes: x_min, y_min, x_max, y_max of each, parts of width and height.
        around: How many of them are boxes around polygons or turned boxes.
    """

    classes: tuple[int, ...]
    boxes: tuple[FourNumbers, ...]
    around: int


def read_labels(data: bytes, name: str, keypoints: int = 0) -> YoloBoxes:
    """Read a label file.

    Args:
        data: All of it.
        name: What messages call it.
        keypoints: How many numbers about key points follow each box; see `yolo_layout.keypoint_numbers`.

    Raises:
        DataError: A line is something else; with file and line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    classes: list[int] = []
    boxes: list[FourNumbers] = []
    around = 0
    for line, content in enumerate(text.split("\n"), 1):
        words = content.split()
        if words:
            number, box, is_around = _read_line(words, f"{name}:{line}", keypoints)
            classes.append(number)
            boxes.append(box)
            around += is_around
    return YoloBoxes(tuple(classes), tuple(boxes), around)


def _read_line(words: list[str], where: str, keypoints: int) -> tuple[int, FourNumbers, bool]:
    try:
        first, *numbers = map(float, words)
    except ValueError:
        raise DataError(f"{where}: {' '.join(words)[:60]!r} holds what is no number") from None
    if first != first or not 0 <= first < _MAX_CLASS or first != int(first):
        raise DataError(f"{where}: class {words[0][:20]}; expected a whole number from 0 on")
    if keypoints and len(numbers) == 4 + keypoints:
        numbers = numbers[:4]
    is_box = len(numbers) in (4, 5)
    if not is_box and (len(numbers) < 6 or len(numbers) % 2):
        raise DataError(
            f"{where}: {len(words)} numbers; expected 5 (class, middle, size), 6 with a confidence, "
            "or a class and x, y of three corners or more"
        )
    corners = numbers[:4] if is_box else numbers
    beyond = [number for number in corners if abs(number) > _MOST]
    if beyond:
        raise DataError(
            f"{where}: {beyond[0]:g} is no part of an image's side; YOLO's numbers lie within 0..1, "
            "so divide pixels by width and height"
        )
    if is_box:
        x, y, width, height = corners
        return int(first), (x - width / 2, y - height / 2, x + width / 2, y + height / 2), False
    xs, ys = numbers[0::2], numbers[1::2]
    if any(value != value for value in numbers):  # min and max pass NaN over.
        return int(first), (float("nan"),) * 4, True
    return int(first), (min(xs), min(ys), max(xs), max(ys)), True
