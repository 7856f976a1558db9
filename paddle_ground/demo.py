"""The whole path in one command, on a CPU: data, predict, train, predict, evaluate, picture.

Takes an output folder and, if wanted, a folder of COCO parquet shards; gives `summary.json`,
a table and pictures. It calls each stage by its public door, as a user would, and knows nothing
of their insides. It starts from the small model in `data/`, which has seen drawn shapes, and teaches it
road signs, which it has never seen. A run that was stopped goes on where it stopped; the same
settings again find everything done.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.files import write_text
from paddle_ground.infer import default_model

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "tiny" / "demo.yaml"
_MARK = "demo.json"
SIDE_PX = 192
_MADE_HERE = ("source", "data", "train", "before", "after")


@dataclass(frozen=True)
class DemoOptions:
    """What the demo does.

    Attributes:
        output_dir: Everything is written below it.
        source: Folder of COCO parquet shards; none makes synthetic scenes.
        train_images: Synthetic training scenes.
        val_images: Synthetic held-out scenes; at most so many are predicted of a real source too.
        steps: Training steps.
        batch_size: Samples a step.
        max_seq_len: Longest sample in tokens, image included.
        max_new_tokens: Longest answer.
        image_max_pixels: Area above which an image is shrunk, in training and inference.
        seed: Of scenes and order.
    """

    output_dir: Path
    source: Path | None = None
    train_images: int = 6000
    val_images: int = 128
    steps: int = 240
    batch_size: int = 32
    max_seq_len: int = 512
    max_new_tokens: int = 64
    image_max_pixels: int = SIDE_PX * SIDE_PX
    seed: int = 23

    def for_source(self, source: Path) -> DemoOptions:
        """Give the settings for real photographs: larger images, longer answers, fewer and smaller steps."""
        return replace(
            self, source=source, steps=60, batch_size=4, max_seq_len=2048, max_new_tokens=256,
            image_max_pixels=256 * 256,
        )  # fmt: skip


@dataclass(frozen=True)
class Score:
    """The three numbers of one prediction run, each 0 to 1."""

    ap50: float
    f1_50: float
    parse_rate: float


@dataclass(frozen=True)
class DemoSummary:
    """What `summary.json` holds."""

    samples: int
    steps: int
    seconds: float
    before: Score
    after: Score


def run_demo(options: DemoOptions, say: Callable[[str], None] = print) -> DemoSummary:
    """Run the whole path.

    Args:
        options: Where and how much.
        say: Gets one line for each part, and the table at the end.

    Returns:
        The figures that `summary.json` holds too.

    Raises:
        PaddleGroundError: A stage cannot do its part; what was finished stays and is used next time.
    """
    start = time.monotonic()
    out = options.output_dir
    _make_room(options)
    with _part(say, "data"):
        samples = _prepare(options, say)
    model = default_model()
    with _part(say, "predict with the model as it is"):
        before = _score(options, model, out / "before")
    with _part(say, f"train {options.steps} steps through paddleformers-cli"):
        tuned, steps = _train(options, model)
    with _part(say, "predict with the tuned model"):
        after = _score(options, tuned, out / "after")
    with _part(say, "draw"):
        sheet = _draw(options)
    seconds = round(_total_seconds(out, time.monotonic() - start), 1)
    summary = DemoSummary(samples, steps, seconds, before, after)
    write_text(out / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
    for line in table(summary):
        say(line)
    for what, path in (("summary", out / "summary.json"), ("picture", sheet), ("tuned model", tuned),
                       ("predictions", out / "after" / "predictions.jsonl"),
                       ("curves", f"visualdl --logdir {out / 'train' / 'visualdl'}")):  # fmt: skip
        say(f"{what + ':':<13}{path}")
    return summary


def table(summary: DemoSummary) -> list[str]:
    """Give the closing table, a line each."""
    rows = [("", "before", "after")]
    for name, key in (("AP50", "ap50"), ("F1@0.5", "f1_50"), ("parse rate", "parse_rate")):
        rows.append((name, f"{getattr(summary.before, key):.3f}", f"{getattr(summary.after, key):.3f}"))
    head = f"{summary.samples} training samples, {summary.steps} steps, {summary.seconds:.0f} s in all"
    return [head, *(f"{name:<12}{before:>8}{after:>8}" for name, before, after in rows)]


@contextmanager
def _part(say: Callable[[str], None], name: str) -> Iterator[None]:
    say(f"== {name}")
    start = time.monotonic()
    yield
    say(f"   {time.monotonic() - start:.1f} s")


def _make_room(options: DemoOptions) -> None:
    """Keep what the same settings made; clear what others made; touch no folder that is not a demo's."""
    if not CONFIG.is_file():
        raise ConfigError(f"{CONFIG}: is not there; clone the repository and run `make demo` in it")
    out, mark = options.output_dir, options.output_dir / _MARK
    wanted = json.dumps(_settings(options), indent=2) + "\n"
    if mark.is_file():
        if mark.read_text(encoding="utf-8") == wanted:
            return
        for name in _MADE_HERE:
            shutil.rmtree(out / name, ignore_errors=True)
        for name in ("summary.json", "seconds.json"):
            (out / name).unlink(missing_ok=True)
    elif out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out}: holds files that no demo made; name another folder with OUT= or --out")
    write_text(mark, wanted)


