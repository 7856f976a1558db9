"""tools/bench_serve.py, as far as it goes without minutes of measuring."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from paddle_ground.serve import Service, create_app
from paddle_ground.serve.options import ServeOptions


@pytest.fixture(scope="module")
def bench(project_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_serve", project_root / "tools" / "bench_serve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules["bench_serve"] = module
    spec.loader.exec_module(module)
    return module


def test_the_last_line_is_made_of_medians(
    bench: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One client: 4, 5 and 6 answers a second. All: 20, 30 and 10, the slowest answer 1.5 times the usual.
    rates = {1: iter([4.0, 5.0, 6.0]), 16: iter([1.0, 20.0, 30.0, 10.0])}  # the first one warms up

    def run(url: str, body: bytes, clients: int, answers: int) -> Any:
        return bench.Round(next(rates[clients]), [0.2] * 60 + [0.3])

    monkeypatch.setattr(bench, "run", run)
    bench.measure("http://x", 16, 320, 3)
    last = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert last == {
        "answers_16_vs_1_clients": 4.0, "p99_over_p50": 1.5, "answers_per_s_1": 5.0, "answers_per_s_16": 20.0,
    }  # fmt: skip


def test_shares_of_answers_by_hand(bench: ModuleType) -> None:
    seconds = [float(i) for i in range(1, 101)]
    assert bench.Round(1.0, seconds).at(0.5) == 51.0
    assert bench.Round(1.0, seconds).at(0.99) == 100.0
    assert bench.Round(1.0, [7.0]).at(0.99) == 7.0


def test_clients_share_the_answers(
    bench: ModuleType, service: Service, listen: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "TOKENS", 3)
    with listen(create_app(service, ServeOptions("m"))) as url:
        done = bench.run(url + "/v1", bench.question(), 4, 10)
        assert len(done.seconds) == 10
        assert done.seconds == sorted(done.seconds)
        # An answer of another length would not be the same work.
        monkeypatch.setattr(bench, "TOKENS", 4)
        with pytest.raises(SystemExit, match="an answer of 3 tokens"):
            bench.run(url + "/v1", bench.question().replace(b'"max_tokens": 4', b'"max_tokens": 3'), 1, 1)
