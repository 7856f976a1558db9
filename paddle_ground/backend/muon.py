"""Muon for Paddle 3.3: momentum, made orthogonal, as the step of every hidden matrix.

After Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the scale of Liu
et al., "Muon is Scalable for LLM Training" (2025): AdamW's learning rate and weight decay serve it too.

Symptom that this mends: PaddleFormers 1.2.0 knows `optim: muon`, and ends in "cannot import name 'Muon' from
'paddle.optimizer'", for Paddle 3.3.1 has none. The arguments are those that PaddleFormers gives.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import paddle
from paddle.optimizer import AdamW

from paddle_ground.errors import ConfigError

_QUINTIC = (3.4445, -4.7750, 2.0315)
_SCALES = {
    1: lambda wide, high: max(1.0, wide / high) ** 0.5,
    2: lambda wide, high: (wide / high) ** 0.5,
    3: lambda wide, high: max(wide, high) ** 0.5,
}
"""By `muon_version`: of a matrix from `high` inputs to `wide` outputs."""

_AT_ONCE = 2**22
"""Numbers that data-parallel processes exchange at once, at least: many small matrices go together."""


def orthogonal(matrices: paddle.Tensor, coefficients: Sequence[Sequence[float]]) -> paddle.Tensor:
    """Bring all singular values near 1 by Newton and Schulz's iteration.

    Args:
        matrices: [..., rows, columns], float32.
        coefficients: a, b, c of each step of x -> a x + b x^3 + c x^5 on the singular values.

    Returns:
        The same shape.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    # Not paddle.linalg.norm: over two axes it takes 270 ms for 192 x 512 numbers on a CPU (Paddle 3.3.1).
    x = x / ((x * x).sum(axis=[-2, -1], keepdim=True).sqrt() + 1e-7)
    for a, b, c in coefficients:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def parts_of(model: Any, exclude: Sequence[str], qkv_mode: str, split_gate: bool) -> dict[str, int]:
    """Tell which parameters Muon steps, and how many matrices stand side by side in each.

    Args:
        model: Its Linear weights are [inputs, outputs].
        exclude: A parameter with one of these in its name is left to AdamW.
        qkv_mode: `split_head` makes each head of a fused query-key-value matrix orthogonal by itself,
            `fused_qkv` the whole.
        split_gate: Whether gate and up projection, stored as one, are made orthogonal apart.

    Returns:
        By `Parameter.name`.

    Raises:
        ConfigError: Another mode.
    """
    if qkv_mode not in ("split_head", "fused_qkv"):
        raise ConfigError(f"muon_qkv_update_mode: {qkv_mode} is not known here; set split_head or fused_qkv")
    config = model.config
    parts: dict[str, int] = {}
    for name, weight in model.named_parameters():
        if len(weight.shape) != 2 or any(word in name for word in exclude):
            continue
        side_by_side = 1
        if qkv_mode == "split_head" and ("qkv_proj" in name or ".qkv." in name):
            side_by_side = weight.shape[1] // _head_dim(config, name)
        elif split_gate and "up_gate_proj" in name:
            side_by_side = 2
        parts[weight.name] = side_by_side
    return parts


def _head_dim(config: Any, name: str) -> int:
    if "visual" in name:
        return int(config.vision_config.hidden_size // config.vision_config.num_heads)
    text = getattr(config, "text_config", config)
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)


