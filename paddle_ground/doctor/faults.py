"""Faults of Paddle and PaddleFormers that our backend mends, read from its docstrings.

Each mend says its upstream symptom after `Symptom:` (or, for kernels, in a list under
`Upstream symptoms mended:`). They are read with `ast`, so that nothing is imported.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

BACKEND = Path(__file__).resolve().parents[1] / "backend"
_SYMPTOM = re.compile(r"\bSymptom( [^:]*)?: (?P<text>.*)", re.DOTALL)
_LIST = re.compile(r"Upstream symptoms mended[^:]*:\n(?P<items>- .*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what was seen, and what mends it.

    Attributes:
        mend: `module.function`, below `paddle_ground.backend`.
        symptom: In one line.
    """

    mend: str
    symptom: str


def faults(folder: Path = BACKEND) -> list[Fault]:
    """List the faults, sorted by what mends them.

    Args:
        folder: A package of mends.
    """
    found = []
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [Fault(module, symptom) for symptom in symptoms(ast.get_docstring(tree) or "")]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                doc = ast.get_docstring(node) or ""
                found += [Fault(f"{module}.{node.name}", symptom) for symptom in symptoms(doc)]
    return found


def symptoms(docstring: str) -> list[str]:
    """Give the symptoms that a docstring tells: a paragraph each, in one line."""
    found: list[str] = []
    for paragraph in docstring.split("\n\n"):
        listed, said = _LIST.search(paragraph), _SYMPTOM.search(paragraph)
        if listed:
            found += listed["items"].removeprefix("- ").split("\n- ")
        elif said:
            found.append(said["text"])
    return [" ".join(text.split()) for text in found]
