"""Contradictions in a training YAML: keys that are known, and do not mean together what they say.

Takes a checked configuration; gives every finding at once, each with its key. Each is a symptom of
PaddleFormers 1.2, read in its source. Of the data it reads the metas only; knows no memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.data_sets import strategy_problems
from paddle_ground.backend.data_space import space_problems
from paddle_ground.backend.settings import is_lora, muon_problem, sharding_of
from paddle_ground.errors import ConfigError, ModelError
from paddle_ground.families import DEFAULT, Family, family_of
from paddle_ground.train.config import TrainConfig
from paddle_ground.train.plan.model_size import model_size
from paddle_ground.train.values import value_problems

_THINKING = re.compile(r"(?i)thinking")
_KEY_HEADS = 8  # All published Qwen3-VL have so many.


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction.

    Attributes:
        key: The YAML's.
        message: What it does instead, and the remedy.
        is_error: The run would fail, or train something else than what is written.
    """

    key: str
    message: str
    is_error: bool

    def __str__(self) -> str:
        """Give the one line that is printed."""
        return f"`{self.key}`: {self.message}"


def lint(config: TrainConfig, key_value_heads: int | None = None) -> tuple[Finding, ...]:
    """Find contradictions.

    Args:
        config: The checked configuration.
        key_value_heads: Of the model; left out, they are looked up by its folder or published name, and
            where neither is known, eight are taken, as all Qwen3-VL have.

    Returns:
        Errors first.
    """
    values = config.values
    found = [
        *(_error(key, said) for key, said in value_problems(values)),
        *_template(values, family_of(_model(values))),
        *_attention(values),
        *_precision(values),
        *_parallel(values, key_value_heads or _key_heads(_model(values))),
        *_data(config),
        *_rest(values),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.is_error))


def refuse(config: TrainConfig) -> tuple[Finding, ...]:
    """Raise for all errors at once; give the warnings.

    Raises:
        ConfigError: There are errors; the message lists each with its key.
    """
    findings = lint(config)
    errors = [str(finding) for finding in findings if finding.is_error]
    if errors:
        raise ConfigError(f"{config.path}: {'; '.join(errors)}")
    return findings


def _error(key: str, message: str) -> Finding:
    return Finding(key, message, is_error=True)


def _warning(key: str, message: str) -> Finding:
    return Finding(key, message, is_error=False)


def _model(values: Mapping[str, Any]) -> str:
    return str(values.get("model_name_or_path") or "").rstrip("/")


def _key_heads(model: str) -> int:
    try:
        return model_size(model).key_value_heads
    except ModelError:
        return _KEY_HEADS


def _template(values: Mapping[str, Any], known: Family | None) -> Iterator[Finding]:
    if values.get("template_backend") == "jinja":
        packed = ", and `packing: true` joins such samples" if values.get("packing") else ""
        yield _error(
            "template_backend",
            f"jinja leaves the marks of labels and boxes as they stand in the data{packed}; use custom",
        )
    template, model = values.get("template"), _model(values).rpartition("/")[2]
    family = known or DEFAULT
    if known and template is not None and template not in family.templates:
        yield _error(
            "template",
            f"{template} is not what {family.title} was trained with; use {family.template} for {model}",
        )
    if family.thinking_template is None:
        return
    if template == family.thinking_template and not _THINKING.search(model):
        yield _warning(
            "template",
            f"{template} trains an empty think block before every answer, which an Instruct model never "
            f"writes; use {family.template}",
        )
    if template == family.template and _THINKING.search(model):
        yield _warning(
            "template", f"{template} for {model}, which thinks first; use {family.thinking_template}"
        )


def _attention(values: Mapping[str, Any]) -> Iterator[Finding]:
    flashmask = values.get("_attn_implementation", "flashmask") == "flashmask"
    rows = values.get("use_attn_mask_startend_row_indices", True)
    if flashmask and not rows:
        lost = "packed samples would see each other" if values.get("packing") else "padding would be seen"
        yield _error(
            "use_attn_mask_startend_row_indices",
            f"flashmask reads its mask from row indices, which are off: {lost}; set it to true",
        )
    full = values.get("recompute_granularity") == "full"
    if full and (values.get("recompute_method") != "uniform" or values.get("recompute_num_layers") != 1):
        yield _warning(
            "recompute_granularity",
            "the native models recompute only with `recompute_method: uniform` and "
            "`recompute_num_layers: 1`; set both",
        )


