"""What phrases mean in a mirror, in a part of the picture, and under other light: tables of phrases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.data.augment.mirror import mirror_classes, mirror_phrase
from paddle_ground.data.augment.words import speaks_of_colour, speaks_of_place

# Both ways: each is the other's mirror image.
MIRRORED = [
    ("man on the left", "man on the right"),
    ("Left woman in blue", "Right woman in blue"),
    ("FAR LEFT PERSON", "FAR RIGHT PERSON"),
    ("leftmost cup", "rightmost cup"),
    ("left-most cup", "right-most cup"),
    ("left most cup", "right most cup"),
    ("glass on left-hand side", "glass on right-hand side"),
    ("second from the right", "second from the left"),
    ("the dog's left ear", "the dog's right ear"),
    ("left of the right chair", "right of the left chair"),
    ("man is left of the dog", "man is right of the dog"),
    ("cup on the left behind the plate", "cup on the right behind the plate"),
    ("guy in his left", "guy in his right"),
    ("left", "right"),
    ("left's hat", "right's hat"),
    ("bird facing leftwards", "bird facing rightwards"),
    ("right-handed batter", "left-handed batter"),
    ("white dish in the top right corner", "white dish in the top left corner"),
    ("right side glass of water", "left side glass of water"),
    ("man at far left on the bench", "man at far right on the bench"),
    ("LHS car", "RHS car"),
    ("arrow turning clockwise", "arrow turning counterclockwise"),
    ("左边的人", "右边的人"),
    ("右上角的杯子", "左上角的杯子"),
    ("最左側的狗在右邊的狗旁邊", "最右側的狗在左邊的狗旁邊"),
    ("顺时针的箭头", "逆时针的箭头"),
]

UNCHANGED = [
    "the tall man",
    "bright umbrella",
    "an upright bicycle next to the copyright sign",
    "the man who is all right",
    "what is happening right now",
    "leftovers on a plate",
    "suitcase left behind",
    "bag left behind by somebody",
    "cup right side up",
    "a right angle",
    "30岁左右的男人",
    "左右两边的人",
    "座右铭",
    "桌子上的杯子",
    "",
    "clever girl",
    "Linkin Park shirt",
]

UNCLEAR = [
    "bag left behind the car",
    "man right behind the car",
    "guy right in blue",
    "the woman who has left",
    "only one left",
    "plate left on the table",
    "car right next to the bus",
    "girl on l",
    "lft man",
    "far rt guy",
    "man at 3 o'clock",
    "driver's side door",
    "the sign that says stop",
    'shirt reading "left"',
    "the east tower",
    "Mann links",
    "l'homme à gauche",
    "la chica de la izquierda",
    "左撇子",
    "写着停的牌子",
]


@pytest.mark.parametrize(("one", "other"), MIRRORED)
def test_sides_are_exchanged_both_ways(one, other):
    assert mirror_phrase(one) == other
    assert mirror_phrase(other) == one


@pytest.mark.parametrize("spelling", ["anticlockwise", "anti-clockwise", "counter-clockwise"])
def test_spellings_of_a_turn(spelling):
    assert mirror_phrase(f"the {spelling} arrow") == "the clockwise arrow"


@pytest.mark.parametrize("phrase", UNCHANGED)
def test_what_speaks_of_no_side_stays_word_for_word(phrase):
    assert mirror_phrase(phrase) == phrase


@pytest.mark.parametrize("phrase", UNCLEAR)
def test_what_nobody_can_be_sure_of_is_given_up(phrase):
    assert mirror_phrase(phrase) is None


@given(st.lists(st.sampled_from("the left right man on of 左 右 边 cup, . LEFT Rightmost behind 人".split())))
def test_mirroring_twice_gives_the_phrase_back(words):
    once = mirror_phrase(" ".join(words))
    if once is not None:
        assert mirror_phrase(once) in (" ".join(words), None)


@given(st.text())
def test_any_text_is_a_phrase(text):
    once = mirror_phrase(text)
    assert once is None or len(once) >= len(text) - 7 * text.lower().count("clockwise") - text.lower().count(
        "r"
    )
    assert isinstance(speaks_of_place(text), bool)
    assert isinstance(speaks_of_colour(text), bool)


def test_classes_find_their_mirror_images():
    names = [
        "left shoe",
        "right_shoe",
        "right shoe",
        "cat",
        "turn left",
        "clock",
        "number plate",
        "左转",
        "右转",
    ]
    assert mirror_classes(names) == (2, None, 0, 3, None, 5, 6, 8, 7)
    assert mirror_classes(["left_hand", "right_hand", "leftover food"]) == (1, 0, 2)
    assert mirror_classes([]) == ()


@pytest.mark.parametrize(
    "phrase",
    [
        "cup on the left",
        "rightmost man",
        "top shelf",
        "person in the middle",
        "upper right corner",
        "second horse",
        "1st car",
        "lowest part of picture",
        "far left cut off",
        "man at the edge",
        "half visible car",
        "左边的人",
        "中间的杯子",
        "第二个人",
        "最上面的书",
        "图片右下角",
        "照片里的狗",
        "二排的人",
    ],
)
def test_places_in_the_picture_are_noticed(phrase):
    assert speaks_of_place(phrase)


@pytest.mark.parametrize(
    "phrase",
    [
        "man in white shirt",
        "cup next to the plate",
        "the book on top of the box",
        "girl in front of the tv",
        "bowl behind the others",
        "biggest dog",
        "man with a laptop",
        "bright leftovers",
        "穿红衣服的人",
        "桌子旁的狗",
        "上衣是白色的女人",
    ],
)
def test_relations_hold_in_a_part_too(phrase):
    assert not speaks_of_place(phrase)


@pytest.mark.parametrize(
    "text",
    [
        "red circle",
        "orange",
        "man in grey",
        "skyblue car",
        "dark_blue_car",
        "ripe tomato",
        "红色的车",
        "白狗",
    ],
)
def test_colours_are_noticed(text):
    assert speaks_of_colour(text)


@pytest.mark.parametrize(
    "text", ["man", "traffic sign", "hundred covered tables", "reduce", "person riding", "狗", "汽车"]
)
def test_what_names_no_colour(text):
    assert not speaks_of_colour(text)
