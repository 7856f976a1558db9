"""The Dockerfile, which nobody built: linted by hadolint, and what it copies and pins is what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed (extra `dev`)")
    done = subprocess.run(
        [program, "Dockerfile"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_is_copied_is_tracked_and_not_ignored() -> None:
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.M) for word in line.split()]
    assert len(copied) > 6
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)


def test_paddle_is_the_version_that_the_pins_hold() -> None:
    (version,) = re.findall(r"^ARG PADDLE_VERSION=(.*)$", TEXT, re.M)
    pins = [
        Requirement(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line[:1].isalpha()
    ]
    assert {str(pin.specifier) for pin in pins if pin.name == "paddlepaddle"} == {f"=={version}"}
