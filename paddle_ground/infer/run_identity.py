"""Tell whether a predictions file may be continued: same samples, same model, same limits, nobody else at it.

Takes the files of a run; gives a small record beside its predictions, `<stem>.run.json`. Without it, a
second run into the same file would silently mix two models' answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

from paddle_ground.errors import RecordError
from paddle_ground.files import unwritable, write_text


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What the answers of a run depend on.

    Attributes:
        samples_sha256: Hash of the samples file.
        model: Fingerprint of the checkpoint (`Checkpoint.fingerprint`).
        dtype: Of the model's weights.
        max_new_tokens: Where answers are cut off.
        free: Whether the model could write whatever it wanted.
        max_repeats: How often a region could be said.
        temperature: See `Sampling`, as for the next two.
        top_p: Likewise.
        seed: Likewise.
    """

    samples_sha256: str
    model: str
    dtype: str
    max_new_tokens: int
    free: bool = False
    max_repeats: int = 3
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


def run_path(predictions_path: Path) -> Path:
    """Give the path of a predictions file's run record: `predictions.jsonl` -> `predictions.run.json`."""
    return predictions_path.with_suffix(".run.json")


@contextmanager
def only_writer(predictions_path: Path) -> Iterator[None]:
    """Keep other runs away from a predictions file meanwhile: two would write the same answers twice.

    Raises:
        RecordError: Another run has it.
        DataError: It can't be written.
    """
    import fcntl

    try:
        predictions_path.parent.mkdir(parents=True, exist_ok=True)
        stream = predictions_path.open("ab")
    except OSError as error:
        raise unwritable(predictions_path, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordError(
                f"{predictions_path}: another run is writing it; wait for its end, or write elsewhere"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def claim(predictions_path: Path, run: RunIdentity) -> None:
    """Take a predictions file for a run, or see that it is this run's already.

    Raises:
        RecordError: It holds another run's answers, or nobody knows whose.
        DataError: The record can't be written.
    """
    path = run_path(predictions_path)
    if predictions_path.is_file() and predictions_path.stat().st_size > 0:
        # A record from before a setting was there has its default.
        before = {f.name: f.default for f in fields(run) if f.default is not MISSING} | _read(path)
        differing = [name for name, value in asdict(run).items() if before.get(name) != value]
        if differing:
            raise RecordError(
                f"{predictions_path}: holds the answers of another run (other {', '.join(differing)}); "
                "delete it to start anew, or write elsewhere"
            )
        return
    write_text(path, json.dumps(asdict(run), indent=2) + "\n")


def _read(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
