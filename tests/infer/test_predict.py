"""A samples file is answered in order, once each, whatever happens on the way."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.errors import ConfigError, DataError, ModelError, RecordError
from paddle_ground.families import QWEN2_5_VL
from paddle_ground.infer import Engine, predict
from paddle_ground.records import (
    GroundingConfig,
    Message,
    Prediction,
    Sample,
    SamplesMeta,
    meta_path,
    read_meta,
    read_predictions,
    write_meta,
    write_samples,
)

sys.path.insert(0, str(Path(__file__).parent))
from scripted import ScriptedEngine

Picture = Callable[..., Image.Image]

TUNED = GroundingConfig("relative_1000", "tokens", "Task", 32 * 32, 768 * 768)
COUNT = 10


def say(prompt: str) -> str:
    """Point at a box whose first number is that of the question: "Task 3" -> (3,0)."""
    number = prompt.rsplit(" ", 1)[-1]
    return (
        f"<|object_ref_start|>cup<|object_ref_end|><|box_start|>({number},0),(500,500)<|box_end|><|im_end|>"
    )


@pytest.fixture
def samples(tmp_path: Path, picture: Picture) -> Path:
    """Ten samples of 100 x 50 pictures."""
    (tmp_path / "images").mkdir()
    for i in range(COUNT):
        picture(100, 50, seed=i).save(tmp_path / "images" / f"{i}.png")
    path = tmp_path / "val.jsonl"
    write_samples(path, [sample(i) for i in range(COUNT)])
    write_meta(
        meta_path(path),
        SamplesMeta("test", "0", "relative_1000", "tokens", "Task", (), {"kept": COUNT}, "0" * 64),
    )
    return path


def sample(i: int, image: str = "") -> Sample:
    turns = (Message("user", f"<image>Task {i}"), Message("assistant", "none"))
    return Sample(turns, (image or f"images/{i}.png",))


def predictions(path: Path) -> list[Prediction]:
    return list(read_predictions(path))


def timeless(path: Path) -> list[Prediction]:
    return [replace(prediction, seconds=0.0) for prediction in read_predictions(path)]


def test_every_sample_is_answered_in_order(samples: Path, tmp_path: Path) -> None:
    engine = ScriptedEngine(say, TUNED)
    report = predict(samples, engine, tmp_path / "out" / "p.jsonl", batch_size=2, show_progress=False)
    found = predictions(tmp_path / "out" / "p.jsonl")
    assert [p.index for p in found] == list(range(COUNT))
    assert [p.image for p in found] == [f"images/{i}.png" for i in range(COUNT)]
    # Thousandths of 100 x 50 pixels.
    assert found[3].regions[0].box_xyxy_px == pytest.approx((0.3, 0.0, 50.0, 25.0))
    assert found[3].text == say("3")
    assert (found[3].prompt, found[3].size_wh, found[3].status, found[3].tokens) == (
        "Task 3",
        (100, 50),
        "ok",
        5,
    )
    assert engine.batches == [8, 2]
    assert (report.samples, report.resumed, report.answered, report.tokens) == (COUNT, 0, COUNT, 50)
    assert report.statuses == {"ok": COUNT}
    assert report.tokens_per_second == pytest.approx(5 * report.images_per_second)


def test_a_second_run_asks_only_what_is_left(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    predict(samples, ScriptedEngine(say, TUNED), out, limit=4, show_progress=False)
    assert [p.index for p in predictions(out)] == [0, 1, 2, 3]
    # As a crash leaves it: the last line torn.
    out.write_bytes(out.read_bytes()[:-20])
    engine = ScriptedEngine(say, TUNED)
    report = predict(samples, engine, out, batch_size=100, show_progress=False)
    assert engine.asked == [f"Task {i}" for i in range(3, COUNT)]
    assert [p.index for p in predictions(out)] == list(range(COUNT))
    assert (report.resumed, report.answered) == (3, COUNT - 3)
    done = ScriptedEngine(say, TUNED)
    report = predict(samples, done, out, show_progress=False)
    assert (done.batches, report.answered, report.images_per_second) == ([], 0, 0.0)


def test_a_bad_image_is_one_record_and_not_the_end(
    samples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "images" / "2.png").unlink()
    (tmp_path / "images" / "5.png").write_bytes(b"no picture")
    write_samples(samples, [sample(i, "../outside.png" if i == 7 else "") for i in range(COUNT)])
    report = predict(samples, ScriptedEngine(say, TUNED), tmp_path / "p.jsonl", show_progress=False)
    found = predictions(tmp_path / "p.jsonl")
    assert [p.index for p in found] == list(range(COUNT))
    errors = {p.index: p.error or "" for p in found if p.status == "error"}
    assert errors.keys() == {2, 5, 7}
    assert "2.png: no such image" in errors[2]
    assert "5.png: in no image format" in errors[5]
    assert "leads out of its folder" in errors[7]
    assert all(p.size_wh == (0, 0) and p.regions == () for p in found if p.status == "error")
    assert report.statuses == {"ok": COUNT - 3, "error": 3}
    assert "sample 5" in caplog.text


def test_a_batch_of_nothing_but_bad_images(samples: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    report = predict(samples, ScriptedEngine(say, TUNED), tmp_path / "p.jsonl", show_progress=False)
    assert report.statuses == {"error": COUNT}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coordinate_space": "absolute_resized"}, "coordinate space is 'relative_1000'.*'absolute_resized'"),
        ({"answer_format": "json"}, "answer format is 'tokens', but the model was tuned on 'json'"),
    ],
)
def test_samples_that_do_not_suit_the_model_are_refused(
    samples: Path, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    engine = ScriptedEngine(say, replace(TUNED, **changes))
    with pytest.raises(ModelError, match=message) as caught:
        predict(samples, engine, tmp_path / "p.jsonl", show_progress=False)
    assert str(meta_path(samples)) in str(caught.value)
    assert not (tmp_path / "p.jsonl").exists()
    assert engine.asked == []


def test_what_can_t_be_compared_is_said_aloud(
    samples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="paddle_ground"):
        other_prompt = ScriptedEngine(say, replace(TUNED, prompt="Something else"))
        predict(samples, other_prompt, tmp_path / "a.jsonl", show_progress=False)
        assert "asks 'Task', but the model was tuned on 'Something else'" in caplog.text
        meta_path(samples).unlink()
        predict(samples, ScriptedEngine(say, TUNED), tmp_path / "b.jsonl", show_progress=False)
        assert "val.meta.json: not there" in caplog.text


@pytest.mark.parametrize("other", ["model", "samples", "length", "unknown"])
def test_answers_of_two_runs_are_never_mixed(samples: Path, tmp_path: Path, other: str) -> None:
    out = tmp_path / "p.jsonl"
    predict(samples, ScriptedEngine(say, TUNED), out, limit=4, show_progress=False)
    before = out.read_bytes()
    engine = ScriptedEngine(say, TUNED, fingerprint="another" if other == "model" else "scripted")
    if other == "samples":
        write_samples(samples, [sample(i) for i in reversed(range(COUNT))])
    if other == "unknown":
        (tmp_path / "p.run.json").unlink()
    length = 7 if other == "length" else 512
    with pytest.raises(RecordError, match=r"answers of another run.*delete it to start anew"):
        predict(samples, engine, out, max_new_tokens=length, show_progress=False)
    assert out.read_bytes() == before


def test_two_runs_do_not_write_one_file_at_a_time(samples: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    refused: list[str] = []

    def meanwhile(prompt: str) -> str:
        if not refused:
            with pytest.raises(RecordError, match="another run is writing it") as second:
                predict(samples, ScriptedEngine(say, TUNED), out, show_progress=False)
            refused.append(str(second.value))
        return say(prompt)

    predict(samples, ScriptedEngine(meanwhile, TUNED), out, batch_size=1, show_progress=False)
    assert refused
    assert [p.index for p in predictions(out)] == list(range(COUNT))
    assert predict(samples, ScriptedEngine(say, TUNED), out, show_progress=False).resumed == COUNT


def test_a_broken_line_shows_before_anything_is_asked(samples: Path, tmp_path: Path) -> None:
    with samples.open("a") as stream:
        stream.write('{"messages": []}\n')
    engine = ScriptedEngine(say, TUNED)
    with pytest.raises(RecordError, match=rf"val\.jsonl:{COUNT + 1}: "):
        predict(samples, engine, tmp_path / "p.jsonl", show_progress=False)
    assert engine.asked == []
    assert not (tmp_path / "p.jsonl").exists()


def test_bad_options_and_an_unwritable_place(samples: Path, tmp_path: Path) -> None:
    engine = ScriptedEngine(say, TUNED)
    for options in ({"batch_size": 0}, {"limit": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            predict(samples, engine, tmp_path / "p.jsonl", show_progress=False, **options)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write here"):
        predict(samples, engine, tmp_path / "file" / "p.jsonl", show_progress=False)


def test_batches_don_t_change_answers(samples: Path, engine: Engine, tmp_path: Path) -> None:
    for size in (1, 3, 10):
        predict(
            samples,
            engine,
            tmp_path / f"{size}.jsonl",
            batch_size=size,
            max_new_tokens=6,
            show_progress=False,
        )
    assert timeless(tmp_path / "1.jsonl") == timeless(tmp_path / "3.jsonl") == timeless(tmp_path / "10.jsonl")


def test_a_killed_run_goes_on_where_it_stopped(samples: Path, model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed.jsonl"
    # Slow enough to be killed in its middle: each batch waits before it is answered.
    code = (
        "import sys, time\n"
        "from paddle_ground.infer import Engine, predict\n"
        "fast = Engine.generate\n"
        "def slow(self, *args, **kwargs):\n"
        "    time.sleep(0.3)\n"
        "    return fast(self, *args, **kwargs)\n"
        "Engine.generate = slow\n"
        "predict(*sys.argv[1:4], batch_size=1, max_new_tokens=6, show_progress=False)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(samples), str(model_dir), str(out)])
    try:
        deadline = time.monotonic() + 120
        while not (out.exists() and out.read_bytes().count(b"\n") >= 3):
            assert run.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    before = len(predictions(out))
    assert 3 <= before < COUNT
    report = predict(samples, model_dir, out, max_new_tokens=6, show_progress=False)
    assert report.resumed == before
    predict(samples, model_dir, tmp_path / "whole.jsonl", max_new_tokens=6, show_progress=False)
    assert timeless(out) == timeless(tmp_path / "whole.jsonl")
    assert [p.index for p in predictions(out)] == list(range(COUNT))


def test_the_bar_shows_images_and_tokens_a_second(
    samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(samples, ScriptedEngine(say, TUNED), tmp_path / "p.jsonl")
    shown = capsys.readouterr().err
    assert f"{COUNT}/{COUNT}" in shown
    assert "image/s" in shown
    assert "tokens/s" in shown


def test_the_run_record_is_readable(samples: Path, tmp_path: Path) -> None:
    predict(samples, ScriptedEngine(say, TUNED), tmp_path / "p.jsonl", max_new_tokens=9, show_progress=False)
    record = json.loads((tmp_path / "p.run.json").read_text())
    assert record["max_new_tokens"] == 9
    assert record["model"] == "scripted"
    assert len(record["samples_sha256"]) == 64


def test_answers_are_well_formed_unless_the_model_is_let_free(
    samples: Path, model_dir: Path, tmp_path: Path
) -> None:
    """A model of random weights can't answer at all by itself."""
    names = ("cup", "red circle")
    for prompt, known in (("Task 3", True), ("other", False)):
        tuned = Engine.load(model_dir)
        tuned.grounding = GroundingConfig("relative_1000", "tokens", prompt, 32 * 32, 768 * 768, names)
        out = tmp_path / f"{known}.jsonl"
        predict(samples, tuned, out, max_new_tokens=150, limit=4, show_progress=False)
        found = predictions(out)
        assert {p.status for p in found} == {"ok"}
        labels = {region.label for region in found[3].regions}
        assert labels
        # Classes hold for the prompt that they were trained with, and for no other.
        assert (labels <= set(names)) == known
        assert all(0 < region.score <= 1 for p in found for region in p.regions if region.score is not None)
        with pytest.raises(RecordError, match="other free"):
            predict(samples, tuned, out, max_new_tokens=150, limit=4, free=True, show_progress=False)
    predict(
        samples, tuned, tmp_path / "free.jsonl", max_new_tokens=60, limit=4, free=True, show_progress=False
    )
    assert {p.status for p in predictions(tmp_path / "free.jsonl")} <= {"failed", "repaired"}


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ("text", {"ok": COUNT - 1, "repaired": 1}),
        ("mixed", {"ok": 3, "failed": COUNT - 4, "repaired": 1}),
        ("boxes", {"failed": COUNT - 1, "repaired": 1}),
    ],
)
def test_words_that_were_asked_for_are_no_failure(
    samples: Path, tmp_path: Path, answers: str, statuses: dict[str, int]
) -> None:
    # Three of the samples expect words; the model says some to all, and nothing to the last.
    wanted = (Message("user", "<image>Task"), Message("assistant", "A cup stands on a table."))
    lines = [replace(sample(i), messages=wanted) if i < 3 else sample(i) for i in range(COUNT)]
    write_samples(samples, lines)
    counts = {"boxes": {}, "text": {"unscored": COUNT}, "mixed": {"unscored": 3}}[answers]
    meta = replace(read_meta(meta_path(samples)), counts={"kept": COUNT, **counts})
    write_meta(meta_path(samples), meta)
    engine = ScriptedEngine(lambda prompt: "" if prompt.endswith("9") else "There is a cup.", TUNED)
    report = predict(samples, engine, tmp_path / "p.jsonl", show_progress=False)
    assert report.statuses == statuses
    assert all(p.repairs == () for p in predictions(tmp_path / "p.jsonl") if p.status == "ok")


