"""What a JSON schema for boxes asks for: the key of the numbers, the key of the name, the names there may be.

Takes `response_format`'s JSON schema; gives a `BoxLayout`. A schema that asks for anything else is refused:
better no answer than one that only looks as if it had been asked for. Knows no model.
"""

from __future__ import annotations

from typing import Any

from paddle_ground.answers import reserved_mark
from paddle_ground.serve.jobs import BoxLayout
from paddle_ground.serve.refusals import BadRequestError

_REMARKS = {
    "title",
    "description",
    "$schema",
    "$defs",
    "definitions",
    "examples",
    "default",
    "$id",
    "$comment",
}
_NUMBERS = ("integer", "number")
_MAX_LABELS = 1000
_MAX_KEY = 200


def layout_of(schema: Any) -> BoxLayout:
    """Read a schema: a list of {box: four numbers, label: text}, alone or as the only key of an object.

    Raises:
        BadRequestError: It asks for something else.
    """
    reader = _Reader(schema)
    root = reader.follow(schema, "the schema")
    wrapper = None
    if root.get("type") == "object":
        properties = _properties(root, "the schema")
        if len(properties) != 1:
            raise _refused("an object must have one key, which holds the list of boxes")
        ((wrapper, inner),) = properties.items()
        root = reader.follow(inner, wrapper)
    _only(root, {"type", "items"}, "the list")
    if root.get("type") != "array":
        raise _refused("expected a list of objects, alone or as the only key of an object")
    return reader.thing(reader.follow(root.get("items"), "items"), wrapper)


class _Reader:
    def __init__(self, schema: Any) -> None:
        self._root = schema if isinstance(schema, dict) else {}

    def follow(self, schema: Any, where: str) -> dict[str, Any]:
        """Resolve `$ref`s into the schema's own definitions."""
        for _ in range(8):
            if not isinstance(schema, dict):
                raise _refused(f"{where} is no schema")
            if "$ref" not in schema:
                return schema
            _only(schema, {"$ref"}, where)
            found: Any = self._root
            if not isinstance(schema["$ref"], str) or not schema["$ref"].startswith("#/"):
                raise _refused(f"{where}: only references into the schema itself are followed")
            for key in schema["$ref"][2:].split("/"):
                found = found.get(key) if isinstance(found, dict) else None
            schema = found
        raise _refused(f"{where}: its references go round in circles")

    def thing(self, schema: dict[str, Any], wrapper: str | None) -> BoxLayout:
        if schema.get("type") != "object":
            raise _refused("the list's items must be objects")
        boxes: list[str] = []
        names: dict[str, tuple[str, ...] | None] = {}
        for key, inner in _properties(schema, "items").items():
            found = self.follow(inner, key)
            if found.get("type") == "array":
                self._check_box(found, key)
                boxes.append(key)
            else:
                names[key] = _labels(found, key)
        if len(boxes) != 1 or len(names) > 1:
            raise _refused("each item must have one list of four numbers, and at most one text")
        label = next(iter(names), None)
        return BoxLayout(boxes[0], label, wrapper, names[label] if label is not None else None)

    def _check_box(self, schema: dict[str, Any], key: str) -> None:
        _only(schema, {"type", "items", "prefixItems", "minItems", "maxItems"}, key)
        four = [schema[name] for name in ("minItems", "maxItems") if name in schema]
        items = schema.get("prefixItems", [schema.get("items")] * 4)
        if any(count != 4 for count in four) or not isinstance(items, list) or len(items) != 4:
            raise _refused(f"{key}: a box has four numbers")
        if "prefixItems" in schema and schema.get("items") not in (None, False):
            raise _refused(f"{key}: a box has four numbers and no more")
        for item in items:
            number = self.follow(item, key)
            _only(number, {"type", "minimum"}, key)
            if number.get("type") not in _NUMBERS or number.get("minimum", 0) not in (0, None):
                raise _refused(f"{key}: its numbers must be integers or numbers from 0 on")


def _properties(schema: dict[str, Any], where: str) -> dict[str, Any]:
    _only(schema, {"type", "properties", "required", "additionalProperties"}, where)
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise _refused(f"{where}: an object needs properties")
    if not all(len(key) <= _MAX_KEY and key.isprintable() for key in properties):
        raise _refused(f"{where}: each key must be a text of one line, {_MAX_KEY} characters at most")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _refused(f"{where}: `required` is no list of names")
    if not set(required) <= properties.keys() or schema.get("additionalProperties") not in (
        None,
        False,
        True,
    ):
        raise _refused(f"{where}: requires what it doesn't describe")
    return properties


def _labels(schema: dict[str, Any], key: str) -> tuple[str, ...] | None:
    _only(schema, {"type", "enum", "const"}, key)
    names = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if schema.get("type", "string" if names else None) != "string":
        raise _refused(f"{key}: expected a text (the name) or a list of four numbers (the box)")
    if names is None:
        return None
    if not isinstance(names, list) or not 0 < len(names) <= _MAX_LABELS:
        raise _refused(f"{key}: `enum` must list 1 to {_MAX_LABELS} names")
    for name in names:
        if not isinstance(name, str) or name != " ".join(name.split()) or not name or not name.isprintable():
            raise _refused(f"{key}: each name must be a text of one line, with single blanks inside")
        if len(name) > 200 or reserved_mark(name) or any("\ud800" <= sign <= "\udfff" for sign in name):
            raise _refused(f"{key}: a name is too long, or holds what models read as a command")
    return tuple(names)


def _only(schema: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(str(key) for key in schema.keys() - known - _REMARKS)
    if unknown:
        raise _refused(f"{where}: `{unknown[0][:50]}` can't be guaranteed")


def _refused(message: str) -> BadRequestError:
    return BadRequestError(
        f"{message}; this server writes boxes only, see docs/serving.md",
        "response_format",
        "unsupported_schema",
    )
