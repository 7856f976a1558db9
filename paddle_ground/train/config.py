"""Read a training YAML and check its keys against PaddleFormers' own dataclasses.

Takes a path and `key=value` overrides; gives a checked mapping, or one error that lists every
problem with the file's name. It reads PaddleFormers' source with `ast`, so that checking a
file takes milliseconds and imports neither paddle nor PaddleFormers.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddle_ground.backend.settings import GroundingSettings, is_lora, sharding_of
from paddle_ground.errors import ConfigError

# The classes that PaddleFormers' parser fills (`paddleformers.cli.hparams.parser._TRAIN_ARGS`).
_ARGUMENT_CLASSES = (
    "ModelArguments", "DataArguments", "End2EndProcessorArguments",
    "GeneratingArguments", "FinetuningArguments",
)  # fmt: skip
_SOURCES = ("cli/hparams", "cli/train/sft/sft_config.py", "trainer/training_args.py")
_reading = threading.Lock()
# Keys of the published 1.0 recipes, with their names in 1.2.
RENAMED = {"attn_impl": "_attn_implementation", "attn_implementation": "_attn_implementation"}


@dataclass(frozen=True)
class TrainConfig:
    """A training YAML after its overrides.

    Attributes:
        path: The file it came from.
        values: PaddleFormers' keys; `grounding` is not among them.
        grounding: The `grounding` section, checked.
        raw_grounding: The same section as it stood, for writing the YAML again.
    """

    path: Path
    values: Mapping[str, Any]
    grounding: GroundingSettings
    raw_grounding: Mapping[str, Any]

    def on_cpu(self) -> bool:
        """Tell whether the run asks for the CPU."""
        return self.values.get("device") == "cpu"

    def is_lora(self) -> bool:
        """Tell whether adapters are trained."""
        return is_lora(self.values)

    def sharding(self) -> str:
        """Give the sharding as PaddleFormers takes it, "" for none."""
        return sharding_of(self.values)

    def processes(self) -> int:
        """Give how many processes the parallel degrees need at least."""
        degrees = ["tensor_model_parallel_size", "pipeline_model_parallel_size", "sep_parallel_size"]
        if self.sharding():  # without it, PaddleFormers ignores the degree
            degrees.append("sharding_parallel_size")
        count = 1
        for name in degrees:
            count *= max(1, int(self.values.get(name) or 1))
        return count

    def to_mapping(self) -> dict[str, Any]:
        """Give what a YAML file of this configuration holds."""
        section = {"grounding": dict(self.raw_grounding)} if self.raw_grounding else {}
        return {**self.values, **section}


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read and check a training YAML.

    Args:
        path: The file.
        overrides: `key=value` each, as `paddleformers-cli` takes them; the value is YAML.

    Returns:
        The configuration.

    Raises:
        ConfigError: The file cannot be read or is no mapping, or any key is unknown; all unknown
            keys stand in the one message, each with the nearest known one.
    """
    path = Path(path)
    values = _read_yaml(path)
    for item in overrides:
        key, value = _override(item)
        values[key] = value
    section = values.pop("grounding", None) or {}
    problems = list(_unknown_keys(values))
    try:
        settings = GroundingSettings.from_mapping(section)
    except ConfigError as error:
        problems.append(str(error))
        settings = GroundingSettings()
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")
    return TrainConfig(path, values, settings, dict(section))


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name one of configs/") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise ConfigError(
            f"{where}: is not YAML ({getattr(error, 'problem', error)}); mend that line"
        ) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected `key: value` lines; found {type(values).__name__}")
    return values


def _override(item: str) -> tuple[str, Any]:
    import yaml

    key, sign, value = item.partition("=")
    if not sign or not key:
        raise ConfigError(f"override `{item}`: expected key=value, e.g. max_steps=100")
    try:
        return key.lstrip("-"), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"override `{item}`: the value is not valid YAML; quote it") from None


def _unknown_keys(values: Mapping[str, Any]) -> Iterator[str]:
    known = known_keys()
    for key in map(str, values):  # YAML takes a bare 1 or on for a number or a truth.
        if key in known:
            continue
        near = RENAMED.get(key) or next(iter(difflib.get_close_matches(key, known, n=1)), None)
        if key in RENAMED:
            yield f"unknown key `{key}` (PaddleFormers 1.2 calls it `{near}`)"
        elif near:
            yield f"unknown key `{key}` (did you mean `{near}`?)"
        else:
            yield f"unknown key `{key}`; remove it: PaddleFormers refuses keys that it does not know"


def known_keys() -> frozenset[str]:
    """Give every key that the installed PaddleFormers takes in a training YAML.

    Raises:
        ConfigError: PaddleFormers is not installed.
    """
    return frozenset(known_types())


def known_types() -> Mapping[str, frozenset[str]]:
    """Give every key with the types that PaddleFormers' source names for it, `Optional[int]` for example.

    Returns:
        More than one where several of its classes have the key.

    Raises:
        ConfigError: PaddleFormers is not installed.
    """
    # CPython 3.11's `ast` counts its depth for all threads together, and fails where two of them parse.
    with _reading:
        return _read_types()


@functools.lru_cache(maxsize=1)
def _read_types() -> Mapping[str, frozenset[str]]:
    spec = importlib.util.find_spec("paddleformers")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("PaddleFormers is not installed; run `make setup`, or `pip install paddleformers`")
    root = Path(next(iter(spec.submodule_search_locations)))
    classes = {node.name: node for file in _files(root) for node in _classes(file)}
    found: dict[str, set[str]] = {}
    for key, kind in (
        *_model_keys(root),
        *(row for name in _ARGUMENT_CLASSES for row in _fields(name, classes)),
    ):
        found.setdefault(key, set()).add(kind)
    return {key: frozenset(kinds) for key, kinds in found.items()}


def _model_keys(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the keys that the decorator `llmmetaclass` adds: (name, type, default, help) rows of a class."""
    rows = (
        line.value.elts
        for node in _classes(root / "transformers/configuration_utils.py")
        if node.name == "LlmMetaConfig"
        for line in node.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.List)
    )
    for row in (row.elts for table in rows for row in table if isinstance(row, ast.Tuple)):
        if row and isinstance(row[0], ast.Constant) and isinstance(row[0].value, str):
            yield row[0].value, ast.unparse(row[1]) if len(row) > 1 else "Any"


def _files(root: Path) -> Iterator[Path]:
    for source in _SOURCES:
        path = root / source
        yield from sorted(path.glob("*.py")) if path.is_dir() else [path]


def _classes(path: Path) -> Iterable[ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


def _fields(name: str, classes: Mapping[str, ast.ClassDef]) -> Iterator[tuple[str, str]]:
    node = classes.get(name)
    if node is None:
        return
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id, ast.unparse(line.annotation)
    for base in node.bases:
        if isinstance(base, ast.Name):
            yield from _fields(base.id, classes)