def test_several_images_in_absolute_pixels_are_not_read_as_the_first(
    samples: Path, tmp_path: Path, picture: Picture
) -> None:
    picture(100, 50, seed=98).save(tmp_path / "images" / "same.png")
    picture(300, 200, seed=99).save(tmp_path / "images" / "other.png")
    asked = (Message("user", "<image><image>Task 3"), Message("assistant", "none"))
    write_samples(
        samples, [Sample(asked, ("images/0.png", f"images/{name}.png")) for name in ("same", "other")]
    )
    # Parts of an image are parts of any; pixels are not.
    for name, statuses in (("relative_1000", ["ok", "ok"]), ("absolute_resized", ["ok", "error"])):
        grounding = replace(TUNED, coordinate_space=name)
        settings = QWEN2_5_VL.resize().settings()
        meta = replace(read_meta(meta_path(samples)), coordinate_space=name, settings=settings)
        write_meta(meta_path(samples), meta)
        predict(
            samples,
            ScriptedEngine(lambda _: say("0").replace("500", "50"), grounding),
            tmp_path / f"{name}.jsonl",
            show_progress=False,
        )
        found = predictions(tmp_path / f"{name}.jsonl")
        assert [p.status for p in found] == statuses
    assert "2 images that the model sees as 112 x 56, 308 x 196 pixels" in str(found[1].error)
    # Words have no place.
    counts = {"kept": 2, "unscored": 2}
    write_meta(meta_path(samples), replace(read_meta(meta_path(samples)), counts=counts))
    words = ScriptedEngine(lambda _: "They differ.", grounding)
    predict(samples, words, tmp_path / "words.jsonl", show_progress=False)
    assert [p.status for p in predictions(tmp_path / "words.jsonl")] == ["ok", "ok"]


@pytest.mark.parametrize("unscored", [COUNT, 1, 0])
def test_samples_that_answer_in_words_are_answered_freely(
    samples: Path, model_dir: Path, tmp_path: Path, unscored: int
) -> None:
    counts = {"kept": COUNT, "boxes": 0, "unscored": unscored}
    write_meta(meta_path(samples), replace(read_meta(meta_path(samples)), counts=counts))
    tuned = Engine.load(model_dir)
    tuned.grounding = TUNED
    predict(samples, tuned, tmp_path / "p.jsonl", max_new_tokens=20, limit=1, show_progress=False)
    assert json.loads((tmp_path / "p.run.json").read_text())["free"] == bool(unscored)
    predict(samples, tuned, tmp_path / "q.jsonl", max_new_tokens=20, limit=1, free=True, show_progress=False)
    is_same = timeless(tmp_path / "p.jsonl") == timeless(tmp_path / "q.jsonl")
    assert is_same == bool(unscored)
