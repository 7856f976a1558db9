"""Small right data sets in every format, whose items can be anything."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from PIL import Image

BOX = (10, 20, 60, 70)  # Of 200 x 100 pixels.


@dataclass(frozen=True)
class Item:
    """One annotated image."""

    data: bytes
    image: Any = "a.jpg"
    label: Any = "cow"
    boxes: tuple[Any, ...] = (BOX,)
    size: Any = (200, 100)
    number: Any = 1


def jpeg(shade: int) -> bytes:
    """Encode an image."""
    stream = io.BytesIO()
    Image.new("RGB", (200, 100), (shade, 40, 90)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def make_jpeg() -> Callable[[int], bytes]:
    """Function that encodes an image of 200 x 100 pixels of one shade."""
    return jpeg


# --- a right data set in each format: the label files by name --------------------------------------------


def xywh(box: Any) -> Any:
    usual = isinstance(box, tuple) and len(box) == 4 and all(isinstance(v, int | float) for v in box)
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]] if usual else box


def lines(rows: list[Any]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def messages(item: Item) -> dict[str, Any]:
    answer = ", ".join(["<ref-object><bbox>"] * len(item.boxes))
    talk = [{"role": "user", "content": "<image>Find."}, {"role": "assistant", "content": answer}]
    objects = {"ref": [item.label] * len(item.boxes), "bbox": list(item.boxes)}
    return {"messages": talk, "images": [item.image], "objects": objects}


def talk(item: Item, key: str) -> dict[str, Any]:
    answer = json.dumps([{"bbox_2d": box, "label": item.label} for box in item.boxes])
    said = [{"from": "human", "value": "<image>Find."}, {"from": "gpt", "value": answer}]
    return {"conversations": said, key: [item.image] if key == "images" else item.image}


def odvg(item: Item) -> dict[str, Any]:
    instances = [{"bbox": box, "label": 0, "category": item.label} for box in item.boxes]
    size = {"width": item.size[0], "height": item.size[1]}
    return {"filename": item.image, **size, "detection": {"instances": instances}}


def refcoco(item: Item) -> list[dict[str, Any]]:
    size = {"width": item.size[0], "height": item.size[1]}
    return [{"img_id": item.image, "sents": [item.label], "bbox": xywh(b), **size} for b in item.boxes]


def voc(item: Item) -> str:
    def text(value: Any) -> str:
        return escape(str(value)).replace("\0", "&#0;")

    sides = ("xmin", "ymin", "xmax", "ymax")
    boxes = [dict(zip(sides, b, strict=False)) if isinstance(b, tuple) else {"xmin": b} for b in item.boxes]
    objects = "".join(
        f"<object><name>{text(item.label)}</name><bndbox>"
        + "".join(f"<{side}>{text(value)}</{side}>" for side, value in box.items())
        + "</bndbox></object>\n"
        for box in boxes
    )
    size = f"<size><width>{text(item.size[0])}</width><height>{text(item.size[1])}</height></size>"
    return f"<annotation><filename>{text(item.image)}</filename>{size}{objects}</annotation>"


def labelme(item: Item) -> dict[str, Any]:
    shapes = [
        {
            "label": item.label,
            "points": [b[:2], b[2:]] if isinstance(b, tuple) else b,
            "shape_type": "rectangle",
        }
        for b in item.boxes
    ]
    size = {"imageWidth": item.size[0], "imageHeight": item.size[1]}
    return {"shapes": shapes, "imagePath": item.image, "imageData": None, **size}


def coco_json(items: list[Item]) -> bytes:
    images = [
        {"id": item.number, "file_name": item.image, "width": item.size[0], "height": item.size[1]}
        for item in items
    ]
    names = list({repr(item.label): item.label for item in items}.values())
    annotations = [
        {"id": n, "image_id": item.number, "category_id": names.index(item.label) + 1, "bbox": xywh(box)}
        for item in items
        for n, box in enumerate(item.boxes, 1000 * items.index(item))
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(names, 1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}).encode()


def yolo_line(box: Any) -> str:
    if not (isinstance(box, tuple) and len(box) == 4 and all(isinstance(v, int | float) for v in box)):
        return f"0 {box}"
    try:
        a, b, c, d = map(float, box)
    except OverflowError:
        return f"0 {box[0]} {box[1]} {box[2]} {box[3]}"
    return f"0 {(a + c) / 400} {(b + d) / 200} {(c - a) / 200} {(d - b) / 100}"


def yolo(items: list[Item]) -> dict[str, bytes]:
    files = {"data.yaml": json.dumps({"names": [items[0].label], "train": "images"}).encode()}
    for item in items:
        stem = "good" if item.image == "good.jpg" else "a"
        files[f"labels/{stem}.txt"] = "\n".join(map(yolo_line, item.boxes)).encode()
    return files


def episode(image: Any) -> Any:
    return image.removesuffix(".jpg") if isinstance(image, str) else image


def parquet(items: list[Item]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "image_id": item.number,
            "image": {"bytes": item.data, "path": "x.jpg"},
            "width": item.size[0],
            "height": item.size[1],
            "objects": {"category": [0] * len(item.boxes), "bbox": [list(box) for box in item.boxes]},
        }
        for item in items
    ]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


Files = dict[str, bytes]
MAKERS: dict[str, Callable[[list[Item]], Files]] = {
    "coco_parquet": lambda items: {"train-0.parquet": parquet(items)},
    "paddle": lambda items: {"train.jsonl": lines([messages(item) for item in items])},
    "swift": lambda items: {"train.jsonl": lines([messages(item) for item in items])},
    "llamafactory": lambda items: {
        "data.json": json.dumps([talk(item, "images") for item in items]).encode()
    },
    "qwen_finetune": lambda items: {
        "data.json": json.dumps([talk(item, "image") for item in items]).encode()
    },
    "openeqa": lambda items: {
        "q.json": json.dumps(
            [{"question": "?", "answer": i.label, "episode_history": episode(i.image)} for i in items]
        ).encode()
    },
    "odvg": lambda items: {"od.jsonl": lines([odvg(item) for item in items])},
    "refcoco": lambda items: {"rows.json": json.dumps([row for i in items for row in refcoco(i)]).encode()},
    "voc": lambda items: {f"{n}.xml" if n else "good.xml": voc(i).encode() for n, i in enumerate(items)},
    "labelme": lambda items: {
        f"{n}.json" if n else "good.json": json.dumps(labelme(i)).encode() for n, i in enumerate(items)
    },
    "coco_json": lambda items: {"annotations.json": coco_json(items)},
    "yolo": yolo,
}

PLACES = {"openeqa": "frames/{stem}/0.jpg", "yolo": "images/{stem}.jpg"}


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes items as a data set: the right one, and the others behind it."""

    def write(name: str, *others: dict[str, Any], shade: int = 10, inside: Path = tmp_path) -> Path:
        root = inside / "set"
        items = [Item(jpeg(200), "good.jpg")]
        items += [Item(**{"data": jpeg(shade), "number": n, **other}) for n, other in enumerate(others, 2)]
        for file, data in MAKERS[name](items).items():
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for stem, data in {"good": jpeg(200), "a": items[-1].data}.items():
            path = root / PLACES.get(name, "{stem}.jpg").format(stem=stem)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return write
