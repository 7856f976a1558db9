"""Reads LLaMA-Factory's data sets: ShareGPT and Alpaca rows, as `dataset_info.json` describes them.

Takes a folder with a `dataset_info.json` (its keys are those of LLaMA-Factory's data/README.md: file_name,
formatting, columns, tags), or a file or folder without, whose first rows then show what they are. Gives
`DialogueRow`s. Files that the description names and that are not there, such as those of a hub, are
passed over. Boxes in the text of answers are found; see `turns`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddle_ground.data.readers import Format, ReaderOptions
from paddle_ground.data.readers.annotation_files import (
    HEADS,
    AnnotationFile,
    matching,
    open_files,
    root_of,
    say_files,
)
from paddle_ground.data.readers.inside import find_inside
from paddle_ground.data.readers.messages import USUAL_ROLES, read_images, read_turns, refuse_other_media
from paddle_ground.data.readers.turns import Dialogue
from paddle_ground.data.source import Source
from paddle_ground.errors import DataError
from paddle_ground.records import Message
from paddle_ground.records.fields import Fields, read_object

INFO = "dataset_info.json"

_TAGS = {
    "user_tag": ("human", "user"),
    "assistant_tag": ("gpt", "assistant"),
    "observation_tag": ("observation", ""),
    "function_tag": ("function_call", ""),
    "system_tag": ("system", "system"),
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the rows of one file are to be read.

    Attributes:
        is_sharegpt: Lists of turns; else Alpaca's instruction and output.
        columns: The row's key by the description's word.
        role_key: In a turn: whose it is.
        content_key: In a turn: what it says.
        roles: Our role by the turn's word.
    """

    is_sharegpt: bool
    columns: dict[str, str] = field(default_factory=dict)
    role_key: str = "from"
    content_key: str = "value"
    roles: dict[str, str] = field(default_factory=lambda: dict(USUAL_ROLES))


def _has_turns(row: dict[str, Any], key: str) -> bool:
    turns = row.get(key)
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict)


def _is_sharegpt(row: dict[str, Any]) -> bool:
    return _has_turns(row, "conversations") and "images" in row


def _is_alpaca(row: dict[str, Any]) -> bool:
    return isinstance(row.get("instruction"), str) and "output" in row and "images" in row


def _is_openai(row: dict[str, Any]) -> bool:
    if not _has_turns(row, "messages") or "objects" in row:
        return False
    return "images" in row or isinstance(row["messages"][0].get("content"), list)


def _is_lone(file: Path) -> bool:
    """Tell apart what ms-swift's rows and OpenAI's have alike: ms-swift writes lines, LLaMA-Factory lists."""
    if matching(file, _is_sharegpt) or matching(file, _is_alpaca):
        return True
    rows = matching(file, lambda row: _is_openai(row) and "images" not in row)
    return bool(rows) or (file.suffix.lower() == ".json" and bool(matching(file, _is_openai)))


def _is_any(row: dict[str, Any]) -> bool:
    return _is_sharegpt(row) or _is_alpaca(row) or _is_openai(row)


def _recognise(path: Path) -> str | None:
    info = path / INFO
    if path.is_dir() and info.is_file():
        there = [file for file, _ in _described(path)]
        names = ", ".join(file.name for file in there[:3]) + (" ..." if len(there) > 3 else "")
        return f"{INFO} that describes {names}" if there else None
    if path.is_file() and (root_of(path) / INFO).is_file():
        described = path.resolve() in {file.resolve() for file, _ in _described(path.parent)}
        return f"{INFO} beside it, which describes it" if described else _say_lone(path)
    return _say_lone(path)


def _say_lone(path: Path) -> str | None:
    files = [file for file in matching(path, _is_any, HEADS) if _is_lone(file)]
    return say_files(files, "ShareGPT, OpenAI or Alpaca rows and images")