def _precision(values: Mapping[str, Any]) -> Iterator[Finding]:
    compute = str(values.get("compute_type", "bf16"))
    if values.get("bf16") is False and compute == "bf16":
        yield _warning("bf16", "false is overridden by `compute_type` bf16; set `compute_type: float32`")
    if values.get("bf16") is True and compute == "float32":
        yield _warning("bf16", "true is overridden by `compute_type: float32`; remove one of them")
    if compute == "float32" and values.get("amp_master_grad", True):
        yield _error("amp_master_grad", "is refused with `compute_type: float32`; set it to false")
    if values.get("device") == "cpu" and compute in ("bf16", "fp16"):
        if str(values.get("fp16_opt_level", "O1")) == "O2":
            yield _error(
                "fp16_opt_level",
                f"O2 ends in the first step: Paddle multiplies no {compute} matrices on a CPU; set "
                "`compute_type: float32`",
            )
        else:
            yield _warning(
                "compute_type", f"{compute} changes nothing on a CPU, which computes in float32; say float32"
            )


def _parallel(values: Mapping[str, Any], key_value_heads: int) -> Iterator[Finding]:
    degree = _degree(values, "tensor_model_parallel_size")
    if key_value_heads % degree:
        yield _error(
            "tensor_model_parallel_size",
            f"{degree} does not divide the model's {key_value_heads} key heads; use a divisor of them",
        )
    sharding = sharding_of(values)
    if "stage3" in sharding and degree > 1:
        yield _error("sharding", "stage3 is refused beside tensor parallelism; use stage1 or stage2")
    if re.search("stage[23]", sharding) and _degree(values, "pipeline_model_parallel_size") > 1:
        yield _error("sharding", "stage2 and stage3 are refused beside pipeline parallelism; use stage1")
    if "offload" in sharding:
        yield _warning("sharding", "offload is not supported in PaddleFormers 1.2; remove it")
    if values.get("split_param") and sharding and "stage1" not in sharding:
        yield _warning("split_param", "is for sharding stage1 only; remove it")
    if problem := muon_problem(values):
        yield _error("optim", problem)
    if values.get("sequence_parallel") and degree == 1:
        yield _warning("sequence_parallel", "does nothing without tensor parallelism; remove it")


def _data(config: TrainConfig) -> Iterator[Finding]:
    yield from (Finding(*problem) for problem in strategy_problems(config.values))
    yield from (Finding(*problem) for problem in space_problems(config.values, config.grounding))


def _rest(values: Mapping[str, Any]) -> Iterator[Finding]:
    if values.get("lora") not in (None, is_lora(values)):
        learns = "adapters alone learn" if is_lora(values) else "every weight learns"
        how = (
            f"`fine_tuning: {values['fine_tuning']}`"
            if "fine_tuning" in values
            else "`fine_tuning`'s default"
        )
        yield _warning("lora", f"is overridden by {how}: {learns}; let them agree, or leave `lora` out")
    alpha = values.get("lora_alpha")
    unset = alpha is None or alpha == -1  # PaddleFormers' own default
    if not unset and (isinstance(alpha, bool) or not isinstance(alpha, int) or alpha < 1):
        yield _error("lora_alpha", f"is {alpha!r}; expected a whole number from 1 on")
    elif not unset and Path(str(values.get("custom_register_path") or "")).name != "plugin.py":
        yield _warning(
            "lora_alpha",
            "is ignored by PaddleFormers (it uses 2 x lora_rank, or 4 with rslora) unless paddle_ground's "
            "plugin is loaded; set `custom_register_path: paddle_ground/backend/plugin.py`",
        )
    strategy = str(values.get("evaluation_strategy", "no"))
    wanted = bool(values.get("do_eval")) or strategy not in ("no", "False")
    if wanted and not values.get("eval_dataset_path"):
        yield _error(
            "eval_dataset_path", "is missing though evaluation is asked for; name data, or set do_eval: false"
        )


def _degree(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    return max(1, value) if isinstance(value, int) else 1
