"""Every command of the README is run: here, by another test, or named with the reason why it cannot be."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.demo import DemoOptions, run_demo
from paddle_ground.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

# Lines that need what no test machine has, or that are this very suite.
ELSEWHERE = {
    "make demo": "the run below, with fewer scenes and steps; in full by hand before each release",
    "make setup": "CI itself starts with it",
    "make test": "this suite",
    "make check": "CI",
    "make test-heavy": "by hand before an issue is resolved",
    "make test-pythons": "by hand before an issue is resolved",
    "pip install -c constraints.txt -e '.[eval]'": "needs Paddle for GPUs; test_packaging.py holds the pins",
    "paddleformers-cli train configs/qwen3_vl/8b_sft_tp4.yaml": "needs GPUs; train/test_config.py checks it",
    "vllm serve exported/demo": "needs a GPU; export/test_hf_logits.py loads such a folder with torch",
    "python -m sglang.launch_server --model-path exported/demo": "as the line before",
    "python -m fastdeploy.entrypoints.openai.api_server --model exported/demo": "as the line before",
    "visualdl --logdir runs/8b_sft_tp4/visualdl": "tests/train/test_launch.py reads such a log",
    "python tools/prepare_coco.py --dataset_repo detection-datasets/coco --output_dir data/coco"
    " --total_samples 20000": "needs the hub; tests/data downloads from a local one",
}


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in block.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line.strip()]


def in_tour(command: str) -> bool:
    return command.startswith(("paddle-ground ", "CUDA_VISIBLE_DEVICES=0 paddleformers-cli"))


def test_every_command_of_the_readme_is_accounted_for() -> None:
    commands = readme_commands()
    assert len(commands) > 12
    left = [command for command in commands if not in_tour(command) and command not in ELSEWHERE]
    assert left == []
    assert sorted(set(ELSEWHERE) - set(commands)) == []


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a fresh clone in which a very short demo was run."""
    desk = tmp_path_factory.mktemp("clone")
    for name in ("configs", "paddle_ground"):
        (desk / name).symlink_to(ROOT / name)
    (desk / "data").mkdir()
    (desk / "data" / "tiny-qwen3-vl").symlink_to(ROOT / "data" / "tiny-qwen3-vl")
    options = DemoOptions(
        desk / "runs" / "demo", train_images=24, val_images=4, steps=2, batch_size=4, max_new_tokens=8
    )
    said: list[str] = []
    run_demo(options, said.append)
    assert any(line.startswith("F1@0.5") for line in said)
    (desk / "coco_parquet").symlink_to(desk / "runs" / "demo" / "source")
    return desk


def test_the_demo_leaves_its_figures_and_finds_them_again(desk: Path) -> None:
    path = desk / "runs" / "demo" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    assert (summary["samples"], summary["steps"]) == (24, 2)
    for part in ("before", "after"):
        assert set(summary[part]) == {"ap50", "f1_50", "parse_rate"}
    sheet = desk / "runs" / "demo" / "after" / "pictures" / "contact_sheet.png"
    with Image.open(sheet) as image:
        assert image.width > 300
    before = path.read_text(encoding="utf-8")
    options = DemoOptions(
        desk / "runs" / "demo", train_images=24, val_images=4, steps=2, batch_size=4, max_new_tokens=8
    )
    run_demo(options, lambda _: None)
    assert path.read_text(encoding="utf-8") == before


def test_the_demo_touches_no_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds files that no demo made; .* OUT= or --out$"):
        run_demo(DemoOptions(tmp_path), lambda _: None)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_tour_runs_as_it_stands(desk: Path) -> None:
    """The README's own lines, in order; training is cut to two steps by overrides behind them."""
    tour = [command for command in readme_commands() if in_tour(command)]
    assert len(tour) >= 6
    for command in tour:
        short = ""
        if "train" in shlex.split(command):
            again = "2" if "paddleformers-cli" in command else ""
            short = " max_steps=2 save_steps=2 eval_steps=2 per_device_train_batch_size=2"
            short += f" output_dir=runs/tour{again}"
        if " predict " in command:
            short = " --max-new-tokens 8"
        done = subprocess.run(
            ["bash", "-c", command + short], cwd=desk, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    assert (desk / "report" / "metrics.json").is_file()
    assert list((desk / "pictures").glob("*.png"))
