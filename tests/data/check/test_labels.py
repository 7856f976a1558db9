"""Spellings of labels."""

from __future__ import annotations

from collections import Counter

import pytest

from paddle_ground.data.check.labels import _variants

# usual label, odd label, how often the odd one stands beside 100 of the usual: are they one?
PAIRS = [
    ("traffic light", "Traffic Light", 80, True),
    ("traffic light", "traffic_light", 80, True),
    ("traffic light", "traffic-light ", 3, True),
    ("dog", "dogs", 50, True),
    ("knife", "knives", 50, False),  # Stems that change are left to the eye.
    ("berry", "berries", 50, True),
    ("bus", "buses", 5, False),
    ("person", "preson", 3, True),
    ("person", "persn", 3, True),
    ("umbrella", "umbrela", 3, True),
    ("glass", "grass", 60, False),  # Both are frequent: two words.
    ("cat", "car", 2, False),  # Too short to tell.
    ("class 1", "class 2", 2, False),
    ("红色圆形", "红色方形", 2, False),
    ("dress", "dres", 2, False),
]


@pytest.mark.parametrize(("usual", "odd", "count", "expected"), PAIRS)
def test_spellings(usual: str, odd: str, count: int, expected: bool) -> None:
    found = list(_variants(Counter({usual: 100, odd: count}), frozenset()))
    assert found == ([(odd, usual)] if expected else [])


def test_two_classes_of_the_list_are_meant() -> None:
    counts = Counter({"orange": 100, "Orange": 3})
    assert list(_variants(counts, frozenset(counts))) == []


def test_coco_s_classes_are_eighty() -> None:
    from paddle_ground.data.classes import COCO_CLASSES

    assert list(_variants(Counter(dict.fromkeys(COCO_CLASSES, 10)), frozenset())) == []
