"""Start a training run and follow it to its end.

Takes a checked configuration; gives a run folder (resolved YAML, versions, hashes, log,
VisualDL curves, checkpoints, final model) and a report. The training itself is
`paddleformers-cli train`, unmodified, in a child process.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paddle_ground.backend import cpu_runtime, run_lock
from paddle_ground.backend.checkpoint import inspect_checkpoint, read_json
from paddle_ground.backend.data_sets import common_meta, data_sets
from paddle_ground.backend.settings import BEST_FOLDER
from paddle_ground.errors import PaddleGroundError, TrainError
from paddle_ground.families import FAMILIES
from paddle_ground.train.config import TrainConfig, load_config
from paddle_ground.train.data_check import order_problems, sample_problems
from paddle_ground.train.follow import LoaderDiedError, TrainReport, follow
from paddle_ground.train.lint import refuse
from paddle_ground.train.run_folder import write_run_folder
from paddle_ground.train.workers import WorkerLogs, machine_count, of_machine, process_count

PLUGIN = Path(__file__).resolve().parent.parent / "backend" / "plugin.py"


def train(
    config_path: str | Path,
    overrides: Sequence[str] = (),
    *,
    on_step: Callable[[int, float], None] | None = None,
) -> TrainReport:
    """Run a training YAML through `paddleformers-cli train`.

    Args:
        config_path: The YAML.
        overrides: `key=value` each, in PaddleFormers' own syntax.
        on_step: Called with step and loss at each logged step; none draws a progress bar.

    Returns:
        The report; the model is in its `output_dir`.

    Raises:
        ConfigError: The YAML is wrong, or another training writes to its folder.
        TrainError: A file that it names is missing, or training failed; the message ends with
            the error that PaddleFormers printed and the log's path.
    """
    config = load_config(config_path, overrides)
    for finding in refuse(config):
        sys.stderr.write(f"warning: {finding}\n")
    output_dir = check_paths(config)
    if not of_machine(os.environ):  # On another one: the first machine may hold the folder for this very run.
        run_lock.wait_until_free(output_dir)
    resolved = write_run_folder(config, _with_plugin(config), output_dir)
    report = TrainReport(output_dir, output_dir / f"train{of_machine(os.environ)}.log")
    command = [_paddleformers_cli(), "train", str(resolved)]
    env = child_environment(config, output_dir)
    workers, start = WorkerLogs(env["PADDLEFORMERS_DIST_LOG"]), time.monotonic()
    code, tail = _run(command, env, report, on_step, config)
    report.seconds = time.monotonic() - start
    if code:
        raise TrainError(
            f"training stopped with exit code {code}: {workers.cause(tail)}; all of it: {report.log_path}"
        )
    if not any(output_dir.glob("*.safetensors")):
        raise TrainError(f"{output_dir}: training ended without a model; see {report.log_path}")
    best = output_dir / BEST_FOLDER
    report.best = best if config.grounding.keep_best and best.is_dir() else None
    return report


def check_paths(config: TrainConfig) -> Path:
    """Check the files that a YAML names before anything is started.

    Returns:
        The output folder.

    Raises:
        TrainError: A file is missing, or the output folder cannot be written; the message
            lists every problem.
    """
    problems = []
    # PaddleFormers' `offline` data sets are read from an `input_dir`.
    if not data_sets(config.values, "train") and not config.values.get("input_dir"):
        problems.append("train_dataset_path is missing")
    for kind in ("train", "eval"):
        for found in data_sets(config.values, kind):
            if not found.path.is_file():
                problems.append(
                    f"{kind}_dataset_path: {found.path} does not exist (run `paddle-ground prepare` first)"
                )
            elif found.kind == "messages":
                problems += sample_problems(found.path)
                problems += order_problems(found.path, config.values) if kind == "train" else ()
    try:
        common_meta(data_sets(config.values, "train"))
    except PaddleGroundError as error:
        problems.append(str(error))
    problems += model_problems(config.values)
    plugin = str(_with_plugin(config)["custom_register_path"])
    if not Path(plugin).is_file():
        problems.append(f"custom_register_path: {plugin} does not exist; leave the key out for ours")
    output = config.values.get("output_dir")
    if not output:
        problems.append("output_dir is missing")
    else:
        try:
            Path(str(output)).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problems.append(f"output_dir: {output} cannot be made ({error.strerror}); name another folder")
    if problems:
        raise TrainError(f"{config.path}: {'; '.join(problems)}")
    return Path(str(output))


def model_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Tell what is wrong with the model to begin from, where it is here and of a family that we know."""
    model = str(values.get("model_name_or_path") or "")
    if not model:
        yield "model_name_or_path is missing"
        return
    path = Path(model) / "config.json"
    if not path.is_file():
        if _looks_local(model):
            yield f"model_name_or_path: {model} holds no config.json; name a model folder"
        return
    try:
        whole = values.get("continue_training") is not False and values.get("convert_from_hf") is not False
        if read_json(path).get("model_type") in FAMILIES and whole:
            inspect_checkpoint(model)
    except PaddleGroundError as error:
        yield f"model_name_or_path: {error}"


