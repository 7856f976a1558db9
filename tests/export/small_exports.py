"""Small models with adapters that PaddleFormers itself makes, and what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from paddle_ground.backend.loading import LoadedModel, load_model

PRESETS = ("test", "test_qwen2_5_vl")


def logits_of(model: Any, loaded: LoadedModel) -> np.ndarray[Any, Any]:
    import paddle

    text = "<|im_start|>user\n<|vision_start|><|image_pad|><|image_pad|><|vision_end|>red circle<|im_end|>"
    ids = loaded.tokenizer(text)["input_ids"]
    patch = loaded.config.vision_config.patch_size
    pixels = np.random.default_rng(0).standard_normal((8, 3 * 2 * patch**2)).astype(np.float32)
    with paddle.no_grad():
        out = model(
            input_ids=paddle.to_tensor([ids]),
            attention_mask=paddle.ones([1, len(ids)], dtype="int64"),
            pixel_values=paddle.to_tensor(pixels),
            image_grid_thw=paddle.to_tensor([[1, 2, 4]]),
        )
    return np.asarray(out.logits.numpy())


def adapter_of(folder: Path, base: Path, targets: list[str]) -> tuple[np.ndarray[Any, Any], Path]:
    """Let PaddleFormers put an adapter with random numbers on a model, and save it; give its logits."""
    import paddle
    from paddleformers.peft import LoRAConfig, LoRAModel

    loaded = load_model(base)
    config = LoRAConfig(
        target_modules=targets, r=4, lora_alpha=12, base_model_name_or_path=str(base), dtype="float32"
    )
    model = LoRAModel(loaded.model, config)
    paddle.seed(1)
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.set_value(paddle.randn(value.shape) * 0.1)
    model.eval()
    found = logits_of(model, loaded)
    model.save_pretrained(str(folder), merge_tensor_parallel=False, save_to_hf=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    return found, folder