def _open(path: Path, options: ReaderOptions) -> Source:
    from paddle_ground.data.readers.conversation import ConversationSource

    root = root_of(path)
    layouts: dict[Path, _Layout] = {}
    further: tuple[str, ...] = ()
    if (root / INFO).is_file():
        layouts = dict(_described(root))
        if path.is_dir():
            further = (f"files: {', '.join(file.name for file in layouts)}, as {INFO} says",)
    if path.is_file():
        found = [path]
    else:
        found = list(layouts) or matching(path, _is_any)
    files, notes = open_files(path, found, options.split_map)

    def read_row(value: dict[str, Any], where: str, file: AnnotationFile) -> Dialogue:
        return _read_row(Fields(value, where), layouts.get(file.path) or _guess(value))

    return ConversationSource(path, files, read_row, options, (*further, *notes))


def _described(root: Path) -> list[tuple[Path, _Layout]]:
    """List the files on this machine that `dataset_info.json` describes, and how."""
    info = read_object(root / INFO)
    found: dict[Path, _Layout] = {}
    for name in info.names():
        where = f"{INFO}: `{name}`"
        entry = info.inner(name)
        if not entry.has("file_name") or entry.value("ranking"):
            continue  # On a hub, or pairs of a better and a worse answer.
        try:
            file = find_inside(root, entry.text("file_name"), (root,), where)
        except DataError:
            continue  # The description that LLaMA-Factory ships names more than anybody has.
        found.setdefault(file, _layout(entry))
    return list(found.items())


def _layout(entry: Fields) -> _Layout:
    formatting = entry.text("formatting", "alpaca")
    if formatting not in ("alpaca", "sharegpt", "openai"):
        raise DataError(f"{entry.where}: formatting {formatting!r}; expected alpaca, sharegpt or openai")
    columns = entry.inner("columns").texts_by_name() if entry.has("columns") else {}
    if formatting == "alpaca":
        return _Layout(False, columns)
    tags = entry.inner("tags").texts_by_name() if entry.has("tags") else {}
    if formatting == "openai" and not tags:
        return _Layout(True, {"messages": "messages", **columns}, "role", "content")
    roles = {tags.get(tag, usual): role for tag, (usual, role) in _TAGS.items()}
    return _Layout(True, columns, tags.get("role_tag", "from"), tags.get("content_tag", "value"), roles)


def _guess(row: dict[str, Any]) -> _Layout:
    images = {"images": "images"}
    if "conversations" in row:
        return _Layout(True, images)
    if "messages" in row:
        return _Layout(True, {**images, "messages": "messages"}, "role", "content")
    return _Layout(False, {**images, "system": "system", "history": "history"})


def _read_row(fields: Fields, layout: _Layout) -> Dialogue:
    refuse_other_media(fields)
    columns = layout.columns
    system = columns.get("system", "")
    turns = [Message("system", fields.text(system))] if system and fields.value(system) else []
    inner: list[str] = []
    if layout.is_sharegpt:
        items = fields.objects(columns.get("messages", "conversations"))
        told = read_turns(items, layout.role_key, layout.content_key, layout.roles, inner)
        # A system turn of its own wins over the column.
        turns = told if told and told[0].role == "system" else turns + told
    else:
        turns += _alpaca_turns(fields, columns)
    named = fields.value(columns["images"]) if "images" in columns else None
    return Dialogue(tuple(turns), tuple(inner or read_images(named, fields.where)))


def _alpaca_turns(fields: Fields, columns: dict[str, str]) -> list[Message]:
    turns = []
    history = columns.get("history", "")
    for pair in fields.items(history, ()) if history else ():
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise DataError(
                f"{fields.where}: `{history}` holds {repr(pair)[:60]}; expected [instruction, output] pairs"
            )
        turns += [Message("user", pair[0]), Message("assistant", pair[1])]
    asked = fields.text(columns.get("prompt", "instruction"))
    query = fields.value(columns.get("query", "input"))
    if query:
        asked += "\n" + fields.text(columns.get("query", "input"))
    answer = fields.text(columns.get("response", "output"))
    return [*turns, Message("user", asked), Message("assistant", answer)]


FORMAT = Format("llamafactory", "LLaMA-Factory ShareGPT or Alpaca", _recognise, _open)
