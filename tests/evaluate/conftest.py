"""Real COCO truth and predictions made from it by seeded jitter."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from paddle_ground.records import Prediction, Region, Truth, read_truth


@pytest.fixture(scope="session")
def coco_truth(shared_data: Path) -> Truth:
    path = shared_data / "coco40" / "instances.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return read_truth(path)


MakePredictions = Callable[..., list[Prediction]]


@pytest.fixture(scope="session")
def jittered(coco_truth: Truth) -> MakePredictions:
    """Predictions such as a middling model makes: shifted, doubled, mislabelled, invented, left out."""

    def make(seed: int, *, with_scores: bool = True) -> list[Prediction]:
        chance = random.Random(seed)
        names = {category.id: category.name for category in coco_truth.categories}
        made = []
        for index, image in enumerate(coco_truth.images):
            width, height = image.size_wh
            regions = []
            for box in (one for one in coco_truth.annotations if one.image_id == image.id):
                x1, y1, x2, y2 = box.box_xyxy_px
                for _ in range(chance.choice([0, 1, 1, 1, 2])):
                    side = 0.12 * chance.random() * max(x2 - x1, y2 - y1)
                    moved = [value + chance.uniform(-side, side) for value in (x1, y1, x2, y2)]
                    left, right = sorted((moved[0], moved[2]))
                    top, bottom = sorted((moved[1], moved[3]))
                    label = chance.choice([*[names[box.category_id]] * 8, "cat", "gizmo"])
                    score = round(chance.random(), 2) if with_scores else None  # rounded: ties occur
                    regions.append(Region(label, (left, top, right + 1e-3, bottom + 1e-3), score))
            if chance.random() < 0.3:
                regions.append(Region("dog", (0.0, 0.0, width / 2, height / 2), 0.9 if with_scores else None))
            made.append(
                Prediction(index, image.file_name, image.size_wh, "find", "...", "ok", regions=tuple(regions))
            )
        return made

    return make
