"""The words that options of `prepare` can take, as types; light, so that `--help` answers at once.

Takes nothing, knows nothing: what each word means is told where it is used.
"""

from __future__ import annotations

from typing import Literal

Task = Literal["auto", "detect", "classes", "refer"]
"""See `paddle_ground.data.questions`."""

Ask = Literal["together", "each"]
"""Of task "classes": one question for all of them, or one for each."""

PromptLanguage = Literal["en", "zh", "mixed"]
"""Of the prompt around names and phrases."""

BoxOrder = Literal["position", "size", "class", "source", "random"]
"""See `paddle_ground.data.order`."""

MaxBoxesBy = Literal["largest", "order"]
"""Which boxes an answer names where there are too many."""

ModelFamily = Literal["qwen3_vl", "qwen2_5_vl", "qwen2_vl"]
"""See `paddle_ground.families.PREPARED`."""
