"""What is drawn: groups, negatives, repeats, absent phrases; numbers worked out by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data import take
from paddle_ground.data.balance import draw_repeats, repeat_factors, share_negatives
from paddle_ground.data.phrases import PhrasePool, content_words
from paddle_ground.data.sampling import LEFT_OUT, TRAIN, VAL, draw_splits
from paddle_ground.errors import ConfigError, DataError, UnwritableError
from paddle_ground.records import read_meta, read_samples

CAT, DOG, CUP, CAR = range(4)
BOX = (10, 10, 50, 50)


def numbers(values):
    return np.array(values, np.int64)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- groups ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.floats(0, 0.9), st.integers(0, 5))
def test_no_group_is_torn(groups, ratio, seed):
    rows = len(groups)
    splits = draw_splits(np.ones(rows, bool), np.zeros(rows, bool), None, ratio, seed, numbers(groups))
    sides = {
        group: {split for g, split in zip(groups, splits.tolist(), strict=True) if g == group}
        for group in groups
    }
    assert all(len(found) == 1 for found in sides.values())
    assert LEFT_OUT not in splits
    wanted = int(rows * ratio + 0.5)
    # One group at most lies between what is wanted and what is there, unless even the smallest is too large.
    assert abs((splits == VAL).sum() - wanted) <= max(Counter(groups).values())
    assert wanted == 0 or len(set(groups)) == 1 or VAL in splits


def test_where_all_groups_are_too_large_the_smallest_is_held_out():
    groups = numbers([1, 1, 1, 2, 2, 2, 2])
    splits = draw_splits(np.ones(7, bool), np.zeros(7, bool), None, 0.15, 0, groups)
    assert splits.tolist() == [VAL] * 3 + [TRAIN] * 4


def test_groups_that_val_has_leave_train():
    is_val = np.array([False, False, False, True])
    splits = draw_splits(np.ones(4, bool), is_val, None, 0.1, 0, numbers([1, 2, 1, 2]))
    assert splits.tolist() == [TRAIN, LEFT_OUT, TRAIN, VAL]


def test_all_rows_of_a_group_come_into_one_split(run, make_row, tmp_path):
    rows = [make_row(i, [(CAT, BOX)], name=f"video{i % 5}/frame{i}.jpg") for i in range(20)]
    report = run(rows, group_by=r"(video\d)/", val_ratio=0.2)
    assert [result.counts["kept"] for result in report.splits] == [16, 4]
    val = {int(s.images[0][-6:-4]) % 5 for s in read_samples(tmp_path / "out" / "val.jsonl")}
    assert len(val) == 1
    assert "groups: 5 among 20 rows, none in both splits" in report.notes
    assert read_meta(tmp_path / "out" / "val.meta.json").settings["group_by"] == r"(video\d)/"


def test_groups_of_the_source_are_kept_together_without_being_asked_for(run, make_row, tmp_path):
    rows = [make_row(i, [(CAT, BOX)], group="ab"[i % 2]) for i in range(8)]
    report = run(rows, val_ratio=0.5)
    assert [result.counts["kept"] for result in report.splits] == [4, 4]
    val = {int(s.images[0][-6:-4]) % 2 for s in read_samples(tmp_path / "out" / "val.jsonl")}
    assert len(val) == 1


def test_a_pattern_that_fits_no_name_is_refused(run, make_row):
    with pytest.raises(ConfigError, match=r"group_by 'x\(y' is no regular expression"):
        run([make_row(1)], group_by="x(y")
    with pytest.raises(ConfigError, match=r"'clip' fits no image's name \(the first is 'rows:1'\)"):
        run([make_row(1)], group_by="clip")


# --- repeats -----------------------------------------------------------------------------------------


def test_repeat_factors_by_hand():
    # Of four images all show a cat, one a dog: f(dog) = 1/4, and with a threshold of 1, r = sqrt(4) = 2.
    classes = [(CAT,), (CAT, DOG), (CAT,), (CAT,)]
    assert repeat_factors(classes, 1.0) == pytest.approx([1, 2, 1, 1])
    assert repeat_factors(classes, 0.5) == pytest.approx([1, 2**0.5, 1, 1])
    assert repeat_factors(classes, 0.25) == [1, 1, 1, 1]
    assert repeat_factors([(), (CAT,)], 1.0) == pytest.approx([1, 2**0.5])


def test_fractions_are_drawn_so_that_the_mean_is_right():
    classes = [(DOG,)] * 2000 + [()] * 2000
    splits = np.full(4000, TRAIN, np.int8)
    times = draw_repeats(splits, classes, 1.0, 0)
    assert set(times[:2000].tolist()) == {1, 2}
    assert times[:2000].mean() == pytest.approx(2**0.5, abs=0.04)  # four standard deviations
    assert set(times[2000:].tolist()) == {1}
    assert set(draw_repeats(np.full(4000, VAL, np.int8), classes, 1.0, 0).tolist()) == {1}


def test_rare_images_are_repeated_in_train_and_written_once(result, make_row):
    rows = [make_row(i, [(CAT, BOX)]) for i in range(15)] + [make_row(15, [(DOG, BOX)])]
    found = result(rows, repeat_factor_threshold=1.0)  # f(dog) = 1/16: 4 times; f(cat) = 15/16: 1.03
    names = Counter(sample.images[0] for sample in found.samples)
    assert names["images/000000000015.png"] == 4
    extra = sum(names.values()) - 16
    assert found.counts["repeated"] == extra
    assert (found.counts["kept"], found.counts["images"]) == (16 + extra, 16)
    assert len(found.truth.images) == len(found.files) == 16
    # Behind all others, so that equal samples are far apart.
    assert [sample.images[0] for sample in found.samples][-2:] == ["images/000000000015.png"] * 2
    assert found.samples[15].images == ("images/000000000015.png",)


def test_what_leaves_as_a_duplicate_is_not_repeated(result, make_row):
    rows = [make_row(i, [(CAT, BOX)]) for i in range(15)] + [make_row(15, [(DOG, BOX)])] * 2
    found = result(rows, repeat_factor_threshold=1.0)  # f(dog) = 2/17: r = 2.9
    again = [sample.images[0] for sample in found.samples].count("images/000000000015.png")
    assert again in (2, 3)
    assert "images/000000000015_1.png" not in {sample.images[0] for sample in found.samples}
    assert found.counts["skipped_duplicate_image"] == 1


# --- negatives ---------------------------------------------------------------------------------------


def test_object_free_images_are_thinned_out_to_their_share():
    splits = np.array([TRAIN] * 10 + [VAL] * 4, np.int8)
    positives = numbers([1] * 6 + [0] * 4 + [1, 1, 1, 0])
    empty = positives == 0
    none = np.zeros(14, bool)
    kept, absent = share_negatives(splits, positives, numbers([0] * 14), empty, none, 0.25, 3)
    # Train: 6 to find, so 2 of 8 are negative. Val: 3 to find, so 1 of 4.
    assert (kept[:10] == TRAIN).sum() == 8
    assert (kept[:6] == TRAIN).all()
    assert (kept[10:] == VAL).all()
    assert not absent.any()


def test_absent_questions_fill_what_empty_images_leave():
    splits = np.full(8, TRAIN, np.int8)
    positives = numbers([1, 1, 1, 1, 1, 1, 0, 0])
    empty = positives == 0
    kept, absent = share_negatives(splits, positives, numbers([0] * 8), empty, ~empty, 0.5, 3)
    # 6 to find want 6 negatives: half of them, but there are only 2, from empty images, 4 are asked.
    assert (kept == TRAIN).all()
    assert absent.sum() == 4
    assert absent.max() == 1
    kept, absent = share_negatives(splits, positives, numbers([0] * 8), empty, ~empty, 0.25, 3)
    assert ((kept == LEFT_OUT).sum(), absent.sum()) == (1, 1)
    # What the source itself answers with nothing counts: 6 wanted, 5 there.
    kept, absent = share_negatives(splits, positives, numbers([5] + [0] * 7), empty, ~empty, 0.5, 3)
    assert ((kept == LEFT_OUT).sum(), absent.sum()) == (1, 0)


@pytest.mark.parametrize("ask", ["together", "each"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_share_of_negatives_is_met(result, make_row, ask, share):
    rows = [make_row(i, [(i % 4, BOX), ((i + 1) % 4, (0, 0, 9, 9))]) for i in range(24)]
    rows += [make_row(24 + i) for i in range(8)]
    found = result(rows, task="classes", ask=ask, negatives=share)
    empty = sum(not sample.refs for sample in found.samples)
    assert found.counts.get("empty", 0) == empty
    assert empty / len(found.samples) == pytest.approx(share, abs=0.02)
    keys = [(sample.images, sample.prompt) for sample in found.samples]
    assert len(set(keys)) == len(keys)


def test_absent_phrases_come_from_elsewhere(result, make_row):
    rows = [
        make_row(1, [(CAT, BOX)], [("the black cat", [0])]),
        make_row(2, [(DOG, BOX)], [("a dog on the left", [0])]),
        make_row(3, [(CUP, BOX)], [("two black cups", [0])]),
        make_row(4, [(CAR, BOX)], [("old car", [0])]),
    ]
    found = result(rows, negatives=0.5)
    phrases = {image.id: image.phrase for image in found.truth.images}
    with_boxes = {box.image_id for box in found.truth.annotations}
    absent = {
        (image.file_name[-5], phrases[image.id]) for image in found.truth.images if image.id not in with_boxes
    }
    assert len(absent) == 4
    # Black is said of the cat and of the cups: neither may be called absent where the other is.
    allowed = {
        *(("1", "a dog on the left"), ("1", "old car"), ("3", "a dog on the left"), ("3", "old car")),
        *(("2", "the black cat"), ("2", "two black cups"), ("2", "old car")),
        *(("4", "the black cat"), ("4", "two black cups"), ("4", "a dog on the left")),
    }
    assert absent <= allowed
    assert found.counts["empty"] == 4


def test_where_nothing_is_absent_it_is_said(result, make_row):
    rows = [make_row(i, [(CAT, BOX)], [("the cat", [0])]) for i in range(4)]
    found = result(rows, negatives=0.5)
    assert len(found.samples) == 4
    assert found.counts["skipped_no_absent_question"] == 4


def test_too_few_empty_images_are_said(run, make_row):
    rows = [make_row(i, [(CAT, BOX)]) for i in range(9)] + [make_row(9)]
    report = run(rows, negatives=0.5)
    assert "negatives: 1 of 10 samples (10 %), not 50 %: no more images without objects" in report.notes


def test_no_negatives_at_all_leave_no_empty_image(result, run, make_row):
    found = result([make_row(1, [(CAT, BOX)]), make_row(2)], negatives=0.0)
    assert len(found.samples) == 1
    with pytest.raises(DataError, match="no image is left; ask for more --negatives"):
        run([make_row(2)], negatives=0.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The second man from the left", {"man"}),
        ("two boxes and the glass dishes", {"box", "glass", "dish"}),
        ("左边的红色杯子", {"左边", "边的", "的红", "红色", "色杯", "杯子"}),
        ("猫", {"猫"}),
        ("the left one", set()),
    ],
)
def test_content_words(text, words):
    assert content_words(text) == words


def test_a_phrase_of_a_class_that_is_there_is_not_absent(make_row):
    pool = PhrasePool([("the animal", [DOG]), ("the vehicle", [CAR])], 4, 0)
    names = ("cat", "dog", "cup", "car")
    row = make_row(1, [(DOG, BOX)], crowd=[0])
    drawn = {pool.draw_absent(row, names, np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {"the vehicle"}


def test_phrases_of_one_class_are_told_apart_by_words_alone(make_row):
    pool = PhrasePool([("red cup", [0]), ("green hat", [0]), ("the left one", [0])], 1, 0)
    row = make_row(1, [(0, BOX)], [("a red shoe", [0])])
    drawn = {pool.draw_absent(row, ("object",), np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {"green hat"}
    assert pool.draw_absent(make_row(1, [], [("red hat", [])]), ("object",), np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"negatives": 1.0}, "negatives is 1; it must be 0 or more, and less than 1"),
        ({"negatives": -0.1}, "negatives is -0.1"),
        ({"frames": 0}, "frames is 0; it must be 1 or more"),
        ({"frame_max_side": 0}, "frame_max_side is 0"),
        ({"box_units": "metres"}, "box_units is 'metres'; it must be pixels or relative_1000"),
        ({"absent_classes": -1}, "absent_classes is -1"),
        ({"min_box_side": float("nan")}, "min_box_side is nan"),
        ({"max_boxes": 0}, "max_boxes is 0; it must be 1 or more"),
        ({"max_boxes_by": "score"}, "max_boxes_by is 'score'; it must be largest or order"),
        ({"repeat_factor_threshold": 0.0}, "repeat_factor_threshold is 0; it must be above 0"),
        ({"repeat_factor_threshold": 1.5}, "repeat_factor_threshold is 1.5"),
        ({"task": "caption"}, "task is 'caption'; it must be auto, detect, classes or refer"),
        ({"ask": "both"}, "ask is 'both'"),
        ({"language": "de"}, "language is 'de'; it must be en, zh or mixed"),
        ({"task": "refer", "prompt": "find"}, "a prompt is given, but task 'refer' makes its own"),
    ],
)
def test_options_out_of_their_range_are_refused(run, make_row, changes, message):
    with pytest.raises(ConfigError, match=message):
        run([make_row(1, [(CAT, BOX)])], **changes)


def test_a_run_that_stopped_is_completed_with_the_same_draws(run, make_row, tmp_path, monkeypatch):
    rows = [make_row(i, [(i % 4, BOX), ((i + 1) % 4, (0, 0, 9, 9))]) for i in range(20)]
    options = {"task": "classes", "ask": "each", "negatives": 0.3, "repeat_factor_threshold": 1.0}
    options |= {"box_order": "random", "language": "mixed", "val_ratio": 0.2, "workers": 1}
    run(rows, output="whole", **options)
    real, written = take.write_image, []

    def full(path, data):
        written.append(path)
        if len(written) == 11:
            raise UnwritableError(f"{path}: disk full")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(take, "write_image", full)
        with pytest.raises(UnwritableError):
            run(rows, **options)
    again = []
    monkeypatch.setattr(take, "write_image", lambda path, data: (again.append(path), real(path, data)))
    run(rows, **options)
    assert 0 < len(again) <= 20 - 8  # the first two pieces of four were done, and perhaps another
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
