"""Muon in two data-parallel processes: the steps of one process, each process half of the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("paddle")

sys.path.insert(0, str(Path(__file__).parent))
from gloo_pair import run_pair
from muon_ranks import SHAPES, main

from paddle_ground.backend import muon


def arrays(file: Path) -> dict[str, Any]:
    with np.load(file) as found:
        return dict(found)


@pytest.mark.parametrize("at_once", [1, 2**22])
def test_two_processes_step_as_one_does_with_half_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(muon, "orthogonal", muon.orthogonal)  # The script counts by replacing it.
    (tmp_path / "alone").mkdir()
    main(tmp_path / "alone")
    alone = arrays(tmp_path / "alone" / "0.npz")
    run_pair(Path(__file__).with_name("muon_ranks.py"), tmp_path, str(at_once))
    one, other = both = [arrays(tmp_path / f"{rank}.npz") for rank in range(2)]
    for place in map(str, range(len(SHAPES))):
        np.testing.assert_array_equal(one[place], other[place])
        np.testing.assert_allclose(one[place], alone[place], atol=1e-6)
    assert int(alone["made"]) == 2 * (len(SHAPES) - 1)
    assert [int(found["made"]) for found in both] == [len(SHAPES) - 1] * 2


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 8))
def test_work_is_dealt_out_evenly(work: list[int], processes: int) -> None:
    owners = muon.shares(work, processes)
    loads = [sum(w for w, o in zip(work, owners, strict=True) if o == rank) for rank in range(processes)]
    assert sum(loads) == sum(work)
    assert max(loads) - min(loads) <= max(work, default=0)
