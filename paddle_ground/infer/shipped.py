"""Which model answers where none is named: the small one that comes with the project.

Takes what a user typed; gives model folder, image and words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paddle_ground.errors import ConfigError

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "data" / "tiny-qwen3-vl"
"""The small model, made by `make tiny-model`; it knows drawn things and no photographs."""


def default_model() -> Path:
    """Give the small model's folder.

    Raises:
        ConfigError: It is not there: the project is installed without its `data/`.
    """
    if not (DEFAULT_MODEL / "config.json").is_file():
        raise ConfigError(
            "no model was named, and the small one in data/tiny-qwen3-vl is not beside this installation; "
            "name a model folder, or run in a clone of the project"
        )
    return DEFAULT_MODEL


def named_or_default(model: Path | None, say: Callable[[str], None]) -> Path:
    """Give the model that was named, or else the small one.

    Args:
        model: As it was named; none if it was not.
        say: Is told where it is the small one.

    Raises:
        ConfigError: It is the small one, and not there.
    """
    if model is not None:
        return model
    small = default_model()
    where = f"{small.parent.name}/{small.name}"
    say(f"no model was named: the small one in {where} answers; it knows drawn shapes and digits only")
    return small


def which_model(first: str, second: str | None, third: str | None) -> tuple[Path, Path, str | None]:
    """Tell model, image and words apart where the model may be left out.

    Args:
        first: A model folder, or an image.
        second: The image, or the words where the model was left out.
        third: The words, if there are any.

    Returns:
        Model folder, image, words.

    Raises:
        ConfigError: There is no image among them, or one is too many.
    """
    if not Path(first).is_file():
        if second is None:
            raise ConfigError(f"{first}: is no image file; expected [model] image [words]")
        if not Path(first).exists() and not Path(second).exists():
            # Most likely an image that is misspelled, and words about it.
            raise ConfigError(
                f"{first}: no such image, and no such model folder; expected [model] image [words]"
            )
        return Path(first), Path(second), third
    if third is not None:
        raise ConfigError(f"{first}: is a file, and a model is a folder; expected [model] image [words]")
    return default_model(), Path(first), second
