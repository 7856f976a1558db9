"""The `grounding:` section of a training YAML: what paddle_ground adds to PaddleFormers' own keys.

Takes a mapping; gives a checked record. It imports neither paddle nor PaddleFormers, so
that a linter can use it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from paddle_ground.errors import ConfigError

IMPLEMENTATIONS = ("auto", "native", "upstream")
METRICS = ("eval_ap50", "eval_f1", "eval_mean_iou", "eval_parse_rate")
"""What an evaluation inside training gives; `keep_best` names one of them."""
BEST_FOLDER = "best"
"""Where in the run's folder the best model so far is kept."""
_NUMBERS = {
    "image_max_pixels": "pixels",
    "image_min_pixels": "pixels",
    "evaluate_every": "steps",
    "evaluate_samples": "samples",
    "stop_after": "evaluations",
}


@dataclass(frozen=True)
class GroundingSettings:
    """Settings of one training run.

    Attributes:
        implementation: `auto`, `native` or `upstream` (see `register.choose_implementation`).
        image_max_pixels: Area in pixels above which a training image is shrunk; none keeps
            PaddleFormers' 768 x 768, which is then also written for inference.
        image_min_pixels: Area below which it is enlarged; none keeps PaddleFormers' 32 x 32.
        evaluate_every: Steps between two evaluations by generation: AP50, F1, mean IoU and parse rate of
            answers to a few samples of `eval_dataset_path`, logged beside the loss; none for never.
        evaluate_samples: How many samples those are.
        keep_best: The metric (one of `METRICS`) whose best model so far is kept in `best` of the run's
            folder; none for none.
        stop_after: So many evaluations in a row without a new best end the training; none for never.
        lora_targets: Layers that get an adapter, by the last part of PaddleFormers' names: qkv_proj, o_proj,
            up_gate_proj, down_proj in the decoder; qkv, proj, linear_fc1, linear_fc2 in Qwen3-VL's vision
            tower; empty for all of them.
        fast_patch_embedding: Compute the vision tower's patch embedding as one matrix product (see
            `patch_embedding`); none for on on a CPU, off elsewhere.
    """

    implementation: str = "auto"
    image_max_pixels: int | None = None
    image_min_pixels: int | None = None
    evaluate_every: int | None = None
    evaluate_samples: int = 16
    keep_best: str | None = None
    stop_after: int | None = None
    lora_targets: tuple[str, ...] = ()
    fast_patch_embedding: bool | None = None

    @classmethod
    def from_mapping(cls, section: Mapping[str, Any]) -> GroundingSettings:
        """Check and read the section.

        Raises:
            ConfigError: It is no mapping, or a key or value is unknown; the message lists every problem.
        """
        if not isinstance(section, Mapping):
            raise ConfigError(f"`grounding` must be a mapping of settings; found {type(section).__name__}")
        known = [f.name for f in fields(cls)]
        problems = [_unknown(key, known) for key in map(str, section) if key not in known]
        chosen = section.get("implementation", "auto")
        if chosen not in IMPLEMENTATIONS:
            problems.append(
                f"`grounding.implementation` is {chosen!r}; expected {', '.join(IMPLEMENTATIONS)}"
            )
        for key, unit in _NUMBERS.items():
            value = section.get(key, 1)
            left_out = value is None and key != "evaluate_samples"
            if not left_out and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                problems.append(f"`grounding.{key}` is {value!r}; expected a positive whole number of {unit}")
        problems += _best_problems(section)
        fast = section.get("fast_patch_embedding")
        if fast is not None and not isinstance(fast, bool):
            problems.append(f"`grounding.fast_patch_embedding` is {fast!r}; expected true or false")
        least, most = section.get("image_min_pixels"), section.get("image_max_pixels")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            problems.append(
                f"`grounding.image_min_pixels` is {least}, above the {most} of `image_max_pixels`; swap them"
            )
        targets = section.get("lora_targets") or ()
        if not isinstance(targets, list | tuple) or not all(isinstance(name, str) for name in targets):
            problems.append(f"`grounding.lora_targets` is {targets!r}; expected a list, [qkv_proj, o_proj]")
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(**{**section, "lora_targets": tuple(targets)})


def _best_problems(section: Mapping[str, Any]) -> list[str]:
    problems = []
    metric = section.get("keep_best")
    if metric is not None and metric not in METRICS:
        problems.append(f"`grounding.keep_best` is {metric!r}; expected {', '.join(METRICS)}")
    if metric is not None and section.get("evaluate_every") is None:
        problems.append("`grounding.keep_best` needs evaluations; set `grounding.evaluate_every`")
    if metric is None and section.get("stop_after") is not None:
        problems.append("`grounding.stop_after` needs a metric to follow; set `grounding.keep_best`")
    return problems


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean `grounding.{near[0]}`?)" if near else f"; known: {', '.join(known)}"
    return f"unknown key `grounding.{key}`{hint}"


def is_lora(values: Mapping[str, Any]) -> bool:
    """Tell whether adapters are trained; `fine_tuning` decides, and is LoRA where it is absent."""
    return str(values.get("fine_tuning", "LoRA")).lower() == "lora"


def sharding_of(values: Mapping[str, Any]) -> str:
    """Give the sharding that a YAML asks for; PaddleFormers takes stage 1 where it says nothing."""
    return str(values.get("sharding", "stage1") or "")


def muon_problem(values: Mapping[str, Any]) -> str | None:
    """Tell why Muon can't step these weights: a part made orthogonal is no part of the whole made so.

    Args:
        values: The YAML's keys.

    Returns:
        What divides the weights, with the remedy; none where nothing does, or another optimizer is asked for.
    """
    if values.get("optim") != "muon":
        return None
    degree, sharding = values.get("tensor_model_parallel_size"), sharding_of(values)
    # -1 is PaddleFormers' own default.
    for key, value, whole in (("tensor_model_parallel_size", degree, "1"), ("sharding", sharding, '""')):
        if value not in (None, "", 1, -1):
            return f"muon needs whole matrices, and {key} is {value}; set {key}: {whole}, or optim: adamw"
    if is_lora(values):
        # An adapter's factors are thin, and their product is what would have to be made orthogonal.
        return (
            "muon needs whole matrices, and LoRA trains two factors of each; set fine_tuning: full, or "
            "optim: adamw"
        )
    return None
