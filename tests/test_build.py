"""A build of the package holds all that the package holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_build_holds_every_file(tmp_path: Path) -> None:
    # As a wheel is built, but offline: pages and styles are lost where setup.cfg does not name them.
    copy = tmp_path / "paddle_ground"
    shutil.copytree(ROOT / "paddle_ground", copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    setup = "from setuptools import setup; setup()"
    subprocess.run(
        [sys.executable, "-c", setup, "-q", "build", "--build-lib", "lib"],
        check=True, cwd=tmp_path, stderr=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    assert "view/report/assets/page.html" in files_of(copy)
    assert files_of(tmp_path / "lib" / "paddle_ground") == files_of(copy)
