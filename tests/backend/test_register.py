"""How a training process is prepared: the grounding section, the choice of implementation, the hook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paddle_ground.backend.register import choose_implementation
from paddle_ground.backend.settings import GroundingSettings
from paddle_ground.errors import ConfigError
from paddle_ground.families import QWEN2_5_VL


@pytest.mark.parametrize(
    ("wanted", "yaml", "has_paddlefleet", "chosen"),
    [
        ("auto", {}, False, "native"),
        ("auto", {}, True, "upstream"),
        ("auto", {"tensor_model_parallel_size": 4}, True, "native"),
        ("auto", {"device": "cpu"}, True, "native"),
        ("native", {}, True, "native"),
        ("upstream", {"tensor_model_parallel_size": 4}, True, "upstream"),
    ],
)
def test_implementation(wanted: str, yaml: dict[str, object], has_paddlefleet: bool, chosen: str) -> None:
    implementation, why = choose_implementation(wanted, yaml, has_paddlefleet)
    assert implementation == chosen
    assert why


def test_upstream_without_paddlefleet_names_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"paddleformers\[paddlefleet\]"):
        choose_implementation("upstream", {}, False)


def test_the_environment_overrides_the_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_GROUND_IMPLEMENTATION", "native")
    assert choose_implementation("auto", {}, True)[0] == "native"


@pytest.mark.parametrize("wanted", ["auto", "upstream", "native"])
def test_a_family_that_paddlefleet_does_not_have_is_native(wanted: str) -> None:
    implementation, why = choose_implementation(wanted, {}, True, QWEN2_5_VL)
    assert implementation == "native"
    assert why == "PaddleFormers has no other of Qwen2.5-VL"


def test_settings_report_every_problem_at_once() -> None:
    section = {"image_max_pixel": 5, "implementation": "fast", "image_min_pixels": -1}
    with pytest.raises(ConfigError) as caught:
        GroundingSettings.from_mapping(section)
    message = str(caught.value)
    assert "did you mean `grounding.image_max_pixels`?" in message
    assert "'fast'" in message
    assert "image_min_pixels` is -1" in message


# Executed as PaddleFormers executes `custom_register_path`; then its own parser reads a YAML of ours.
PARSE = """
import sys
from paddleformers.cli.hparams.parser import get_train_args
yaml = {{
    "stage": "VL-SFT", "device": "cpu", "model_name_or_path": "m", "output_dir": {out!r},
    "compute_type": "float32", "amp_master_grad": False, "use_attn_mask_startend_row_indices": True, {extra}
}}
model, data, _, _, tuning = get_train_args(yaml)
from paddleformers.transformers import Qwen3VLForConditionalGeneration as public
from paddleformers.trainer import trainer
from paddleformers.transformers.qwen3_vl.processor import Qwen3VLProcessor
from paddle.distributed import fleet
print("RESULT", public.__name__, hasattr(trainer, "GPTModel"), Qwen3VLProcessor.image_max_pixels,
      hasattr(fleet.fleet, "_hcg"))
"""


def parse(tmp_path: Path, extra: str) -> subprocess.CompletedProcess[str]:
    code = PARSE.format(out=str(tmp_path), extra=extra)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)


def test_the_plugin_makes_paddleformers_parse_and_mends_what_is_absent(
    tmp_path: Path, project_root: Path
) -> None:
    plugin = project_root / "paddle_ground" / "backend" / "plugin.py"
    extra = f'"custom_register_path": {str(plugin)!r}, "grounding": {{"image_max_pixels": 4096}}'
    done = parse(tmp_path, extra)
    assert "RESULT Qwen3VLForConditionalGenerationDeprecated True 4096 True" in done.stdout, done.stderr[
        -2000:
    ]


def test_without_the_plugin_each_mend_is_missing(tmp_path: Path) -> None:
    """The symptoms of `mends.py`: the public class needs paddlefleet, and its section is an unknown key."""
    done = parse(tmp_path, "")
    assert done.returncode != 0
    assert "paddlefleet" in done.stderr
    done = parse(tmp_path, '"grounding": {"image_max_pixels": 4096}')
    assert "not used by the PdArgumentParser" in done.stderr


def test_without_the_plugin_the_trainer_lacks_its_names() -> None:
    code = (
        "from paddleformers.trainer import trainer\n"
        "from paddleformers.transformers.qwen3_vl.processor import Qwen3VLProcessor as P\n"
        "from paddle.distributed import fleet\n"
        "has = hasattr(trainer, 'GPTModel'), hasattr(P, 'image_max_pixels'), hasattr(fleet.fleet, '_hcg')\n"
        "print('LACKS', *has)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400)
    assert "LACKS False False False" in done.stdout, done.stderr[-2000:]
