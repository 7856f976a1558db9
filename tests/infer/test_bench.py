"""tools/bench_infer.py, as far as it goes without minutes of measuring."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def bench(project_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_infer", project_root / "tools" / "bench_infer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_peer_that_is_not_there_is_said_at_once(project_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(project_root / "tools" / "bench_infer.py"), "--peer-python", "nowhere/python"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "--peer-python nowhere/python: no such program" in done.stderr.splitlines()[-1]


def test_ratios_by_hand(bench: ModuleType) -> None:
    assert bench.ratio(3.0, 2.0) == 1.5  # their 3 seconds are our 2
    assert bench.ratio(None, 2.0) is None


def test_the_last_line_is_one_object_with_all_ratios(
    bench: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import argparse
    import json

    # The parts are stood in for: ours takes 1 second, the peer 2, stock 40.
    monkeypatch.setattr(bench, "child", lambda kind, *_: 40.0 if kind == "stock" else 1.0)
    for peer_seconds, ratios in ((2.0, (2.0, 2.0, 2.0)), (None, (None, None, None))):
        monkeypatch.setattr(bench, "peer", lambda *_, seconds=peer_seconds: seconds)
        options = argparse.Namespace(new_tokens=64, profile=False, peer_python=None, peer_script="")
        bench.compare(Path("model"), options)
        last = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        names = ("tokens_vs_hf_b1", "tokens_vs_hf_b8", "answers_constrained_vs_hf_b8")
        assert last["tokens_vs_stock_b8"] == 40.0
        assert tuple(last[name] for name in names) == ratios
