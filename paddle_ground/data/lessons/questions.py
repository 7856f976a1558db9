"""Questions about a picture of things, with the things that answer each of them.

Takes the things of a picture, gives `Question`s in English or Chinese. A question is asked only where its
answer is beyond doubt: a relation needs a clear distance, a size needs to be clearly small or large.
Knows no coordinates of models and no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from paddle_ground.data.lessons.things import KINDS, Thing
from paddle_ground.data.lessons.words import ENGLISH, Words
from paddle_ground.data.scenes import COLOURS

_CLEAR = 0.08
"""Least distance between two middles, as a part of the picture's side, for one to be left of the other."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        kind: What it asks for: a name in `ASKERS`.
        lang: "en" or "zh".
        phrase: What is described; "" where classes are asked for.
        names: The classes that are asked for; () for a phrase, or for all that there is.
        answer: Label and place of each thing that answers it.
    """

    kind: str
    lang: str
    phrase: str
    names: tuple[str, ...]
    answer: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class _Scene:
    things: Sequence[Thing]
    size_wh: tuple[int, int]
    generator: np.random.Generator
    words: Words

    def pick(self, number: int) -> int:
        return int(self.generator.integers(number))

    def matching(self, colour: str, kind: str) -> list[int]:
        """Find the things of a colour and a kind; "" for any."""
        return [i for i, thing in enumerate(self.things)
                if colour in ("", thing.colour) and kind in ("", thing.kind)]  # fmt: skip

    def some_description(self) -> tuple[str, str]:
        """Describe one thing by colour, kind or both."""
        thing = self.things[self.pick(len(self.things))]
        drawn = self.generator.random()
        return ("" if 0.6 <= drawn < 0.85 else thing.colour), ("" if drawn >= 0.85 else thing.kind)

    def middle(self, place: int) -> tuple[float, float]:
        """Give a thing's middle as parts of the picture's width and height."""
        left, top, right, bottom = self.things[place].box_xyxy_px
        return (left + right) / 2 / self.size_wh[0], (top + bottom) / 2 / self.size_wh[1]


_Answer = tuple[str, tuple[str, ...], tuple[tuple[str, int], ...]]
_Asker = Callable[[_Scene], "_Answer | None"]


def _refer(phrase: str, places: Sequence[int]) -> _Answer:
    return phrase, (), tuple((phrase, place) for place in places)


def _by_name(scene: _Scene) -> _Answer | None:
    colour, kind = scene.some_description()
    return _refer(scene.words.one(colour, kind, scene.pick(2) == 0), scene.matching(colour, kind))


def _by_size(scene: _Scene) -> _Answer | None:
    colour, kind = scene.some_description()
    found = scene.matching(colour, kind)
    sizes = [scene.things[i].size for i in found]
    if "" in sizes:
        return None
    size = sizes[scene.pick(len(sizes))]
    phrase = scene.words.sized(size, colour, kind, scene.pick(2) == 0)
    return _refer(phrase, [i for i, own in zip(found, sizes, strict=True) if own == size])


def _by_extreme(scene: _Scene) -> _Answer | None:
    colour, kind = scene.some_description()
    found = scene.matching(colour, kind)
    if len(found) < 2:
        return None
    side = ("left", "right", "top", "bottom")[scene.pick(4)]
    axis, sign = (0 if side in ("left", "right") else 1), (1 if side in ("left", "top") else -1)
    order = sorted(found, key=lambda i: sign * scene.middle(i)[axis])
    if abs(scene.middle(order[0])[axis] - scene.middle(order[1])[axis]) < _CLEAR:
        return None
    return _refer(scene.words.extreme(side, colour, kind), order[:1])


def _by_relation(scene: _Scene) -> _Answer | None:
    anchor = scene.pick(len(scene.things))
    thing = scene.things[anchor]
    if len(scene.things) < 2 or len(scene.matching(thing.colour, thing.kind)) > 1:
        return None
    colour, kind = scene.some_description()
    others = [i for i in scene.matching(colour, kind) if i != anchor]
    side = ("left", "right", "above", "below")[scene.pick(4)]
    axis, sign = (0 if side in ("left", "right") else 1), (-1 if side in ("left", "above") else 1)
    steps = [sign * (scene.middle(i)[axis] - scene.middle(anchor)[axis]) for i in others]
    if any(abs(step) < _CLEAR for step in steps) or not any(step > 0 for step in steps):
        return None
    phrase = scene.words.related(colour, kind, side, thing.colour, thing.kind)
    return _refer(phrase, [i for i, step in zip(others, steps, strict=True) if step > 0])


def _by_count(scene: _Scene) -> _Answer | None:
    colour, kind = scene.some_description()
    found = scene.matching(colour, kind)
    return _refer(scene.words.several(len(found), colour, kind), found) if 2 <= len(found) <= 4 else None


def _absent(scene: _Scene) -> _Answer | None:
    colours = list(COLOURS)
    # Nearly right ones are the hard ones: the colour of one thing with the kind of another.
    near = [(a.colour, b.kind) for a, b in product(scene.things, scene.things)]
    far = [(colours[scene.pick(len(colours))], KINDS[scene.pick(len(KINDS))]) for _ in range(4)]
    pool = [pair for pair in [*near, *far] if not scene.matching(*pair)]
    if not pool:
        return None
    return _refer(scene.words.one(*pool[scene.pick(len(pool))], scene.pick(2) == 0), ())


def _all(scene: _Scene) -> _Answer | None:
    # The prompt is English, and so are the labels, whatever language was drawn.
    labels = tuple((ENGLISH.one(t.colour, t.kind, False), i) for i, t in enumerate(scene.things))
    return "", (), labels


def _classes(scene: _Scene) -> _Answer | None:
    colours = list(COLOURS)
    pairs = [(thing.colour, thing.kind) for thing in scene.things]
    pairs += [(colours[scene.pick(len(colours))], KINDS[scene.pick(len(KINDS))]) for _ in range(3)]
    pairs = list(dict.fromkeys(pairs))
    scene.generator.shuffle(pairs)
    asked = pairs[: 1 + scene.pick(3)]
    names = tuple(scene.words.one(colour, kind, False) for colour, kind in asked)
    found = [(name, i) for name, pair in zip(names, asked, strict=True) for i in scene.matching(*pair)]
    return "", names, tuple(found)


ASKERS: dict[str, tuple[float, _Asker]] = {
    "name": (0.46, _by_name),
    "size": (0.06, _by_size),
    "extreme": (0.08, _by_extreme),
    "relation": (0.08, _by_relation),
    "count": (0.06, _by_count),
    "absent": (0.08, _absent),
    "all": (0.10, _all),
    "classes": (0.08, _classes),
}
"""Share and maker of each kind of question."""


def ask(
    things: Sequence[Thing],
    size_wh: tuple[int, int],
    generator: np.random.Generator,
    words: Words,
    kind: str,
) -> Question:
    """Ask one question.

    Args:
        things: At least one.
        size_wh: Of the picture, pixels.
        generator: Where every random number comes from.
        words: The language.
        kind: A name in `ASKERS`. Where the picture allows no such question, things are asked for by name.
    """
    scene = _Scene(things, size_wh, generator, words)
    for _ in range(4):
        asked = ASKERS[kind][1](scene)
        if asked is not None:
            return Question(kind, words.lang, *asked)
    asked = _by_name(scene)
    assert asked is not None
    return Question("name", words.lang, *asked)
