"""The command line: what it lists, how it fails, and that it starts without the heavy libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from PIL import Image

from paddle_ground import __version__
from paddle_ground.cli import app, main
from paddle_ground.infer import Grounding, Sampling
from paddle_ground.records import Region

COMMANDS = {
    "check",
    "demo",
    "distill",
    "doctor",
    "plan",
    "convert",
    "curves",
    "export",
    "prepare",
    "train",
    "predict",
    "ground",
    "eval",
    "draw",
    "serve",
    "report",
    "web",
    "version",
}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command line in this process; give exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    shown = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, shown.out, shown.err


def listed(help_text: str) -> set[str]:
    """Name the commands in a help text."""
    return set(re.findall(r"^  (\w+)  +\S", help_text.split("Commands:")[1], re.MULTILINE))


def test_help_lists_every_command(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert listed(out) == COMMANDS


def test_no_command_shows_the_help(capsys):
    _, out, err = run(capsys)
    assert listed(out + err) == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_explains_itself_with_an_example_that_parses(capsys, command):
    code, out, _ = run(capsys, command, "-h")
    assert code == 0
    examples = re.findall(rf"^ +paddle-ground ({command}\b.*)$", out, re.MULTILINE)
    assert examples, out
    for example in examples:
        words = [word.strip("\"'") for word in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", example)]
        known = typer.main.get_command(app)
        context = known.make_context("paddle-ground", words)  # raises a usage error for an unknown option
        name, sub, rest = known.resolve_command(context, words)
        assert sub is not None
        sub.make_context(name, list(rest), parent=context)


# Each of these asks for something that cannot be; (arguments, what the one line must name).
FAILING = [
    (("train", "missing.yaml"), "missing.yaml"),
    (("curves", "missing"), "missing"),
    (("prepare", "--source", "missing", "--output-dir", "out"), "missing"),
    (("prepare", "--source", ".", "--output-dir", "out", "--bbox-format", "yxyx"), "yxyx"),
    (("predict", "missing.jsonl", "missing_model"), "missing"),
    (("eval", "missing.jsonl", "missing.truth.json"), "missing"),
    (("draw", "missing.jsonl", "missing.jsonl"), "missing"),
]


@pytest.mark.parametrize(("arguments", "named"), FAILING)
def test_an_error_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments: Sequence[str], named):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("paddle-ground: ")
    assert named in err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where_an_error_came_from(tmp_path):
    for words in (["--debug", "train", "missing.yaml"], ["train", "missing.yaml", "--debug"]):
        done = subprocess.run(
            [sys.executable, "-m", "paddle_ground", *words],
            check=False, capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode != 0
        assert "Traceback" in done.stderr
        assert "ConfigError: missing.yaml" in done.stderr


def test_a_wrong_option_is_a_usage_error(capsys):
    code, _, err = run(capsys, "train", "--no-such-option", "x.yaml")
    assert code == 2
    assert "--no-such-option" in err


@pytest.fixture
def predicted(tmp_path: Path, write_run) -> Path:
    """A folder with one sample of two boxes, and a prediction that finds one of them exactly."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "images" / "a.png")
    box, other = (4.0, 4.0, 24.0, 24.0), (40.0, 8.0, 60.0, 28.0)
    return write_run(tmp_path, ["images/a.png"], [[box, other]], [[box]], label="cup")


# The samples themselves are not read: either name leads to the truth beside them.
@pytest.mark.parametrize("samples", ["val.jsonl", "val.truth.json"])
def test_eval_prints_and_writes_the_scores(capsys, predicted, samples):
    code, out, err = run(
        capsys,
        "eval",
        str(predicted / "predictions.jsonl"),
        str(predicted / samples),
        "-o",
        str(predicted / "r"),
    )
    assert (code, err) == (0, "")
    # One of two boxes found, nothing false: precision 1, recall 1/2, F1 2/3.
    written = json.loads((predicted / "r" / "metrics.json").read_text())
    assert (written["precision_50"], written["recall_50"]) == (1.0, 0.5)
    assert "66.7" in out
    assert "metrics.json" in out


def test_draw_writes_pictures(capsys, predicted):
    code, out, _ = run(
        capsys,
        "draw",
        str(predicted / "predictions.jsonl"),
        str(predicted / "val.jsonl"),
        "-o",
        str(predicted / "p"),
    )
    assert code == 0
    assert out.startswith("1 pictures in ")
    assert {path.name for path in (predicted / "p").iterdir()} == {"000000_a.png", "contact_sheet.png"}


