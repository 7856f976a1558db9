"""Put pictures together: truth beside prediction, and many scenes on one sheet.

Takes images and `Region`s, gives one image. Knows no files and no models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from paddle_ground.records import Region
from paddle_ground.view.draw import draw_regions
from paddle_ground.view.fonts import font_for

__all__ = ["CAPTIONS", "Scene", "contact_sheet", "side_by_side"]

CAPTIONS = ("ground truth", "prediction")
_PAPER = "white"
_INK = (40, 40, 40)
_QUIET_INK = (110, 110, 110)


@dataclass(frozen=True, slots=True)
class Scene:
    """One image with what is in it and what a model saw in it.

    Attributes:
        image: Any mode.
        truth: In its pixels.
        predicted: In its pixels.
        name: A caption; "" for none.
    """

    image: Image.Image
    truth: tuple[Region, ...]
    predicted: tuple[Region, ...]
    name: str = ""


def side_by_side(
    image: Image.Image,
    truth_regions: Sequence[Region],
    predicted_regions: Sequence[Region],
    *,
    captions: tuple[str, str] = CAPTIONS,
    panel_px: int = 480,
) -> Image.Image:
    """Draw the truth on the left and the prediction on the right, each under a caption with its count.

    Args:
        image: Any mode; not changed.
        truth_regions: In its pixels.
        predicted_regions: In its pixels.
        captions: Left and right.
        panel_px: Smaller images are enlarged until their longer side has this many pixels.

    Returns:
        An RGB image.
    """
    panels = [
        draw_regions(image, regions, enlarge_to_px=panel_px) for regions in (truth_regions, predicted_regions)
    ]
    counts = [len(truth_regions), len(predicted_regions)]
    width, height = panels[0].size
    letter_px = max(12, round((width * height) ** 0.5 / 30))
    gap, band = letter_px // 2, round(letter_px * 1.7)
    paper = Image.new("RGB", (2 * width + gap, height + band), _PAPER)
    for i, (panel, caption, count) in enumerate(zip(panels, captions, counts, strict=True)):
        left = i * (width + gap)
        text = f"{caption}: {count} {'box' if count == 1 else 'boxes'}"
        _write(paper, text, (left, 0), (width, band), letter_px, _INK)
        paper.paste(panel, (left, band))
    return paper


def contact_sheet(
    scenes: Sequence[Scene],
    *,
    columns: int = 2,
    panel_px: int = 320,
    captions: tuple[str, str] = CAPTIONS,
    title: str = "",
) -> Image.Image:
    """Lay out several scenes, truth beside prediction, in a grid.

    Args:
        scenes: At least one. Larger images than `panel_px` are shrunk, smaller ones enlarged.
        columns: Scenes in a row.
        panel_px: Longer side of each picture.
        captions: Left and right.
        title: A line above all; "" for none.

    Returns:
        An RGB image.

    Raises:
        ValueError: No scene, or fewer than one column.
    """
    if not scenes or columns < 1:
        raise ValueError(f"a contact sheet needs scenes and columns, found {len(scenes)} and {columns}")
    cells = [_cell(scene, panel_px, captions) for scene in scenes]
    columns = min(columns, len(cells))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    letter_px = max(13, round(panel_px / 20))
    margin = letter_px
    band = 2 * letter_px if title else 0
    column_widths = [max(row[i].width for row in rows if i < len(row)) for i in range(columns)]
    row_heights = [max(cell.height for cell in row) for row in rows]
    size_wh = (
        sum(column_widths) + margin * (columns + 1),
        sum(row_heights) + margin * (len(rows) + 1) + band,
    )
    paper = Image.new("RGB", size_wh, _PAPER)
    if title:
        _write(paper, title, (margin, margin // 2), (size_wh[0] - 2 * margin, band), letter_px, _INK)
    top = margin + band
    for row, height in zip(rows, row_heights, strict=True):
        left = margin
        for cell, width in zip(row, column_widths, strict=False):
            paper.paste(cell, (left, top))
            left += width + margin
        top += height + margin
    return paper


def _cell(scene: Scene, panel_px: int, captions: tuple[str, str]) -> Image.Image:
    image, truth, predicted = scene.image, scene.truth, scene.predicted
    scale = panel_px / max(image.size)
    if scale < 1:
        size_wh = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        factors = (size_wh[0] / image.width, size_wh[1] / image.height)
        image = image.convert("RGB").resize(size_wh, Image.Resampling.LANCZOS)
        truth, predicted = _scaled(truth, factors), _scaled(predicted, factors)
    pair = side_by_side(image, truth, predicted, captions=captions, panel_px=panel_px)
    if not scene.name:
        return pair
    letter_px = max(11, round(panel_px / 28))
    band = round(letter_px * 1.6)
    cell = Image.new("RGB", (pair.width, pair.height + band), _PAPER)
    cell.paste(pair, (0, 0))
    _write(cell, scene.name, (0, pair.height), (pair.width, band), letter_px, _QUIET_INK)
    return cell


def _scaled(regions: Sequence[Region], factors_xy: tuple[float, float]) -> tuple[Region, ...]:
    x, y = factors_xy
    return tuple(
        Region(region.label, (left * x, top * y, right * x, bottom * y), region.score)
        for region in regions
        for left, top, right, bottom in [region.box_xyxy_px]
    )


def _write(
    paper: Image.Image,
    text: str,
    corner: tuple[int, int],
    size_wh: tuple[int, int],
    letter_px: int,
    ink: tuple[int, int, int],
) -> None:
    """Write one line, in the middle of its band's height; a smaller font where it is too long."""
    from PIL import ImageDraw

    font = font_for(text, letter_px)
    while font.getlength(text) > size_wh[0] and letter_px > 8:
        letter_px -= 1
        font = font_for(text, letter_px)
    ImageDraw.Draw(paper).text(
        (corner[0], corner[1] + size_wh[1] // 2), text, font=font, fill=ink, anchor="lm"
    )
