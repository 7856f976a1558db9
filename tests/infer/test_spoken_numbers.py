"""A perfect model of each family: its answers fit the grammar, and score 1.0 once they are pixels again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from paddle_ground.answers import AnswerFormat, AnswerRegion, parse, render
from paddle_ground.backend.tiny import build_tiny_model
from paddle_ground.data.prepare import PrepareOptions, prepare
from paddle_ground.data.synth import write_synth
from paddle_ground.errors import ModelError
from paddle_ground.evaluate import evaluate_files
from paddle_ground.families import PREPARED
from paddle_ground.infer import Engine, Request, predict
from paddle_ground.infer.grammar import Grammar
from paddle_ground.records import (
    GroundingConfig,
    meta_path,
    read_meta,
    read_samples,
    read_truth,
    samples_space,
    truth_path,
)

sys.path.insert(0, str(Path(__file__).parent))
from scripted import ScriptedEngine


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw a few scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    write_synth(folder, 6, 0)
    return folder


def prepared(scenes: Path, out: Path, family: str) -> Path:
    """Prepare them for a family."""
    prepare(PrepareOptions(out, source=scenes, val_ratio=0, workers=1, model_family=family))
    return out / "train.jsonl"


def tuned(space: str) -> GroundingConfig:
    """Say how a model was tuned on them."""
    return GroundingConfig(space, "tokens", "Task: Object Detection", 32 * 32, 768 * 768)


@pytest.mark.parametrize("family", PREPARED)
def test_true_answers_fit_the_grammar_and_score_one(
    scenes: Path, tmp_path: Path, engine: Engine, family: str
) -> None:
    path = prepared(scenes, tmp_path / "out", family)
    space = samples_space(read_meta(meta_path(path)))
    sizes = {image.file_name: image.size_wh for image in read_truth(truth_path(path)).images}
    end = engine.loaded.tokenizer.eos_token_id
    grammar = Grammar(engine.vocabulary, AnswerFormat.TOKENS, end)
    texts = []
    for sample in read_samples(path):
        regions = [AnswerRegion(*one) for one in zip(sample.refs, sample.boxes, strict=True)]
        texts.append(render(regions, AnswerFormat.TOKENS))
        walk = grammar.start(coord_max=space.borders_wh(sizes[sample.images[0]]))
        for token in [*engine.vocabulary.encode(texts[-1]), end]:
            assert token in walk.allowed(), texts[-1]
            walk.take(token)
    answers = iter(texts)
    perfect = ScriptedEngine(lambda _: next(answers), tuned(space.name))
    predict(path, perfect, tmp_path / "p.jsonl", show_progress=False)
    metrics = evaluate_files(tmp_path / "p.jsonl", truth_path(path), tmp_path / "metrics")
    assert metrics.f1_50 == 1.0


@pytest.mark.parametrize(("family", "other"), [("qwen3_vl", "qwen2_5_vl"), ("qwen2_5_vl", "qwen3_vl")])
def test_data_of_another_family_is_one_clear_error(
    scenes: Path, tmp_path: Path, family: str, other: str
) -> None:
    path = prepared(scenes, tmp_path / "out", family)
    model = ScriptedEngine(lambda _: "none", tuned(PREPARED[other].coordinate_space))
    with pytest.raises(ModelError, match=r"coordinate space is .*; prepare the samples for this model"):
        predict(path, model, tmp_path / "p.jsonl", show_progress=False)


def test_data_of_other_pixel_limits_is_one_clear_error(scenes: Path, tmp_path: Path) -> None:
    options = PrepareOptions(
        tmp_path / "out", source=scenes, val_ratio=0, model_family="qwen2_5_vl", image_max_pixels=100_000
    )
    prepare(options)
    model = ScriptedEngine(lambda _: "none", tuned("absolute_resized"))
    with pytest.raises(ModelError, match=r"resizing of the images is .*image\.max_pixels 100000"):
        predict(tmp_path / "out" / "train.jsonl", model, tmp_path / "p.jsonl", show_progress=False)


def test_the_grammar_ends_at_width_and_height(engine: Engine) -> None:
    grammar = Grammar(engine.vocabulary, AnswerFormat.TOKENS, engine.loaded.tokenizer.eos_token_id)
    for box, fits in (((0, 0, 1036, 588), True), ((0, 0, 1037, 588), False), ((0, 0, 9, 589), False)):
        walk, allowed = grammar.start(coord_max=(1036, 588)), True
        for token in engine.vocabulary.encode(render([AnswerRegion("cup", box)], AnswerFormat.TOKENS)):
            allowed = allowed and token in walk.allowed()
            if not allowed:
                break
            walk.take(token)
        assert allowed == fits, box


def test_reading_clips_each_axis_at_its_own_border() -> None:
    text = render([AnswerRegion("cup", (0, 0, 1200, 800))], AnswerFormat.TOKENS)
    parsed = parse(text, AnswerFormat.TOKENS, (1036, 588))
    assert parsed.regions[0].box == (0, 0, 1036, 588)
    assert parsed.repairs == ("clipped",)
    fractions = '[{"bbox_2d": [0.25, 0.5, 0.5, 1.0], "label": "cup"}]'
    assert parse(fractions, AnswerFormat.JSON, (1000, 500)).regions[0].box == (250, 250, 500, 500)


@pytest.mark.parametrize("size", [(640, 480), (20, 10), (2000, 300), (3000, 9)])
def test_absolute_pixels_are_those_of_the_patches_that_the_model_sees(
    tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., Image.Image], size: tuple[int, int]
) -> None:
    folder = tmp_path_factory.mktemp("windows") / "model"
    model = Engine.load(build_tiny_model(folder, "test_qwen2_5_vl", seed=2))
    assert model.coordinate_space.name == "absolute_resized"
    prompt = model.prepare(Request(picture(*size), "Find."))
    _, rows, columns = prompt.grids_thw[0].tolist()
    assert model.coordinate_space.borders_wh(size) == (columns * 14, rows * 14)
