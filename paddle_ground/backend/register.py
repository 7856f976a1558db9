"""Register paddle_ground with a PaddleFormers training process.

Takes: the process that `paddleformers-cli train` started, before it parses its YAML.
Gives: the `grounding:` section of the YAML read and taken out, the implementation of
the model chosen and said, and what this machine lacks mended. Knows no data and no metric.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from paddle_ground.backend.data_sets import common_meta, data_sets
from paddle_ground.backend.data_space import refuse_other_spaces
from paddle_ground.backend.settings import GroundingSettings, muon_problem
from paddle_ground.errors import ConfigError
from paddle_ground.families import DEFAULT, Family, family_of


def register() -> None:
    """Hook into PaddleFormers' argument parser; the work is done when the YAML is parsed."""
    from paddleformers.trainer import PdArgumentParser

    stock = PdArgumentParser.parse_dict
    if getattr(stock, "_paddle_ground", False):
        return

    def parse_dict(self: Any, args: dict[str, Any], *rest: Any, **kwargs: Any) -> Any:
        prepare_process(args)
        return stock(self, args, *rest, **kwargs)

    parse_dict._paddle_ground = True  # type: ignore[attr-defined]
    PdArgumentParser.parse_dict = parse_dict


def prepare_process(args: dict[str, Any]) -> None:
    """Make this process fit to run the YAML.

    Args:
        args: The YAML as a mapping; its `grounding` section is taken out, since
            PaddleFormers refuses keys that it does not know.

    Raises:
        ConfigError: The section holds an unknown key or value, or the data is not for this model.
    """
    from paddleformers.utils.log import logger

    settings = GroundingSettings.from_mapping(args.pop("grounding", None) or {})
    on_cpu = args.get("device") == "cpu"
    family = family_of(str(args.get("model_name_or_path") or "")) or DEFAULT
    implementation, why = choose_implementation(
        settings.implementation, args, paddlefleet_installed(), family
    )
    logger.info(f"paddle_ground: {family.title} implementation: {implementation} ({why})")
    if settings.evaluate_every and implementation != "native":
        raise ConfigError(
            "grounding.evaluate_every answers with the native model only; "
            "set grounding.implementation: native, or leave the key out"
        )
    if settings.fast_patch_embedding and implementation != "native":
        raise ConfigError(
            "grounding.fast_patch_embedding is for the native model only; "
            "set grounding.implementation: native, or leave the key out"
        )

    from paddle_ground.backend import (
        adapters,
        mends,
        muon,
        natives,
        recompute,
        run_lock,
        several_machines,
        tensor_parallel,
        trained_text,
        whole_checkpoints,
    )

    # Data that can't be trained together, or on this model, is refused here, before one is loaded.
    common_meta(data_sets(args, "train"))
    refuse_other_spaces(args, settings)
    run_lock.apply(args)

    if implementation == "native":
        mends.use_native_qwen3_vl()
        mends.give_parts_the_models_type()
        natives.mend_training(family.model_type)
        if args.get("optim") == "muon":
            if problem := muon_problem(args):
                raise ConfigError(f"optim: {problem}")
            muon.define(natives.model_class(family.model_type))
    mends.define_absent_fleet_names()
    mends.init_fleet_once()
    recompute.accept_row_indices_in_vision_recompute()
    tensor_parallel.apply(args)
    adapters.apply(args, settings.lora_targets)
    several_machines.apply()
    whole_checkpoints.apply(args)
    trained_text.write_first_samples()
    mends.apply_image_limits(settings)
    if on_cpu:
        from paddle_ground.backend import contiguous, cpu_kernels, cpu_runtime, data_path, gloo, leaving

        threads = cpu_runtime.tune()
        cpu_kernels.apply()
        contiguous.use_contiguous_kernels_in_training()
        data_path.apply()
        gloo.apply()
        leaving.apply()
        logger.info(f"paddle_ground: CPU kernels are in place, {threads} threads a process")
    if settings.fast_patch_embedding is not None:
        from paddle_ground.backend import patch_embedding

        patch_embedding.use(settings.fast_patch_embedding)
        logger.info(f"paddle_ground: fast_patch_embedding: {settings.fast_patch_embedding}")
    mends.write_grounding_beside_checkpoints(settings, args)


def choose_implementation(
    wanted: str, args: Mapping[str, Any], has_paddlefleet: bool, family: Family = DEFAULT
) -> tuple[str, str]:
    """Choose between our native route and PaddleFormers' paddlefleet one.

    Args:
        wanted: `auto`, `native` or `upstream`, from the YAML or PADDLE_GROUND_IMPLEMENTATION.
        args: The YAML.
        has_paddlefleet: Whether paddlefleet can be imported.
        family: Of the model.

    Returns:
        `native` or `upstream`, and the reason in words.

    Raises:
        ConfigError: `upstream` is wanted and paddlefleet is absent.
    """
    if not family.in_paddlefleet:
        return "native", f"PaddleFormers has no other of {family.title}"
    wanted = os.environ.get("PADDLE_GROUND_IMPLEMENTATION", wanted)
    if wanted == "native":
        return "native", "asked for"
    if wanted == "upstream":
        if not has_paddlefleet:
            raise ConfigError(
                "grounding.implementation: upstream needs paddlefleet, which is not installed; "
                "install paddleformers[paddlefleet] or set it to auto"
            )
        return "upstream", "asked for"
    if not has_paddlefleet:
        return "native", "paddlefleet is not installed"
    if args.get("device") == "cpu":
        return "native", "paddlefleet does not run on a CPU"
    if int(args.get("tensor_model_parallel_size", 1) or 1) > 1:
        return (
            "native",
            "PaddleFormers' own table says that its paddlefleet Qwen3-VL has no tensor parallelism",
        )
    return "upstream", "paddlefleet is installed and no tensor parallelism is asked for"


def paddlefleet_installed() -> bool:
    """Tell whether paddlefleet can be imported, without importing it."""
    return importlib.util.find_spec("paddlefleet") is not None
