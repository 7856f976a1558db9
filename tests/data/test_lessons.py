"""Lessons: questions whose answers are worked out a second time from the words alone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paddle_ground.data.lessons import write_lessons
from paddle_ground.data.lessons.questions import ASKERS, ask
from paddle_ground.data.lessons.things import DIGITS, KINDS, Thing, draw_things
from paddle_ground.data.lessons.words import CHINESE, ENGLISH
from paddle_ground.data.outlines import text_mask
from paddle_ground.data.scenes import COLOURS
from paddle_ground.errors import ConfigError
from paddle_ground.records import meta_path, read_meta, read_samples, read_truth, truth_path
from paddle_ground.spaces import RELATIVE_1000

WORDS = {"leftmost": (0, min), "rightmost": (0, max), "topmost": (1, min), "lowest": (1, max)}
BESIDE = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
NUMBERS = {"two": 2, "three": 3, "four": 4}


def middle(thing: Thing) -> tuple[float, float]:
    left, top, right, bottom = thing.box_xyxy_px
    return (left + right) / 2, (top + bottom) / 2


def meant(phrase: str, things: tuple[Thing, ...]) -> list[int]:
    """Find what a phrase means by reading it word by word, knowing nothing of how it was made."""
    for word, (axis, sign) in BESIDE.items():
        if f" {word} " in phrase:
            subject, anchor = phrase.split(f" {word} ")
            (at,) = meant(anchor, things)
            return [
                i
                for i in meant(subject, things)
                if i != at and sign * (middle(things[i])[axis] - middle(things[at])[axis]) > 0
            ]
    words = phrase.replace("crosses", "cross").removeprefix("the ").split()
    number = NUMBERS.get(words[0])
    if number:
        words = words[1:]
        words = [re.sub("(?<!s)s$", "", word) if word != "cross" else word for word in words]
    choose = WORDS.get(words[0])
    found = list(range(len(things)))
    for word in words[1:] if choose else words:
        if word in COLOURS:
            found = [i for i in found if things[i].colour == word]
        elif word in KINDS:
            found = [i for i in found if things[i].kind == word]
        elif word in ("small", "large"):
            found = [i for i in found if things[i].size == word]
        else:
            assert word in ("digit", "object"), phrase
    assert number in (None, len(found)), phrase
    if choose:
        axis, pick = choose
        return [pick(found, key=lambda i: middle(things[i])[axis])]
    return found


@pytest.mark.parametrize("kind", [kind for kind in ASKERS if kind not in ("all", "classes")])
def test_phrases_mean_what_their_words_say(kind: str) -> None:
    asked = 0
    for seed in range(150):
        generator = np.random.default_rng(seed)
        image, things = draw_things(generator, 5)
        question = ask(things, image.size, generator, ENGLISH, kind)
        if question.kind == kind:
            asked += 1
            assert sorted(place for _, place in question.answer) == meant(question.phrase, things)
            assert {label for label, _ in question.answer} <= {question.phrase}
            assert bool(question.answer) == (kind != "absent")
    assert asked > 20


def test_all_names_everything_and_classes_name_what_was_asked_for() -> None:
    empty = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        image, things = draw_things(generator, 5)
        everything = ask(things, image.size, generator, CHINESE, "all")
        assert [place for _, place in everything.answer] == list(range(len(things)))
        assert all(meant(label, things).count(place) for label, place in everything.answer)
        some = ask(things, image.size, generator, ENGLISH, "classes")
        expected = [(name, place) for name in some.names for place in meant(name, things)]
        assert list(some.answer) == expected
        empty += not expected
    assert 0 < empty < 60


def test_chinese_and_english_ask_for_the_same() -> None:
    assert ENGLISH.one("red", "circle", True) == "the red circle"
    assert CHINESE.one("red", "circle", True) == "红色圆形"
    assert ENGLISH.sized("small", "", "7", False) == "small digit 7"
    assert CHINESE.sized("small", "", "7", False) == "小的数字7"
    assert ENGLISH.related("", "star", "above", "blue", "") == "the star above the blue object"
    assert CHINESE.related("", "star", "above", "blue", "") == "蓝色物体上面的星形"
    assert ENGLISH.several(2, "pink", "cross") == "the two pink crosses"
    assert CHINESE.several(2, "pink", "cross") == "两个粉色十字"
    assert ENGLISH.extreme("bottom", "", "square") == "the lowest square"
    assert CHINESE.extreme("bottom", "", "square") == "最下面的方形"


def test_boxes_fit_what_is_drawn() -> None:
    """One thing in strong colour on plain ground: its pixels span its box."""
    checked = 0
    for seed in range(80):
        generator = np.random.default_rng(seed)
        image, things = draw_things(generator, 1)
        pixels = np.asarray(image, np.float64)
        far = np.abs(pixels - np.array(COLOURS[things[0].colour])).sum(axis=2) < 60
        rows, columns = np.flatnonzero(far.any(axis=1)), np.flatnonzero(far.any(axis=0))
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        ground_looks_alike = far.mean() > 0.6
        if not ground_looks_alike:
            checked += 1
            np.testing.assert_allclose(found, things[0].box_xyxy_px, atol=4)
    assert checked > 60


def test_digits_fill_their_masks() -> None:
    for digit in DIGITS:
        mask = text_mask(digit)
        assert mask.getbbox() == (0, 0, *mask.size)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lessons")
    report = write_lessons(out, 40, 24, seed=5)
    assert report.questions == sum(
        turn.role == "user" for sample in read_samples(report.train_path) for turn in sample.messages
    )
    return out


def test_samples_and_truth_agree(lessons: Path) -> None:
    samples = list(read_samples(lessons / "val.jsonl"))
    truth = read_truth(truth_path(lessons / "val.jsonl"))
    assert len(samples) == len(truth.images) == 24
    names = {category.id: category.name for category in truth.categories}
    for sample, image in zip(samples, truth.images, strict=True):
        with Image.open(lessons / image.file_name) as picture:
            assert picture.size == image.size_wh
            assert min(picture.size) >= 128
            assert picture.width * picture.height <= 160 * 160
        boxes = [box for box in truth.annotations if box.image_id == image.id]
        exact = RELATIVE_1000.encode([box.box_xyxy_px for box in boxes], image.size_wh)
        encoded = (np.floor(exact / 10 + 0.5) * 10).astype(int).tolist()  # Tens, halves up.
        expected = sorted(
            (names[box.category_id], tuple(four)) for box, four in zip(boxes, encoded, strict=True)
        )
        assert sorted(zip(sample.refs, sample.boxes, strict=True)) == expected
        assert len(sample.messages) == 2
    # Line i asks for kind i modulo the kinds: the sixth for what isn't there, the seventh for all.
    assert all(not sample.boxes for sample in samples[5::8])
    assert all(sample.prompt == "Task: Object Detection" for sample in samples[6::8])
    assert read_meta(meta_path(lessons / "val.jsonl")).counts == {"kept": 24}


def test_conversations_ask_no_question_twice_and_show_the_picture_once(lessons: Path) -> None:
    samples = list(read_samples(lessons / "train.jsonl"))
    assert max(len(sample.messages) for sample in samples) > 4
    for sample in samples:
        questions = [turn.content for turn in sample.messages if turn.role == "user"]
        assert [question.count("<image>") for question in questions] == [1] + [0] * (len(questions) - 1)
        assert len(set(questions)) == len(questions)


def test_the_same_seed_gives_the_same_bytes(lessons: Path, tmp_path: Path) -> None:
    write_lessons(tmp_path, 40, 24, seed=5)
    for path in sorted(lessons.rglob("*.*")):
        assert (tmp_path / path.relative_to(lessons)).read_bytes() == path.read_bytes()
    write_lessons(tmp_path / "other", 40, 24, seed=6)
    assert (tmp_path / "other" / "train.jsonl").read_bytes() != (lessons / "train.jsonl").read_bytes()


def test_nothing_to_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be 1 or more"):
        write_lessons(tmp_path / "none", 0, 4)
    with pytest.raises(ConfigError, match=r"unknown kinds \['colour'\]"):
        write_lessons(tmp_path / "none", 4, 4, kinds=["colour"])


@pytest.mark.parametrize("easy", [True, False])
def test_pictures_grow_with_the_scale_and_boxes_with_them(easy):
    small, _ = draw_things(np.random.default_rng(3), 3, easy)
    large, things = draw_things(np.random.default_rng(3), 3, easy, scale=1.5)
    for before, after in zip(small.size, large.size, strict=True):
        assert after % 32 == 0
        assert abs(after - before * 1.5) <= 16
    pixels = np.asarray(large.convert("HSV"))[..., 1]
    for thing in things:
        left, top, right, bottom = (round(value) for value in thing.box_xyxy_px)
        inside = pixels[top:bottom, left:right]
        assert inside.max() > 100, "a thing is of a bright colour"
        assert right - left > 8
        assert bottom <= large.height
        assert right <= large.width


def test_pictures_hold_as_many_digits_as_are_asked_for():
    def share(asked):
        drawn = [draw_things(np.random.default_rng(seed), 4, digit_share=asked)[1] for seed in range(60)]
        return np.mean([thing.is_digit for things in drawn for thing in things])

    assert share(0.0) == 0.0
    assert share(1.0) == 1.0
    assert 0.4 < share(0.6) < 0.8


def test_a_share_of_digits_is_a_part_of_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"digits is 1\.5"):
        write_lessons(tmp_path / "none", 4, 4, digits=1.5)
