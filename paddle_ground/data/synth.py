"""Synthetic data sets in the `detection-datasets/coco` parquet schema.

Takes a seed and a style, gives a folder that `prepare` reads like real COCO:

    data/train-00000-of-00002.parquet ...   image_id, image {bytes, path}, width, height,
    data/val-00000-of-00001.parquet         objects {bbox_id, category, bbox (xyxy pixels), area}
    classes.txt                             class names, one a line, by category id
    synth.json                              what it was made from; the same again is not made twice

Knows how scenes are stored, not how they look (see `scenes`). The images of train and val come
from different seeds, and each scene from its own: a larger set begins with the smaller one's scenes.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_ground.data.scenes import PlacedShape, SceneStyle, draw_scene
from paddle_ground.errors import DataError
from paddle_ground.files import atomic_writer, write_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SceneStyle", "SynthReport", "draw_scene", "write_synth"]

ROWS_PER_GROUP = 100
ROWS_PER_SHARD = 2000
_MARK = "synth.json"
# Numbers that keep the seeds, image ids and box ids of the two splits apart.
_SPLITS = {"train": 0, "val": 1}
_ID_STEP = 10_000_000


@dataclass(frozen=True, slots=True)
class SynthReport:
    """What was written.

    Attributes:
        root: The folder, for `prepare --source`.
        classes_path: Its classes.txt.
        shards: The parquet files, train before val.
        class_names: By category id.
        reused: True where the folder already held exactly this.
    """

    root: Path
    classes_path: Path
    shards: tuple[Path, ...]
    class_names: tuple[str, ...]
    reused: bool


def write_synth(
    out_dir: str | os.PathLike[str],
    train_images: int,
    val_images: int,
    seed: int = 0,
    style: SceneStyle | None = None,
) -> SynthReport:
    """Write a synthetic data set, or find that it is there already.

    Args:
        out_dir: The folder. One that this function filled before with something else is filled anew.
        train_images: How many scenes for training.
        val_images: How many others to hold out; 0 writes no val shard.
        seed: Same seed, style and numbers, same bytes.
        style: What scenes look like; None for `SceneStyle()`.

    Raises:
        DataError: The folder can't be written, or holds parquet files that are not ours.
        ConfigError: So many shapes do not fit into a scene.
    """
    style = style or SceneStyle()
    root = Path(out_dir)
    plan = {
        shard: (split, range(first, min(first + ROWS_PER_SHARD, images)))
        for split, images in (("train", train_images), ("val", val_images))
        for first, shard in _shards(split, images)
    }
    recipe = {"seed": seed, "train_images": train_images, "val_images": val_images, "style": asdict(style)}
    shards = tuple(root / name for name in plan)
    classes_path = root / "classes.txt"
    done, begun = (json.dumps(recipe | {"finished": flag}, indent=2) + "\n" for flag in (True, False))
    reused = _holds(root / _MARK, done) and all(path.is_file() for path in (*shards, classes_path))
    if not reused:
        _make_room(root)
        # A run that is stopped from here on leaves a folder that is ours, but not finished.
        write_text(root / _MARK, begun)
        for name, (split, rows) in plan.items():
            _write_shard(root / name, split, rows, seed, style)
        write_text(classes_path, "".join(f"{name}\n" for name in style.class_names))
        write_text(root / _MARK, done)
    return SynthReport(root, classes_path, shards, style.class_names, reused)


def _shards(split: str, images: int) -> Iterator[tuple[int, str]]:
    starts = range(0, images, ROWS_PER_SHARD)
    for number, first in enumerate(starts):
        yield first, f"data/{split}-{number:05d}-of-{len(starts):05d}.parquet"


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False


def _make_room(root: Path) -> None:
    """Remove what an earlier call wrote here; refuse a folder with somebody else's data."""
    found = sorted((root / "data").glob("*.parquet")) if (root / "data").is_dir() else []
    if found and not (root / _MARK).is_file():
        raise DataError(f"{found[0]}: is not from synth; choose an empty folder, or remove the parquet files")
    for path in found:
        path.unlink()


def _write_shard(path: Path, split: str, rows: range, seed: int, style: SceneStyle) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    groups = [rows[start : start + ROWS_PER_GROUP] for start in range(0, len(rows), ROWS_PER_GROUP)]
    schema = _schema(style)
    with (
        atomic_writer(path, binary=True) as stream,
        pq.ParquetWriter(stream, schema, compression="snappy") as writer,
    ):
        for group in groups:
            scenes = [_row(split, index, seed, style) for index in group]
            writer.write_table(pa.Table.from_pylist(scenes, schema=schema))


def _row(split: str, index: int, seed: int, style: SceneStyle) -> dict[str, Any]:
    generator = np.random.default_rng([seed, _SPLITS[split], index])
    image, shapes = draw_scene(style, generator)
    stream = io.BytesIO()
    if style.image_format == "JPEG":
        image.save(stream, "JPEG", quality=92, subsampling=0)
    else:
        image.save(stream, "PNG", compress_level=3)
    image_id = _SPLITS[split] * _ID_STEP + index
    return {
        "image_id": image_id,
        "image": {"bytes": stream.getvalue(), "path": None},
        "width": style.side_px,
        "height": style.side_px,
        "objects": _objects(image_id, shapes),
    }


def _objects(image_id: int, shapes: tuple[PlacedShape, ...]) -> dict[str, list[Any]]:
    return {
        "bbox_id": [image_id * 100 + number for number in range(len(shapes))],
        "category": [shape.category_id for shape in shapes],
        "bbox": [shape.box_xyxy_px for shape in shapes],
        "area": [shape.area_px for shape in shapes],
    }


def _schema(style: SceneStyle) -> pa.Schema:
    """Give the schema of `detection-datasets/coco`, with the features note that the hub's files carry."""
    import pyarrow as pa

    objects = pa.struct(
        {
            "bbox_id": pa.list_(pa.field("element", pa.int64())),
            "category": pa.list_(pa.field("element", pa.int64())),
            "bbox": pa.list_(pa.field("element", pa.list_(pa.field("element", pa.float64()), 4))),
            "area": pa.list_(pa.field("element", pa.float64())),
        }
    )
    columns = {
        "image_id": pa.int64(),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "width": pa.int64(),
        "height": pa.int64(),
        "objects": objects,
    }
    number = {"dtype": "int64", "_type": "Value"}
    real = {"dtype": "float64", "_type": "Value"}
    category = {"names": list(style.class_names), "_type": "ClassLabel"}
    features = {
        "image_id": number,
        "image": {"_type": "Image"},
        "width": number,
        "height": number,
        "objects": {
            "feature": {
                "bbox_id": number,
                "category": category,
                "bbox": {"feature": real, "length": 4, "_type": "Sequence"},
                "area": real,
            },
            "_type": "Sequence",
        },
    }
    note = json.dumps({"info": {"features": features}})
    return pa.schema(columns, metadata={"huggingface": note})
