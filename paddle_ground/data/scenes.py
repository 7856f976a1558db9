"""Synthetic scenes: coloured shapes or road signs on textured ground, with the exact box of each.

Takes a style and a random generator, gives an image and its shapes. Knows no file format.
Every number comes from the generator that is handed in, so a scene depends on its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from paddle_ground.data.outlines import FINE, OUTLINES, draw_outline
from paddle_ground.data.signs import SIGNS, draw_sign
from paddle_ground.errors import ConfigError

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 210, 40),
    "purple": (150, 50, 190),
    "orange": (245, 140, 30),
    "cyan": (40, 200, 215),
    "pink": (250, 130, 190),
}
"""Names and RGB values, all far from the greyish grounds."""

_TRIES = 60


@dataclass(frozen=True)
class SceneStyle:
    """What scenes look like, and so how hard they are.

    Attributes:
        side_px: Width and height of an image in pixels.
        min_shapes: Fewest shapes in a scene.
        max_shapes: Most shapes in a scene.
        min_size: Shortest side of a shape's box, as a fraction of the image's side.
        max_size: Longest side of a shape's box, as a fraction of the image's side.
        max_stretch: Longest side over shortest side of a shape's box; 1 keeps circles round.
        min_gap: Least distance between two boxes, and between a box and the border, as a fraction of
            the side. Negative lets boxes overlap by that much (the border still holds).
        texture: Strength of the ground's texture, 0 (plain) to 1.
        colours: Names from `COLOURS`.
        shapes: Names from `OUTLINES`.
        signs: Names from `SIGNS`, which then take the place of colours and shapes.
        repeat_classes: Whether one scene may hold two shapes of one class.
        image_format: "JPEG" (quality 92, as photographs come) or "PNG".

    Raises:
        ConfigError: A number is out of its range or a name is unknown.
    """

    side_px: int = 128
    min_shapes: int = 1
    max_shapes: int = 3
    min_size: float = 0.2
    max_size: float = 0.45
    max_stretch: float = 1.4
    min_gap: float = 0.02
    texture: float = 0.5
    colours: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "orange")
    shapes: tuple[str, ...] = ("circle", "square", "triangle")
    signs: tuple[str, ...] = ()
    repeat_classes: bool = True
    image_format: str = "JPEG"

    def __post_init__(self) -> None:
        """Refuse what no scene can be made of."""
        named = ((self.colours, COLOURS), (self.shapes, OUTLINES), (self.signs, SIGNS))
        unknown = sorted(name for names, known in named for name in set(names) - set(known))
        checks = {
            "side_px must be 8 or more": self.side_px >= 8,
            "min_shapes..max_shapes must be a range from 0 on": 0 <= self.min_shapes <= self.max_shapes,
            "min_size..max_size must be a range within 0..1": 0 < self.min_size <= self.max_size <= 1,
            "max_stretch must be 1 or more": self.max_stretch >= 1,
            "texture must be 0..1": 0 <= self.texture <= 1,
            "colours and shapes must not be empty": bool(self.colours and self.shapes),
            f"unknown colours, shapes or signs: {', '.join(unknown)}": not unknown,
            "image_format must be JPEG or PNG": self.image_format in ("JPEG", "PNG"),
            "max_shapes needs that many classes, or repeat_classes": self.repeat_classes
            or self.max_shapes <= len(self.class_names),
        }
        problems = [complaint for complaint, holds in checks.items() if not holds]
        if problems:
            raise ConfigError("scene style: " + "; ".join(problems))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Give the class names by category id: "red circle", "red square", ..., or the signs."""
        return self.signs or tuple(f"{colour} {shape}" for colour in self.colours for shape in self.shapes)


@dataclass(frozen=True, slots=True)
class PlacedShape:
    """One shape in a scene.

    Attributes:
        category_id: Index into `SceneStyle.class_names`.
        box_xyxy_px: Its exact box in pixels, on a grid of quarter pixels.
        area_px: The area that the shape itself covers, pixels squared.
    """

    category_id: int
    box_xyxy_px: tuple[float, float, float, float]
    area_px: float


