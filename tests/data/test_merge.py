"""Pieces put together whole say what they say row by row; what is left out is counted in both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddle_ground.data.duplicates import Look, Overview
from paddle_ground.data.prepare import PrepareOptions, prepare

NAN_BOX = (20.0, float("nan"), 60.0, 40.0)
EMPTY_BOX = (30.0, 30.0, 30.0, 40.0)


def merged(monkeypatch: pytest.MonkeyPatch, source: Path, out: Path) -> tuple[dict[str, bytes], int]:
    """Prepare; give the files and how many pieces were put together whole."""
    whole = 0
    finish = Look.finish

    def counting(look: Look) -> Overview:
        nonlocal whole
        overview = finish(look)
        whole = len(overview.sums)
        return overview

    with monkeypatch.context() as patched:
        patched.setattr(Look, "finish", counting)
        report = prepare(PrepareOptions(out, source=source, val_ratio=0.3, workers=1, bad_images="skip"))
    assert sum(result.counts["kept"] for result in report.splits)
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}, whole


def test_whole_pieces_say_what_their_rows_say(monkeypatch, tmp_path, one_shard, make_row, image_bytes):
    rows = [make_row(number) for number in range(24)]
    rows[2] = make_row(2, boxes=[])
    rows[3] = make_row(3, boxes=[NAN_BOX, EMPTY_BOX, (20.0, 12.0, 90.0, 40.0)])
    rows[5] = make_row(5, data=b"no image")
    rows[6] = make_row(6, boxes=[NAN_BOX] * 5)
    # One of each pair leaves its piece, so that two pieces go row by row.
    rows[12] = make_row(12, data=image_bytes(9))
    rows[20] = make_row(20, data=image_bytes(1))
    source = one_shard(*rows)
    found, whole = merged(monkeypatch, source, tmp_path / "whole")
    assert 0 < whole < 6
    finish = Look.finish

    def row_by_row(look: Look) -> Overview:
        overview = finish(look)
        overview.sums.clear()
        return overview

    monkeypatch.setattr(Look, "finish", row_by_row)
    expected, none = merged(monkeypatch, source, tmp_path / "rows")
    assert none == 0
    assert found == expected
    assert b'"skipped_nan_box": ' in found["train.meta.json"] + found["val.meta.json"]
    assert {"train.jsonl", "val.jsonl"} <= found.keys()
