"""A model card: what was trained from what, how well it answers, and how to ask it.

Takes a run's own records (`resolved.yaml`, `data.json`, `versions.json`, the metrics it was given); gives
Markdown with the header that Hugging Face's hub reads (hf.co/docs/hub/model-cards). States nothing that no
file says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.export.source import Source

_SETTINGS = (
    "fine_tuning", "freeze_config", "max_steps", "num_train_epochs", "per_device_train_batch_size",
    "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "tensor_model_parallel_size",
    "sharding", "compute_type", "lora_rank", "lora_alpha", "max_seq_len", "seed",
)  # fmt: skip
_SHOWN = 12  # numbers of a metrics file at most


def model_card(source: Source, name: str, metrics: Path | None) -> str:
    """Write the card.

    Args:
        source: The run.
        name: The model's.
        metrics: A `metrics.json` of `paddle-ground eval`; none where nothing was measured.

    Raises:
        ConfigError: The metrics can't be read.
    """
    grounding = _json(source.folder / "grounding.json")
    return (
        "\n".join(
            [
                *_header(source),
                f"# {name}",
                "",
                "A vision-language model tuned for visual grounding with paddle_ground: it is shown a "
                "picture and told in words what to find, and answers with boxes.",
                "",
                *_asked(grounding),
                *_trained(source),
                *_measured(metrics),
                *_used(name),
            ]
        )
        + "\n"
    )


def _header(source: Source) -> Iterator[str]:
    yield from ("---", "pipeline_tag: image-text-to-text", "library_name: transformers")
    yield from ("tags:", "- visual-grounding", "- object-detection", "- paddle_ground")
    base = str(_settings(source.run).get("model_name_or_path") or "")
    # A path says nothing to others, and may say too much.
    if base.count("/") == 1 and not base.startswith((".", "/", "~")) and not Path(base).exists():
        yield f"base_model: {json.dumps(base)}"
    yield from ("---", "")


def _asked(grounding: Mapping[str, Any]) -> Iterator[str]:
    if not grounding:
        return
    names = grounding.get("class_names") or []
    yield from ("## How it is asked", "", "| what | value |", "| --- | --- |")
    yield f"| detection prompt | `{_cell(grounding.get('prompt'))}` |"
    yield f"| coordinates | {grounding.get('coordinate_space')} |"
    yield f"| answer format | {grounding.get('answer_format')} |"
    yield f"| image area, pixels | {grounding.get('min_pixels')} to {grounding.get('max_pixels')} |"
    if names:
        yield f"| classes | {', '.join(map(_cell, names))} |"
    yield ""


def _trained(source: Source) -> Iterator[str]:
    settings, data = _settings(source.run), _json(source.run / "data.json")
    if settings:
        yield from ("## Training", "", "| setting | value |", "| --- | --- |")
        given = [key for key in _SETTINGS if settings.get(key) not in (None, "")]
        yield from (f"| {key} | {_cell(settings[key])} |" for key in given)
        if source.adapter is not None:
            yield f"| merged adapter | rank {source.adapter.rank}, scaling {source.adapter.scaling:g} |"
        yield ""
    if isinstance(data, list) and data:
        yield from ("| data | bytes | SHA-256 |", "| --- | --- | --- |")
        for one in data:
            name = Path(str(one.get("path"))).name
            yield f"| {_cell(name)} | {one.get('bytes')} | `{one.get('sha256')}` |"
        yield ""
    made = [f"{key} {value}" for key, value in _json(source.run / "versions.json").items() if value]
    if made:
        yield from (f"Made with {', '.join(made)}.", "")


def _measured(metrics: Path | None) -> Iterator[str]:
    yield from ("## Metrics", "")
    if metrics is None:
        yield from ("None were given with the export; `paddle-ground eval` measures them.", "")
        return
    try:
        found = json.loads(metrics.read_text(encoding="utf-8"))
        numbers = {key: value for key, value in found.items() if isinstance(value, int | float)}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{metrics}: cannot be read as metrics ({error}); give eval's metrics.json"
        ) from error
    if not numbers:
        raise ConfigError(
            f"{metrics}: it holds no number; give the metrics.json that `paddle-ground eval` wrote"
        )
    yield from ("| metric | value |", "| --- | --- |")
    yield from (f"| {_cell(key)} | {value:.4g} |" for key, value in list(numbers.items())[:_SHOWN])
    yield ""


def _used(name: str) -> Iterator[str]:
    yield from ("## Use", "", "```bash")
    yield f"paddle-ground ground {name} picture.jpg 'the red cup'"
    yield f"vllm serve {name}"
    yield f"python -m sglang.launch_server --model-path {name}"
    yield f"python -m fastdeploy.entrypoints.openai.api_server --model {name}"
    yield from ("```",)


def _settings(run: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load((run / "resolved.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
