"""The documentation: its site builds strictly and fetches nothing; its commands are commands, and run."""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import paddle_ground
from paddle_ground.cli import app
from paddle_ground.demo import DemoOptions, run_demo

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]

# Lines that need what no test machine has, or that another test runs in full.
ELSEWHERE = {
    "make demo": "the desk below is a short one; test_readme.py",
    "source .venv/bin/activate": "the test's own environment takes its place",
    "pip install -c constraints.txt -e '.[eval]'": "test_packaging.py holds the pins",
    "pip install -c constraints.txt -e '.[modelscope]'": "test_packaging.py holds the pins",
    "paddle-ground plan configs/qwen3_vl/8b_sft_tp4.yaml --gpus 8 --gpu-memory 80": "train/test_plan.py",
    "paddle-ground train configs/qwen3_vl/8b_sft_tp4.yaml --cpu": "train/test_rehearse.py",
    "paddle-ground train configs/qwen3_vl/8b_sft_tp4.yaml": "needs GPUs",
}


def commands_of(page: Path) -> list[str]:
    """List the lines of a page's bash blocks, those inside of lists as well."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.S | re.M)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_the_built_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        # Links may lead away; what a browser loads by itself may not.
        assert not re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="(?:https?:)?//[^"]*"', text)
        assert not re.findall(r'<link[^>]*\shref="(?:https?:)?//[^"]*"', text)
        assert "fonts.googleapis" not in text
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8"))


def test_the_reference_holds_every_command_option_and_public_name(site: Path) -> None:
    commands = html.unescape(
        re.sub("<[^>]+>", "", (site / "reference" / "cli.html").read_text(encoding="utf-8"))
    )
    program = typer.main.get_command(app)
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        assert f"paddle-ground {name}" in commands
        for param in command.params:
            for flag in param.opts if param.param_type_name == "option" else ():
                assert flag in commands, f"{name} {flag}"
    ids = set(
        re.findall(r'id="paddle_ground\.([\w.]+)"', (site / "reference" / "api.html").read_text("utf-8"))
    )
    shown = {one.rpartition(".")[2] for one in ids}
    assert set(paddle_ground.__all__) - {"__version__"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one(page: Path) -> None:
    for line in commands_of(page):
        words = shlex.split(line)
        if words[0] != "paddle-ground":
            assert line in ELSEWHERE
            continue
        program = typer.main.get_command(app)
        context = program.make_context("paddle-ground", words[1:])
        name, command, rest = program.resolve_command(context, words[1:])  # type: ignore[attr-defined]
        command.make_context(name, list(rest), parent=context)  # a usage error for an unknown option


def test_nothing_is_excused_that_no_page_says() -> None:
    assert set(ELSEWHERE) <= {line for page in PAGES for line in commands_of(page)}


def test_the_python_of_the_pages_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "how-to" / "vllm.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == re.findall(r"print\(.*\)  # (.*)", block)[0]


@pytest.mark.heavy
def test_the_pages_commands_run_as_they_stand(tmp_path: Path) -> None:
    """On what a very short demo leaves; trainings are cut to two steps by overrides behind them."""
    for name in ("configs", "paddle_ground"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny-qwen3-vl").symlink_to(ROOT / "data" / "tiny-qwen3-vl")
    options = DemoOptions(
        tmp_path / "runs" / "demo", train_images=24, val_images=4, steps=2, batch_size=4, max_new_tokens=8
    )
    run_demo(options, lambda _: None)
    lines = ["paddle-ground convert runs/demo/data my_coco --to coco"]
    lines += ["paddle-ground convert runs/demo/data my_yolo --to yolo"]
    order = ("tutorial", "coco", "yolo", "lora")
    pages = sorted(PAGES, key=lambda page: order.index(page.stem) if page.stem in order else len(order))
    lines += [line for page in pages for line in commands_of(page)]
    for line in lines:
        if line in ELSEWHERE:
            continue
        short = {
            "train": " max_steps=2 save_steps=2 eval_steps=2 logging_steps=1 per_device_train_batch_size=2",
            "predict": " --max-new-tokens 8",
        }.get(shlex.split(line)[1], "")
        done = subprocess.run(
            ["bash", "-c", line + short], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    for left in ("page/index.html", "runs/more/curves.png", "exported/lora/model.safetensors", "check.html"):
        assert (tmp_path / left).is_file(), left