def _looks_local(model: str) -> bool:
    """Tell a path from a hub's `owner/name`."""
    return model.startswith((".", "/", "~")) or model.count("/") != 1 or Path(model).exists()


def _with_plugin(config: TrainConfig) -> dict[str, object]:
    """Give the YAML's content with the plugin's absolute path, so that it runs from any folder."""
    values = config.to_mapping()
    named = values.get("custom_register_path")
    if not named or Path(str(named)).name == PLUGIN.name:
        values["custom_register_path"] = str(PLUGIN)
    return values


def child_environment(config: TrainConfig, output_dir: Path) -> dict[str, str]:
    """Give the environment that the launcher needs.

    On a CPU, one process is started for each id in CUDA_VISIBLE_DEVICES (the launcher refuses an
    empty list), and they talk through gloo. Variables that are set already are kept.

    Raises:
        TrainError: CUDA_VISIBLE_DEVICES names fewer processes than a CPU run needs, or several machines
            are meant and not told where to meet.
    """
    env = dict(os.environ)
    env.setdefault("PADDLEFORMERS_DIST_LOG", str(output_dir / f"logs{of_machine(env)}"))
    if machine_count(env) == 1:
        env.setdefault("MASTER_PORT", str(_free_port()))
    env["PYTHONUNBUFFERED"] = "1"
    env[run_lock.FOLLOWED_BY] = str(os.getpid())
    # `paddleformers-cli` starts its workers as plain `python`.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    if config.on_cpu():
        started = process_count(config, env)
        if not env.get("CUDA_VISIBLE_DEVICES"):
            env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(started)))
        env.setdefault("PADDLE_DISTRI_BACKEND", "gloo")
        env.update(cpu_runtime.environment(max(1, cpu_runtime.threads_for_process() // started)))
    return env


def _paddleformers_cli() -> str:
    beside = Path(sys.executable).parent / "paddleformers-cli"
    found = str(beside) if beside.exists() else shutil.which("paddleformers-cli")
    if found is None:
        raise TrainError("paddleformers-cli is not installed in this environment; run `make setup`")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(
    command: Sequence[str],
    env: dict[str, str],
    report: TrainReport,
    on_step: Callable[[int, float], None] | None,
    config: TrainConfig,
) -> tuple[int, list[str]]:
    """Run the child, keep its output, report its steps; stop it with us when we are interrupted."""
    child = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    try:
        tail = follow(_lines(child), report, config, on_step)
        return child.wait(), tail
    except LoaderDiedError as error:
        _stop(child)
        raise TrainError(f"training data cannot be read: {error}; all of it: {report.log_path}") from None
    except BaseException:
        _stop(child)
        raise


def _lines(child: subprocess.Popen[str]) -> Iterable[str]:
    assert child.stdout is not None
    return child.stdout


def _stop(child: subprocess.Popen[str]) -> None:
    """End the child and all that it started: the launcher does not pass signals on by itself."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sig)
            child.wait(timeout=10)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
