"""What `paddle-ground train CONFIG --cpu` prints: a rehearsal in words.

Takes a rehearsal; gives lines and an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from paddle_ground.train.rehearse import STEPS_BEFORE, Rehearsal, rehearse

_OPEN, _CLOSE = "\u3010", "\u3011"


def rehearse_command(config: Path, overrides: Sequence[str], load: Callable[[Path], object]) -> None:
    """Rehearse a configuration, print what was found, and leave with code 1 if anything is wrong.

    Args:
        config: The YAML.
        overrides: `key=value` each.
        load: Loads a model folder as inference does.
    """
    found = rehearse(config, overrides, load=load)
    for line in describe(found):
        typer.echo(line)
    if found.problems:
        raise typer.Exit(1)


def describe(found: Rehearsal) -> Iterator[str]:
    """Yield the lines of a report."""
    processes = "one CPU process" if found.processes == 1 else f"{found.processes} CPU processes"
    yield f"{found.config}: rehearsed on {processes} with a small model, in {found.seconds:.0f} s"
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
