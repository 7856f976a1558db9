"""Whether a text names a place in the picture, or a colour, in English and Chinese.

Takes a phrase or a class name, gives yes or no. Errs on the side of yes: what is lost is one phrase of
a crop or a turn of the hue; what is gained is that no answer is wrong.
"""

from __future__ import annotations

import re

# A place in the frame, or a place in a row of things, some of which may be cut away.
_PLACES = frozenset(
    "left right leftmost rightmost lefthand righthand lefty righty lhs rhs lft rt rght l r"
    " top bottom botom topmost bottommost upper lower uppermost lowermost lowest highest"
    " middle mid center centre central centermost centremost corner edge edges border margin side sides half"
    " first second third fourth fifth sixth last 1st 2nd 3rd 4th 5th 6th"
    " picture pic photo photograph image frame screen cropped cutoff"
    " links rechts gauche droite izquierda derecha sinistra destra esquerda direita".split()
)
_WORD = re.compile(r"[a-z0-9]+")
_ON_TOP_OF = re.compile(r"\b(on|at) (the )?top of\b|\b(laptop|tank|crop) top\b|\bin front of\b")
_CUT = re.compile(
    r"\bcut (off|in half|out|by)\b|\b(partly|partially|half|barely) (visible|seen|shown)\b|\bo\W?c[kl]+ock\b"
)
_HAN_PLACES = re.compile(
    r"[左右]|中间|中間|中央|中心|正中|居中|角落|边缘|邊緣|画面|畫面|图中|圖中|照片|图片|圖片"
    r"|[上下顶頂底][方边邊面部侧側角半层層端排]|最[上下顶頂底高低]|第[一二两兩三四五六七八九十\d]+|[一二三四五]排"
)

_COLOURS = frozenset(
    "red reds green blue yellow purple orange cyan pink brown black white gray grey violet magenta turquoise"
    " teal beige tan maroon navy olive lime gold golden silver khaki lavender indigo crimson scarlet ivory"
    " peach coral blonde blond brunette redhead ginger pale dark light bright colored coloured colorful"
    " colourful color colour colors colours multicolored multicoloured reddish greenish bluish yellowish"
    " brownish whitish blackish grayish greyish pinkish tinted ripe unripe rotten rusty".split()
)
_COLOUR_ENDS = re.compile(r"(green|blue|yellow|purple|orange|pink|brown|black|white|gr[ae]y)(s|ish|y)?$")
_HAN_COLOURS = re.compile(r"[红紅橙黄黃绿綠青蓝藍紫粉棕褐灰黑白金银銀彩色深浅淺]")


def speaks_of_place(phrase: str) -> bool:
    """Tell whether a phrase may stop being true where a part of the picture is cut away.

    "the cup on the left" and "second from the top" may; "the cup next to the plate" does not.
    """
    text = phrase.lower()
    if _CUT.search(text) or _HAN_PLACES.search(text):
        return True
    return not _PLACES.isdisjoint(_WORD.findall(_ON_TOP_OF.sub(" ", text)))


def speaks_of_colour(text: str) -> bool:
    """Tell whether a phrase or a class name names a colour, or what goes with one ("ripe")."""
    words = _WORD.findall(text.lower().replace("_", " "))
    named = any(word in _COLOURS or _COLOUR_ENDS.search(word) for word in words)
    return named or bool(_HAN_COLOURS.search(text))
