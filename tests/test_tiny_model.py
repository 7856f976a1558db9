"""The course of the small model, and the small model in data/ itself."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw

from paddle_ground.boxes import iou_matrix
from paddle_ground.data.lessons import write_lessons
from paddle_ground.infer import default_model, ground

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "tools" / "tiny_course.yaml"
MODEL = ROOT / "data" / "tiny-qwen3-vl"
LIMIT = 12_000_000


def test_the_course_can_be_followed_from_its_first_stage_to_its_test():
    course = yaml.safe_load(COURSE.read_text(encoding="utf-8"))
    lessons = inspect.signature(write_lessons)
    lessons.bind("folder", **course["words"])
    lessons.bind("folder", train_images=1, **course["test"])
    names = [stage["name"] for stage in course["stages"]]
    assert len(set(names)) == len(names)
    seeds = [stage["lessons"]["seed"] for stage in course["stages"] if not stage.get("skip")]
    assert len(set(seeds)) == len(seeds)
    assert course["test"]["seed"] not in seeds, "the test's pictures are no stage's"
    for stage in course["stages"]:
        lessons.bind("folder", **stage["lessons"])
        assert stage["pixels"][0] <= stage["pixels"][1]
        assert stage["lessons"].get("batch", 32) == 32, "batches of like length are those that are trained"


@pytest.mark.heavy
def test_the_tool_makes_a_model_with_a_card(tmp_path):
    lessons = {"train_images": 40, "val_images": 8, "most_things": 1, "turns": 1, "kinds": ["name", "absent"]}
    stages = [
        {"name": name, "steps": 10, "pixels": [4096, 16384], "lessons": {**lessons, "seed": seed}}
        for name, seed in (("first", 1), ("second", 2))
    ]
    course = {
        "model": {"preset": "demo", "vocab_size": 600, "seed": 0},
        "words": {"train_images": 20, "val_images": 1},
        "stages": [*stages, {**stages[1], "name": "third", "skip": 16}],
        "test": {**{k: v for k, v in lessons.items() if k != "train_images"}, "seed": 3},
    }
    path, out, work = tmp_path / "course.yaml", tmp_path / "model", tmp_path / "work"
    path.write_text(yaml.safe_dump(course), encoding="utf-8")
    command = [sys.executable, ROOT / "tools" / "make_tiny_model.py", "--course", path, "--out", out]

    def make() -> None:
        words = [*map(str, command), "--work", str(work)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    make()
    card = (out / "README.md").read_text(encoding="utf-8")
    for words in ("| first | 10 |", "| third | 10 |", "| absent | 0 |", "| all of them |"):
        assert words in card
    whole = (work / "third-lessons" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    turned = (work / "third-lessons" / "rest.jsonl").read_text(encoding="utf-8").splitlines()
    assert turned == whole[16:] + whole[:16]
    sizes = json.loads((out / "preprocessor_config.json").read_text())["size"]
    assert sizes == {"shortest_edge": 4096, "longest_edge": 16384}

    # Stopped between a stage's last step and the note that it is finished: nothing is left to train.
    note = work / "third" / "finished.json"
    cost = note.read_text(encoding="utf-8")
    note.unlink()
    shutil.rmtree(work / "test")
    make()
    assert note.read_text(encoding="utf-8") == cost


def test_the_small_model_is_small_and_tells_what_it_can():
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LIMIT
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert "## Learning curve" in card
    assert default_model() == MODEL


# Drawn here, by no code of ours: what is asked, the colour, and the shape's box.
PLAIN = [
    ("the red circle", "en", (220, 40, 40), "ellipse", (40, 60, 110, 130)),
    ("the blue square", "en", (40, 80, 220), "rectangle", (100, 20, 165, 85)),
    ("黄色圆形", "zh", (240, 210, 40), "ellipse", (90, 90, 170, 170)),
]


@pytest.mark.parametrize(("words", "lang", "colour", "shape", "box"), PLAIN)
def test_the_small_model_points_at_a_plain_thing(tmp_path, words, lang, colour, shape, box):
    image = Image.new("RGB", (192, 192), (128, 124, 118))
    getattr(ImageDraw.Draw(image), shape)(box, fill=colour)
    image.save(tmp_path / "picture.png")
    found = ground(MODEL, tmp_path / "picture.png", words, lang=lang)
    assert len(found.regions) == 1
    assert iou_matrix([found.regions[0].box_xyxy_px], [box])[0, 0] >= 0.5
