"""The files that say what a small model is: `config.json` and the processors', family by family.

Takes shapes and the tokenizer's ids; gives JSON objects with the key layout of the published models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from paddle_ground.backend.tiny_shapes import TinyPreset

JsonObject = dict[str, Any]
_MAX_POSITIONS, _ROPE_THETA, _EPSILON = 4096, 10000, 1e-06


def model_config(shapes: TinyPreset, token_ids: dict[str, int]) -> JsonObject:
    """Give the `config.json` of a small model, with the key layout of the published ones."""
    return _CONFIGS[shapes.model_type](shapes, token_ids)


def processor_files(shapes: TinyPreset) -> dict[str, JsonObject]:
    """Give the processors' files by name; the families differ in which there are."""
    return _PROCESSORS[shapes.model_type](shapes)


def _qwen3_vl(shapes: TinyPreset, token_ids: dict[str, int]) -> JsonObject:
    text, vision = asdict(shapes.text), asdict(shapes.vision)
    section, tied = list(text.pop("mrope_section")), text.pop("tie_word_embeddings")
    vision["deepstack_visual_indexes"] = list(vision["deepstack_visual_indexes"])
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "image_token_id": token_ids["<|image_pad|>"],
        "video_token_id": token_ids["<|video_pad|>"],
        "vision_start_token_id": token_ids["<|vision_start|>"],
        "vision_end_token_id": token_ids["<|vision_end|>"],
        "tie_word_embeddings": tied,
        "text_config": {
            "model_type": "qwen3_vl_text",
            **text,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": token_ids["<|endoftext|>"],
            "eos_token_id": token_ids["<|im_end|>"],
            "dtype": "float32",
            "hidden_act": "silu",
            "initializer_range": shapes.initializer_range,
            "max_position_embeddings": _MAX_POSITIONS,
            "rms_norm_eps": _EPSILON,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": section, "rope_type": "default"},
            "rope_theta": _ROPE_THETA,
            "tie_word_embeddings": tied,
            "use_cache": True,
        },
        "vision_config": {
            "model_type": "qwen3_vl",
            **vision,
            "hidden_act": "gelu_pytorch_tanh",
            "in_channels": 3,
            "initializer_range": shapes.initializer_range,
            "out_hidden_size": shapes.text.hidden_size,
        },
    }


def _qwen2_5_vl(shapes: TinyPreset, token_ids: dict[str, int]) -> JsonObject:
    text, vision = asdict(shapes.text), asdict(shapes.vision)
    section = list(text.pop("mrope_section"))
    del text["head_dim"]  # always hidden_size / num_attention_heads
    vision["fullatt_block_indexes"] = list(vision["fullatt_block_indexes"])
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        # The published configs keep the language model's settings at the top.
        **text,
        "attention_dropout": 0.0,
        "bos_token_id": token_ids["<|endoftext|>"],
        "eos_token_id": token_ids["<|im_end|>"],
        "image_token_id": token_ids["<|image_pad|>"],
        "video_token_id": token_ids["<|video_pad|>"],
        "vision_start_token_id": token_ids["<|vision_start|>"],
        "vision_end_token_id": token_ids["<|vision_end|>"],
        "vision_token_id": token_ids["<|vision_pad|>"],
        "hidden_act": "silu",
        "initializer_range": shapes.initializer_range,
        "max_position_embeddings": _MAX_POSITIONS,
        "max_window_layers": text["num_hidden_layers"],
        "rms_norm_eps": _EPSILON,
        "rope_scaling": {"type": "mrope", "mrope_section": section},
        "rope_theta": _ROPE_THETA,
        "sliding_window": _MAX_POSITIONS,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": {
            **vision,
            "hidden_act": "silu",
            "in_chans": 3,
            "out_hidden_size": shapes.text.hidden_size,
            "spatial_patch_size": vision["patch_size"],
            "tokens_per_second": 2,
        },
    }


def _qwen3_vl_processors(shapes: TinyPreset) -> dict[str, JsonObject]:
    common = {
        "size": {"shortest_edge": shapes.min_pixels, "longest_edge": shapes.max_pixels},
        "patch_size": shapes.vision.patch_size,
        "temporal_patch_size": shapes.vision.temporal_patch_size,
        "merge_size": shapes.vision.spatial_merge_size,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor",
    }
    return {
        "preprocessor_config.json": {**common, "image_processor_type": "Qwen2VLImageProcessorFast"},
        "video_preprocessor_config.json": {**common, "video_processor_type": "Qwen3VLVideoProcessor"},
    }


def _qwen2_5_vl_processors(shapes: TinyPreset) -> dict[str, JsonObject]:
    # One file for images and videos; mean and deviation are those of CLIP.
    return {
        "preprocessor_config.json": {
            "min_pixels": shapes.min_pixels,
            "max_pixels": shapes.max_pixels,
            "patch_size": shapes.vision.patch_size,
            "temporal_patch_size": shapes.vision.temporal_patch_size,
            "merge_size": shapes.vision.spatial_merge_size,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor",
        }
    }


_CONFIGS: dict[str, Callable[[TinyPreset, dict[str, int]], JsonObject]] = {
    "qwen3_vl": _qwen3_vl,
    "qwen2_5_vl": _qwen2_5_vl,
}
_PROCESSORS: dict[str, Callable[[TinyPreset], dict[str, JsonObject]]] = {
    "qwen3_vl": _qwen3_vl_processors,
    "qwen2_5_vl": _qwen2_5_vl_processors,
}
