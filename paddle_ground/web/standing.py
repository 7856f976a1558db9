"""Where work of the page stands, as HTML.

Takes a `Standing`; gives HTML with everything in it escaped. Knows no component.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from paddle_ground.prompts import Language
from paddle_ground.web.words import text
from paddle_ground.web.work import Standing


def standing_html(
    standing: Standing, said: str, language: Language, progress: tuple[int, int] | None = None
) -> str:
    """Say where work stands.

    Args:
        standing: Of the work.
        said: Its last line, as anybody may read it.
        language: Of the words.
        progress: How many are done, of how many; none for a step that can't tell.
    """
    done, total = progress or (0, 0)
    if standing.state == "running":
        told = text(f"step_{standing.step}", language).format(answered=done, total=total)
        known = f' value="{done}" max="{max(total, 1)}"' if progress else ""
        bar = f"<progress{known}></progress>"
    else:
        told, bar = text(f"work_{standing.state}", language), ""
    # A line of the program's; it speaks English.
    line = (
        f'<code lang="en">{escape(said)}</code>' if standing.state in ("running", "failed") and said else ""
    )
    return f'<div class="work" data-state="{standing.state}"><strong>{escape(told)}</strong>{bar}{line}</div>'


def without(said: str, *folders: Path) -> str:
    """Take places of this machine out of a line, and the program's name."""
    for folder in folders:
        said = said.replace(f"{folder}{os.sep}", "").replace(str(folder), folder.name)
    return said.removeprefix("paddle-ground: ")
