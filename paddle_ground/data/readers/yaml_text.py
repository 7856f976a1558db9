"""YAML that strangers wrote: what it says, or the line where it breaks; never more than stands in it.

Takes text, gives an object. Knows no format.
"""

from __future__ import annotations

from typing import Any

from paddle_ground.errors import DataError

_MAX_CHARACTERS = 1 << 20


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Read a YAML document.

    Args:
        text: All of it.
        name: What messages call it.

    Returns:
        The object; empty where the document is empty or something else.

    Raises:
        DataError: It is no YAML, too long, or refers to lists or objects by aliases; with the line.
    """
    import yaml

    if len(text) > _MAX_CHARACTERS:
        raise DataError(f"{name}: {len(text)} characters; such a file has at most {_MAX_CHARACTERS}")
    try:
        _refuse_growth(yaml.parse(text, yaml.SafeLoader), name)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        reason = error.problem or error.context or "broken"
        raise DataError(f"{name}{line}: not valid YAML ({reason}); repair it") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{name}: not valid YAML ({reason}); repair it") from error
    return value if isinstance(value, dict) else {}


def _refuse_growth(events: Any, name: str) -> None:
    """Refuse aliases of lists and objects: what those repeat, and aliases in that, may grow without end."""
    import yaml

    plain: set[str] = set()
    for event in events:
        if isinstance(event, yaml.AliasEvent) and event.anchor not in plain:
            line = event.start_mark.line + 1 if event.start_mark is not None else 1
            raise DataError(
                f"{name}:{line}: an alias (*{event.anchor}) of a list or an object; write out what it repeats"
            )
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.ScalarEvent) and anchor:
            plain.add(anchor)
        elif isinstance(event, yaml.CollectionStartEvent) and anchor:
            plain.discard(anchor)
