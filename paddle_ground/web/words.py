"""What the page says, in English and in Chinese, and how it changes from one to the other.

Takes keys and a language; gives texts. Knows no component by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paddle_ground.prompts import Language
from paddle_ground.web.train_words import TEXTS as _TRAIN
from paddle_ground.web.work_words import WORK_TEXTS

LANGUAGES: tuple[tuple[str, Language], ...] = (("English", "en"), ("中文", "zh"))

_TEXTS = {
    **_TRAIN,
    "language": ("Language", "语言"),
    "ground": ("Ground", "定位"),
    "image": ("Picture", "图片"),
    "phrase": ("What to look for, in words", "要找什么（一句话）"),
    "phrase_hint": ("the red car on the left", "左边的红色汽车"),
    "classes": ("Or by class names", "或者按类别"),
    "nothing_said": (
        "Say neither, and the model is asked as it was trained.",
        "两者都留空时，按训练时的提示提问。",
    ),
    "prompt_language": ("Language of the question", "提问的语言"),
    "find": ("Find", "查找"),
    "examples": ("Examples", "示例"),
    "picked": ("Box that was clicked", "点中的框"),
    "picked_hint": ("Click a box in the picture: it is copied.", "点击图片中的框即可复制。"),
    "found": ("Found", "结果"),
    "threshold": ("Least score", "最低得分"),
    "threshold_hint": ("Boxes that score less are left out.", "得分更低的框不显示。"),
    "boxes": ("Boxes, in pixels of the picture", "框（图片像素坐标）"),
    "box_headers": ("label,score,x1,y1,x2,y2", "标签,得分,x1,y1,x2,y2"),
    "as_json": ("The same, to copy", "同上，便于复制"),
    "raw": ("The model's own answer", "模型的原始回答"),
    "no_image": ("Drop a picture first.", "请先放入一张图片。"),
    "chat": ("Chat", "对话"),
    "conversation": ("Conversation", "对话"),
    "message": ("Message", "消息"),
    "message_hint": ("Ask about pictures that you attach", "附上图片并提问"),
    "no_message": ("Write something, or attach a picture.", "请输入文字或附上图片。"),
    "system": ("System prompt", "系统提示"),
    "temperature": ("Temperature", "温度"),
    "temperature_hint": ("0: the likeliest words.", "0：最可能的词。"),
    "max_tokens": ("Most tokens", "最大词元数"),
    "max_tokens_hint": ("Of an answer.", "每个回答。"),
    "stop": ("Stop", "停止"),
    "clear": ("New conversation", "新对话"),
    "data": ("Data", "数据"),
    "samples": ("Samples file", "样本文件"),
    "check": ("Open and check", "打开并检查"),
    "problems": ("Problems", "问题"),
    "problem_headers": ("severity,what,where,found,remedy", "级别,问题,位置,发现,办法"),
    "charts": ("Numbers", "统计"),
    "chart_labels": ("Labels|boxes by label", "标签|各标签的框数"),
    "chart_sides": ("Box sizes|side of a box, % of the image's", "框大小|框的边长，占图片边长的百分比"),
    "chart_boxes": ("Boxes a sample|boxes", "每样本框数|框数"),
    "chart_images": ("Image sizes|width, height in pixels", "图片尺寸|宽、高（像素）"),
    "verdict_hint": ("Choose a file, then open it.", "请选择文件，然后打开。"),
    "pictures": ("Samples", "样本"),
    "page": ("Page", "页"),
    "no_file": ("Choose a samples file first.", "请先选择样本文件。"),
} | WORK_TEXTS


def text(key: str, language: Language = "en") -> str:
    """Give what stands under a key."""
    return _TEXTS[key][language == "zh"]


@dataclass(slots=True)
class Wording:
    """The parts of a page whose words change with the language.

    Attributes:
        parts: Components, each with the property -> key of its words.
    """

    parts: list[tuple[Any, dict[str, str]]] = field(default_factory=list)

    def make(self, kind: Callable[..., Any], words: dict[str, str], **settings: Any) -> Any:
        """Make a component with its words in English.

        Args:
            kind: The component's class.
            words: Property -> key; a property "headers" gets a list.
            settings: Its other properties.
        """
        part = kind(**{name: _worded(name, key, "en") for name, key in words.items()}, **settings)
        self.parts.append((part, words))
        return part

    @property
    def components(self) -> list[Any]:
        """All of them, as `updates` has them."""
        return [part for part, _ in self.parts]

    def updates(self, update: Callable[..., Any], language: Language) -> list[Any]:
        """Say everything in a language.

        Args:
            update: Makes an update of properties; `gradio.update`.
            language: Of the words.
        """
        return [
            update(**{name: _worded(name, key, language) for name, key in words.items()})
            for _, words in self.parts
        ]


def _worded(name: str, key: str, language: Language) -> str | list[str]:
    said = text(key, language)
    return said.split(",") if name == "headers" else said
