#!/usr/bin/env python3
"""Write tests/assets/hf_golden*.npz: what Hugging Face's torch models say about fixed small ones, by family.

The test tests/backend/test_fidelity.py holds PaddleFormers' native model, and our kernels, against it.
Needs an environment of its own, since torch and Paddle don't share one:

    python -m venv hf && hf/bin/pip install torch==2.13.0 transformers==5.3.0 pillow
    hf/bin/python tools/make_hf_golden.py qwen3_vl
    hf/bin/pip install transformers==4.57.1
    hf/bin/python tools/make_hf_golden.py qwen2_5_vl

The older one for Qwen2.5-VL, because transformers 5.3 multiplies the temporal position of a still image by
`tokens_per_second` (github.com/huggingface/transformers issue 45325; later releases are right again).
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

from golden_inputs import GOLDENS, NEW_TOKENS, Golden  # noqa: E402

from paddle_ground.files import atomic_writer, sha256_file  # noqa: E402

ASSETS = ROOT / "tests" / "assets"


def main() -> None:
    """Build the model of the family that is named, ask it, and write the file."""
    import torch
    import transformers

    if len(sys.argv) != 2 or sys.argv[1] not in GOLDENS:
        sys.exit(f"make_hf_golden.py: name a family, one of {', '.join(GOLDENS)}")
    golden = GOLDENS[sys.argv[1]]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        folder = golden.build_model(Path(work) / "model")
        arrays = ask(golden, folder)
        arrays["weights_sha256"] = np.array(sha256_file(folder / "model.safetensors"))
    arrays["made_with"] = np.array(f"torch {torch.__version__}, transformers {transformers.__version__}")
    target = ASSETS / golden.asset
    with atomic_writer(target, binary=True) as stream:
        np.savez_compressed(stream, **arrays)
    print(f"{target}: {target.stat().st_size} bytes, {arrays['made_with']}")


def ask(golden: Golden, folder: Path) -> dict[str, Any]:
    """Run the torch model over the golden inputs; ids, mask, logits and greedy tokens as arrays."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    model = AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager")
    model.float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(golden.texts(), return_tensors="pt", padding=True, padding_side="left")
    inputs["pixel_values"] = torch.from_numpy(golden.patches())
    inputs["image_grid_thw"] = torch.tensor(golden.grids_thw)
    if golden.model_type == "qwen3_vl":
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
