"""Preparation on Ray: the same bytes as without, and errors that name their chunk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.errors import DataError, LostWorkerError, MissingExtraError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_ray_the_extra_is_named(source_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"paddle_ground\[ray\]|paddle-ground\[ray\]"):
        prepare(PrepareOptions(output_dir=tmp_path / "out", source=source_dir, ray="local"))


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.mark.heavy
def test_ray_gives_the_same_bytes(source_dir, tmp_path, cluster, monkeypatch):
    plain = PrepareOptions(output_dir=tmp_path / "plain", source=source_dir, workers=1)
    prepare(plain)
    monkeypatch.chdir(tmp_path)
    done = []
    report = prepare(
        PrepareOptions(output_dir=Path("ray"), source=Path(source_dir.name), ray="local"),
        lambda now, total: done.append((now, total)),
    )
    assert not report.reused
    assert done[-1] == (31, 31)
    assert contents(tmp_path / "ray") == contents(tmp_path / "plain")
    # What was made without Ray is found again with it.
    assert prepare(PrepareOptions(output_dir=tmp_path / "plain", source=source_dir, ray="local")).reused


@pytest.mark.heavy
def test_a_bad_image_names_its_chunk(make_row, one_shard, tmp_path, cluster):
    source = one_shard(*[make_row(i) for i in range(5)], make_row(5, data=b"no image"))
    with pytest.raises(DataError, match=r"chunk 1 on Ray: .*00001\.parquet:5: these 8 bytes are no image"):
        prepare(PrepareOptions(output_dir=tmp_path / "out", source=source, ray="local"))
    assert not (tmp_path / "out" / "train.jsonl").exists()


@pytest.mark.heavy
def test_a_lost_worker_costs_its_own_chunk_only(source_dir, tmp_path, cluster, monkeypatch):
    from paddle_ground.data import ray_pieces

    real = ray_pieces.make_piece

    def dies(source, piece, options, staging):
        if piece.chunk.index == 3:
            os._exit(1)
        real(source, piece, options, staging)

    options = PrepareOptions(output_dir=tmp_path / "out", source=source_dir, ray="local")
    monkeypatch.setattr(ray_pieces, "make_piece", dies)
    with pytest.raises(LostWorkerError, match="chunk 3 on Ray"):
        prepare(options)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("piece-*.txt")}
    assert kept
    monkeypatch.undo()
    prepare(options)
    prepare(PrepareOptions(output_dir=tmp_path / "plain", source=source_dir))
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")
