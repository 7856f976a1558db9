"""The fields of the Train tab: read out of a configuration, and written into one.

Takes a checked configuration and what a form says; gives a form's values, or a configuration. A key is
written only where the form says something else than the file: a default stays a default. Knows no page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.train.config import TrainConfig
from paddle_ground.web.train_folders import TrainPlace

PARTS = ("vision", "aligner", "llm")
STAGES = ("", "stage1", "stage2", "stage3")
DEGREES = (1, 2, 4, 8)
_RECOMPUTE = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
_PIXELS = "image_max_pixels"

Form = dict[str, Any]
"""Values by the names of FIELDS; `model`, `train_data` and `eval_data` as `TrainPlace` lists them."""


@dataclass(frozen=True, slots=True)
class Field:
    """A number of the form.

    Attributes:
        key: The YAML's; it is the form's name as well.
        stock: What holds where the YAML is silent; None for nothing.
        least: The least number.
        whole: It has no fraction.
        may_be_empty: None takes the key away.
    """

    key: str
    stock: float | None
    least: float = 1
    whole: bool = True
    may_be_empty: bool = False


NUMBERS = (
    Field("max_steps", 0, least=0),
    Field("num_train_epochs", 1.0, least=0.001, whole=False),
    Field("per_device_train_batch_size", 8),
    Field("gradient_accumulation_steps", 1),
    Field("learning_rate", 5e-5, least=1e-12, whole=False),
    Field("save_steps", 500),
    Field("max_seq_len", 4096, least=16),
    Field(_PIXELS, None, least=1024, may_be_empty=True),
    Field("lora_rank", 8),
    Field("lora_alpha", None, may_be_empty=True),
)
_DEGREE = Field("tensor_model_parallel_size", 1)
FIELDS = (
    "model", "train_data", "eval_data", "output", *(field.key for field in NUMBERS), "packing", "fine_tuning",
    "freeze", "tensor_model_parallel_size", "sharding", "recompute",
)  # fmt: skip
"""The form's names, in the order in which a page sends them."""


def read_form(config: TrainConfig, folders: TrainPlace) -> Form:
    """Say what a configuration says in the fields' words."""
    values = config.values
    sources = {**values, _PIXELS: config.grounding.image_max_pixels}
    form: Form = {field.key: _known(field, sources.get(field.key)) for field in NUMBERS}
    frozen = str(values.get("freeze_config") or "")
    return {
        **form,
        "model": str(values.get("model_name_or_path") or ""),
        "train_data": str(values.get("train_dataset_path") or ""),
        "eval_data": str(values.get("eval_dataset_path") or ""),
        "output": _run_name(config, folders),
        "packing": bool(values.get("packing")),
        "fine_tuning": "LoRA" if config.is_lora() else "full",
        "freeze": [part for part in PARTS if f"freeze_{part}" in frozen],
        "tensor_model_parallel_size": _known(_DEGREE, values.get("tensor_model_parallel_size")) or 1,
        "sharding": config.sharding(),
        "recompute": all(values.get(key) == value for key, value in _RECOMPUTE.items()),
    }


def apply_form(config: TrainConfig, form: Mapping[str, Any], folders: TrainPlace) -> TrainConfig:
    """Write what a form says into a configuration.

    Args:
        config: What was opened.
        form: Every name of FIELDS.
        folders: What `model` and data may be, and where the run's folder lies.

    Raises:
        ConfigError: A number is none or out of range, or a name is of nothing in the folders; all of it in
            one message.
    """
    before = read_form(config, folders)
    values, section = dict(config.values), dict(config.raw_grounding)
    problems = []
    steps: tuple[Callable[..., None], ...] = (_numbers, _choices, _sources, _output)
    for step in steps:
        try:
            step(values, section, before, form, folders)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))
    return replace(
        config, values=values, grounding=config.grounding.from_mapping(section), raw_grounding=section
    )


def _known(field: Field, value: Any) -> float | int | None:
    """Read a number as a form shows it; what is no number shows the stock value, and the lint tells of it."""
    try:
        read = float(value)
    except (TypeError, ValueError):
        return field.stock
    if field.key in ("max_steps", "lora_alpha") and read < 0:  # PaddleFormers' word for "not set"
        return field.stock
    return int(read) if field.whole and read.is_integer() else read


