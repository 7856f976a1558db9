"""What `paddle-ground eval` does: score, compare if asked, and say so.

Takes paths, writes the files of `run`, `compare` and `curves`, gives the text to print. Knows no options.
"""

from __future__ import annotations

from pathlib import Path

from paddle_ground.evaluate.compare import compare_files, render_comparison
from paddle_ground.evaluate.curves import detection_curves, draw_curves
from paddle_ground.evaluate.run import METRICS_NAME, evaluate_files
from paddle_ground.evaluate.table import render_table
from paddle_ground.records import read_predictions, read_truth


def report(
    predictions: Path,
    truth: Path,
    output: Path,
    iou: float,
    compare: Path | None,
    out_of_domain: tuple[Path, Path, Path] | None,
) -> str:
    """Score `predictions`, and compare them with `compare` and two others out of domain.

    Raises:
        PaddleGroundError: See `evaluate_files` and `compare_files`.
    """
    metrics = evaluate_files(predictions, truth, output, iou)
    lines = [render_table([(predictions.stem, metrics)])]
    curves = detection_curves(list(read_predictions(predictions)), read_truth(truth), iou)
    if metrics.scored:
        lines.append(f"best score threshold: {curves[0].best_threshold}")
    lines += [f"wrote {path}" for path in (output / METRICS_NAME, *draw_curves(curves, output))]
    if compare is not None:
        lines.append(f"\nA = {predictions}, B = {compare}")
        lines.append(render_comparison(compare_files(predictions, compare, truth, output, iou)))
    if out_of_domain is not None:
        first, second, other = out_of_domain
        lines.append(f"\nout of domain: A = {first}, B = {second}")
        lines.append(render_comparison(compare_files(first, second, other, output / "out_of_domain", iou)))
    return "\n".join(lines)
