"""Write a configuration over the text of the file that it came from, comments and order kept.

Takes the file's text and what the file shall say; gives a text that says it. Lines of keys that stay the same
are kept. Knows no field and no page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

_KEY = re.compile(r"([A-Za-z_]\w*)[ \t]*:(.*)")


def edited(text: str, wanted: Mapping[str, Any]) -> str:
    """Write a configuration.

    Args:
        text: The file's; it is a YAML mapping.
        wanted: What the file shall say, all of it.

    Returns:
        The text with its changed keys written anew; where its layout can't be kept, plain YAML without its
        comments. Read again, it says `wanted` exactly.
    """
    kept = "\n".join(_lines(text, dict(wanted))) + "\n"
    try:
        if yaml.safe_load(kept) == dict(wanted):
            return kept
    except yaml.YAMLError:
        pass
    return _plain(wanted)


def _lines(text: str, wanted: dict[str, Any]) -> list[str]:
    before = yaml.safe_load(text)
    found: list[str] = []
    for block in _blocks(text):
        key = _KEY.match(block[0])
        name = key[1] if key else None
        if name not in before:
            found += block  # comments and blank lines before the first key
        elif name in wanted:
            value = wanted.pop(name)
            found += block if _same(before[name], value) else _block(name, value, block)
        else:
            found += _after(block)
    while found and not found[-1].strip():
        found.pop()
    for name, value in wanted.items():
        found += _plain({name: value}).splitlines()
    return found


def _same(one: Any, other: Any) -> bool:
    # 1, 1.0 and True are equal, and are written differently.
    return type(one) is type(other) and bool(one == other)


def _blocks(text: str) -> list[list[str]]:
    """Part a text where its keys begin; what stands before the first one is a block as well."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if _KEY.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return [block for block in blocks if block]


def _block(name: str, value: Any, old: list[str]) -> list[str]:
    comment = re.search(r"\s+#.*$", old[0])
    new = _plain({name: value}).splitlines()
    if comment and len(new) == 1:
        new[0] += comment[0]
    return [*new, *_after(old)]


def _after(block: list[str]) -> list[str]:
    """Give what stands behind a key's value: comments and blank lines before the next key."""
    last = max(
        (place for place, line in enumerate(block) if line[:1] in (" ", "-") and line.strip()), default=0
    )
    return block[last + 1 :]


def _plain(values: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)
    return text
