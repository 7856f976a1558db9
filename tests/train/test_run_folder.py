"""What a run writes down before it starts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from paddle_ground.train.config import load_config
from paddle_ground.train.run_folder import versions, write_run_folder


def test_the_yaml_that_is_run_can_be_run_again(tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n", encoding="utf-8")
    path = tmp_path / "a.yaml"
    path.write_text("max_steps: 3\ngrounding:\n  image_max_pixels: 4096\n", encoding="utf-8")
    config = load_config(path, [f"train_dataset_path={data}"])
    resolved = write_run_folder(config, config.to_mapping(), tmp_path)
    again = load_config(resolved)
    assert dict(again.values) == dict(config.values)
    assert again.grounding == config.grounding
    (entry,) = json.loads((tmp_path / "data.json").read_text(encoding="utf-8"))
    assert entry["sha256"] == hashlib.sha256(b"{}\n").hexdigest()


def test_versions_name_what_is_absent() -> None:
    found = versions()
    assert found["numpy"]
    assert found["paddlefleet"] is None
