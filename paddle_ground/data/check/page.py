"""One HTML file that shows a data set: problems, pictures with their boxes, histograms.

Takes a `CheckReport`, gives a page that needs no network and no other file. Whatever comes from the
data (labels, prompts, paths, messages) is escaped: a data set can't run code in the page, which has no
script at all and forbids any. Knows no check.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from paddle_ground.data.check.charts import bar_chart, histogram, scatter
from paddle_ground.data.check.lines import read_line_at
from paddle_ground.data.check.page_style import STYLE
from paddle_ground.data.check.problems import KINDS, Problem
from paddle_ground.data.check.report import CheckReport
from paddle_ground.data.check.targets import read_targets
from paddle_ground.data.headers import MAX_PIXELS
from paddle_ground.errors import RecordError
from paddle_ground.files import write_text
from paddle_ground.records import Sample, resolve_image
from paddle_ground.spaces import CoordinateSpace

_PICTURES = 48
_THUMB = 320  # Pixels of the longer side.
_MAX_BYTES = 12 << 20  # Of all pictures together, as JPEG; a third more in base64.
_ROWS_A_KIND = 200
_BOXES_A_PICTURE = 200


@dataclass(frozen=True, slots=True)
class _Picture:
    line: int
    sample: Sample
    jpeg: bytes
    size_wh: tuple[int, int]


def write_page(path: Path, report: CheckReport) -> None:
    """Write the page, whole or not at all.

    Args:
        path: The HTML file.
        report: What it shows.

    Raises:
        UnwritableError: The file can't be written.
    """
    write_text(path, "".join(_page(report)))


def _page(report: CheckReport) -> Iterator[str]:
    name = escape(str(report.path))
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>check: {name}</title><style>{STYLE}</style></head><body><main>\n"
    )
    yield f"<h1>{escape(report.verdict())}</h1>\n"
    yield from _problems(report)
    yield from _histograms(report)
    yield from _sheet(report)
    yield "</main></body></html>\n"


def _problems(report: CheckReport) -> Iterator[str]:
    if not report.problems:
        return
    yield "<section><h2>Problems</h2>\n"
    for code, group in report.by_kind().items():
        kind = KINDS[code]
        is_open = " open" if len(group) <= 5 else ""
        yield (
            f'<details{is_open}><summary><b class="{kind.severity.value}">{kind.severity.value}</b> '
            f"{escape(kind.title)} <span>{len(group)} · {code}</span></summary>"
            f"<p>What to do: {escape(kind.remedy)}.</p><ul>"
        )
        for problem in group[:_ROWS_A_KIND]:
            yield f"<li><code>{escape(problem.where)}</code> {escape(problem.message)}</li>"
        left_out = len(group) - _ROWS_A_KIND
        yield "</ul>" + (f"<p>and {left_out} more</p>" if left_out > 0 else "") + "</details>\n"
    yield "</section>\n"


def _histograms(report: CheckReport) -> Iterator[str]:
    numbers = report.numbers
    charts = [
        ("Labels", bar_chart(numbers.labels, "boxes by label")),
        ("Box sizes", histogram(numbers.box_sides * 100, "side of a box, % of the image's")),
        ("Boxes a sample", histogram(numbers.boxes_a_sample, "boxes")),
        ("Image sizes", scatter(numbers.image_sides, "width, height in pixels")),
    ]
    if len(numbers.lengths):
        charts.append(("Token lengths", histogram(numbers.lengths, "tokens", float(numbers.max_seq_len))))
    yield '<section><h2>Numbers</h2><div class="charts">\n'
    for title, chart in charts:
        yield f"<figure><figcaption>{title}</figcaption>{chart}</figure>\n"
    yield "</div></section>\n"


def _sheet(report: CheckReport) -> Iterator[str]:
    found: dict[int, list[Problem]] = {}
    for problem in report.problems:
        if problem.path == report.path and problem.line:
            found.setdefault(problem.line, []).append(problem)
    yield '<section><h2>Samples</h2><div class="sheet">\n'
    used = 0
    for line, offset in _choose(report, found):
        picture = _open(report.path, line, offset)
        if picture is None or used + len(picture.jpeg) > _MAX_BYTES:
            continue
        used += len(picture.jpeg)
        yield _card(picture, found.get(line, ()), report.space)
    yield "</div></section>\n"


def _choose(report: CheckReport, found: dict[int, list[Problem]]) -> list[tuple[int, int]]:
    """Choose samples: one of each kind of problem, then evenly from the first to the last."""
    rows: list[tuple[int, int]] = [(int(line), int(offset)) for line, offset in report.offsets]
    by_line = dict(rows)
    firsts: dict[str, int] = {}
    for line in sorted(found):
        for problem in found[line]:
            if line in by_line:
                firsts.setdefault(problem.code, line)
    wanted = list(dict.fromkeys(firsts.values()))[: _PICTURES // 2]
    for place in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _PICTURES)).astype(int)):
        if len(wanted) < _PICTURES and rows[place][0] not in wanted:
            wanted.append(rows[place][0])
    return [(line, by_line[line]) for line in sorted(wanted)]


def _open(path: Path, line: int, offset: int) -> _Picture | None:
    sample = read_line_at(path, offset, line).sample
    if sample is None or not sample.images:
        return None
    try:
        with Image.open(resolve_image(path, sample.images[0])) as image:
            size_wh = image.size
            if size_wh[0] * size_wh[1] > MAX_PIXELS:
                return None
            image.draft("RGB", (_THUMB, _THUMB))
            small = image.convert("RGB")
            small.thumbnail((_THUMB, _THUMB))
            stream = io.BytesIO()
            small.save(stream, "JPEG", quality=80)
    except RecordError:
        return None
    except Exception:  # Pillow's readers raise whatever their format's parser meets; the check told of it.
        return None
    return _Picture(line, sample, stream.getvalue(), size_wh)


def _card(picture: _Picture, problems: Sequence[Problem], space: CoordinateSpace | None) -> str:
    width, height = picture.size_wh
    # Boxes in a space that nobody knows are drawn as pixels of the image.
    wide, high = (width, height) if space is None else space.borders_wh(picture.size_wh)
    scale_x, scale_y = width / wide, height / high
    regions = [region for target in read_targets(picture.sample) for region in target.regions]
    # All is drawn in the image's own pixels; strokes and letters must then grow with it.
    unit = max(width, height) / _THUMB
    boxes = []
    for region in regions[:_BOXES_A_PICTURE]:
        x1, y1, x2, y2 = region.box
        x, y, hue = x1 * scale_x, y1 * scale_y, _hue(region.label)
        boxes.append(
            f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{(x2 - x1) * scale_x:.1f}" '
            f'height="{(y2 - y1) * scale_y:.1f}" fill="none" stroke="hsl({hue} 90% 60%)" '
            f'stroke-width="{2 * unit:.2f}"/>'
            f'<text x="{x + 2 * unit:.1f}" y="{max(11 * unit, y - 2 * unit):.1f}" fill="hsl({hue} 90% 85%)" '
            f'font-size="{11 * unit:.1f}" stroke-width="{2.5 * unit:.2f}">{escape(region.label)}</text>'
            f"<title>{escape(region.label)}</title></g>"
        )
    data = base64.b64encode(picture.jpeg).decode("ascii")
    told = "".join(_told(problem) for problem in problems[:5])
    prompt = picture.sample.prompt
    count = f"{len(regions)} box{'' if len(regions) == 1 else 'es'}"
    # Boxes are seen; words and "nothing there" have to be read.
    answer = "" if regions else f"<br>→ {escape(picture.sample.target[:200])}"
    return (
        f'<figure class="card"><svg viewBox="0 0 {width} {height}" role="img">'
        f'<image href="data:image/jpeg;base64,{data}" width="{width}" height="{height}" '
        f'preserveAspectRatio="none"/>{"".join(boxes)}</svg>'
        f"<figcaption><b>line {picture.line}</b> {escape(picture.sample.images[0])} · {count}"
        f"<br>{escape(prompt[:200])}{answer}{told}</figcaption></figure>\n"
    )


def _told(problem: Problem) -> str:
    kind = problem.kind
    return f'<p class="{kind.severity.value}">{escape(kind.title)}: {escape(problem.message)}</p>'


def _hue(label: str) -> int:
    """Choose a label's colour, the same in every page; letters are a light shade of it, on a dark rim."""
    digest = hashlib.blake2b(label.casefold().encode("utf-8", "surrogatepass"), digest_size=2).digest()
    return int.from_bytes(digest, "big") % 360
