"""Agreement of samplings, against cases that were computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.distill.agreement import AgreementOptions, SaidBox, weigh


def cat(*box: float) -> SaidBox:
    return SaidBox("cat", box)  # type: ignore[arg-type]


def dog(*box: float) -> SaidBox:
    return SaidBox("dog", box)  # type: ignore[arg-type]


def test_jittered_boxes_become_their_median():
    samplings = [[cat(0, 0, 100, 100)], [cat(2, 4, 104, 98)], [cat(1, 10, 90, 101)]]
    verdict = weigh(samplings, AgreementOptions())
    assert [(b.label, b.box_xyxy_px, b.agreement) for b in verdict.boxes] == [("cat", (1, 4, 100, 100), 1.0)]
    assert (verdict.agreement, verdict.is_kept, verdict.dropped) == (1.0, True, 0)


def test_two_boxes_meet_in_the_middle():
    verdict = weigh([[cat(0, 0, 100, 100)], [cat(4, 2, 100, 104)], None], AgreementOptions())
    assert verdict.boxes[0].box_xyxy_px == (2, 1, 100, 102)
    assert verdict.boxes[0].agreement == pytest.approx(2 / 3)  # the unusable answer counts too


def test_a_box_of_too_few_votes_is_dropped_and_lowers_the_agreement():
    # Two clusters in three samplings: 3 + 1 of 6 places for a box are taken.
    samplings = [[cat(0, 0, 10, 10)], [cat(0, 0, 10, 10), cat(50, 50, 60, 60)], [cat(0, 0, 10, 10)]]
    verdict = weigh(samplings, AgreementOptions(min_agreement=0.6))
    assert [box.box_xyxy_px for box in verdict.boxes] == [(0, 0, 10, 10)]
    assert verdict.agreement == pytest.approx(4 / 6)
    assert (verdict.is_kept, verdict.dropped) == (True, 1)
    assert not weigh(samplings, AgreementOptions(min_agreement=0.7)).is_kept


def test_votes_can_be_asked_for():
    samplings = [[cat(0, 0, 10, 10)], [cat(0, 0, 10, 10)], []]
    assert len(weigh(samplings, AgreementOptions(votes=2)).boxes) == 1
    all_three = weigh(samplings, AgreementOptions(votes=3))
    assert all_three.boxes == ()
    assert not all_three.is_kept
    assert len(weigh(samplings, AgreementOptions(votes=1, min_agreement=0)).boxes) == 1


@pytest.mark.parametrize(
    ("samplings", "votes"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)], ids=lambda value: str(value)
)
def test_more_than_half_by_default(samplings, votes):
    assert AgreementOptions().votes_of(samplings) == votes


def test_iou_decides_what_is_the_same_place():
    # Overlap 50 x 100 of 15000: an IoU of one third.
    samplings = [[cat(0, 0, 100, 100)], [cat(50, 0, 150, 100)]]
    assert weigh(samplings, AgreementOptions(iou=0.33, min_agreement=0)).boxes[0].box_xyxy_px == (
        25,
        0,
        125,
        100,
    )
    assert weigh(samplings, AgreementOptions(iou=0.34, min_agreement=0)).boxes == ()


def test_labels_are_kept_apart():
    assert weigh([[cat(0, 0, 9, 9)], [dog(0, 0, 9, 9)]], AgreementOptions()).boxes == ()


def test_a_chain_of_overlaps_is_no_agreement():
    # Neighbours overlap by 60 of 140 (0.43), the ends by 20 of 180 (0.11): the middle can't join both.
    samplings = [[cat(0, 0, 100, 10)], [cat(40, 0, 140, 10)], [cat(80, 0, 180, 10)]]
    verdict = weigh(samplings, AgreementOptions(iou=0.4, votes=2, min_agreement=0))
    assert [box.box_xyxy_px for box in verdict.boxes] == [(20, 0, 120, 10)]
    assert verdict.dropped == 1


def test_two_close_things_of_one_sampling_stay_two():
    pair = [cat(0, 0, 100, 100), cat(10, 0, 110, 100)]
    verdict = weigh([pair, pair[::-1], pair], AgreementOptions())
    assert sorted(box.box_xyxy_px for box in verdict.boxes) == [(0, 0, 100, 100), (10, 0, 110, 100)]
    assert verdict.agreement == 1.0


@pytest.mark.parametrize(
    ("samplings", "agreement", "is_kept"),
    [
        ([[], [], []], 1.0, True),
        ([[], [], [cat(0, 0, 5, 5)]], 2 / 3, True),
        ([[], [], None], 2 / 3, True),
        ([[], None, None], 1 / 3, False),
        ([[], [cat(0, 0, 5, 5)], None], 1 / 3, False),
        ([None, None, None], 0.0, False),
    ],
)
def test_nothing_there_needs_votes_too(samplings, agreement, is_kept):
    verdict = weigh(samplings, AgreementOptions())
    assert verdict.boxes == ()
    assert (verdict.agreement, verdict.is_kept) == (pytest.approx(agreement), is_kept)


corner = st.integers(0, 40)
box = st.tuples(corner, corner, st.integers(1, 30), st.integers(1, 30)).map(
    lambda v: cat(v[0], v[1], v[0] + v[2], v[1] + v[3])
)


@given(st.lists(st.lists(box, max_size=4), min_size=1, max_size=4), st.floats(0.1, 1.0))
def test_no_cluster_has_more_votes_than_samplings_and_medians_are_boxes(samplings, iou):
    verdict = weigh(samplings, AgreementOptions(iou=iou, votes=1, min_agreement=0))
    assert verdict.dropped == 0
    assert sum(round(b.agreement * len(samplings)) for b in verdict.boxes) == sum(map(len, samplings))
    for found in verdict.boxes:
        x1, y1, x2, y2 = found.box_xyxy_px
        assert x1 < x2
        assert y1 < y2
        assert 0 < found.agreement <= 1