def _settings(options: DemoOptions) -> dict[str, Any]:
    source = options.source and str(options.source.resolve())
    return {**asdict(options), "output_dir": str(options.output_dir), "source": source}


def _total_seconds(out: Path, now: float) -> float:
    """Add this run's time to that of the runs that it goes on from."""
    path = out / "seconds.json"
    earlier = float(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.is_file() else 0.0
    if (out / "summary.json").is_file():  # all was done already: the time that it took stands
        return earlier
    write_text(path, json.dumps({"seconds": earlier + now}) + "\n")
    return earlier + now


def _prepare(options: DemoOptions, say: Callable[[str], None]) -> int:
    from tqdm import tqdm

    from paddle_ground.data.prepare import PrepareOptions, prepare

    source, classes = options.source, None
    if source is None:
        made = _synth(options)
        source, classes = made
    data = options.output_dir / "data"
    with tqdm(desc="prepare", unit="image", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = prepare(PrepareOptions(data, source, classes=classes, seed=options.seed), progress)
    for note in report.notes:
        say(f"   {note}")
    if report.samples_path("train") is None or report.samples_path("val") is None:
        raise ConfigError(
            f"{source}: gives no {'train' if report.samples_path('train') is None else 'val'} samples"
        )
    return sum(1 for _ in (data / "train.jsonl").open(encoding="utf-8"))


def _synth(options: DemoOptions) -> tuple[Path, Path]:
    from paddle_ground.data.signs import SIGNS
    from paddle_ground.data.synth import SceneStyle, write_synth

    style = SceneStyle(
        side_px=SIDE_PX, max_shapes=2, min_size=0.2, max_size=0.5, max_stretch=1.15, signs=tuple(SIGNS)
    )
    report = write_synth(
        options.output_dir / "source", options.train_images, options.val_images, options.seed, style
    )
    return report.root, report.classes_path


def _train(options: DemoOptions, model: Path) -> tuple[Path, int]:
    from paddle_ground.train.launch import train

    out, finished = options.output_dir / "train", options.output_dir / "train" / "finished.json"
    if finished.is_file():
        return out, int(json.loads(finished.read_text(encoding="utf-8"))["steps"])
    data = options.output_dir / "data"
    report = train(CONFIG, [
        f"train_dataset_path={data / 'train.jsonl'}",
        f"eval_dataset_path={data / 'val.jsonl'}",
        f"model_name_or_path={model}",
        f"output_dir={out}",
        f"logging_dir={out / 'visualdl'}",
        f"max_steps={options.steps}",
        f"warmup_steps={max(1, options.steps // 15)}",
        f"eval_steps={max(1, options.steps // 2)}",
        f"save_steps={max(1, options.steps // 2)}",
        f"logging_steps={min(10, max(1, options.steps // 4))}",
        f"per_device_train_batch_size={options.batch_size}",
        f"max_seq_len={options.max_seq_len}",
        f"seed={options.seed}",
        f"grounding={{image_max_pixels: {options.image_max_pixels}}}",
    ])  # fmt: skip
    write_text(finished, json.dumps({"steps": report.steps, "seconds": report.seconds}) + "\n")
    return out, report.steps


def _score(options: DemoOptions, model: Path, folder: Path) -> Score:
    from paddle_ground.evaluate.run import evaluate_files
    from paddle_ground.infer.predict import predict
    from paddle_ground.records import truth_path

    samples = options.output_dir / "data" / "val.jsonl"
    predictions = folder / "predictions.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    # Free, for the parse rate to mean something: the grammar lets no model write what does not parse.
    predict(samples, model, predictions, batch_size=32, max_new_tokens=options.max_new_tokens, free=True)
    metrics = evaluate_files(predictions, truth_path(samples), folder)
    return Score(round(metrics.ap50, 4), round(metrics.f1_50, 4), round(metrics.parse_rate, 4))


def _draw(options: DemoOptions) -> Path:
    from paddle_ground.records import truth_path
    from paddle_ground.view.run import draw_predictions

    out = options.output_dir
    samples = out / "data" / "val.jsonl"
    predictions = out / "after" / "predictions.jsonl"
    return draw_predictions(predictions, truth_path(samples), out / "after" / "pictures").contact_sheet
