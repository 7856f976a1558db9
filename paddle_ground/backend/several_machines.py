"""Mends of training on several machines that share a folder, in PaddleFormers 1.2.

Takes PaddleFormers' saver, by binding a name in it; gives one whole model in the shared `output_dir`. May be
called twice.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any


def apply() -> None:
    """Let one process name the weight files of a shared folder.

    Symptom: with `NNODES` above 1 and an `output_dir` that the machines share, the first process of each
    machine renames every file in it, and all but one end in `FileNotFoundError: ... shard_0-0.safetensors`.
    """
    from paddleformers.trainer import trainer_utils
    from paddleformers.transformers import model_utils

    stock = model_utils.replace_name_and_gen_index
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def replace_name_and_gen_index(path: str, total_size: int, save_peft: bool = False) -> None:
        if not _shared(path):
            stock(path, total_size, save_peft)
            return
        import paddle.distributed as dist

        if dist.get_rank() == 0:
            name_weight_files(Path(path), total_size, "peft_model" if save_peft else "model")
        dist.barrier()

    replace_name_and_gen_index._paddle_ground = True  # type: ignore[attr-defined]
    for module in (model_utils, trainer_utils):
        module.replace_name_and_gen_index = replace_name_and_gen_index


def _shared(path: str) -> bool:
    """Tell whether several machines see the same files in a folder."""
    import paddle.distributed as dist

    if int(os.environ.get("PADDLE_NNODES") or os.environ.get("NNODES") or 1) < 2:
        return False
    seen: list[Any] = []
    dist.all_gather_object(seen, sorted(name for name in os.listdir(path) if name.endswith(".safetensors")))
    return all(names == seen[0] for names in seen)


def name_weight_files(folder: Path, total_size: int, stem: str) -> None:
    """Give every process's weight files their final names, and write the index.

    Args:
        folder: Holds `shard_<process>-<number>.safetensors`, all of them, and no other safetensors.
        total_size: Bytes of all weights, for the index.
        stem: `model`, or `peft_model` for an adapter.
    """
    from safetensors import safe_open

    parts = sorted(folder.glob("*.safetensors"))
    where: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        name = f"{stem}-{number:05d}-of-{len(parts):05d}.safetensors"
        with safe_open(str(part), framework="np") as weights:
            where.update(dict.fromkeys(weights.keys(), name))
        part.rename(folder / name)
    index = {"metadata": {"total_size": total_size}, "weight_map": where}
    text = json.dumps(index, indent=4)
    (folder / f"{stem}.safetensors.index.json").write_text(text, encoding="utf-8")