def draw_scene(
    style: SceneStyle, generator: np.random.Generator
) -> tuple[Image.Image, tuple[PlacedShape, ...]]:
    """Draw one scene.

    Args:
        style: What it should look like.
        generator: Where every random number comes from.

    Returns:
        The RGB image, and its shapes in the order in which they were drawn.

    Raises:
        ConfigError: So many shapes of that size and gap do not fit.
    """
    image = draw_ground(style, generator)
    shapes: list[PlacedShape] = []
    for box in place_boxes(style, generator):
        taken = {shape.category_id for shape in shapes}
        category = int(generator.integers(len(style.class_names)))
        while not style.repeat_classes and category in taken:
            category = int(generator.integers(len(style.class_names)))
        shapes.append(_paint(image, style, category, box, generator))
    return image, tuple(shapes)


def draw_ground(style: SceneStyle, generator: np.random.Generator) -> Image.Image:
    """Draw textured ground without any shape: an RGB image of the style's size."""
    side = style.side_px
    # Large patches of colour, then a grain on every pixel.
    base = generator.integers(70, 190) + generator.integers(-12, 13, 3)
    patches = (
        base + style.texture * generator.integers(-60, 61, (6, 6, 1)) + generator.integers(-8, 9, (6, 6, 3))
    )
    smooth = Image.fromarray(np.clip(patches, 0, 255).astype(np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    grain = (
        np.frombuffer(generator.bytes(side * side), np.uint8).reshape(side, side, 1).astype(np.float32)
        - 127.5
    )
    ground = np.asarray(smooth, np.float32) + grain * (0.22 * style.texture)
    return Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))


def place_boxes(style: SceneStyle, generator: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Choose boxes that keep their distance, in quarter pixels.

    Raises:
        ConfigError: So many shapes of that size and gap do not fit.
    """
    wanted = int(generator.integers(style.min_shapes, style.max_shapes + 1))
    for _ in range(_TRIES):
        boxes: list[tuple[int, int, int, int]] = []
        for _ in range(_TRIES * max(wanted, 1)):
            if len(boxes) == wanted:
                break
            box = _random_box(style, generator)
            gap = round(style.min_gap * style.side_px * FINE)
            if box is not None and all(_distance(box, other) >= gap for other in boxes):
                boxes.append(box)
        # A crowded scene may end with fewer shapes than drawn lots for, but not with too few.
        if len(boxes) >= style.min_shapes:
            return boxes
    raise ConfigError(
        f"scene style: {style.min_shapes} shapes of {style.min_size:g}..{style.max_size:g} of the side "
        "do not fit; lower min_shapes, max_size or min_gap"
    )


def _random_box(style: SceneStyle, generator: np.random.Generator) -> tuple[int, int, int, int] | None:
    side = style.side_px * FINE
    long = generator.uniform(style.min_size, style.max_size)
    short = max(long / generator.uniform(1, style.max_stretch), style.min_size)
    width, height = (long, short) if generator.random() < 0.5 else (short, long)
    w, h = max(round(width * side), FINE), max(round(height * side), FINE)
    margin = round(max(style.min_gap, 0) * side)
    if min(side - w, side - h) < 2 * margin:
        return None
    x = int(generator.integers(margin, side - w - margin + 1))
    y = int(generator.integers(margin, side - h - margin + 1))
    return x, y, x + w, y + h


def _distance(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """Measure the larger of the gaps in x and in y; negative where two boxes overlap in both."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


def _paint(
    image: Image.Image,
    style: SceneStyle,
    category: int,
    box: tuple[int, int, int, int],
    generator: np.random.Generator,
) -> PlacedShape:
    pixels = (box[0] / FINE, box[1] / FINE, box[2] / FINE, box[3] / FINE)
    dimming = generator.integers(-14, 15, 3)
    if style.signs:
        return PlacedShape(category, pixels, draw_sign(image, box, style.signs[category], dimming))
    colour, shape = divmod(category, len(style.shapes))
    red, green, blue = np.clip(np.array(COLOURS[style.colours[colour]]) + dimming, 0, 255).tolist()
    covered = draw_outline(image, box, (red, green, blue), OUTLINES[style.shapes[shape]])
    return PlacedShape(category, pixels, covered)
