"""Draw boxes and their names onto an image.

Takes a Pillow image and `Region`s in its pixels, gives a new image. Knows no files and no models.
Line and letter sizes follow the size of the picture that comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from paddle_ground.records import Region
from paddle_ground.view.colors import label_color, text_color_on
from paddle_ground.view.fonts import Font, font_for
from paddle_ground.view.tags import Rect, place_tags

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["DrawStyle", "draw_regions", "enlarged"]


@dataclass(frozen=True, slots=True)
class DrawStyle:
    """Sizes of what is drawn; lengths in pixels of the picture that comes out.

    Attributes:
        line_px: Width of a box's edge, drawn inwards from the box's border.
        letter_px: Font size of the labels.
        show_scores: Whether a score stands behind the label, where there is one.
    """

    line_px: int
    letter_px: int
    show_scores: bool = True

    @classmethod
    def for_picture(cls, size_wh: tuple[int, int], boxes: int) -> DrawStyle:
        """Choose sizes that suit a picture: letters of 11 pixels and more, smaller where boxes crowd."""
        side = (size_wh[0] * size_wh[1]) ** 0.5
        letter_share = 34 if boxes <= 10 else 42
        return cls(line_px=max(2, round(side / 180)), letter_px=max(11, round(side / letter_share)))


def draw_regions(
    image: Image.Image,
    regions: Sequence[Region],
    *,
    enlarge_to_px: int = 0,
    style: DrawStyle | None = None,
) -> Image.Image:
    """Draw each region's box in its class's colour, with its name on a filled tag.

    Tags stay inside the picture and keep clear of each other as far as there is room. Large boxes are
    drawn first, so that small ones inside them stay visible.

    Args:
        image: Any mode; not changed.
        regions: In pixels of `image`; what lies outside is clipped, boxes wholly outside are left out.
        enlarge_to_px: Enlarge the picture until its longer side has this many pixels, before drawing:
            on a small image no name is readable. 0 leaves the size.
        style: Sizes; by default those that suit the picture.

    Returns:
        An RGB image.
    """
    from PIL import ImageDraw

    picture, scale = enlarged(image, enlarge_to_px)
    style = style or DrawStyle.for_picture(picture.size, len(regions))
    marks = [mark for region in regions if (mark := _mark(region, scale, picture.size)) is not None]
    marks.sort(key=lambda mark: mark.box.area, reverse=True)
    pen = ImageDraw.Draw(picture)
    for mark in marks:
        _draw_edge(pen, mark, style)
    texts = [_text(mark, style, picture.width) for mark in marks]
    tags = place_tags([mark.box for mark in marks], [text.size_wh for text in texts], picture.size)
    for mark, text, tag in zip(marks, texts, tags, strict=True):
        _draw_tag(pen, text, tag, label_color(mark.region.label))
    return picture


def enlarged(image: Image.Image, longer_side_px: int) -> tuple[Image.Image, float]:
    """Copy an image as RGB, enlarged if its longer side is shorter than asked for.

    Returns:
        The copy and the factor by which it grew, 1 or more.
    """
    picture = image.convert("RGB") if image.mode != "RGBA" else _on_white(image)
    scale = max(1.0, longer_side_px / max(picture.size))
    if scale == 1.0:
        return picture.copy() if picture is image else picture, 1.0
    size_wh = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size_wh, Image.Resampling.BICUBIC), scale


@dataclass(frozen=True, slots=True)
class _Mark:
    region: Region
    box: Rect  # whole pixels of the picture that comes out


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    font: Font
    offset: tuple[int, int]  # of the text's origin inside its tag
    size_wh: tuple[int, int]  # of the tag


def _on_white(image: Image.Image) -> Image.Image:
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _mark(region: Region, scale: float, size_wh: tuple[int, int]) -> _Mark | None:
    left, top, right, bottom = (round(value * scale) for value in region.box_xyxy_px)
    width, height = size_wh
    if right < 0 or bottom < 0 or left > width or top > height:
        return None
    # At least one pixel wide, and inside the picture: a box on the border shows its edge there.
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return _Mark(region, Rect(left, top, max(min(right, width), left + 1), max(min(bottom, height), top + 1)))


def _draw_edge(pen: ImageDraw, mark: _Mark, style: DrawStyle) -> None:
    box, color = mark.box, label_color(mark.region.label)
    left, top, right, bottom = box.inclusive()
    # A hair of the opposite brightness around it keeps the edge visible on a ground of its own color.
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=text_color_on(color), width=1)
    # A thick edge would fill a small box: leave at least half of it open.
    width = max(1, min(style.line_px, min(box.width, box.height) // 4))
    pen.rectangle((left, top, right, bottom), outline=color, width=width)


def _text(mark: _Mark, style: DrawStyle, picture_width_px: int) -> _Text:
    # A long phrase may be as wide as its box, half the picture, or a dozen letters; longer ones are cut.
    region = mark.region
    wanted_px = max(mark.box.width, picture_width_px // 2, 8 * style.letter_px)
    width_px = min(wanted_px, picture_width_px)
    label = " ".join(region.label.split()) or "?"
    score = f" {region.score:.2f}" if style.show_scores and region.score is not None else ""
    font = font_for(label + score + "…", style.letter_px)
    pad = max(2, round(style.letter_px * 0.22))
    room = max(width_px - 2 * pad, 1)
    text = _shortened(label, score, font, room)
    left, _, right, _ = font.getbbox(text)
    # The height of the line, not of these letters: all tags of a picture are then of one height.
    ascent, descent = font.getmetrics()
    high = font.getbbox("Ag" + text)
    top, bottom = min(high[1], ascent // 4), max(high[3], ascent + descent // 2)
    size_wh = (min(int(right - left) + 2 * pad, width_px), int(bottom - top) + 2 * max(1, pad // 2))
    return _Text(text, font, (pad - int(left), max(1, pad // 2) - int(top)), size_wh)


def _shortened(label: str, score: str, font: Font, room_px: int) -> str:
    """Cut a label to what fits, by halving the search: the score stays."""
    if font.getlength(label + score) <= room_px:
        return label + score
    low, high = 0, len(label)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(label[:middle].rstrip() + "…" + score) <= room_px:
            low = middle
        else:
            high = middle - 1
    return label[:low].rstrip() + "…" + score if low else label[:1]


def _draw_tag(pen: ImageDraw, text: _Text, tag: Rect, color: tuple[int, int, int]) -> None:
    pen.rectangle(tag.inclusive(), fill=color)
    origin = (tag.left + text.offset[0], tag.top + text.offset[1])
    pen.text(origin, text.text, font=text.font, fill=text_color_on(color))
