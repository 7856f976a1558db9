"""predictions.jsonl: what is written is read back, and a run that was killed goes on."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.errors import DataError, RecordError
from paddle_ground.records import (
    Prediction,
    PredictionSink,
    Region,
    prediction_from_line,
    prediction_to_line,
    read_predictions,
)

PIXELS = st.floats(-1e6, 1e6)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
REGIONS = st.builds(Region, TEXT, st.tuples(PIXELS, PIXELS, PIXELS, PIXELS), st.none() | st.floats(0, 1))


def prediction(index: int, text: str = "猫(1,2),(3,4)") -> Prediction:
    """Make a prediction with a region."""
    regions = (Region("猫", (0.5, 1.0, 2.0, 3.0), 0.25),)
    return Prediction(index, f"images/{index}.jpg", (640, 480), "find", text, "ok", ("x",), regions, 9, 0.5)


@given(
    st.builds(
        Prediction,
        index=st.integers(0),
        image=TEXT,
        size_wh=st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
        prompt=TEXT,
        text=TEXT,
        status=st.sampled_from(["ok", "repaired", "failed", "error"]),
        repairs=st.lists(TEXT, max_size=2).map(tuple),
        regions=st.lists(REGIONS, max_size=3).map(tuple),
        tokens=st.integers(0, 9999),
        seconds=st.floats(0, 1e6),
        error=st.none() | TEXT,
    )
)
def test_any_prediction_survives_the_way_through_a_line(value):
    line = prediction_to_line(value)
    assert "\n" not in line
    assert prediction_from_line(line, "x:1") == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "fine"}, "x:3: status 'fine' is not one of ok, repaired"),
        ({"index": -1}, "x:3: index -1 is negative"),
        ({"size_wh": (0, 480)}, r"x:3: `size_wh` should be \[width, height\] in pixels"),
    ],
)
def test_a_wrong_line_is_named(change, message):
    line = prediction_to_line(dataclasses.replace(prediction(0), **change))
    with pytest.raises(RecordError, match=message):
        prediction_from_line(line, "x:3")


@given(st.text(st.characters(categories=["Cs"]) | st.sampled_from('\\"u猫\U0001f600'), max_size=8))
def test_half_a_surrogate_pair_survives_the_way_through_a_file(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("torn") / "predictions.jsonl"
    with PredictionSink(path) as sink:
        sink.write(prediction(0, text))
    path.read_bytes().decode("utf-8")  # any other program can read it
    (found,) = read_predictions(path)
    # Two halves that meet are the character that they make.
    assert found.text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def test_nan_is_never_written():
    bad = dataclasses.replace(prediction(0), regions=(Region("a", (0.0, 0.0, float("nan"), 1.0)),))
    with pytest.raises(RecordError, match="not finite"):
        prediction_to_line(bad)


def test_a_sink_goes_on_where_it_ended(tmp_path):
    path = tmp_path / "run" / "predictions.jsonl"
    with PredictionSink(path) as sink:
        assert sink.done == frozenset()
        sink.write(prediction(0))
        sink.write(prediction(2))
    with PredictionSink(path) as sink:
        assert sink.done == {0, 2}
        sink.write(prediction(3))
    assert list(read_predictions(path)) == [prediction(0), prediction(2), prediction(3)]


@pytest.mark.parametrize("length", [1, 5, 60, 70_000])
def test_a_torn_last_line_is_dropped(tmp_path, length):
    path = tmp_path / "predictions.jsonl"
    with PredictionSink(path) as sink:
        sink.write(prediction(0))
    whole = path.read_bytes()
    torn = prediction_to_line(prediction(1, "é" * 70_000)).encode()[:length]
    path.write_bytes(whole + torn)
    with PredictionSink(path) as sink:
        assert sink.done == {0}
        assert path.read_bytes() == whole
        sink.write(prediction(1))
    assert [p.index for p in read_predictions(path)] == [0, 1]


def test_a_file_of_one_torn_line_is_emptied(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"index": 0, "ima')
    with PredictionSink(path) as sink:
        assert sink.done == frozenset()
    assert path.read_bytes() == b""


def test_what_is_written_is_there_when_the_process_dies(tmp_path):
    path = tmp_path / "predictions.jsonl"
    program = (
        "import os, sys\n"
        "from paddle_ground.records import Prediction, PredictionSink\n"
        "with PredictionSink(sys.argv[1]) as sink:\n"
        "    sink.write(Prediction(0, 'a.jpg', (4, 4), 'p', 't', 'ok'))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    assert finished.returncode == -9
    assert [p.index for p in read_predictions(path)] == [0]


def test_a_wrong_line_in_the_middle_is_not_dropped(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_text('{"torn\n' + prediction_to_line(prediction(1)) + "\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"predictions\.jsonl:1: not valid JSON"), PredictionSink(path):
        pass


@pytest.mark.parametrize("second", [0, 1])
def test_order_is_kept(tmp_path, second):
    with PredictionSink(tmp_path / "p.jsonl") as sink:
        sink.write(prediction(1))
        with pytest.raises(RecordError, match=f"index {second} after 1"):
            sink.write(prediction(second))
    assert [p.index for p in read_predictions(tmp_path / "p.jsonl")] == [1]


def test_a_closed_sink_and_an_unwritable_place_are_named(tmp_path):
    sink = PredictionSink(tmp_path / "p.jsonl")
    with pytest.raises(RecordError, match="closed"):
        sink.write(prediction(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write here"), PredictionSink(tmp_path / "file" / "p.jsonl"):
        pass
