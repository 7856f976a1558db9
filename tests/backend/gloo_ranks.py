"""What each of two CPU processes computes for test_gloo.py, which starts it.

Usage: python gloo_ranks.py OUT_DIR MODEL_DIR, with the variables that Paddle's launcher sets.
Writes OUT_DIR/<rank>.npz, and what stock Paddle says without our mends into OUT_DIR/<rank>.json.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle.distributed import fleet
from paddle.distributed.communication.reduce import ReduceOp, _get_reduce_op
from paddle.distributed.fleet.layers.mpu import mp_ops

from paddle_ground.backend import cpu_kernels, cpu_runtime, gloo, gloo_groups, tensor_parallel

SUM = _get_reduce_op(ReduceOp.SUM)
WIDTH = 6  # of the whole vocabulary in the cross-entropy check
RESULTS: dict[str, Any] = {}


def start() -> Any:
    """Make the groups, two tensor-parallel processes; the stores are needed before any group."""
    gloo_groups.apply()
    cpu_runtime.tune()
    paddle.set_device("cpu")
    strategy = fleet.DistributedStrategy()
    strategy.hybrid_configs = {"mp_degree": 2, "dp_degree": 1, "pp_degree": 1, "sharding_degree": 1}
    fleet.init(is_collective=True, strategy=strategy)
    return fleet.get_hybrid_communicate_group()


def logits_and_labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((2, 3, WIDTH)).astype(np.float32) * 4, np.array([[0, 5, -100], [3, 2, 4]])


def checks(hcg: Any) -> dict[str, Callable[[], Any]]:
    """One check a mend; each gives an array."""
    group, rank = hcg.get_model_parallel_group(), hcg.get_model_parallel_rank()
    own = paddle.arange(4, dtype="float32") + 10 * rank

    def waited() -> Any:
        paddle.device.synchronize()
        return own

    def streamed_sum() -> Any:
        x = own.clone()
        group.process_group.all_reduce_on_calc_stream(x, SUM)
        return x

    def streamed_gather() -> Any:
        out = paddle.empty([8])
        group.process_group.all_gather_into_tensor_on_calc_stream(out, own)
        return out

    def streamed_broadcast() -> Any:
        x = own.clone()
        group.process_group.broadcast_on_calc_stream(x, 1)
        return x

    def scattered_sum() -> Any:
        out = paddle.empty([2])
        group.process_group.reduce_scatter_tensor(out, own, SUM, True)
        return out

    def inputs() -> Any:
        from paddle.distributed.fleet.meta_parallel import tensor_parallel as layers

        x, flags = own.clone(), own > 1
        layers.broadcast_input_data(hcg, x, flags=flags, options={"nested": [flags]})
        return paddle.concat([x, flags.astype("float32")])

    def identity() -> Any:
        x = own.clone()
        x.stop_gradient = False
        (mp_ops._c_identity(x, group=group) * (rank + 1)).sum().backward()
        return x.grad

    def joined() -> Any:
        x = own.reshape([2, 2]).clone()
        x.stop_gradient = False
        whole = mp_ops._c_concat(x, group=group)
        (whole * paddle.arange(8, dtype="float32").reshape([2, 4])).sum().backward()
        return paddle.concat([whole.reshape([-1]), x.grad.reshape([-1])])

    def parted() -> Any:
        x = paddle.arange(8, dtype="float32").reshape([2, 4])
        x.stop_gradient = False
        part = mp_ops._c_split(x, group=group)
        (part * (rank + 1)).sum().backward()
        return paddle.concat([part.reshape([-1]), x.grad.reshape([-1])])

    def loss() -> Any:
        values, labels = logits_and_labels()
        mine = paddle.to_tensor(np.split(values, 2, axis=-1)[rank])
        mine.stop_gradient = False
        losses = mp_ops._c_softmax_with_cross_entropy(mine, paddle.to_tensor(labels), group=group)
        (losses.squeeze(-1) * paddle.to_tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
        return paddle.concat([losses.reshape([-1]), mine.grad.reshape([-1])])

    return {
        "cuda": lambda: own.cuda(),
        "waited": waited,
        "streamed_sum": streamed_sum,
        "streamed_gather": streamed_gather,
        "streamed_broadcast": streamed_broadcast,
        "scattered_sum": scattered_sum,
        "inputs": inputs,
        "identity": identity,
        "joined": joined,
        "parted": parted,
        "loss": loss,
    }


def refusals(hcg: Any) -> dict[str, str]:
    """Say how stock Paddle ends each check."""
    said = {}
    for name, check in checks(hcg).items():
        try:
            said[name] = f"worked: {check().numpy().tolist()}"
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def answer_in_parts(folder: Path) -> None:
    """Load the model in two parts, and let it answer greedily and take one gradient of a head norm."""
    from paddleformers.transformers import AutoConfig, AutoProcessor
    from paddleformers.transformers.qwen3_vl.modeling import Qwen3VLForConditionalGenerationDeprecated
    from PIL import Image

    from paddle_ground.backend.loading import model_in_training
    from paddle_ground.infer import Engine, Request

    config = AutoConfig.from_pretrained(str(folder))
    for part in (config, config.text_config, config.vision_config):
        part.tensor_model_parallel_size, part.tensor_parallel_output = 2, True
        part._attn_implementation = "sdpa"
    cpu_kernels.apply()
    tensor_parallel.apply({})
    model = Qwen3VLForConditionalGenerationDeprecated.from_pretrained(
        str(folder), config=config, convert_from_hf=True, load_checkpoint_format="flex_checkpoint"
    )
    ids = paddle.to_tensor([list(range(5, 25))])
    model(input_ids=ids, labels=ids).loss.backward()
    attention = model.model.language_model.layers[0].self_attn
    RESULTS["query_norm_grad"] = attention.q_norm.weight.grad.numpy()
    model.eval()
    engine = Engine(model_in_training(model, AutoProcessor.from_pretrained(str(folder))))
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8))
    requests = [Request(image, "Task: Object Detection"), Request(image, "hi")]
    for index, answer in enumerate(engine.answer(requests, max_new_tokens=16)):
        RESULTS[f"tokens_{index}"] = np.array(answer.token_ids)
        RESULTS[f"logprobs_{index}"] = np.array(answer.logprobs)


def meet_late(rank: int, out: Path) -> None:
    """Meet twice, one of the two coming late; note whether the late one had come when they parted."""
    had_come = []
    for late in (0, 1):
        sign = out / f"late_{late}"
        if rank == late:
            time.sleep(0.5)
            sign.touch()
        gloo_groups.meet()
        had_come.append(sign.exists())
    RESULTS["late_had_come"] = np.array(had_come)


def main(out: Path, model: Path) -> None:
    hcg = start()
    rank = hcg.get_model_parallel_rank()
    out.joinpath(f"{rank}.json").write_text(json.dumps(refusals(hcg)), encoding="utf-8")
    gloo.apply()
    gloo.apply()
    for name, check in checks(hcg).items():
        RESULTS[name] = check().numpy()
    meet_late(rank, out)
    answer_in_parts(model)
    np.savez(out / f"{rank}.npz", **RESULTS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
