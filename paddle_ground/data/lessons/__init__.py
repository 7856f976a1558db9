"""Lessons for a small model that starts from random weights: drawn things, questions, right answers.

`write_lessons` takes a seed and numbers, gives samples files that train and predict read.
"""

from __future__ import annotations

from paddle_ground.data.lessons.write import LessonsReport, write_lessons

__all__ = ["LessonsReport", "write_lessons"]
