"""A small byte-level BPE tokenizer in the layout of Qwen2/Qwen3.

Takes text lines; gives `tokenizer.json`, `vocab.json`, `merges.txt`, `tokenizer_config.json`.
Same pre-tokenizer (each digit alone), same special tokens in the same order after the
ordinary vocabulary, so that templates, processors and answers meet the ids they expect.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from paddle_ground.errors import ModelError

# Qwen2's published pre-tokenizer pattern: contractions, words with one leading mark, single
# digits, marks, space.
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Qwen3's order, ids 151643 onwards in the published models. The last twelve are ordinary added tokens there.
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
ADDED_TOKENS = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
)  # fmt: skip

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}"
    "{%- else %}{%- for part in message.content %}"
    "{%- if part.type == 'image' or 'image' in part or 'image_url' in part %}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part.type == 'video' or 'video' in part %}{{- '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- elif 'text' in part %}{{- part.text }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

# What grounding answers and chats are made of. The answer syntax is repeated so that its marks
# become single tokens.
BASE_CORPUS = (
    "system\n", "user\n", "assistant\n", "Task: Object Detection", "You are a helpful assistant.",
    "Locate every instance that belongs to the following categories: 'red circle, blue square'. "
    "Report bbox coordinates in JSON format.",
    'Locate every object that matches the description "the red circle" in the image. '
    "Report bbox coordinates in JSON format.",
    "red green blue yellow purple orange white black cyan magenta gray pink",
    "circle square triangle star diamond cross ring rectangle ellipse hexagon",
    "person bicycle car motorcycle airplane bus train truck boat chair couch bed bottle cup dog cat bird "
    "horse",
    "left right above below of the a an in on and with none no object large small one two three",
    "图中 检测 物体 红色 绿色 蓝色 黄色 圆形 方形 三角形 左边 右边 没有",
)  # fmt: skip
_ANSWER_SYNTAX = (
    "(12,345),(678,90), ",
    '```json\n[\n\t{"bbox_2d": [12, 345, 678, 90], "label": "red circle"},\n]\n```',
)


def train_tokenizer(out_dir: Path, corpus: Iterable[str], vocab_size: int) -> dict[str, int]:
    """Train the merges and write the tokenizer's files.

    Args:
        out_dir: Existing folder.
        corpus: Lines of text, added to `BASE_CORPUS`.
        vocab_size: Rows of the embedding; ordinary tokens and all special ones must fit in it.

    Returns:
        The id of every special and added token.

    Raises:
        ModelError: `vocab_size` is too small for the 256 bytes and the special tokens.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    extra = len(SPECIAL_TOKENS) + len(ADDED_TOKENS)
    if vocab_size < 256 + extra:
        raise ModelError(f"vocab_size {vocab_size} is below 256 bytes + {extra} special tokens; raise it")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - extra,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    lines = list(corpus) + list(BASE_CORPUS)
    # Each line twice, so that a word which stands once is learned too (min_frequency 2).
    tokenizer.train_from_iterator([*lines, *lines, *(_ANSWER_SYNTAX * (len(lines) + 8))], trainer)
    tokenizer.model.save(str(out_dir))
    tokenizer.add_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in ADDED_TOKENS])
    tokenizer.save(str(out_dir / "tokenizer.json"))
    ids = {token: tokenizer.token_to_id(token) for token in (*SPECIAL_TOKENS, *ADDED_TOKENS)}
    _write_config(out_dir, ids)
    return ids


def _write_config(out_dir: Path, ids: dict[str, int]) -> None:
    entries = {
        str(i): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": token in SPECIAL_TOKENS,
        }
        for token, i in ids.items()
    }
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "added_tokens_decoder": entries,
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 4096,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "unk_token": None,
    }
    (out_dir / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
