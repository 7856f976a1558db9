"""The doctor, shown sick machines: fake installations, fake devices, a Paddle that fails in every way."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from paddle_ground.doctor import Finding, State, machine, packages, tries
from paddle_ground.doctor.command import render
from paddle_ground.doctor.faults import faults, symptoms

ROOT = Path(__file__).resolve().parents[2]


def install(folder: Path, name: str, version: str, *more: str) -> None:
    """Make a package's metadata, as pip leaves it."""
    home = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    home.mkdir(parents=True)
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more])
    (home / "METADATA").write_text(text + "\n", encoding="utf-8")


def by_name(found: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A folder that alone holds what is installed: this package, as it declares itself, and nothing else."""
    declared = metadata.metadata("paddle-ground")
    lines = [f"Requires-Dist: {need}" for need in declared.get_all("Requires-Dist") or []]
    lines += [f"Provides-Extra: {extra}" for extra in declared.get_all("Provides-Extra") or []]
    import packaging.requirements  # noqa: F401  before the rest of the packages is out of sight

    install(tmp_path, "paddle-ground", "9.9", *lines)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_a_version_out_of_range_is_broken_and_told_with_a_remedy(tmp_path, monkeypatch):
    install(tmp_path, "numpy", "2.4.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = by_name(packages.examine())
    assert found["numpy"].state is State.BROKEN
    assert found["numpy"].text.startswith("2.4.0; needed: ")
    assert "'numpy<2,>=1.26'" in found["numpy"].remedy
    assert found["paddle-ground"].state is State.OK


def test_everything_missing_is_a_line_each(alone):
    found = by_name(packages.examine())
    assert found["paddle"].state is State.BROKEN
    assert "Paddle's own index" in found["paddle"].remedy
    assert found["transformers"].text.startswith("not installed")
    broken = {name for name, one in found.items() if one.state is State.BROKEN}
    # What every user needs, as setup.cfg has it, is what is broken; an extra never is.
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    needed = {
        re.split(r"[<>=\[]", line.strip())[0] for line in lines if line.strip() and line.strip()[0] != "#"
    }
    assert broken - {"paddle"} <= needed
    assert {"numpy", "paddleformers", "visualdl"} <= broken
    assert {name for name, one in found.items() if one.group == "extras"} == set(
        config["options.extras_require"]
    ) - {"cpu", "all"}
    assert found["serve"].state is State.NOTE
    assert "fastapi" in found["serve"].text
    assert found["serve"].remedy.endswith("'.[serve]'")


@pytest.mark.parametrize(
    ("builds", "state", "told"),
    [
        ({"paddlepaddle": "3.3.1"}, State.OK, "paddlepaddle 3.3.1"),
        ({"paddlepaddle-gpu": "3.3.0"}, State.OK, "paddlepaddle-gpu 3.3.0"),
        ({"paddlepaddle-gpu": "2.6.2"}, State.BROKEN, "needed"),
        ({"paddlepaddle": "3.3.1", "paddlepaddle-gpu": "3.3.1"}, State.BROKEN, "own the same files"),
    ],
)
def test_one_build_of_paddle_must_be_there_and_one_only(alone, builds, state, told):
    for name, version in builds.items():
        install(alone, name, version)
    found = by_name(packages.examine())["paddle"]
    assert (found.state, told in found.text) == (state, True)
    assert bool(found.remedy) == (state is State.BROKEN)


def test_this_package_not_being_installed_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = by_name(packages.examine())["paddle-ground"]
    assert found.state is State.BROKEN


def test_every_extra_has_a_purpose():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert set(packages.PURPOSES) == set(config["options.extras_require"]) - {"all"}


@pytest.fixture
def computer(tmp_path):
    """A made-up machine: 8 GiB, a container's limits, two NVIDIA cards."""
    for path, text in {
        "proc/meminfo": "MemTotal:        8388608 kB\nMemAvailable:    4194304 kB\n",
        "proc/cpuinfo": "flags\t\t: fpu sse2 avx\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/memory.max": "2147483648\n",
        "dev/nvidia0": "",
        "dev/nvidia1": "",
        "dev/nvidiactl": "",
        "dev/shm/x": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_machine_is_told_with_its_container_s_limits(computer, monkeypatch):
    found = by_name(machine.examine(computer))
    assert found["memory"].text == "8.0 GiB, 4.0 GiB available; this container may use 2.0 GiB"
    assert "a quota of 1.5" in found["processors"].text
    assert found["processors"].state is State.NOTE
    assert "no AVX2" in found["processors"].text
    assert found["GPUs"].state is State.NOTE
    assert found["GPUs"].text.startswith("2 of NVIDIA, which this build")
    assert "paddlepaddle-gpu" in found["GPUs"].remedy
    monkeypatch.setattr(machine, "version_of", lambda name: "3.3.1")
    assert machine.gpus(computer).state is State.OK
    assert machine.gpus(computer / "proc").text.endswith("but no device file of NVIDIA's")


def test_a_machine_that_tells_nothing_is_no_error(tmp_path):
    found = by_name(machine.examine(tmp_path))
    assert found["memory"].state is State.NOTE
    assert found["shared memory"].state is State.NOTE


SICK = {
    "raise ImportError('libcudart.so.12: cannot open shared object file')": "ImportError: libcudart.so.12",
    "import os, signal; os.kill(os.getpid(), signal.SIGILL)": "ended by SIGILL: this processor lacks",
    "import time; time.sleep(100)": "no answer within 1 s",
    "raise SystemExit(3)": "exit code 3",
}


@pytest.mark.parametrize("code", SICK)
def test_a_paddle_that_fails_is_a_line(tmp_path, monkeypatch, code):
    (tmp_path / "paddle.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = tries.attempt(tries.PADDLE, timeout=1 if "sleep" in code else 60)
    assert found.state is State.BROKEN
    assert found.text.startswith(SICK[code])
    assert "\n" not in found.text
    assert found.remedy


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call `paddle-ground doctor` as a user does, perhaps with a folder of other packages in front."""
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-m", "paddle_ground", "doctor", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environment)


def test_the_command_finds_this_environment_fit_for_training():
    done = run("--json")
    told = json.loads(done.stdout)
    found = {one["name"]: one for one in told["findings"]}
    assert (done.returncode, done.stderr, told["ok"]) == (0, "", True)
    for name in ("numpy", "paddleformers", "transformers", "visualdl"):
        assert found[name]["text"] == metadata.version(name)
    assert f"version {metadata.version('paddlepaddle')}" in found["paddle computes"]["text"]
    assert [found[name]["state"] for name in ("paddle computes", "trainer imports", "plugin hooks in")] == [
        "ok"
    ] * 3
    assert len(told["faults"]) > 20


def test_the_command_ends_with_1_where_training_can_t_run(tmp_path):
    for name in ("paddle", "paddleformers"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a half-copied wheel')")
    done = run("--faults", path=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(
        r"FAIL +paddle computes +ImportError: a half-copied wheel\n +-> install Paddle anew", done.stdout
    )
    assert "Traceback" not in done.stdout
    assert "GPTModel" in done.stdout
    assert done.stdout.rstrip().endswith("broken: training will not run")


def test_every_symptom_that_the_backend_tells_is_listed():
    listed = faults()
    told = "".join(path.read_text() for path in sorted((ROOT / "paddle_ground" / "backend").rglob("*.py")))
    assert len([one for one in listed if ".py" not in one.mend]) >= len(
        re.findall(r"^ +Symptom\b", told, re.M)
    )
    assert {"mends.define_absent_fleet_names", "recompute.accept_row_indices_in_vision_recompute"} <= {
        one.mend for one in listed
    }
    for one in listed:
        assert "\n" not in one.symptom
        assert one.symptom
    assert symptoms("Do.\n\nSymptom of it: `A:\nb`, so.\n\nMore.") == ["`A: b`, so."]
    assert symptoms("Do.\n\nUpstream symptoms mended:\n- One\n  line.\n- Two.") == ["One line.", "Two."]


def test_a_remedy_stands_below_what_it_mends():
    text = render(
        [Finding("machine", "GPUs", State.NOTE, "two", "do this"), Finding("tries", "x", State.OK, "")]
    )
    assert text.splitlines() == [
        "Machine", "  note  GPUs  two", "            -> do this", "", "Does it run?", "   ok   x"
    ]  # fmt: skip
