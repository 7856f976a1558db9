"""What a phrase says of the mirror image: left and right exchanged, in English and Chinese.

Takes a phrase, gives the mirrored one, or None where nobody can be sure without seeing the picture
("the bag left behind the car"). Knows no boxes. Phrases in other languages are not understood; those
with the most usual words for left and right in them are given up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

_Verdict = Literal["swap", "keep", "drop"]

_ENDINGS = "most|hand|handed|hander|handers|ward|wards|y|ies|side"
_TOKEN = re.compile(
    # A word, with its joined parts: "left-hand" are two words here, "leftmost" is one.
    r"[A-Za-zÀ-ÿ]+(?:'[a-z]+)?"
)
_DIRECTION = re.compile(rf"(left|right)({_ENDINGS})?('s)?", re.IGNORECASE)
_TURN = re.compile(r"(counter|anti)?[- ]?clockwise", re.IGNORECASE)
_SWAPPED = {"left": "right", "right": "left", "lhs": "rhs", "rhs": "lhs"}

# A phrase with one of these means something else in the mirror, or nobody knows what.
_GIVE_UP = frozenset(
    # Abbreviations and slips of the pen for left and right; single letters may be names as well.
    "l r lft lef letf leftt rt rht rgt rght rigt rigth righ ritght"
    # Directions that a map or a ship has, and a mirror exchanges.
    " east west eastern western eastward westward northeast northwest southeast southwest starboard clock"
    # Writing, which nobody reads in a mirror.
    " says say saying reads letter letters word words written writing spelled text number numbers numbered"
    # Left and right in other languages.
    " links linke linken linker linkes rechts rechte rechten rechter rechtes gauche droite"
    " izquierda izquierdo derecha derecho sinistra sinistro destra destro esquerda esquerdo direita"
    " direito".split()
)
_GIVE_UP_PARTS = re.compile(
    r"[\"“”«»「」『』]|o\W?c[kl]+ock|\b(driver|passenger)('?s)?[- ]side\b|\bport[- ]side\b"
    r"|左撇子|右撇子|左派|右派|驾驶座|副驾驶|[点點](钟|鐘)方向|[写寫]着|[写寫]著|字母|文字|号码|號碼|数字|數字"
    r"|ひだり|みぎ|왼|오른|лев|прав",
    re.IGNORECASE,
)

# Words that lead to a side: "on the far left", "his right".
_LEADS = frozenset("on to at from toward towards onto off".split())
_BETWEEN = frozenset(
    "the a an his her its their your my our far very upper lower top bottom front back rear hand"
    " extreme".split()
)
_AFTER_SIDE = frozenset("of side hand most corner half end edge one part hand to".split())
# "right behind", "right under": just behind, just under, or the one on the right behind something.
_RIGHT_JUST = frozenset(
    "next behind beside in at by above below under underneath beneath over on before after here there near"
    " against around through between inside outside where when up down out off into across along past"
    " beyond alongside adjacent way tool answer time place".split()
)
# "left behind", "left on the table": remaining, or the one on the left.
_LEFT_REMAINS = frozenset(
    "behind over alone unattended uneaten untouched unopened open out ajar by in on at for hanging lying"
    " with without".split()
)
_VERBS_BEFORE_LEFT = frozenset(
    "has have had having is are was were be been being isn't aren't what what's whats nothing only just still"
    " not that who he she they we i it gets got getting".split()
)

# Both sides at once, "about", proverbs and names: the same in the mirror.
_HAN_KEPT = ("左右", "右左", "左顾右盼", "左顧右盼", "左邻右舍", "左鄰右舍", "座右铭", "座右銘", "左宗棠")
_HAN = re.compile("|".join((*_HAN_KEPT, "左", "右", "逆时针", "逆時針", "顺时针", "順時針")))
_HAN_SWAPPED = {
    "左": "右",
    "右": "左",
    "逆时针": "顺时针",
    "顺时针": "逆时针",
    "逆時針": "順時針",
    "順時針": "逆時針",
}


def mirror_phrase(phrase: str) -> str | None:
    """Say of the mirror image what a phrase says of the image.

    Args:
        phrase: What an annotator wrote.

    Returns:
        The phrase with left and right exchanged; itself where it speaks of neither; None where it is
        not clear what it would have to be.
    """
    if _GIVE_UP_PARTS.search(phrase):
        return None
    words = list(_TOKEN.finditer(phrase))
    plain = [word.group().lower() for word in words]
    if _GIVE_UP.intersection(plain):
        return None
    pieces, end = [], 0
    for place, word in enumerate(words):
        verdict = _verdict(plain[place], plain[:place], plain[place + 1 :])
        if verdict == "drop":
            return None
        if verdict == "swap":
            pieces += [phrase[end : word.start()], _swap(word.group())]
            end = word.end()
    mirrored = "".join([*pieces, phrase[end:]])
    mirrored = _TURN.sub(_turn, mirrored)
    return _HAN.sub(lambda found: _HAN_SWAPPED.get(found.group(), found.group()), mirrored)


def mirror_classes(class_names: Sequence[str]) -> tuple[int | None, ...]:
    """Tell which class each class is in the mirror.

    Args:
        class_names: By category id.

    Returns:
        By category id: the id of the class with the mirrored name, mostly the same one; None where
        there is no such class, so that an image with that class can't be mirrored.
    """
    # A class called "number plate" or "clock" is one in the mirror too: here only sides matter.
    ids = {name: place for place, name in enumerate(class_names)}
    mirrored = []
    for place, name in enumerate(class_names):
        other = mirror_phrase(name) if _speaks_of_sides(name) else name
        mirrored.append(place if other == name else None if other is None else ids.get(other))
    return tuple(mirrored)


def _speaks_of_sides(name: str) -> bool:
    words = {word.group().lower() for word in _TOKEN.finditer(name.replace("_", " "))}
    sides = any(_DIRECTION.fullmatch(word) for word in words) or not words.isdisjoint(_SWAPPED)
    return sides or bool(_TURN.search(name) or _HAN.search(name))


def _verdict(word: str, before: list[str], after: list[str]) -> _Verdict | None:
    if word in ("lhs", "rhs"):
        return "swap"
    found = _DIRECTION.fullmatch(word)
    if found is None:
        return None
    if found[2] or found[3] or _leads_to_side(before):
        return "swap"
    return _judge_left(before, after) if found[1] == "left" else _judge_right(before, after)


def _leads_to_side(before: list[str]) -> bool:
    for word in reversed(before):
        if word in _LEADS:
            return True
        if word not in _BETWEEN:
            return False
    return False


def _judge_right(before: list[str], after: list[str]) -> _Verdict:
    following = after[:1]
    if before[-1:] == ["all"] or following in (["now"], ["away"], ["angle"], ["angles"], ["angled"]):
        return "keep"
    if after[:2] in (["side", "up"], ["way", "up"]):
        return "keep"
    return "drop" if _RIGHT_JUST.intersection(following) else "swap"


def _judge_left(before: list[str], after: list[str]) -> _Verdict:
    if _AFTER_SIDE.intersection(after[:1]):
        return "swap"
    if after[:2] == ["behind", "by"] or (
        before and after in (["behind"], ["over"], ["alone"], ["unattended"])
    ):
        return "keep"
    remains = not after and not {"only", "nothing", "much"}.isdisjoint(before)
    if (
        remains
        or _VERBS_BEFORE_LEFT.intersection(before[-1:])
        or (before and _LEFT_REMAINS.intersection(after[:1]))
    ):
        return "drop"
    return "swap"


def _swap(word: str) -> str:
    found = _DIRECTION.match(word)
    head = word[: found.end(1)] if found else word
    other = _SWAPPED[head.lower()]
    if head.isupper():
        other = other.upper()
    elif head[0].isupper():
        other = other.capitalize()
    return other + word[len(head) :]


def _turn(found: re.Match[str]) -> str:
    if found[1]:
        return "Clockwise" if found.group()[0].isupper() else "clockwise"
    lead = found.group()[0] if found.group()[0] in " -" else ""
    word = found.group()[len(lead) :]
    return lead + ("Counterclockwise" if word[0].isupper() else "counterclockwise")
