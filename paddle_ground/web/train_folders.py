"""Where the Train tab may reach: configurations, models, samples files and runs, below named folders.

Takes the folders that the command line names; gives what is in them, by names that a browser may send back.
A name leads nowhere else: it is looked up in what was found, or checked part by part. Knows no page.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from paddle_ground.errors import ConfigError
from paddle_ground.families import family_of
from paddle_ground.web.run_folders import folder_below, holds_model, is_short, walk
from paddle_ground.web.samples import list_samples

RUN_FILES = ("page.yaml", "resolved.yaml")
"""What makes a folder a run: what the page started, and what `paddle-ground train` leaves."""
_MOST = 500
_YAML = re.compile(r"[A-Za-z0-9\u4e00-\u9fff][\w.-]{0,99}\.ya?ml")
_INSIDE_RUN = re.compile(r"checkpoint-\d+|best|logs(\.machine\d+)?|visualdl")


@dataclass(frozen=True, slots=True)
class TrainPlace:
    """The roots, their links resolved.

    Attributes:
        runs: Trainings write into folders below it.
        configs: YAMLs are opened from it, and saved in it.
        data: Samples files; none where no folder of data is shown.
    """

    runs: Path
    configs: Path
    data: Path | None = None

    def configurations(self) -> list[str]:
        """List the YAMLs of trainings, by their paths from the folder on."""
        found = (
            path
            for folder, names in _walk(self.configs)
            for name in names
            if name.endswith((".yaml", ".yml"))
            and not (path := folder / name).is_symlink()
            and _is_training(path)
        )
        return sorted(path.relative_to(self.configs).as_posix() for path in islice(found, _MOST))

    def configuration(self, name: str | None) -> Path:
        """Find a YAML by its name.

        Raises:
            ConfigError: There is none of that name.
        """
        if not name or name not in self.configurations():
            raise ConfigError(f"{_short(name)}: no such configuration; choose one of the list")
        return self.configs / name

    def new_configuration(self, name: str) -> Path:
        """Give where a YAML of that name is saved.

        Raises:
            ConfigError: The name leads out of the folder, or is none of a YAML.
        """
        folder, slash, file = name.strip().rpartition("/")
        parent = folder_below(self.configs, folder) if slash else self.configs
        path = parent / file
        if not (_YAML.fullmatch(file) and is_short(file)) or path.is_symlink() or path.is_dir():
            raise ConfigError(
                f"{_short(name)}: no name of a YAML; expected letters, digits, . _ - and .yaml, not too long"
            )
        return path

    def models_found(self) -> dict[str, Path]:
        """Give the models below the runs, by a name that starts with the root's."""
        found = (
            folder
            for folder, names in _walk(self.runs)
            if holds_model(names) and family_of(folder) is not None
        )
        return {self.shown(str(folder)): folder for folder in islice(found, _MOST)}

    def data_found(self) -> dict[str, Path]:
        """Give the samples files, by a name that starts with their folder's."""
        if self.data is None:
            return {}
        return {f"{self.data.name}/{name}": self.data / name for name in list_samples(self.data)}

    def runs_found(self) -> list[str]:
        """List the run folders, by their paths from the root on, the last one that was written to first."""
        found = [
            (max(_changed(folder / name) for name in (*RUN_FILES, "train.log", "log.jsonl")), folder)
            for folder, names in _walk(self.runs)
            if any(name in RUN_FILES for name in names)
        ]
        newest = sorted(found, key=lambda pair: (-pair[0], pair[1]))
        return [folder.relative_to(self.runs).as_posix() for _, folder in newest[:_MOST]]

    def run(self, name: str | None) -> Path:
        """Find a run folder by its name.

        Raises:
            ConfigError: There is none of that name.
        """
        path = self.runs / (name or "")
        try:
            inside = path != self.runs and path.resolve() == path and path.is_relative_to(self.runs)
            if inside and any((path / file).is_file() for file in RUN_FILES):
                return path
        except (OSError, ValueError):  # a name that is too long, or none of a file
            pass
        raise ConfigError(f"{_short(name)}: no such run; choose one of the list")

    def place_of_run(self, name: str) -> Path:
        """Give a folder below the root, whether it is there or not.

        Raises:
            ConfigError: The name leads out of the root.
        """
        return folder_below(self.runs, name)

    def new_run(self, name: str) -> Path:
        """Give the folder of a run that is to be made.

        Raises:
            ConfigError: The name leads out of the root, or something is there already.
        """
        path = self.place_of_run(name)
        if path.exists():
            raise ConfigError(
                f"{_short(name)}: is there already; name a new folder, or choose it among the runs and resume"
            )
        return path

    def written(self, path: Path) -> str:
        """Write a path for a YAML: from here on where it lies below this folder, else whole."""
        here = Path.cwd()
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)

    def shown(self, text: str) -> str:
        """Take the places of this machine out of a text, so that the folders' names stay."""
        for root in filter(None, (self.runs, self.configs, self.data)):
            text = text.replace(str(root), root.name)
        for place in (str(Path.cwd()), sys.prefix):
            text = text.replace(f"{place}{os.sep}", "")
        return text


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Walk folders, those left out that a run makes inside of itself."""
    for folder, names in walk(root):
        if not any(_INSIDE_RUN.fullmatch(part) for part in folder.relative_to(root).parts):
            yield folder, names


def _is_training(path: Path) -> bool:
    """Tell a training's YAML from others: it says what is trained on."""
    try:
        with path.open("rb") as stream:
            return b"\ntrain_dataset_path:" in b"\n" + stream.read(1 << 16)
    except OSError:
        return False


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _short(name: str | None) -> str:
    return repr((name or "")[:100])
