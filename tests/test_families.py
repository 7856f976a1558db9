"""Families: facts that agree with PaddleFormers and the published processors, and models told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.families import (
    FAMILIES,
    PREPARED,
    QWEN2_5_VL,
    QWEN2_VL,
    QWEN3_VL,
    Family,
    family,
    family_of,
    prepared_family,
    spoken_family,
)
from paddle_ground.spaces import coordinate_space


@pytest.mark.parametrize("known", PREPARED.values(), ids=lambda f: f.model_type)
def test_facts_are_those_of_paddleformers(known: Family) -> None:
    pytest.importorskip("paddleformers")
    from paddleformers.datasets.template.template import TEMPLATES
    from paddleformers.transformers.auto.configuration import CONFIG_MAPPING_NAMES

    # PaddleFormers has Qwen2-VL's template, but not its model: data can be prepared, nothing trained.
    assert (known.model_type in CONFIG_MAPPING_NAMES) == (known.model_type in FAMILIES)
    assert all(template in TEMPLATES for template in known.templates)
    assert known.template in known.templates


def test_sides_are_those_that_smart_resize_gives() -> None:
    assert (QWEN3_VL.factor, QWEN2_5_VL.factor) == (32, 28)
    assert QWEN2_5_VL.min_pixels == 4 * 28 * 28
    assert QWEN2_5_VL.max_pixels == 16_384 * 28 * 28


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen3-VL-2B-Instruct", QWEN3_VL),
        ("Qwen/Qwen2.5-VL-7B-Instruct", QWEN2_5_VL),
        ("models/qwen2_5_vl-3b/", QWEN2_5_VL),
        ("qwen3_vl_8b", QWEN3_VL),
        ("Qwen/Qwen2-VL-2B-Instruct", None),
        ("Qwen2.5-VL-base/llava", None),
    ],
)
def test_names_tell_the_family(name: str, expected: Family | None) -> None:
    assert family_of(name) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"model_type": "qwen2_5_vl"}), QWEN2_5_VL),
        (json.dumps({"model_type": ["qwen2_5_vl"]}), None),
        (json.dumps({"model_type": "llava"}), None),
        ("[]", None),
        ("{", None),
    ],
)
def test_a_folder_tells_it_by_its_config_whatever_its_name(
    tmp_path: Path, text: str, expected: Family | None
) -> None:
    folder = tmp_path / "Qwen3-VL-2B"
    folder.mkdir()
    (folder / "config.json").write_text(text)
    assert family_of(folder) is expected


def test_an_unknown_family_is_named_with_the_known_ones() -> None:
    assert family("qwen3_vl") is QWEN3_VL
    with pytest.raises(ConfigError, match="unknown model family `glm`; expected one of qwen3_vl, qwen2_5_vl"):
        family("glm")


def test_published_spaces_are_known_to_boxes() -> None:
    for known in PREPARED.values():
        assert coordinate_space(known.coordinate_space, known.resize()).name == known.coordinate_space


def test_more_families_are_prepared_for_than_run() -> None:
    assert prepared_family("qwen2_vl").coordinate_space == "relative_1000"
    with pytest.raises(ConfigError, match="`glm`; expected one of qwen3_vl, qwen2_5_vl, qwen2_vl"):
        prepared_family("glm")


def test_a_family_has_all_of_its_code() -> None:
    """Whoever adds a record is told here where its code is missing (docs/families.md, "A third family")."""
    pytest.importorskip("paddleformers")
    from paddle_ground.backend import natives, shapes, tiny_configs
    from paddle_ground.backend.tiny_shapes import PRESETS, smallest
    from paddle_ground.train.plan import published, towers

    tables = (
        natives.NATIVES, shapes.MODEL_TYPES, tiny_configs._CONFIGS, tiny_configs._PROCESSORS, towers.TOWERS,
        published._NAMES,
    )  # fmt: skip
    for table in tables:
        assert set(table) == set(FAMILIES)
    assert {shape.model_type for shape in PRESETS.values()} == set(FAMILIES)
    for model_type in FAMILIES:
        assert smallest(model_type).model_type == model_type


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [("qwen3_vl_moe", QWEN3_VL), ("qwen2_5_vl", QWEN2_5_VL), ("qwen2_vl", QWEN2_VL), ("llava", None)],
)
def test_a_folder_tells_what_it_speaks(tmp_path: Path, model_type: str, expected: Family | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert spoken_family(tmp_path) is expected
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="name a model folder"):
        spoken_family(tmp_path)