FOUND = Grounding(
    regions=(Region("杯", (1.0, 2.0, 30.5, 40.0)),),
    text="raw",
    status="repaired",
    repairs=("swapped_corners",),
    prompt="find",
    size_wh=(64, 48),
    finish_reason="stop",
    tokens=7,
    seconds=0.25,
)


def test_ground_prints_boxes_and_draws_them(capsys, predicted, monkeypatch):
    # The model is stood in for: what answers are worth is tested in tests/infer.
    asked = []
    monkeypatch.setattr(
        "paddle_ground.infer.ground", lambda *what, **how: asked.append((what, how)) or FOUND, raising=True
    )
    image, save = predicted / "images" / "a.png", predicted / "boxes.png"
    code, out, _ = run(capsys, "ground", "model", str(image), "杯子", "--lang", "zh", "--save", str(save))
    assert (code, out) == (0, "1.0 2.0 30.5 40.0 杯\n")
    options = {"lang": "zh", "free": False, "max_new_tokens": 512, "max_repeats": 3}
    assert asked == [((Path("model"), image, "杯子"), {**options, "sampling": Sampling(0.0, 1.0, 0)})]
    with Image.open(save) as drawn:
        assert drawn.width * 48 == drawn.height * 64
        colours = drawn.convert("RGB").getcolors(maxcolors=drawn.width * drawn.height)
    assert colours
    assert len(colours) > 1, "the image was all grey; its box is not"

    code, out, _ = run(capsys, "ground", "model", str(image), "--json")
    shown = json.loads(out)
    assert shown["regions"] == [{"label": "杯", "box_xyxy_px": [1.0, 2.0, 30.5, 40.0], "score": None}]
    assert (shown["status"], shown["repairs"], shown["tokens"]) == ("repaired", ["swapped_corners"], 7)


def test_a_picture_of_no_known_kind_is_refused(capsys, predicted, monkeypatch):
    monkeypatch.setattr("paddle_ground.infer.ground", lambda *what, **how: FOUND)
    save = predicted / "boxes.txt"
    code, out, err = run(capsys, "ground", "m", str(predicted / "images" / "a.png"), "--save", str(save))
    assert code == 2
    assert out.startswith("1.0 2.0"), "the answer is not lost"
    assert "boxes.txt" in err
    assert ".png" in err
    assert not save.exists()


def test_version_reads_what_is_installed_without_importing_it():
    script = (
        "import json, sys\n"
        "from paddle_ground.cli import main\n"
        "try: main(['version'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print(json.dumps([name for name in ('paddle', 'paddleformers', 'numpy') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    *shown, loaded = done.stdout.splitlines()
    assert json.loads(loaded) == []
    assert shown[0] == f"paddle_ground {__version__}"
    assert shown[-1] == "python {}.{}.{}".format(*sys.version_info[:3])
    assert any(re.fullmatch(r"paddlepaddle \d+\.\d+\.\d+", line) for line in shown)


def test_without_a_model_the_small_one_answers(capsys, predicted, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("paddle_ground.infer.ground", lambda *what, **how: asked.append(what) or FOUND)
    (tmp_path / "config.json").touch()
    monkeypatch.setattr("paddle_ground.infer.shipped.DEFAULT_MODEL", tmp_path)
    image = predicted / "images" / "a.png"
    assert run(capsys, "ground", str(image), "the red circle")[0] == 0
    assert run(capsys, "ground", str(image))[0] == 0
    assert asked == [(tmp_path, image, "the red circle"), (tmp_path, image, None)]


def test_a_question_without_a_picture_or_with_a_file_for_a_model_is_refused(capsys, predicted, monkeypatch):
    monkeypatch.setattr("paddle_ground.infer.shipped.DEFAULT_MODEL", predicted / "nowhere")
    image = str(predicted / "images" / "a.png")
    for words, told in (
        (["nowhere"], "is no image file"),
        (["misspelled.png", "the cup"], "misspelled.png: no such image, and no such model folder"),
        ([image, image, "the cup"], "a model is a folder"),
        ([image, "the cup"], "no model was named"),
    ):
        code, _, err = run(capsys, "ground", *words)
        assert code == 2
        assert told in err
