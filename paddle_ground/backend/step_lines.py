"""JSON lines that each belong to a step, cut back to the step that a run goes on from.

Takes a file of such lines; gives the same file without what a killed run wrote behind its last checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paddle_ground.files import write_text

StepLine = dict[str, Any]


def read_step_lines(path: Path) -> list[StepLine]:
    """Read the lines that are whole; a killed run may have left half a one at the end."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int):
            found.append(entry)
    return found


def cut_back(path: Path, step: int) -> list[StepLine]:
    """Drop what belongs to later steps; all of it where a run starts anew.

    Args:
        path: The file; it may be missing.
        step: The checkpoint's; 0 for a new run.

    Returns:
        What is kept, as the file then holds it.
    """
    kept = [entry for entry in read_step_lines(path) if entry["step"] <= step] if step else []
    if path.exists():
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))
    return kept


def append_line(path: Path, entry: StepLine) -> None:
    """Write one line, at once."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
