"""Fill the reference pages from the code while mkdocs builds, so that they cannot fall behind it.

Takes pages with a line `<!-- commands -->`, `<!-- configs -->`, `<!-- notebook -->` or
`<!-- public names -->`; gives them with each command's own help, configs/README.md, the cells of
docs/notebook.ipynb, or an mkdocstrings entry for each public name there.
"""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page (an event of mkdocs)."""
    fillers = {"commands": commands, "configs": configs, "notebook": notebook, "public names": public_names}
    for marker, filler in fillers.items():
        line = f"<!-- {marker} -->"
        if line in markdown:
            markdown = markdown.replace(line, filler())
    return markdown


def commands() -> str:
    """Write the help of every command, under its name."""
    import typer

    from paddle_ground.cli import app

    program = typer.main.get_command(app)
    whole = program.make_context("paddle-ground", [], resilient_parsing=True)
    parts = []
    for name in sorted(program.list_commands(whole)):
        command = program.get_command(whole, name)
        context = command.make_context(f"paddle-ground {name}", [], parent=None, resilient_parsing=True)
        context.max_content_width = 100
        context.terminal_width = 100
        parts.append(f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def configs() -> str:
    """Give configs/README.md without its title."""
    text = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")
    return text.split("\n", 1)[1]


def notebook() -> str:
    """Write the notebook's cells one after the other, with what they printed and drew, if that is kept."""
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        language = "bash" if source.startswith("%%bash\n") else "python"
        parts.append(f"```{language}\n{source}\n```")
        parts += [shown for output in cell["outputs"] if (shown := _output(output))]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    picture = output.get("data", {}).get("image/png")
    if picture:
        return f"![What the cell draws](data:image/png;base64,{''.join(picture.split())})"
    text = "".join(output.get("text", ())).strip("\n")
    return f"```text\n{text}\n```" if text else ""


def public_names() -> str:
    """Write an mkdocstrings entry for each name of `paddle_ground.__all__`, where it is defined."""
    import paddle_ground

    entries = []
    for name in paddle_ground.__all__:
        home = paddle_ground._HOMES.get(name)
        if home is None:
            continue
        thing = getattr(import_module(home), name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            home = thing.__module__
        entries.append(f"::: {home}.{name}\n")
    return "\n".join(entries)
