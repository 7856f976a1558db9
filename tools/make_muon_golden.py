"""Write tests/assets/muon.json: what torch's own Muon makes of a few matrices in a few steps.

Run with a Python that has torch 2.9 or newer: `python tools/make_muon_golden.py`. The scale is the one that
matches AdamW's ("Muon is Scalable for LLM Training", 2025), which is version 3 with 0.2 in PaddleFormers.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

TARGET = Path(__file__).resolve().parents[1] / "tests" / "assets" / "muon.json"
SHAPES = [(6, 10), (12, 4), (8, 8)]
STEPS, RATE, DECAY, MOMENTUM = 4, 0.01, 0.1, 0.9


def main() -> None:
    """Draw matrices and gradients, let torch step, write the file."""
    # torch makes matrices orthogonal in bfloat16, for speed; three digits are too few to compare with.
    torch.Tensor.bfloat16 = torch.Tensor.double  # type: ignore[method-assign]
    torch.manual_seed(0)
    cases = []
    for shape in SHAPES:
        weight = torch.nn.Parameter(torch.randn(shape))
        optimizer = torch.optim.Muon(
            [weight], lr=RATE, weight_decay=DECAY, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
        )
        before, gradients = weight.detach().clone(), torch.randn(STEPS, *shape)
        after = []
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
            after.append(weight.detach().clone())
        cases.append(
            {
                "before": _rounded(before),
                "gradients": _rounded(gradients),
                "after": _rounded(torch.stack(after)),
            }
        )
    told = f"tools/make_muon_golden.py with torch {torch.__version__}"
    settings = {"learning_rate": RATE, "weight_decay": DECAY, "momentum": MOMENTUM}
    rows = ",\n  ".join(map(json.dumps, cases))
    TARGET.write_text(
        f'{{"made_by": "{told}",\n "settings": {json.dumps(settings)},\n "cases": [\n  {rows}\n]}}\n'
    )


def _rounded(values: torch.Tensor) -> list[object]:
    return json.loads(json.dumps(values.tolist()), parse_float=lambda digits: round(float(digits), 6))


if __name__ == "__main__":
    main()
