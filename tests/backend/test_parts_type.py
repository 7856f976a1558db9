"""A model folder whose parts say bfloat16, as published ones do, loads in the type that training wants."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.export.write import ExportOptions, export

LOAD = """
import sys
import paddle
from paddleformers.transformers import AutoConfig
from paddle_ground.backend import mends, natives
if sys.argv[2] == "mended":
    mends.give_parts_the_models_type()
    mends.give_parts_the_models_type()
config = AutoConfig.from_pretrained(sys.argv[1], dtype="float32")
model = natives.model_class("qwen3_vl").from_pretrained(
    sys.argv[1], config=config, convert_from_hf=True, load_checkpoint_format="flex_checkpoint"
)
print("types", sorted({str(one.dtype) for one in model.parameters()}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    out = root / "bfloat16"
    export(ExportOptions(build_tiny_model(root / "model", "test"), out, dtype="bfloat16"))
    path = out / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["torch_dtype"] = "bfloat16"
    path.write_text(json.dumps(config), encoding="utf-8")
    return out


@pytest.mark.parametrize("how", ["stock", "mended"])
def test_only_with_the_mend_bfloat16_parts_load_as_float32(folder: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder), how],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if how == "stock":
        assert done.returncode != 0
        assert "does not match the type of data (float32)" in done.stderr
    else:
        assert done.returncode == 0, done.stderr[-2000:]
        assert "types ['paddle.float32']" in done.stdout
