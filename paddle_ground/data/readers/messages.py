"""Turns as trainers write them: lists of roles and texts, under whatever keys.

Takes parsed JSON, gives `Message`s. What a turn may be apart from words (a tool's call, parts of text and
images) is told here once for all formats. Reads no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paddle_ground.data.readers.turns import LeftOut
from paddle_ground.errors import DataError
from paddle_ground.records import Message
from paddle_ground.records.fields import Fields
from paddle_ground.records.samples import IMAGE_MARK, ROLES

# What a turn is in the words of OpenAI, ShareGPT and ms-swift; "" for what only agents have.
USUAL_ROLES: Mapping[str, str] = {
    **{role: role for role in ROLES},
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    **dict.fromkeys(("function_call", "observation", "function", "tool", "tool_call", "tool_response"), ""),
}

OTHER_MEDIA = ("video", "videos", "audio", "audios")


def refuse_other_media(fields: Fields) -> None:
    """Leave a row out that is about videos or sounds.

    Raises:
        LeftOut: It is.
    """
    for name in OTHER_MEDIA:
        if fields.has(name) and fields.value(name):
            raise LeftOut(f"about {name.rstrip('s')}s")


def read_turns(
    items: Sequence[Fields],
    role_key: str = "role",
    content_key: str = "content",
    roles: Mapping[str, str] = USUAL_ROLES,
    images: list[str] | None = None,
) -> list[Message]:
    """Read a list of turns.

    Args:
        items: The turns, as JSON objects.
        role_key: Where a turn says whose it is.
        content_key: Where it says what.
        roles: Our role by the format's word; "" for one that can't become a sample.
        images: Taking the images that stand among the parts of a turn; None where none may.

    Raises:
        DataError: A role is unknown.
        LeftOut: A turn is an agent's.
        RecordError: A field is missing or wrong.
    """
    turns = []
    for item in items:
        word = item.text(role_key)
        if word not in roles:
            known = ", ".join(word for word, role in roles.items() if role)
            raise DataError(f"{item.where}: unknown role {word!r} in `{role_key}`; known: {known}")
        if not roles[word]:
            raise LeftOut("with calls of tools")
        value = item.value(content_key)
        if isinstance(value, list) and images is not None:
            content = _read_parts(item.objects(content_key), images)
        else:
            content = item.text(content_key)
        turns.append(Message(roles[word], content))
    return turns


def read_images(value: Any, where: str) -> list[str]:
    """Read what a row says of its images: one path, a list of paths, or objects with a path.

    Raises:
        DataError: It is anything else.
    """
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    paths = [item.get("path") if isinstance(item, dict) else item for item in items]
    for path in paths:
        if not isinstance(path, str):
            raise DataError(f"{where}: image {repr(path)[:60]} is no path; name a file inside the data set")
    return [str(path) for path in paths]


def _read_parts(parts: Sequence[Fields], images: list[str]) -> str:
    """Put OpenAI's parts of a turn together, with a mark for each image."""
    texts = []
    for part in parts:
        kind = part.text("type")
        if kind == "text":
            texts.append(part.text("text" if part.has("text") else "value"))
        elif kind in ("image", "image_url"):
            texts.append(IMAGE_MARK)
            images.append(_image_of(part))
        else:
            raise LeftOut(f"with parts of type {kind}")
    return "".join(texts)


def _image_of(part: Fields) -> str:
    for name in ("image_url", "image", "path", "value", "url"):
        if part.has(name):
            inner = isinstance(part.value(name), dict)
            return part.inner(name).text("url") if inner else part.text(name)
    raise DataError(f"{part.where}: an image without a path; name a file inside the data set")
