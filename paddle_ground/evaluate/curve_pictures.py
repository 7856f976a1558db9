"""Pictures of curves: precision against recall, F1 against the score threshold.

Takes `Curve`s, gives two PNGs. Knows no predictions.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from paddle_ground.evaluate.curves import Curve
from paddle_ground.files import atomic_writer

NAMED_CLASSES = 10
"""So many classes, those with most true boxes, have a colour and a name; the others are grey."""

Points = tuple[Sequence[float], Sequence[float]]


def draw_curves(curves: Sequence[Curve], output_dir: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write `precision_recall.png` and `f1_threshold.png`, each whole or not at all.

    Args:
        curves: The pooled one first, then the classes, as `detection_curves` gives them.
        output_dir: Made if need be.

    Raises:
        DataError: The folder can't be written.
    """
    paths = Path(output_dir) / "precision_recall.png", Path(output_dir) / "f1_threshold.png"
    with _chinese_too():
        _draw(curves, [(c.recall, c.precision) for c in curves], ("recall", "precision"), paths[0])
        _draw(curves, [(c.thresholds, c.f1) for c in curves], ("score threshold", "F1"), paths[1])
    return paths


def _draw(curves: Sequence[Curve], points: Sequence[Points], axis_names: tuple[str, str], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot(
        xlabel=axis_names[0], ylabel=axis_names[1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02)
    )
    by_size = sorted(range(1, len(curves)), key=lambda row: (-curves[row].truth_boxes, curves[row].name))
    # From the back to the front: many grey ones, the named ones, all boxes pooled.
    for row in by_size[NAMED_CLASSES:]:
        axes.plot(*points[row], color="lightgray", lw=0.8)
    # A curve of one point is a dot and not nothing.
    lines = [
        axes.plot(*points[row], color=f"C{rank}", lw=1.0, marker="." if len(points[row][0]) == 1 else "")[0]
        for rank, row in enumerate(by_size[:NAMED_CLASSES])
    ]
    pooled = axes.plot(*points[0], color="black", lw=2.0, marker="." if len(points[0][0]) == 1 else "")[0]
    names = ["all classes", *(curves[row].name for row in by_size[:NAMED_CLASSES])]
    figure.legend([pooled, *lines], names, loc="outside right upper", fontsize="small")
    with atomic_writer(path, binary=True) as stream:
        FigureCanvasAgg(figure)
        figure.savefig(stream, format="png")


@contextlib.contextmanager
def _chinese_too() -> Iterator[None]:
    """Draw class names in Noto Sans SC where DejaVu Sans has no such character, if that is installed."""
    import matplotlib
    from matplotlib import font_manager

    families = ["DejaVu Sans"]
    package = importlib.util.find_spec("pylopdf_fonts_zh_cn")
    if package is not None and package.origin is not None:
        path = Path(package.origin).parent / "NotoSansSC-Regular.otf"
        if path.is_file():
            font_manager.fontManager.addfont(str(path))
            families.append(font_manager.FontProperties(fname=str(path)).get_name())
    with matplotlib.rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
