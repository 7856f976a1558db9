"""Pages read piece by piece, held against what Arrow reads; what is not read here is left to Arrow."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paddle_ground.data import parquet_pages, parquet_unpack
from paddle_ground.data.coco_parquet import CocoParquet
from paddle_ground.data.parquet_pages import find_column, read_values
from paddle_ground.data.parquet_unpack import UnfitPagesError, decode_hybrid

SIZES = [0, 1, 3, 70_000, 200_000, 65_536, 17, 1_500_000, 2, 65_535, 300_000]


def noise(sizes, nulls=()):
    random.seed(5)
    # Bytes as a camera's JPEG has them, with a run that Snappy can look back for.
    values = [
        random.randbytes(size) + b"aaaaaaaaaabbbb" * 9 + bytes([place]) for place, size in enumerate(sizes)
    ]
    return [None if place in nulls else value for place, value in enumerate(values)]


def write(path, values, name="image", nested=True, **how):
    column = pa.array(values, pa.binary())
    if nested:
        paths = pa.array([None] * len(values), pa.string())
        column = pa.StructArray.from_arrays([column, paths], ["bytes", "path"])
    pq.write_table(pa.table({"before": list(range(len(values))), name: column}), path, **how)


def read(path, name="image.bytes"):
    with pq.ParquetFile(path) as file:
        columns = [find_column(file, group, name) for group in range(file.num_row_groups)]
    assert None not in columns
    return [None if v is None else bytes(v) for column in columns for v in read_values(path, column)]


@pytest.mark.parametrize("compression", ["NONE", "SNAPPY"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"use_dictionary": False},
        {"use_dictionary": False, "data_page_size": 1000, "write_batch_size": 2},
        # A dictionary that grows too large: its pages first, then plain ones.
        {"dictionary_pagesize_limit": 200_000, "write_batch_size": 2, "data_page_size": 1000},
        {"row_group_size": 3},
        {"write_statistics": False, "write_page_checksum": True},
    ],
)
def test_values_are_those_that_were_written(tmp_path, compression, version, how):
    for nested in (True, False):
        for nulls in ((), (0,), (3, 4, 10), range(len(SIZES))):
            values = noise(SIZES, nulls)
            path = tmp_path / "x.parquet"
            write(path, values, nested=nested, compression=compression, data_page_version=version, **how)
            assert read(path, "image.bytes" if nested else "image") == values


@pytest.mark.parametrize("compression", ["NONE", "SNAPPY"])
def test_what_somebody_still_looks_at_is_not_written_again(tmp_path, compression):
    first, second = noise([60_000] * 50), noise(range(70_000, 30_000, -1_000))
    write(tmp_path / "first.parquet", first, compression=compression)
    write(tmp_path / "second.parquet", second, compression=compression)
    with pq.ParquetFile(tmp_path / "first.parquet") as file:
        held = list(read_values(tmp_path / "first.parquet", find_column(file, 0, "image.bytes")))
    assert read(tmp_path / "second.parquet") == second
    assert held == first
    # Given back, the memory is used again.
    before = len(parquet_unpack._rooms._rooms)
    del held
    assert read(tmp_path / "second.parquet") == second
    assert len(parquet_unpack._rooms._rooms) == before <= parquet_unpack._MAX_ROOMS


def test_null_structs_and_required_columns(tmp_path):
    struct = pa.struct([pa.field("bytes", pa.binary())])
    table = pa.table({"image": pa.array([{"bytes": b"1"}, None, {"bytes": None}, {"bytes": b"4"}], struct)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [b"1", None, None, b"4"]
    schema = pa.schema([pa.field("image", pa.binary(), nullable=False)])
    pq.write_table(pa.table({"image": [b"1", b"", b"333"]}, schema), tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet", "image") == [b"1", b"", b"333"]


def test_many_nulls_and_values_take_both_kinds_of_runs(tmp_path):
    values = [None if (i // 40) % 2 or i % 3 == 0 else b"%d" % i for i in range(3000)]
    write(tmp_path / "x.parquet", values, compression="NONE")
    assert read(tmp_path / "x.parquet") == values


def test_what_is_not_read_here_is_said_so(tmp_path):
    path = tmp_path / "x.parquet"
    write(path, noise([100] * 3), compression="ZSTD")
    with pq.ParquetFile(path) as file:
        assert find_column(file, 0, "image.bytes") is None
        assert find_column(file, 0, "image") is None
    write(path, [b"same", b"other", b"same"])
    with pytest.raises(UnfitPagesError, match="used again"):
        read(path)
    write(path, [b"\0" * 1_000_000])  # A bitmap: small when packed.
    with pq.ParquetFile(path) as file:
        assert find_column(file, 0, "image.bytes") is None


def test_a_source_reads_those_too(one_shard, make_row, image_bytes):
    twice = CocoParquet(one_shard(*[make_row(i, data=image_bytes(i % 2)) for i in range(5)], group_rows=5))
    rows = list(twice.read(twice.chunks[0], np.array([1, 2, 4])))
    assert [bytes(row.read_image()) for row in rows] == [image_bytes(1), image_bytes(0), image_bytes(0)]


def test_blocks_of_another_packer_are_left_to_arrow(tmp_path, monkeypatch):
    # One that looks back further than 64 KB: parts can't stand alone.
    path = tmp_path / "x.parquet"
    write(path, [bytes([place]) + random.Random(1).randbytes(20_000) for place in range(20)])
    monkeypatch.setattr(parquet_pages, "_MAX_RATIO", 100)
    assert len(read(path)) == 20
    monkeypatch.setattr(parquet_unpack, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(parquet_unpack, "_PIECE_BYTES", 21_000)
    with pytest.raises(UnfitPagesError):
        read(path)


def test_broken_bytes_never_give_more_than_an_error(tmp_path):
    path = tmp_path / "x.parquet"
    write(path, noise([500, 20_000, 900] * 3), use_dictionary=False, data_page_size=1000, write_batch_size=2)
    with pq.ParquetFile(path) as file:
        column = find_column(file, 0, "image.bytes")
    whole = path.read_bytes()
    random.seed(3)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(random.randint(1, 20)):
            broken[random.randrange(column.start, column.end)] = random.randrange(256)
        path.write_bytes(broken[: random.choice([len(broken), random.randrange(len(broken))])])
        try:
            values = list(read_values(path, column))
        except UnfitPagesError:
            refused += 1
        else:
            assert len(values) == 9
    assert refused > 100


def test_runs_of_small_numbers():
    # The example of parquet's Encodings.md: 0 to 7 in three bits each.
    assert decode_hybrid(bytes([0x03, 0x88, 0xC6, 0xFA]), 3, 8).tolist() == list(range(8))
    # Ten times 4 in one byte, then the same eight.
    data = bytes([20, 4, 0x03, 0x88, 0xC6, 0xFA])
    assert decode_hybrid(data, 3, 15).tolist() == [4] * 10 + list(range(5))
    with pytest.raises(IndexError):
        decode_hybrid(data, 3, 19)
