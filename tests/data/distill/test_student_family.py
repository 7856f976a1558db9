"""Labels for a student of any family: the same boxes, in its own numbers."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from paddle_ground.cli import app
from paddle_ground.records import meta_path, read_meta, read_samples, read_truth, samples_space, truth_path

CAT = ("cat", 100, 200, 500, 800)


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_the_student_gets_its_own_numbers(teacher, make_images, said, tmp_path, family):
    teacher.script = lambda asked: said(CAT)
    command = ["distill", str(make_images(2)), str(tmp_path / "out"), "--endpoint", teacher.url]
    command += ["--model", "big", "--classes", "cat", "--val-ratio", "0", "--model-family", family]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, (done.output, done.exception)
    samples = tmp_path / "out" / "train.jsonl"
    meta, truth = read_meta(meta_path(samples)), read_truth(truth_path(samples))
    space = samples_space(meta)
    assert meta.settings["model_family"] == family
    assert (space.name == "absolute_resized") == (family == "qwen2_5_vl")
    exact = {box.image_id: box.box_xyxy_px for box in truth.annotations}
    images = {image.file_name: image for image in truth.images}
    assert len(images) == 2
    for sample in read_samples(samples):
        image = images[sample.images[0]]
        assert sample.boxes == tuple(map(tuple, space.encode([exact[image.id]], image.size_wh).tolist()))
