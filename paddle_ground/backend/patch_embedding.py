"""The vision towers' patch embedding as one matrix product: on a CPU, and elsewhere where it is asked for.

Takes PaddleFormers' own layers, by replacing their `forward`; gives the same numbers (tests compare outputs
and gradients with the stock ones, in float32 on a CPU). Needs no particular device. On a GPU nobody has
compared or timed it for us, so that `grounding.fast_patch_embedding` is off there unless it is set.

Upstream symptom mended: the layer is a Conv3D whose stride equals its kernel, a slow way to one product.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddleformers.transformers.qwen2_5_vl import modeling as qwen2_5_vl
from paddleformers.transformers.qwen3_vl import modeling as qwen3_vl


def forward(self: Any, hidden_states: paddle.Tensor) -> paddle.Tensor:
    """Project flat patches with one matrix product; (patches, values) -> (patches, hidden)."""
    weight = self.proj.weight.reshape([self.embed_dim, -1])
    flat = hidden_states.astype(weight.dtype).reshape([-1, weight.shape[1]])
    product = paddle.matmul(flat, weight, transpose_y=True)
    return product if self.proj.bias is None else product + self.proj.bias


QWEN3_VL = (qwen3_vl.Qwen3VLVisionPatchEmbed, "forward", forward)
QWEN2_5_VL = (qwen2_5_vl.Qwen2_5_VisionPatchEmbed, "forward", forward)


def use(wanted: bool) -> None:
    """Put the product in the convolution's place, or take it away. Calling it again changes nothing."""
    for owner, name, mine in (QWEN3_VL, QWEN2_5_VL):
        present = getattr(owner, name)
        if wanted and present is not mine:
            setattr(owner, f"_stock_{name}", present)
            setattr(owner, name, mine)
        elif not wanted and present is mine:
            setattr(owner, name, getattr(owner, f"_stock_{name}"))
