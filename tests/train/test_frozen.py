"""What the YAML freezes stays as it was, to the last bit; what it does not, learns."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from parallel_runs import Runs, weights

ALIGNER = ("model.visual.merger", "model.visual.deepstack_merger_list")


def part_of(name: str) -> str:
    """The part that Qwen's authors count a weight to."""
    if name.startswith(ALIGNER):
        return "aligner"
    return "vision" if name.startswith("model.visual") else "llm"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("frozen"))


@pytest.mark.heavy
@pytest.mark.parametrize(
    "frozen", [("vision",), ("vision", "aligner"), ("llm",), ("aligner",)], ids=lambda parts: "+".join(parts)
)
def test_frozen_parts_stay_and_the_others_learn(runs: Runs, frozen: tuple[str, ...]) -> None:
    asked = " ".join(f"freeze_{part}" for part in frozen)
    before = weights(runs.root / "model")
    after = weights(runs("_".join(frozen), f"freeze_config={asked}", steps=2).output_dir)
    assert before.keys() == after.keys()
    moved: dict[str, list[bool]] = {"vision": [], "aligner": [], "llm": []}
    for name, weight in before.items():
        moved[part_of(name)].append(not np.array_equal(weight, after[name]))
    for part, found in moved.items():
        assert any(found) is (part not in frozen), part
        if part not in frozen:
            # Of biases and norms a few steps may not reach all.
            assert np.mean(found) > 0.5, part
