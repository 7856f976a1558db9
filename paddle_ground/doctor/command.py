"""The `doctor` command: findings, grouped, with the remedy below each that has one.

Takes flags; prints. Knows how findings are shown and no more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from paddle_ground.doctor import Finding

_TITLES = {"packages": "Packages", "extras": "Extras", "machine": "Machine", "tries": "Does it run?"}
_MARKS = {"ok": " ok ", "note": "note", "broken": "FAIL"}


def doctor_command(
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that each try may take.")] = 180.0,
    faults: Annotated[
        bool, typer.Option("--faults", help="List the faults of Paddle and PaddleFormers that we mend.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell versions, devices, what works, and how to mend what does not.

    Paddle is tried in child processes, so that a broken one is a line. Exit code 1: something that
    training needs is broken.

    \b
    Examples:
      paddle-ground doctor
      paddle-ground doctor --faults
      paddle-ground doctor --json --timeout 60
    """
    from paddle_ground.doctor import State, examine
    from paddle_ground.doctor.faults import faults as mended

    known = mended()
    found = examine(timeout)
    broken = sum(finding.state is State.BROKEN for finding in found)
    if as_json:
        told = [{"mend": fault.mend, "symptom": fault.symptom} for fault in known]
        findings = [finding.to_json() for finding in found]
        typer.echo(json.dumps({"ok": not broken, "findings": findings, "faults": told}, indent=2))
    else:
        typer.echo(render(found))
        typer.echo(f"\nMended while training: {len(known)} faults of Paddle and PaddleFormers", nl=False)
        typer.echo(":" if faults else " (--faults lists them)")
        for fault in known if faults else ():
            typer.echo(f"  {fault.mend}\n      {fault.symptom}")
        typer.echo(
            f"\n{broken} broken: training will not run" if broken else "\nall that training needs is there"
        )
    if broken:
        raise typer.Exit(1)


def render(found: Sequence[Finding]) -> str:
    """Write findings as lines, a heading for each group.

    Args:
        found: Findings, each group's together.
    """
    lines: list[str] = []
    group = ""
    width = max(len(finding.name) for finding in found)
    for finding in found:
        if finding.group != group:
            group = finding.group
            lines += ([""] if lines else []) + [_TITLES[group]]
        lines.append(f"  {_MARKS[finding.state.value]}  {finding.name:<{width}}  {finding.text}".rstrip())
        lines += [f"        {'':<{width}}-> {finding.remedy}"] * bool(finding.remedy)
    return "\n".join(lines)
