"""A question looks in inference as it did in training: same tokens, same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paddle_ground.errors import DataError, RecordError
from paddle_ground.infer import Engine, Request
from paddle_ground.infer.preprocess import collate
from paddle_ground.records import Message, Sample, resolve_image, write_samples

Picture = Callable[..., Image.Image]

DETECT = Sample(
    messages=(
        Message("user", "<image>Task: Object Detection"),
        Message("assistant", "<ref-object><bbox>, <ref-object><bbox>"),
    ),
    images=("images/small.png",),
    refs=("red circle", "blue square"),
    boxes=((12, 345, 678, 901), (0, 0, 1000, 1000)),
)
SAMPLES = {
    "detection": DETECT,
    "a system message": Sample(
        (Message("system", "You are a helpful assistant."), *DETECT.messages),
        DETECT.images,
        DETECT.refs,
        DETECT.boxes,
    ),
    "an answer in JSON": Sample(
        (Message("user", "<image>Where?"), Message("assistant", '```json\n[{"bbox_2d": [1, 2, 3, 4]}]\n```')),
        ("images/small.png",),
    ),
    "marks in the question": Sample(
        (Message("user", "<image>What is <ref-object> at <bbox>?"), Message("assistant", "<ref-object>")),
        ("images/small.png",),
        ("the thing", "red circle"),
        ((1, 2, 3, 4),),
    ),
    "the image behind the words": Sample(
        (Message("user", "Look: <image> What is it?"), Message("assistant", "none")), ("images/small.png",)
    ),
    "two images": Sample(
        (Message("user", "<image> and <image>"), Message("assistant", "none")),
        ("images/small.png", "images/large.jpg"),
    ),
    "a second question": Sample(
        (
            Message("user", "<image>Where is <ref-object>?"),
            Message("assistant", "<bbox>"),
            Message("user", "And the other?"),
            Message("assistant", "<bbox>"),
        ),
        ("images/small.png",),
        ("red circle",),
        ((1, 2, 3, 4), (5, 6, 7, 8)),
    ),
    # Larger than 768 x 768, so shrunk twice: by the training code, then by the processor.
    "a large image": Sample(DETECT.messages, ("images/large.jpg",), DETECT.refs, DETECT.boxes),
    "a turned image": Sample(DETECT.messages, ("images/turned.jpg",), DETECT.refs, DETECT.boxes),
    "a palette image": Sample(DETECT.messages, ("images/palette.png",), DETECT.refs, DETECT.boxes),
    "a tiny image": Sample(DETECT.messages, ("images/tiny.png",), DETECT.refs, DETECT.boxes),
    "Chinese": Sample(
        (Message("user", "<image>请找出图中的红色圆形。"), Message("assistant", "没有")),
        ("images/small.png",),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "images").mkdir()
    picture(130, 90).save(root / "images" / "small.png")
    picture(1100, 800, seed=1).save(root / "images" / "large.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees to view.
    picture(160, 64, seed=2).save(root / "images" / "turned.jpg", exif=exif)
    picture(96, 96, seed=3, mode="P").save(root / "images" / "palette.png")
    picture(20, 9, seed=4).save(root / "images" / "tiny.png")
    return root


def training_sequences(samples_path: Path, model_dir: Path) -> Iterable[Any]:
    """Let PaddleFormers' own training data code read the file, set up as its SFT workflow does."""
    from paddleformers.datasets.loader import create_dataset
    from paddleformers.datasets.template.template import get_template_and_fix_tokenizer
    from paddleformers.transformers import AutoProcessor, AutoTokenizer

    config = {
        "tokenizer": AutoTokenizer.from_pretrained(str(model_dir)),
        "processor": AutoProcessor.from_pretrained(str(model_dir), use_fast=None),
        "template": "qwen3_vl_nothink",
        "template_backend": "custom",
        "tool_format": None,
        "default_system": None,
        "stage": "VL-SFT",
        "dataset_type": "iterator",
        "max_seq_len": 8192,
        "mix_strategy": "concat",
        "random_shuffle": False,
        "packing": False,
        "greedy_intokens": False,
        "is_valid": True,
        "random_seed": 0,
        "num_replicas": 1,
        "rank": 0,
        "num_samples_each_epoch": 100,
    }
    config["template_instance"] = get_template_and_fix_tokenizer(config)
    dataset = create_dataset(
        task_group=str(samples_path), task_group_prob="1.0", sub_dataset_type="messages", **config
    )
    for (sequence,) in dataset:
        yield sequence


@pytest.fixture(scope="module")
def trained(folder: Path, model_dir: Path, engine: Engine) -> dict[str, Any]:
    """What training makes of every sample, by its name."""
    write_samples(folder / "train.jsonl", SAMPLES.values())
    sequences = list(training_sequences(folder / "train.jsonl", model_dir))
    # The dataset gives its last sequence twice when it doesn't pack.
    return dict(zip(SAMPLES, sequences, strict=False))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_question_is_the_question_of_training(
    name: str, folder: Path, trained: dict[str, Any], engine: Engine
) -> None:
    sample, sequence = SAMPLES[name], trained[name]
    prompt = engine.prepare(
        Request.from_sample(sample, tuple(resolve_image(folder / "train.jsonl", i) for i in sample.images))
    )
    # Labels are shifted by one: the last answer begins after the last masked one.
    masked = np.flatnonzero(np.array(sequence.labels[:-1]) == -100)
    assert prompt.token_ids.tolist() == sequence.token_ids[: masked[-1] + 2]
    np.testing.assert_array_equal(prompt.grids_thw, sequence.mm_inputs["image_grid_thw"].numpy())
    np.testing.assert_array_equal(prompt.patches, sequence.mm_inputs["pixel_values"].numpy())


