"""From a model's words to pixels: numbers worked out by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import paddle_ground
from paddle_ground.errors import BoxError, ConfigError, DataError
from paddle_ground.infer import Engine, ground
from paddle_ground.records import GroundingConfig, Region

sys.path.insert(0, str(Path(__file__).parent))
from scripted import ScriptedEngine

Picture = Callable[..., Image.Image]

TOKENS = (
    "<|object_ref_start|>red circle<|object_ref_end|><|box_start|>(100,250),(500,1000)<|box_end|>, "
    "<|object_ref_start|>cup<|object_ref_end|><|box_start|>(0,0),(1,2)<|box_end|><|im_end|>"
)
JSON = '```json\n[{"bbox_2d": [100, 250, 500, 1000], "label": "red circle"}]\n```<|im_end|>'
# Thousandths of a picture 640 wide and 400 high.
CIRCLE = Region("red circle", (64.0, 100.0, 320.0, 400.0))
CUP = Region("cup", (0.0, 0.0, 0.64, 0.8))


def tuned(answer_format: str) -> GroundingConfig:
    return GroundingConfig("relative_1000", answer_format, "Find all of it", 32 * 32, 768 * 768)


@pytest.mark.parametrize(
    ("text", "grounding", "regions", "status"),
    [
        (TOKENS, tuned("tokens"), (CIRCLE, CUP), "ok"),
        (JSON, tuned("json"), (CIRCLE,), "ok"),
        (TOKENS, None, (CIRCLE, CUP), "ok"),  # a foreign checkpoint: the format is recognised
        (JSON, None, (CIRCLE,), "ok"),
        ("none<|im_end|>", tuned("tokens"), (), "ok"),
        ("I see nothing of the kind.", tuned("tokens"), (), "failed"),
        (
            "<|object_ref_start|>red circle<|object_ref_end|><|box_start|>(500,1000),(100,250)<|box_end|>",
            tuned("tokens"),
            (CIRCLE,),
            "repaired",
        ),
    ],
)
def test_regions_are_in_pixels_of_the_image(
    text: str, grounding: GroundingConfig | None, regions: tuple[Region, ...], status: str, picture: Picture
) -> None:
    engine = ScriptedEngine(lambda _: text, grounding)
    found = ground(engine, picture(640, 400), "it")
    assert [region.label for region in found.regions] == [region.label for region in regions]
    for region, expected in zip(found.regions, regions, strict=True):
        assert region.box_xyxy_px == pytest.approx(expected.box_xyxy_px)
    assert (found.status, found.text, found.size_wh) == (status, text, (640, 400))
    assert bool(found.repairs) == (status == "repaired")
    assert (found.tokens, found.seconds, found.finish_reason) == (5, 0.25, "stop")


def test_the_query_decides_the_prompt(picture: Picture) -> None:
    engine = ScriptedEngine(lambda _: "none", tuned("tokens"))
    ground(engine, picture(64, 64))
    ground(engine, picture(64, 64), "the red cup")
    ground(engine, picture(64, 64), ["cat", "dog"])
    ground(engine, picture(64, 64), "红色的杯子", lang="zh")
    own, phrase, classes, chinese = engine.asked
    assert own == "Find all of it"
    assert '"the red cup"' in phrase
    assert "JSON" not in phrase
    assert "'cat', 'dog'" in classes
    assert "“红色的杯子”" in chinese
    # Published models were trained to answer in JSON, and are asked for it.
    foreign = ScriptedEngine(lambda _: "[]")
    ground(foreign, picture(64, 64), "the red cup")
    assert "JSON" in foreign.asked[0]


def test_bad_images_queries_and_spaces(picture: Picture, tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda _: "none")
    with pytest.raises(DataError, match="no such image"):
        ground(engine, tmp_path / "none.jpg", "cup")
    with pytest.raises(ConfigError, match="blank"):
        ground(engine, picture(64, 64), " ")
    strange = GroundingConfig("absolute_nowhere", "tokens", "x", 1, 2)
    with pytest.raises(BoxError, match="absolute_nowhere"):
        ground(ScriptedEngine(lambda _: TOKENS, strange), picture(64, 64), "cup")


def test_a_model_folder_does_as_well_as_an_engine(
    model_dir: Path, engine: Engine, picture: Picture, tmp_path: Path
) -> None:
    picture(96, 64).save(tmp_path / "scene.png")
    by_folder = paddle_ground.ground(model_dir, tmp_path / "scene.png", "the cup", max_new_tokens=8)
    by_engine = ground(engine, picture(96, 64), "the cup", max_new_tokens=8)
    assert by_folder.text == by_engine.text
    assert by_folder.tokens == 8
    assert by_folder.finish_reason == "length"
