#!/usr/bin/env python3
"""Write tests/assets/hf_golden.npz: what Hugging Face's torch Qwen3-VL says about a fixed small model.

The test tests/backend/test_fidelity.py holds PaddleFormers' native model, and our kernels, against it.
Needs an environment of its own, since torch and Paddle don't share one:

    python -m venv hf && hf/bin/pip install torch==2.13.0 transformers==5.3.0 pillow
    hf/bin/python tools/make_hf_golden.py

Run it again only when the model or the questions below change; both sides must then be remade together.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "backend")]

from golden_inputs import GRIDS_THW, NEW_TOKENS, build_golden_model, golden_patches, golden_texts  # noqa: E402

from paddle_ground.files import atomic_writer, sha256_file  # noqa: E402

TARGET = ROOT / "tests" / "assets" / "hf_golden.npz"


def main() -> None:
    """Build the model, ask it, and write the file."""
    import torch
    import transformers

    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        folder = build_golden_model(Path(work) / "model")
        arrays = ask(folder)
        arrays["weights_sha256"] = np.array(sha256_file(folder / "model.safetensors"))
    arrays["made_with"] = np.array(f"torch {torch.__version__}, transformers {transformers.__version__}")
    with atomic_writer(TARGET, binary=True) as stream:
        np.savez_compressed(stream, **arrays)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, {arrays['made_with']}")


def ask(folder: Path) -> dict[str, Any]:
    """Run the torch model over the golden inputs; ids, mask, logits and greedy tokens as arrays."""
    import torch
    from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    model.float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(golden_texts(), return_tensors="pt", padding=True, padding_side="left")
    inputs["pixel_values"] = torch.from_numpy(golden_patches())
    inputs["image_grid_thw"] = torch.tensor(GRIDS_THW)
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == model.config.image_token_id).int()
    with torch.no_grad():
        logits = model(**inputs).logits
        generated = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    return {
        "token_ids": inputs["input_ids"].numpy(),
        "mask": inputs["attention_mask"].numpy(),
        "logits": logits.float().numpy(),
        "generated": generated[:, inputs["input_ids"].shape[1] :].numpy(),
    }


if __name__ == "__main__":
    main()
