"""Data sets with something wrong in them, in every format: one clear line or a counted skip, and no harm."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from paddle_ground.data.options import PrepareOptions
from paddle_ground.data.prepare import prepare
from paddle_ground.data.readers import formats
from paddle_ground.errors import PaddleGroundError

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # Numbers may overflow, and no line be lost.

NAMES = [one.name for one in formats()]
PLAIN = {"kept", "boxes", "empty", "crowd_boxes", "images"}


def bomb(side: int) -> bytes:
    """Make a PNG that says it is that large, and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + head + b"\0\0\0\0IEND\xaeB`\x82"


NAN, INF = float("nan"), float("inf")
IMAGES: dict[str, Any] = {
    "absolute": "/etc/hostname",
    "above": "../secret.jpg",
    "above_in_the_middle": "x/../../secret.jpg",
    "above_windows": "..\\secret.jpg",
    "drive": "C:\\secret.jpg",
    "url": "file:///etc/hostname",
    "nul": "a\0.jpg",
    "newline": "a\n.jpg",
    "long": "x" * 10_000 + ".jpg",
    "surrogate": "\ud800.jpg",  # Not in XML, which can't hold it.
    "blank": "",
    "null": None,
    "number": 7,
    "object": {"a": 1},
    "dot": ".",
    "link_out": "link.jpg",
    "linked_folder": "linked/secret.jpg",
    "gone": "gone.jpg",
}
CONTENTS = {
    "bomb": bomb(60_000),
    "large_bomb": bomb(2**31 - 1),
    "empty": b"",
    "text": b"no image\n" * 9,
    "truncated": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
}
LABELS: dict[str, Any] = {
    "blank": " ",
    "null": None,
    "number": 7,
    "newline": "a\nb",
    "nul": "a\0b",
    "long": "x" * 10_000,
    "surrogate": "\ud800",
    "token": "<|box_end|>",
    "mark": "<bbox>",
    "unicode": "名前 with space",
}
BOXES: dict[str, Any] = {
    "nan": (NAN, 1, 2, 3),
    "infinite": (0, 0, INF, 9),
    "negative": (-90, -90, -10, -10),
    "huge": (0, 0, 1e308, 1e308),
    "endless": (0, 0, 10**400, 9),
    "turned": (60, 70, 10, 20),
    "flat": (10, 10, 10, 50),
    "outside": (2000, 2000, 3000, 3000),
    "text": ("a", "b", "c", "d"),
    "nulls": (None, None, None, None),
    "null": None,
    "three": (1, 2, 3),
    "five": (1, 2, 3, 4, 5),
    "object": {"x": 1},
    "truth": (True, False, True, True),
}
SIZES: dict[str, Any] = {
    "nothing": (0, 0),
    "negative": (-1, -1),
    "billions": (10**9, 10**9),
    "text": ("a", "b"),
    "endless": (10**400, 10**400),
    "infinite": (INF, INF),
    "other": (100, 200),
}
# What a format does not hold can't be wrong in it.
UNSAID = {
    "images": {"coco_parquet", "yolo"},
    "labels": {"coco_parquet", "yolo"},
    "boxes": {"openeqa"},
    "sizes": {"paddle", "swift", "llamafactory", "qwen_finetune", "openeqa", "yolo"},
}
CASES = [
    *(("image", key, {"image": value}) for key, value in IMAGES.items()),
    *(("data", key, {"data": value}) for key, value in CONTENTS.items()),
    *(("label", key, {"label": value}) for key, value in LABELS.items()),
    *(("boxes", key, {"boxes": (value,)}) for key, value in BOXES.items()),
    *(("size", key, {"size": value}) for key, value in SIZES.items()),
]

# What looks odd and has a meaning: it is kept, with its boxes right.
FINE = {
    *(("*", "label", "unicode"), ("*", "label", "long"), ("labelme", "boxes", "turned")),
    *((name, "label", key) for name in ("paddle", "swift") for key in ("newline", "nul")),
    # A chat's words are its own; corners in it may be turned, and a name is what it says.
    *((name, "boxes", "turned") for name in ("coco_parquet", "llamafactory", "qwen_finetune")),
    *((name, "label", key) for name in ("llamafactory", "qwen_finetune") for key in LABELS),
    *(("openeqa", "label", key) for key in LABELS),
    # XML knows text only.
    *(("voc", "label", key) for key in ("null", "number")),
    *(("voc", "boxes", "five"), ("voc", "size", "nothing"), ("voc", "size", "negative")),
    *(("labelme", "size", "nothing"), ("labelme", "size", "negative")),
    # A size that is none is measured at the image.
    *(("coco_parquet", "size", key) for key in ("nothing", "negative", "infinite")),
}


@pytest.fixture
def outcome(tmp_path):
    """Function that prepares a data set, holds it to the rules, and tells what came of it."""

    def look() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in tmp_path.rglob("*")
            if path.is_file() and not path.is_relative_to(tmp_path / "out")
        }

    def run(root: Path, name: str, bad_images: str = "skip") -> dict[str, int] | str:
        before, out = look(), tmp_path / "out"
        layout = "xyxy" if name == "coco_parquet" else "auto"
        told = PrepareOptions(
            *(out, root),
            val_ratio=0,
            source_format=name,
            bad_images=bad_images,
            box_units="pixels",
            workers=1,
            bbox_format=layout,
        )
        try:
            report = prepare(told)
        except PaddleGroundError as error:
            message = str(error)
            assert "\n" not in message
            assert len(message) < 1000, "one line, not a page"
            assert any(word in message for word in ("set", *(path.name for path in root.rglob("*")))), message
            assert not out.exists() or not list(out.rglob("*")), "an error leaves nothing behind"
            return message
        finally:
            assert look() == before, "nothing outside of the output is touched"
        samples = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
        counts = dict(report.splits[0].counts)
        counts["noted"] = sum("left out" in note for note in report.notes)
        assert len(samples) == counts["kept"] >= 1
        for sample in samples:
            assert all((out / image).resolve().is_relative_to(out.resolve()) for image in sample["images"])
            numbers = [number for box in sample.get("objects", {}).get("bbox", ()) for number in box]
            assert all(0 <= number <= 1000 for number in numbers)
        return counts

    return run