def test_there_is_no_hidden_system_message(engine: Engine, picture: Picture) -> None:
    text = engine.loaded.tokenizer.decode(engine.prepare(Request(picture(64, 64), "hi")).token_ids)
    pads = "<|image_pad|>" * 4
    assert text == (
        f"<|im_start|>user\n<|vision_start|>{pads}<|vision_end|>hi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_processor_s_chat_template_agrees(engine: Engine, picture: Picture) -> None:
    """What other servers of the same folder (vLLM, transformers) would feed the model."""
    processor = engine.loaded.processor
    image = picture(128, 96)
    turn = {
        "role": "user",
        "content": [{"type": "image"}, {"type": "text", "text": "Task: Object Detection"}],
    }
    text = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    inputs = processor(images=[image], text=[text])
    prompt = engine.prepare(Request(image, "Task: Object Detection"))
    assert list(inputs["input_ids"][0]) == prompt.token_ids.tolist()


def test_an_exif_rotation_is_not_applied(engine: Engine, folder: Path) -> None:
    prompt = engine.prepare(Request(folder / "images" / "turned.jpg", "hi"))
    assert prompt.size_wh == (160, 64)
    assert prompt.grids_thw.tolist() == [[1, 4, 10]]


def test_padding_is_on_the_left(engine: Engine, picture: Picture) -> None:
    long, short = (engine.prepare(Request(picture(64, 64), text)) for text in ("one two three four", "x"))
    batch = collate([long, short], pad_token_id=7)
    gap = len(long.token_ids) - len(short.token_ids)
    assert gap > 0
    assert batch.token_ids[1].tolist() == [7] * gap + short.token_ids.tolist()
    assert batch.mask.tolist() == [[1] * len(long.token_ids), [0] * gap + [1] * len(short.token_ids)]
    assert batch.grids_thw.shape == (2, 3)
    assert len(batch.patches) == batch.grids_thw.prod(-1).sum()


def test_images_that_can_t_be_read_are_one_clear_line(
    engine: Engine, folder: Path, tmp_path: Path, picture: Picture
) -> None:
    whole = (folder / "images" / "small.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    # Pillow tells of these neither as OSError nor as ValueError.
    picture(300, 300).save(tmp_path / "chunk.png")
    damaged = bytearray((tmp_path / "chunk.png").read_bytes())
    damaged[damaged.rindex(b"IDAT")] = 0
    (tmp_path / "chunk.png").write_bytes(damaged)
    picture(16, 16).save(tmp_path / "flags.dds")
    odd = bytearray((tmp_path / "flags.dds").read_bytes())
    odd[80:84] = (0x180000).to_bytes(4, "little")  # pixel format flags that nobody knows
    (tmp_path / "flags.dds").write_bytes(odd)
    expected = {
        "chunk.png": "broken PNG file",
        "flags.dds": "Unknown pixel format",
        "torn.png": "not a whole image",
        "text.jpg": "in no image format",
        "folder.jpg": "Is a directory",
        "none.jpg": "no such image",
    }
    for name, message in expected.items():
        with pytest.raises(DataError, match=message) as caught:
            engine.prepare(Request(tmp_path / name, "hi"))
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_odd_real_images_are_read_or_refused(engine: Engine, shared_data: Path) -> None:
    bad = {"broken.png", "truncated_image.png", "truncated_jpeg.jpg", "decompression_bomb.gif"}
    paths = sorted((shared_data / "odd_images" / "pillow").rglob("*.*"))
    assert bad < {path.name for path in paths}
    for path in paths:
        if path.name in bad:
            with pytest.raises(DataError, match=path.name):
                engine.prepare(Request(path, "hi"))
        else:
            assert np.isfinite(engine.prepare(Request(path, "hi")).patches).all()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (lambda image: Request(image, "<image> and <image>"), "2 <image> marks but 1 images"),
        (
            lambda image: Request(image, "hi", earlier=(Message("user", "a"), Message("system", "b"))),
            "system turn",
        ),
    ],
)
def test_requests_that_contradict_themselves(
    engine: Engine, picture: Picture, request_: Callable[[Image.Image], Request], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        engine.prepare(request_(picture(64, 64)))


def test_samples_that_ask_nothing() -> None:
    with pytest.raises(DataError, match="no image"):
        Request.from_sample(Sample((Message("user", "hi"),), ()), ())
    with pytest.raises(DataError, match="nothing to ask"):
        Request.from_sample(Sample((Message("assistant", "hi"),), ("a.png",)), ("a.png",))