class Muon(AdamW):
    """AdamW whose hidden matrices take Muon's steps instead.

    The momentum is kept where AdamW keeps its first moment, so that checkpoints hold it without more ado.
    """

    def __init__(
        self,
        *args: Any,
        muon_param_info_map: Mapping[str, int],
        momentum: float = 0.95,
        muon_version: int = 3,
        muon_extra_scale_factor: float = 0.2,
        ns_steps: int = 5,
        ns_coeff_type: str = "quintic",
        ns_coeffs: Sequence[Sequence[float]] | None = None,
        muon_exclude_patterns: Sequence[str] = (),
        muon_qkv_update_mode: str = "split_head",
        muon_ffn_split: bool = True,
        **kwargs: Any,
    ) -> None:
        """Take what PaddleFormers gives; `muon_param_info_map` is what `parts_of` made of the last three."""
        super().__init__(*args, **kwargs)
        if ns_coeffs is None and ns_coeff_type != "quintic":
            raise ConfigError(
                f"muon_ns_coeff_type: {ns_coeff_type} is not known here; set quintic, or give muon_ns_coeffs"
            )
        if muon_version not in _SCALES:
            raise ConfigError(f"muon_version: {muon_version} is not 1, 2 or 3")
        self._side_by_side = dict(muon_param_info_map)
        self._momentum = momentum
        self._coefficients = ns_coeffs if ns_coeffs is not None else [_QUINTIC] * ns_steps
        self._scale = functools.partial(_scale, _SCALES[muon_version], muon_extra_scale_factor)

    def _append_optimize_op(self, block: Any, param_and_grad: Any) -> Any:
        if isinstance(param_and_grad, dict):
            param_and_grad = self._update_param_group(param_and_grad)
        weight, gradient = param_and_grad
        if weight.name not in self._side_by_side:
            return super()._append_optimize_op(block, param_and_grad)
        self._due.append((weight, gradient, self._create_param_lr(param_and_grad)))
        return None

    def _create_optimization_pass(self, parameters_and_grads: Any, param_group_idx: int = 0) -> Any:
        self._due: list[tuple[Any, Any, Any]] = []
        done = super()._create_optimization_pass(parameters_and_grads, param_group_idx)
        group = _data_parallel_group()
        with paddle.no_grad():
            for some in _portions(self._due, group.nranks if group else 1):
                self._step_matrices(some, group)
        self._due.clear()
        return done

    def _step_matrices(self, due: Sequence[tuple[Any, Any, Any]], group: Any) -> None:
        """Step some matrices; data-parallel processes share what is slow, and tell each other."""
        rank, processes = (group.rank, group.nranks) if group else (0, 1)
        owners = shares([_work(weight) for weight, *_ in due], processes)
        steps = []
        for (weight, gradient, _), owner in zip(due, owners, strict=True):
            ahead = self._ahead(weight, gradient)  # Of all matrices: each process keeps every momentum.
            own = owner == rank
            steps.append(self._orthogonal(weight, ahead) if own else paddle.zeros_like(ahead))
        if group is not None:
            steps = _sums(steps, group)
        for (weight, _, rate), step in zip(due, steps, strict=True):
            self._apply(weight, step, rate)

    def _ahead(self, weight: Any, gradient: Any) -> Any:
        momentum = self._get_accumulator_master(self._moment1_acc_str, weight)
        gradient = gradient.astype(momentum.dtype)
        momentum.scale_(self._momentum).add_(gradient)
        return gradient + self._momentum * momentum  # Nesterov's

    def _orthogonal(self, weight: Any, ahead: Any) -> Any:
        high, wide = weight.shape
        count = self._side_by_side[weight.name]
        apart = ahead.reshape([high, count, wide // count]).transpose([1, 0, 2])
        return orthogonal(apart, self._coefficients).transpose([1, 0, 2]).reshape([high, wide])

    def _apply(self, weight: Any, step: Any, rate: Any) -> None:
        high, wide = weight.shape
        exact = self._master_weights.get(weight.name, weight) if self._multi_precision else weight
        decayed = self._apply_decay_param_fun is None or self._apply_decay_param_fun(weight.name)
        if decayed and self._weight_decay:
            exact.multiply_(1 - rate * self._weight_decay)
        exact.subtract_(rate * self._scale(wide // self._side_by_side[weight.name], high) * step)
        if exact is not weight:
            weight.copy_(exact.astype(weight.dtype), False)


def shares(work: Sequence[int], processes: int) -> list[int]:
    """Deal pieces of work out, the largest first, each to the process that has least.

    Args:
        work: Of each piece, in any unit.
        processes: How many.

    Returns:
        The rank that each piece falls to; the same in every process.
    """
    owners, loads = [0] * len(work), [0] * processes
    for piece in sorted(range(len(work)), key=lambda piece: -work[piece]):
        owners[piece] = loads.index(min(loads))
        loads[owners[piece]] += work[piece]
    return owners


def _sums(steps: Sequence[Any], group: Any) -> list[Any]:
    """Add up each process's matrices over all of them, in one exchange."""
    together = paddle.concat([step.flatten() for step in steps])
    paddle.distributed.all_reduce(together, group=group)
    apart = paddle.split(together, [step.size for step in steps])
    return [flat.reshape(step.shape) for flat, step in zip(apart, steps, strict=True)]


def _work(weight: Any) -> int:
    return int(weight.size * min(weight.shape))


def _portions(due: Sequence[tuple[Any, Any, Any]], processes: int) -> Iterator[list[tuple[Any, Any, Any]]]:
    """Take the matrices one by one, or enough of them to give each process one of the largest."""
    if processes == 1:
        yield from ([one] for one in due)
        return
    enough = max([_AT_ONCE, *(processes * weight.size for weight, *_ in due)])
    some: list[tuple[Any, Any, Any]] = []
    numbers = 0
    for one in due:
        some.append(one)
        numbers += one[0].size
        if numbers >= enough:
            yield some
            some, numbers = [], 0
    if some:
        yield some


def _data_parallel_group() -> Any:
    """Find the processes that hold the same weights and gradients; none where this one is alone."""
    if not paddle.distributed.is_initialized():
        return None
    hybrid = getattr(paddle.distributed.fleet.fleet, "_hcg", None)  # Its getter asserts that there is one.
    group = hybrid.get_data_parallel_group() if hybrid else paddle.distributed.get_group(0)
    return group if group is not None and group.nranks > 1 else None


def _scale(of_version: Any, extra: float, wide: int, high: int) -> float:
    return float(of_version(wide, high) * extra)


def define(model_class: Any) -> None:
    """Put Muon where PaddleFormers looks for it, and tell it of a native model's matrices."""
    if not hasattr(paddle.optimizer, "Muon"):
        paddle.optimizer.Muon = Muon
    _allow_without_sharding()

    def build_muon_param_info_map(model: Any, config: Any) -> dict[str, int]:
        asked = config.muon_configs
        return parts_of(
            model,
            asked["muon_exclude_patterns"],
            asked["muon_qkv_update_mode"],
            bool(asked["muon_ffn_split"]),
        )

    model_class.build_muon_param_info_map = staticmethod(build_muon_param_info_map)


def _allow_without_sharding() -> None:
    """Let one process, or data-parallel ones, train with Muon.

    Symptom: "Muon optimizer only supports use_hybrid_parallel=True", although nothing in it needs that: the
    arguments are checked before the trainer exists.
    """
    from paddleformers.trainer import TrainingArguments

    stock = TrainingArguments.__post_init__
    if getattr(stock, "_paddle_ground", False):
        return

    @functools.wraps(stock)
    def post_init(self: Any) -> None:
        wanted = self.optim
        if wanted == "muon":
            self.optim = "adamw"
        stock(self)
        if wanted == "muon":
            self.optim = type(self.optim)(wanted)

    post_init._paddle_ground = True  # type: ignore[attr-defined]
    TrainingArguments.__post_init__ = post_init
