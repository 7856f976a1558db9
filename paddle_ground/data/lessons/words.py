"""How things are described in words, in English and in Chinese.

Takes the names of colours, kinds, sizes and sides, gives phrases. Knows no picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from paddle_ground.data.lessons.things import DIGITS


class Words(ABC):
    """One language. Colours and kinds may be "" for any."""

    lang: str

    @abstractmethod
    def one(self, colour: str, kind: str, article: bool) -> str:
        """Describe by colour and kind: "the red circle"."""

    @abstractmethod
    def sized(self, size: str, colour: str, kind: str, article: bool) -> str:
        """Describe by size too: "small red circle"."""

    @abstractmethod
    def extreme(self, side: str, colour: str, kind: str) -> str:
        """Describe the one furthest to a side: "the leftmost circle"."""

    @abstractmethod
    def related(self, colour: str, kind: str, side: str, anchor_colour: str, anchor_kind: str) -> str:
        """Describe by what it stands beside: "the circle left of the red square"."""

    @abstractmethod
    def several(self, number: int, colour: str, kind: str) -> str:
        """Describe by number: "the two circles"."""


class English(Words):
    """English."""

    lang = "en"
    _EXTREME: ClassVar[dict[str, str]] = {
        "left": "leftmost",
        "right": "rightmost",
        "top": "topmost",
        "bottom": "lowest",
    }
    _SIDES: ClassVar[dict[str, str]] = {
        "left": "left of",
        "right": "right of",
        "above": "above",
        "below": "below",
    }
    _NUMBERS = ("no", "one", "two", "three", "four")

    def _noun(self, kind: str) -> str:
        return f"digit {kind}" if kind in DIGITS else kind or "object"

    def one(self, colour: str, kind: str, article: bool) -> str:
        """Describe by colour and kind."""
        return " ".join(filter(None, ("the" if article else "", colour, self._noun(kind))))

    def sized(self, size: str, colour: str, kind: str, article: bool) -> str:
        """Describe by size too."""
        return " ".join(filter(None, ("the" if article else "", size, colour, self._noun(kind))))

    def extreme(self, side: str, colour: str, kind: str) -> str:
        """Describe the one furthest to a side."""
        return " ".join(filter(None, ("the", self._EXTREME[side], colour, self._noun(kind))))

    def related(self, colour: str, kind: str, side: str, anchor_colour: str, anchor_kind: str) -> str:
        """Describe by what it stands beside."""
        anchor = self.one(anchor_colour, anchor_kind, True)
        return f"{self.one(colour, kind, True)} {self._SIDES[side]} {anchor}"

    def several(self, number: int, colour: str, kind: str) -> str:
        """Describe by number."""
        plural = (
            "crosses" if kind == "cross" else f"digits {kind}" if kind in DIGITS else f"{kind or 'object'}s"
        )
        return " ".join(filter(None, ("the", self._NUMBERS[number], colour, plural)))


class Chinese(Words):
    """Chinese."""

    lang = "zh"
    _COLOURS: ClassVar[dict[str, str]] = {
        "red": "红色", "green": "绿色", "blue": "蓝色", "yellow": "黄色", "purple": "紫色", "orange": "橙色",
        "cyan": "青色", "pink": "粉色",
    }  # fmt: skip
    _KINDS: ClassVar[dict[str, str]] = {
        "circle": "圆形", "square": "方形", "triangle": "三角形", "diamond": "菱形", "cross": "十字",
        "star": "星形", "": "物体",
    }  # fmt: skip
    _SIZES: ClassVar[dict[str, str]] = {"small": "小的", "large": "大的"}
    _EXTREME: ClassVar[dict[str, str]] = {
        "left": "最左边的",
        "right": "最右边的",
        "top": "最上面的",
        "bottom": "最下面的",
    }
    _SIDES: ClassVar[dict[str, str]] = {
        "left": "左边的",
        "right": "右边的",
        "above": "上面的",
        "below": "下面的",
    }
    _NUMBERS = ("零个", "一个", "两个", "三个", "四个")

    def one(self, colour: str, kind: str, article: bool) -> str:
        """Describe by colour and kind; Chinese has no article."""
        noun = f"数字{kind}" if kind in DIGITS else self._KINDS[kind]
        return (self._COLOURS[colour] if colour else "") + noun

    def sized(self, size: str, colour: str, kind: str, article: bool) -> str:
        """Describe by size too."""
        return self._SIZES[size] + self.one(colour, kind, article)

    def extreme(self, side: str, colour: str, kind: str) -> str:
        """Describe the one furthest to a side."""
        return self._EXTREME[side] + self.one(colour, kind, False)

    def related(self, colour: str, kind: str, side: str, anchor_colour: str, anchor_kind: str) -> str:
        """Describe by what it stands beside."""
        return self.one(anchor_colour, anchor_kind, False) + self._SIDES[side] + self.one(colour, kind, False)

    def several(self, number: int, colour: str, kind: str) -> str:
        """Describe by number."""
        return self._NUMBERS[number] + self.one(colour, kind, False)


ENGLISH: Words = English()
CHINESE: Words = Chinese()
