"""HTML of plain data: style, script and data in one file that loads nothing from anywhere.

Takes a document of plain values, gives the page's bytes. Knows neither metrics nor pictures. What labels,
answers and file names say can't become markup or script: the data stands in a block of letters and digits
(JSON, packed by gzip, in base64), the script makes text of it only, and the page's own policy lets the
browser run that one script and no other.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

# One script of several files, in the order in which they build on each other.
SCRIPTS = ("model.js", "charts.js", "tables.js", "overlay.js", "viewer.js", "gallery.js", "main.js")


def build_page(title: str, packed: str, pictures: Sequence[str | None]) -> bytes:
    """Put the page together.

    Args:
        title: Of the browser's tab, any text.
        packed: What the page shows, from `pack`.
        pictures: Data URLs, by the numbers that the document gives them.

    Returns:
        UTF-8.
    """
    style = _asset("page.css")
    # One function around all of it: nothing is left lying in the page's global names.
    script = "(async () => {\n'use strict';\n" + "\n".join(map(_asset, SCRIPTS)) + "})();\n"
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy, "title": html.escape(title), "style": style, "data": packed,
        "pictures": json.dumps(pictures, separators=(",", ":")), "script": script,
    }  # fmt: skip
    # The template is cut at its marks, so that a text of a user's that looks like a mark stays text.
    pieces = re.split(r"\{\{(\w+)\}\}", _asset("page.html"))
    pieces[1::2] = [parts[mark] for mark in pieces[1::2]]
    return "".join(pieces).encode("utf-8", "replace")


def pack(document: Any) -> str:
    """Write plain values, no NaN, as JSON, gzip and base64: a quarter of the size, and no sign of markup."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate of a torn answer is no UTF-8, but JSON has a way to write it: as a backslash's escape.
    packed = gzip.compress(text.encode("utf-8", "backslashreplace"), mtime=0)
    return base64.b64encode(packed).decode("ascii")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
