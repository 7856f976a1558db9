"""The command line: what it lists, how it fails, and that it starts without the heavy libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest
import typer

from paddle_ground import __version__
from paddle_ground.cli import app, main

COMMANDS = {"demo", "prepare", "train", "predict", "ground", "eval", "draw", "version"}


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
    (("eval", "missing.jsonl", "missing.truth.json"), "missing"),
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
