"""Sizes of resized images: those that HF's processors and PaddleFormers' plugin give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.errors import ModelError, RecordError
from paddle_ground.families import PREPARED, QWEN2_5_VL, Family
from paddle_ground.resize import Resize, read_resize, smart_resize

GOLDEN = Path(__file__).parent / "assets" / "smart_resize.json"
SIDES = st.integers(1, 20_000)
LIMITS = st.sampled_from([(1024, 589_824), (1, 10**9), (100_000, 120_000), (1024, 50_176)])


def test_smart_resize_gives_the_sizes_of_hf() -> None:
    cases = json.loads(GOLDEN.read_text())["cases"]
    assert len(cases) > 400
    for width, height, factor, least, most, *resized in cases:
        assert smart_resize((width, height), factor, least, most) == tuple(resized), (width, height, factor)


class _Image:
    """What PaddleFormers' plugin asks of an image."""

    mode = "RGB"

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size

    def resize(self, size: tuple[int, int]) -> _Image:
        assert min(size) > 0, "Pillow would refuse"
        return _Image(size)


@given(st.tuples(SIDES, SIDES), LIMITS)
def test_limits_are_those_of_paddleformers_plugin(size_wh: tuple[int, int], limits: tuple[int, int]) -> None:
    pytest.importorskip("paddleformers")
    from paddleformers.datasets.template.mm_plugin import Qwen2VLPlugin, Qwen3VLPlugin

    resize = Resize(28, 3136, 12_845_056, *limits)
    least, most = limits
    for plugin in (Qwen2VLPlugin, Qwen3VLPlugin):
        try:
            image = plugin._preprocess_image(
                plugin.__new__(plugin),
                _Image(size_wh),
                image_min_pixels=least,
                image_max_pixels=most,
            )
        except AssertionError:
            continue  # So thin that a side shrinks to nothing: PaddleFormers stops there.
        assert resize.limited_wh(size_wh) == (image.width, image.height)


@pytest.mark.parametrize("known", PREPARED.values(), ids=lambda f: f.model_type)
@given(size_wh=st.tuples(SIDES, SIDES))
def test_resized_sides_are_whole_tokens(known: Family, size_wh: tuple[int, int]) -> None:
    resize = known.resize()
    width, height = resize.resized_wh(size_wh)
    assert min(width, height) >= known.factor
    assert width % known.factor == height % known.factor == 0
    assert width * height == resize.tokens(size_wh) * known.factor**2
    # One row or column more than the limit allows is the most that rounding does.
    assert width * height <= 589_824 + known.factor * (width + height)


def test_a_meta_tells_it_all() -> None:
    resize = QWEN2_5_VL.resize(image_max_pixels=1_000_000)
    assert Resize.from_settings({"other": "x", **resize.settings()}) == resize
    assert "image.max_pixels 1000000" in str(resize)
    with pytest.raises(RecordError, match=r"'processor.factor'.*prepare the data again"):
        Resize.from_settings({})
    with pytest.raises(RecordError, match="'many'"):
        Resize.from_settings({**resize.settings(), "image.max_pixels": "many"})


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("preprocessor_config.json", {"min_pixels": 3136, "max_pixels": 4000}),
        ("preprocessor_config.json", {"size": {"shortest_edge": 3136, "longest_edge": 4000}}),
        ("preprocessor_config.json", {"min_pixels": 3136, "max_pixels": 4000, "size": {"shortest_edge": 1}}),
        ("processor_config.json", {"min_pixels": 3136, "max_pixels": 4000}),
    ],
)
def test_a_model_folder_tells_it(tmp_path: Path, name: str, config: dict[str, object]) -> None:
    whole = {"patch_size": 14, "merge_size": 2, **config}
    (tmp_path / name).write_text(json.dumps({"image_processor": whole} if name[:4] == "proc" else whole))
    assert read_resize(tmp_path, 7, 8) == Resize(28, 3136, 4000, 7, 8)


def test_a_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no image settings"):
        read_resize(tmp_path)
