"""What `paddle-ground train CONFIG` prints at its end, and with `--cpu`: a rehearsal in words.

Takes a run's report or a rehearsal; gives lines and an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from paddle_ground.backend.best_model import read_best
from paddle_ground.errors import TrainError
from paddle_ground.train.curves import PICTURE, draw_curves, read_curves
from paddle_ground.train.follow import TrainReport
from paddle_ground.train.rehearse import STEPS_BEFORE, Rehearsal, rehearse

_HALF_LIFE = 10.0  # logged steps
_OPEN, _CLOSE = "\u3010", "\u3011"


def rehearse_command(
    config: Path,
    overrides: Sequence[str],
    load: Callable[[Path], object],
    merge: Callable[[Path, Path], object],
) -> None:
    """Rehearse a configuration, print what was found, and leave with code 1 if anything is wrong.

    Args:
        config: The YAML.
        overrides: `key=value` each.
        load: Loads a model folder as inference does.
        merge: Writes an adapter's run as a whole model, as `export` does.
    """
    found = rehearse(config, overrides, load=load, merge=merge)
    for line in describe(found):
        typer.echo(line)
    if found.problems:
        raise typer.Exit(1)


def train_command(config: Path, overrides: Sequence[str]) -> None:
    """Train, draw the curves into the run folder, and say where everything is.

    Args:
        config: The YAML.
        overrides: `key=value` each.
    """
    from paddle_ground.train.launch import train

    report = train(config, overrides)
    if report.skipped:
        typer.echo(
            f"{report.skipped} times a sample was left out or replaced (too long, or unreadable): "
            f"look for SKIP in {report.log_path}",
            err=True,
        )
    for line in told(report):
        typer.echo(line)


def told(report: TrainReport) -> Iterator[str]:
    """Draw a run's curves, and yield the lines that tell what it left."""
    loss = f", last loss {report.losses[-1][1]:.4f}" if report.losses else ", nothing left to train"
    yield f"{report.steps} steps in {report.seconds:.0f} s{loss}; model in {report.output_dir}"
    best = read_best(report.best) if report.best else None
    if best is not None:
        yield f"best {best.metric}: {best.value:.3f} after step {best.step}; that model is in {report.best}"
    try:
        picture = draw_curves(read_curves(report.output_dir), report.output_dir / PICTURE, _HALF_LIFE)
    except TrainError:  # Nothing was logged: another machine's part of a run.
        return
    yield f"curves: {picture}"


def describe(found: Rehearsal) -> Iterator[str]:
    """Yield the lines of a report."""
    processes = "one CPU process" if found.processes == 1 else f"{found.processes} CPU processes"
    yield f"{found.config}: rehearsed on {processes} with a small model, in {found.seconds:.0f} s"
    yield from (f"warning: {warning}" for warning in found.warnings)
    yield f"{found.keys} keys accepted. Changed for the CPU, the small model and the few steps:"
    yield from (f"  {key}: {_said(asked)} -> {_said(run)}" for key, asked, run in found.changes)
    yield f"What the model was fed, with what it is trained to write in {_OPEN}{_CLOSE}:"
    for parts in found.samples:
        text = "".join(f"{_OPEN}{text}{_CLOSE}" if trained else text for text, trained in parts)
        yield "  " + text.strip().replace("\n", "\n  ")
        yield "  --"
    if found.losses:
        yield (
            f"Loss {found.losses[0][1]:.4f} -> {found.losses[-1][1]:.4f} in {len(found.losses)} steps, "
            f"stopped after step {STEPS_BEFORE} and gone on with; {found.skipped} samples skipped"
        )
    yield f"Everything of it is in {found.folder}"
    yield from (f"PROBLEM: {problem}" for problem in found.problems)
    if not found.problems:
        yield "No problem found: the checkpoint was written, gone on from, and loaded by inference."


def _said(value: Any) -> str:
    return "not set" if value is None else str(value)