def fits(name: str, kind: str, key: str) -> bool:
    if name == "coco_parquet":  # Its columns have types: no text is a number there.
        typed = {"nan", "infinite", "negative", "huge", "turned", "flat", "outside", "nothing", "billions"}
        return kind == "data" or (kind in ("boxes", "size") and key in {*typed, "other"})
    if name == "voc" and key == "surrogate":
        return False
    return name not in UNSAID.get(kind if kind.endswith("s") else f"{kind}s", ())


HOSTILE = [(name, *case) for name in NAMES for case in CASES if fits(name, *case[:2])]


@pytest.mark.parametrize(
    ("name", "kind", "key", "change"), HOSTILE, ids=[f"{name}-{kind}-{key}" for name, kind, key, _ in HOSTILE]
)
def test_hostile(tmp_path, write_set, make_jpeg, outcome, name, kind, key, change):
    secret = make_jpeg(120)
    (tmp_path / "secret.jpg").write_bytes(secret)
    root = write_set(name, change)
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "linked").symlink_to(tmp_path, target_is_directory=True)
    found = outcome(root, name)
    images = tmp_path / "out" / "images"
    written = [path.read_bytes() for path in images.iterdir()] if images.exists() else []
    assert secret not in written
    counted = not isinstance(found, str) and any(found[word] for word in found if word not in PLAIN)
    is_fine = bool({(name, kind, key), ("*", kind, key)} & FINE)
    assert isinstance(found, str) or counted or is_fine, found


# --- whole files -----------------------------------------------------------------------------------------

BINARY = {"coco_parquet"}
DAMAGES = {
    "empty": lambda data: b"",
    "cut_in_the_middle": lambda data: data[: len(data) // 2],
    "cut_at_the_end": lambda data: data[:-1],
    "bad_utf_8": lambda data: data.replace(b"cow", b"c\xff\xfew"),
    "nul_bytes": lambda data: data[: len(data) // 2] + b"\0" * 50 + data[len(data) // 2 :],
    "nothing_but_nul": lambda data: b"\0" * 1000,
    "deep": lambda data: b"[" * 200_000,
    "deep_inside": lambda data: data.replace(b'"cow"', b"[" * 100_000 + b"]" * 100_000),
    "long_number": lambda data: data.replace(b"20", b"9" * 10_000),
    "utf_16": lambda data: data.decode("latin-1").encode("utf-16"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(write_set, outcome, name, damage):
    root = write_set(name, {"label": "cow"})
    label_files = [
        path for path in root.rglob("*") if path.is_file() and path.suffix not in (".jpg", ".yaml")
    ]
    last = min(label_files)
    before = last.read_bytes()
    after = DAMAGES[damage](before)
    if after == before:
        pytest.skip(f"{name} holds nothing to damage so")
    last.write_bytes(after)
    found = outcome(root, name)
    is_fine = name == "yolo" and damage in ("empty", "cut_at_the_end")  # No object; a number less precise.
    assert isinstance(found, str) or found["noted"] or found.get("unscored") or is_fine, found


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_in_the_place_of_a_file(write_set, outcome, name):
    root = write_set(name)
    file = next(path for path in root.rglob("*") if path.is_file() and path.suffix not in (".jpg", ".yaml"))
    file.unlink()
    file.mkdir()
    found = outcome(root, name)
    assert isinstance(found, str) or found["noted"] or name == "yolo", "an image without a label file"


@pytest.mark.parametrize("name", NAMES)
def test_the_same_twice(write_set, outcome, name):
    root = write_set(name, {"number": 1}, {"number": 1})
    found = outcome(root, name)
    # Answers in words stay apart; boxes of one image may be put together.
    assert isinstance(found, str) or found["kept"] in (1, 2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_bad_images_stop_a_run_that_shall_stop(write_set, outcome, name):
    found = outcome(write_set(name, {"data": bomb(60_000)}), name, bad_images="stop")
    assert isinstance(found, str)
    assert "60000" in found or "60,000" in found or "image" in found


CODE = """
import resource, sys
from pathlib import Path
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.errors import PaddleGroundError
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
out, root, name = sys.argv[1:]
told = {"box_units": "pixels", "bbox_format": "xyxy" if name == "coco_parquet" else "auto"}
report = prepare(PrepareOptions(Path(out), Path(root), val_ratio=0, source_format=name, workers=1, **told))
print(report.splits[0].counts["boxes"])
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""
QUICK = {"coco_parquet", "coco_json", "yolo"}
MANY = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.heavy)
    for name in NAMES
    if name != "openeqa"
]


@pytest.mark.parametrize("name", MANY)
def test_a_hundred_thousand_boxes_in_one_image(tmp_path, write_set, name):
    # No two alike: what is said twice is taken once.
    boxes = tuple((n % 100 / 2, n // 100 % 100 / 4, 60 + n // 10_000 * 7, 70) for n in range(100_000))
    root = write_set(name, {"boxes": boxes})
    command = [sys.executable, "-c", CODE, str(tmp_path / "out"), str(root), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said, peak_kb = done.stdout.splitlines()
    assert int(said) > 10_000, "most of them are other boxes in the model's integers too"
    assert int(peak_kb) < 800 << 10
