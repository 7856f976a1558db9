"""Check samples before they cost a GPU hour: all problems at once, each with its place and the way out.

Takes a samples file (see `records.samples`), gives a `CheckReport`; `data.check_command` is its door on the
command line. Each theme is a small check of its own (see `registry`). Knows no trainer: what
PaddleFormers will do with a sample is counted here and held against it in a test.
"""

from __future__ import annotations

from paddle_ground.data.check.numbers import Numbers
from paddle_ground.data.check.options import CheckOptions
from paddle_ground.data.check.problems import KINDS, Kind, Problem, Severity
from paddle_ground.data.check.report import CheckReport
from paddle_ground.data.check.run import check

__all__ = ["KINDS", "CheckOptions", "CheckReport", "Kind", "Numbers", "Problem", "Severity", "check"]
