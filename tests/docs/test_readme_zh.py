"""The Chinese README says the same commands as the English one, whose commands are run (test_readme.py)."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commands(name: str) -> list[str]:
    """List the commands of a README's bash blocks, without comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.S)).splitlines()
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


def test_the_commands_are_those_of_the_english_readme() -> None:
    assert len(commands("README.zh-CN.md")) > 12
    assert commands("README.zh-CN.md") == commands("README.md"), "put the same blocks into both"


def test_the_figures_of_the_demo_are_those_of_the_english_readme() -> None:
    english, chinese = (
        re.findall(r"```text\n(6000 training samples.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese
    assert len(chinese) == 1


def test_every_file_and_link_it_names_is_there() -> None:
    text = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"`((?:docs|configs|tools)/[\w./-]*)`", text)
    assert len(named) > 5
    for path in named:
        assert (ROOT / path).exists(), path