def _numbers(
    values: dict[str, Any], section: dict[str, Any], before: Form, form: Mapping[str, Any], _: TrainPlace
) -> None:
    problems = []
    for field in NUMBERS:
        asked = form[field.key]
        unused = form["fine_tuning"] == "full" and field.key.startswith("lora_")
        if unused or asked == before[field.key]:
            continue
        if asked is None and field.may_be_empty:
            (section if field.key == _PIXELS else values).pop(field.key, None)
            continue
        try:
            number = float(asked)
        except (TypeError, ValueError):
            number = math.nan
        if not number >= field.least or math.isinf(number) or (field.whole and not number.is_integer()):
            kind = "a whole number" if field.whole else "a number"
            problems.append(f"`{field.key}` is {asked}; expected {kind} from {field.least:g} on")
            continue
        found = int(number) if field.whole else number
        if field.key == "max_steps":
            found = found or -1  # 0 says "by epochs" here; -1 does there.
        (section if field.key == _PIXELS else values)[field.key] = found
    if problems:
        raise ConfigError("; ".join(problems))


def _choices(
    values: dict[str, Any], section: dict[str, Any], before: Form, form: Mapping[str, Any], _: TrainPlace
) -> None:
    allowed = {
        "fine_tuning": ("full", "LoRA"),
        "sharding": STAGES,
        "tensor_model_parallel_size": DEGREES,
        "packing": (True, False),
        "recompute": (True, False),
    }
    for key, known in allowed.items():
        if form[key] != before[key] and form[key] not in known:
            raise ConfigError(f"`{key}` is {form[key]!r:.60}; expected one of {', '.join(map(str, known))}")
    for key in ("fine_tuning", "sharding", "tensor_model_parallel_size", "packing"):
        if form[key] != before[key]:
            values[key] = form[key]
    if form["fine_tuning"] != before["fine_tuning"]:
        _say_lora(values, form)
    if form["recompute"] != before["recompute"]:
        for key, value in _RECOMPUTE.items():
            values.pop(key, None)
            if form["recompute"]:
                values[key] = value
    if sorted(form["freeze"]) != sorted(before["freeze"]):
        if not set(form["freeze"]) <= set(PARTS):
            raise ConfigError(f"`freeze_config`: expected some of {', '.join(PARTS)}")
        values.pop("freeze_config", None)
        if form["freeze"]:
            values["freeze_config"] = " ".join(f"freeze_{part}" for part in PARTS if part in form["freeze"])


def _say_lora(values: dict[str, Any], form: Mapping[str, Any]) -> None:
    """Take LoRA's own keys away with it, and say its rank where it comes."""
    if form["fine_tuning"] == "LoRA":
        values["lora_rank"] = int(form["lora_rank"] or 8)
        if "lora" in values:
            values["lora"] = True
        return
    for key in ("lora", "lora_rank", "lora_alpha"):
        values.pop(key, None)


def _sources(
    values: dict[str, Any],
    section: dict[str, Any],
    before: Form,
    form: Mapping[str, Any],
    folders: TrainPlace,
) -> None:
    if form["model"] != before["model"]:
        values["model_name_or_path"] = _path(folders, folders.models_found(), form["model"], "model")
    for which in ("train", "eval"):
        if form[f"{which}_data"] == before[f"{which}_data"]:
            continue
        name = form[f"{which}_data"]
        values[f"{which}_dataset_path"] = _path(folders, folders.data_found(), name, f"{which}_dataset_path")
        values[f"{which}_dataset_type"] = "messages"
        values[f"{which}_dataset_prob"] = "1.0"


def _path(folders: TrainPlace, found: Mapping[str, Path], name: Any, key: str) -> str:
    if not isinstance(name, str) or name not in found:
        raise ConfigError(f"`{key}`: {name!r:.100} is none of the list")
    return folders.written(found[name])


def _output(
    values: dict[str, Any],
    section: dict[str, Any],
    before: Form,
    form: Mapping[str, Any],
    folders: TrainPlace,
) -> None:
    folder = folders.place_of_run(str(form["output"] or ""))
    values["output_dir"] = folders.written(folder)
    # Curves beside the run, wherever the file had them.
    values["logging_dir"] = folders.written(folder / "visualdl")


def _run_name(config: TrainConfig, folders: TrainPlace) -> str:
    """Name the run as the file does where that lies below the root, else by the file."""
    path = Path(str(config.values.get("output_dir") or "."))
    path = path if path.is_absolute() else Path.cwd() / path
    inside = path.is_relative_to(folders.runs) and path != folders.runs
    return path.relative_to(folders.runs).as_posix() if inside else config.path.stem
