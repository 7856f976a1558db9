"""What the command line gives as text -> the options that it means.

Takes words such as "a,b", "old=new" or "flip=0.5", gives options, or an error that names the flag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from paddle_ground.data.augment.stage import AugmentOptions
from paddle_ground.data.relabel import ClassChoice
from paddle_ground.errors import ConfigError


def read_class_choice(keep: str | None, drop: str | None, rename: Sequence[str]) -> ClassChoice:
    """Read --keep-classes, --drop-classes and --rename.

    Raises:
        ConfigError: A name is blank, something is not OLD=NEW, or one name shall become two.
    """
    kept, dropped = _names(keep, "--keep-classes"), _names(drop, "--drop-classes")
    return ClassChoice(kept, dropped, _renames(rename) or None)


def read_augment(copies: int | None, settings: Sequence[str]) -> AugmentOptions | None:
    """Read --augment and --augment-set.

    Args:
        copies: How many copies; None for none, unless something is set.
        settings: "name=number", or "name=low,high"; the names of `AugmentOptions`.

    Raises:
        ConfigError: A name is unknown, or a number is none or out of its range.
    """
    if copies is None:
        if settings:
            raise ConfigError(f"--augment-set {settings[0]!r} needs --augment COPIES; add it")
        return None
    defaults = AugmentOptions()
    known = {field.name: getattr(defaults, field.name) for field in fields(AugmentOptions)}
    del known["copies"]
    values: dict[str, float | tuple[float, ...]] = {}
    for setting in settings:
        name, _, text = (part.strip() for part in setting.partition("="))
        if name not in known:
            raise ConfigError(f"--augment-set {setting!r}: unknown name; known: {', '.join(sorted(known))}")
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        wanted = len(known[name]) if isinstance(known[name], tuple) else 1
        if len(numbers) != wanted:
            form = "NAME=LOW,HIGH" if wanted == 2 else "NAME=NUMBER"
            raise ConfigError(f"--augment-set {setting!r} is not {form}")
        values[name] = numbers if wanted > 1 else numbers[0]
    return AugmentOptions(copies, **values)  # type: ignore[arg-type]


def _names(text: str | None, option: str) -> tuple[str, ...]:
    """Read "a, b" as names."""
    names = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    if not all(names):
        raise ConfigError(f"{option} {text!r} has a blank name; give class names with commas between")
    return names


def _renames(texts: Sequence[str]) -> dict[str, str]:
    """Read "old=new" as what to rename."""
    renames: dict[str, str] = {}
    for text in texts:
        old, mark, new = (part.strip() for part in text.partition("="))
        if not (old and mark and new):
            raise ConfigError(f"--rename {text!r} is not OLD=NEW")
        if renames.setdefault(old, new) != new:
            raise ConfigError(f"--rename: {old!r} shall become {renames[old]!r} and {new!r}; choose one")
    return renames
