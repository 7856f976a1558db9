"""Samples files under one folder: found, checked, and drawn a page at a time.

Takes the folder and names in it; gives reports, tables and pictures. Nothing outside the folder is opened or
shown, whatever a file in it names. Knows no page.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_ground.boxes import as_boxes
from paddle_ground.data.check import CheckOptions, CheckReport, check
from paddle_ground.data.check.charts import bar_chart, histogram, scatter
from paddle_ground.data.check.lines import read_line_at
from paddle_ground.data.check.targets import read_targets
from paddle_ground.data.readers.inside import find_inside
from paddle_ground.errors import DataError
from paddle_ground.prompts import Language
from paddle_ground.records import Region, resolve_image
from paddle_ground.serve.asking import IMAGE_FORMATS
from paddle_ground.web.problem_words import problem_row, verdict
from paddle_ground.web.words import text

if TYPE_CHECKING:
    from PIL import Image

PAGE_SIZE = 12
MAX_ROWS = 500
_MAX_FILES = 1000
_MAX_FOLDERS = 5000
_SHOWN_PX = 640


@dataclass(frozen=True, slots=True)
class Opened:
    """A samples file that was opened.

    Attributes:
        root: Folder that nothing leaves.
        report: What its check found.
        pixels: That a picture may have to be shown.
    """

    root: Path
    report: CheckReport
    pixels: int

    @property
    def pages(self) -> int:
        """How many pages of pictures there are, 1 at least."""
        return max(1, -(-len(self.report.offsets) // PAGE_SIZE))

    def page(self, number: int) -> list[tuple[Image.Image, str]]:
        """Draw a page's samples.

        Args:
            number: From 1 on; others are taken for the nearest one.

        Returns:
            Pictures with their captions; lines without a picture that can be shown are left out.
        """
        start = (min(max(number, 1), self.pages) - 1) * PAGE_SIZE
        rows = self.report.offsets[start : start + PAGE_SIZE].tolist()
        drawn = [self._draw(line, offset) for line, offset in rows]
        return [one for one in drawn if one is not None]

    def _draw(self, line: int, offset: int) -> tuple[Image.Image, str] | None:
        from paddle_ground.view import draw_regions

        sample = read_line_at(self.report.path, offset, line).sample
        image = self._image(sample.images[0], line) if sample and sample.images else None
        if sample is None or image is None:
            return None
        answers = [region for target in read_targets(sample) for region in target.regions]
        space = self.report.space
        # Boxes in a space that nobody knows are drawn as pixels of the image.
        boxes = as_boxes([region.box for region in answers])
        placed = (space.decode(boxes, image.size) if space and len(boxes) else boxes).tolist()
        regions = [
            Region(answer.label, (x1, y1, x2, y2))
            for answer, (x1, y1, x2, y2) in zip(answers, placed, strict=True)
        ]
        picture = draw_regions(image, regions, enlarge_to_px=_SHOWN_PX)
        picture.thumbnail((2 * _SHOWN_PX, 2 * _SHOWN_PX))
        said = sample.prompt if answers else f"{sample.prompt} → {sample.target}"
        return picture, f"{line}: {said[:300]}"

    def _image(self, named: str, line: int) -> Image.Image | None:
        from PIL import Image

        samples, where = self.report.path, f"{self.report.path}:{line}"
        try:
            # By name it must stay beside the samples, by its links in the whole folder.
            below = resolve_image(samples, named).relative_to(self.root).as_posix()
            file = find_inside(self.root, below, [self.root], where)
            with Image.open(file, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > self.pixels:
                    return None
                copied: Image.Image = image.copy()
                return copied
        except Exception:  # Pillow's readers raise whatever their format's parser meets; the check told of it
            return None

    def problems(self, language: Language = "en") -> list[list[str]]:
        """Give a table of the problems: severity, what, where, found, remedy."""
        rows = [problem_row(problem, language) for problem in self.report.problems[:MAX_ROWS]]
        return [[cell.replace(f"{self.root}{os.sep}", "") for cell in row] for row in rows]

    def verdict(self, language: Language = "en") -> str:
        """Say it in one line."""
        return verdict(self.report, language).replace(f"{self.root}{os.sep}", "")

    def charts(self, language: Language = "en") -> str:
        """Draw the statistics as HTML."""
        numbers = self.report.numbers
        told = {
            key: text(f"chart_{key}", language).split("|") for key in ("labels", "sides", "boxes", "images")
        }
        drawn = {
            "labels": bar_chart(numbers.labels, told["labels"][1]),
            "sides": histogram(numbers.box_sides * 100, told["sides"][1]),
            "boxes": histogram(numbers.boxes_a_sample, told["boxes"][1]),
            "images": scatter(numbers.image_sides, told["images"][1]),
        }
        figures = [
            f"<figure><figcaption>{told[key][0]}</figcaption>{chart}</figure>" for key, chart in drawn.items()
        ]
        return f'<div class="charts">{"".join(figures)}</div>'


def list_samples(root: Path) -> list[str]:
    """Find samples files: those ending in .jsonl that hold `messages`.

    Args:
        root: Where to look; links are not followed.

    Returns:
        Their paths from the folder on, in order; of a very large folder not all.
    """
    found: list[str] = []
    for folder, folders, names in islice(os.walk(root), _MAX_FOLDERS):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".jsonl") and not path.is_symlink() and _holds_messages(path):
                found.append(path.relative_to(root).as_posix())
        if len(found) >= _MAX_FILES:
            break
    return sorted(found[:_MAX_FILES])


def open_samples(root: Path, name: str, pixels: int) -> Opened:
    """Check a samples file.

    Args:
        root: Folder that nothing leaves, its links resolved.
        name: The file's path from the folder on.
        pixels: That a picture may have to be shown.

    Raises:
        DataError: The path leads out of the folder, or there is no such file.
    """
    return Opened(root, check(find_samples(root, name), CheckOptions()), pixels)


def find_samples(root: Path, name: str) -> Path:
    """Find a samples file.

    Args:
        root: Folder that nothing leaves, its links resolved.
        name: The file's path from the folder on.

    Raises:
        DataError: The path leads out of the folder, or there is no such file.
    """
    path = find_inside(root, name, [root], "samples file")
    if path.suffix != ".jsonl":
        raise DataError(f"{name}: not a samples file; choose one that ends in .jsonl")
    return path


def _holds_messages(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return b'"messages"' in stream.readline(1 << 20)
    except OSError:
        return False
