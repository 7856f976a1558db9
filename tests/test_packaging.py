"""Packaging: what a fresh clone needs is declared, pinned for each Python, and can be imported."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12")
EXTRAS = ("cpu", "eval", "serve", "web", "docs", "dev", "ray", "modelscope", "all")
# Named in our code, installed by nobody of ours: GPU builds and the other side of a comparison.
OPTIONAL = {"paddlefleet", "torch"}


def lines_of(text: str) -> list[str]:
    """List the lines that are neither empty nor comments."""
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
RUNTIME = [Requirement(line) for line in lines_of(CONFIG["options"]["install_requires"])]
BY_EXTRA = {
    extra: [Requirement(line) for line in lines_of(text)]
    for extra, text in CONFIG["options.extras_require"].items()
}
DIRECT = RUNTIME + [need for needs in BY_EXTRA.values() for need in needs if need.name != "paddle-ground"]
PINS = [Requirement(line) for line in lines_of((ROOT / "constraints.txt").read_text())]


def pins_for(python: str) -> dict[str, str]:
    """Give name -> version of the pins that hold on one Python; each package at most once."""
    pins: dict[str, str] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            name = canonicalize_name(pin.name)
            assert name not in pins, f"{name} is pinned twice for Python {python}"
            (specifier,) = pin.specifier
            assert specifier.operator == "==", f"{pin} is no pin"
            pins[name] = specifier.version
    return pins


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_is_pinned_within_its_range(python):
    pins = pins_for(python)
    assert len(pins) > 150
    for need in DIRECT:
        assert need.specifier, f"{need.name} has no range in setup.cfg"
        pin = pins.get(canonicalize_name(need.name))
        assert pin, f"{need.name} is not pinned for Python {python}: make lock KEEP=1"
        assert pin in need.specifier, f"{need} but the pin is {pin}"


def needs_of(names: Iterable[Requirement]) -> set[str]:
    """Follow what installed packages need, extras included, to the end."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(names)
    while waiting:
        need = waiting.pop()
        key = (canonicalize_name(need.name), frozenset(need.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            declared = metadata.requires(need.name) or []
        except metadata.PackageNotFoundError:  # an extra that this environment does not hold
            continue
        for requirement in map(Requirement, declared):
            environments = [{**default_environment(), "extra": extra} for extra in (*need.extras, "")]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                waiting.append(requirement)
    return {name for name, _ in seen}


def test_every_indirect_dependency_is_pinned():
    here = "{}.{}".format(*sys.version_info[:2])
    needed = needs_of(DIRECT)
    assert len(needed) > len(DIRECT)
    assert not needed - pins_for(here).keys(), "make lock KEEP=1"


def test_make_installed_what_is_pinned():
    if not Path(sys.prefix, ".all").exists():
        pytest.skip("this environment was not made by `make setup`")
    pins = pins_for("{}.{}".format(*sys.version_info[:2]))
    # This folder only: setuptools, once imported, puts the packages that it carries inside onto sys.path.
    found = metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {canonicalize_name(d.metadata["Name"]): d.version for d in found}
    assert len(installed) > 150
    assert installed.pop("paddle-ground")
    assert installed == {name: pins.get(name) for name in installed}


def test_the_pins_name_no_place_and_no_other_framework():
    text = (ROOT / "constraints.txt").read_text()
    # `#` comments apart, a line is a name, a version and a marker: no option, no address.
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+!]+( ; [\w .=\"]+)?", line) for line in lines_of(text))
    assert not {"torch", "tensorflow", "jax"} & pins_for("3.11").keys()
    assert {"pip", "setuptools", "wheel"} <= pins_for("3.11").keys()


def test_extras_are_those_the_documentation_names():
    assert tuple(BY_EXTRA) == EXTRAS
    (everything,) = BY_EXTRA["all"]
    assert everything.extras == set(EXTRAS) - {"all"}


def imported_packages() -> dict[str, Path]:
    """Give the top-level packages that our code imports anywhere, each with a file that does."""
    found = {}
    for path in (ROOT / "paddle_ground").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.split(".")[0]] = path
    return found


def test_every_import_of_ours_is_declared():
    declared = {canonicalize_name(need.name) for need in DIRECT}
    providers = metadata.packages_distributions()
    for package, path in imported_packages().items():
        if package in sys.stdlib_module_names | OPTIONAL | {"paddle_ground"}:
            continue
        names = {canonicalize_name(name) for name in providers.get(package, [package])}
        assert names & declared, f"{path.name} imports {package} ({names}); declare it in setup.cfg"


def test_every_module_imports():
    # In a process of its own: the backend's modules are allowed to touch Paddle when they are imported.
    script = """
import importlib, json, pkgutil, sys, traceback
import paddle_ground
failed, seen = {}, []
for module in pkgutil.walk_packages(paddle_ground.__path__, "paddle_ground.", onerror=lambda name: None):
    if module.name.endswith("__main__"):
        continue
    seen.append(module.name)
    try:
        importlib.import_module(module.name)
    except BaseException:
        failed[module.name] = traceback.format_exc().splitlines()[-1]
print("\\n" + json.dumps({"seen": seen, "failed": failed}))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300
    )
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["failed"] == {}
    files = {path for path in (ROOT / "paddle_ground").rglob("*.py") if path.name != "__main__.py"}
    assert len(report["seen"]) == len(files) - 1  # all but the package itself


def test_the_stack_that_breaks_without_pins_imports():
    # A plain install of paddlepaddle and paddleformers takes a numpy that pyarrow refuses.
    script = "import pyarrow, numpy, pandas, datasets; print(numpy.__version__, pyarrow.__version__)"
    run = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True, timeout=120
    )
    numpy_version, pyarrow_version = run.stdout.split()
    assert (numpy_version.split(".")[0], pyarrow_version.split(".")[0]) == ("1", "25")


def tool(name: str) -> ModuleType:
    """Load one of the scripts in tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pins_differ_by_python_only_where_they_must():
    lines = tool("lock").merge({"3.10": {"a": "1", "b": "1"}, "3.11": {"a": "1", "b": "2", "c": "3"}})
    assert lines[0] == "a==1"
    for python, expected in (
        ("3.10", {"a": "1", "b": "1", "c": "3"}),
        ("3.11", {"a": "1", "b": "2", "c": "3"}),
    ):
        held = [
            r
            for r in map(Requirement, lines)
            if not r.marker or r.marker.evaluate({"python_version": python})
        ]
        assert {r.name: str(r.specifier).removeprefix("==") for r in held} == expected


def test_the_package_says_that_it_is_typed():
    for name in lines_of(CONFIG["options.package_data"]["paddle_ground"]):
        assert (ROOT / "paddle_ground" / name).is_file()
    assert "py.typed" in CONFIG["options.package_data"]["paddle_ground"]


def test_the_licence_is_the_one_declared():
    assert CONFIG["metadata"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(*arguments: str) -> str:
    """Run make as a user would, not as a part of the `make test` that this test may be running under."""
    environment = {
        k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV"}
    }
    command = ["make", *arguments]
    return subprocess.run(
        command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ).stdout


@needs_make
def test_demo_hands_its_arguments_on(tmp_path):
    shown = run_make("-n", "demo", f"VENV={tmp_path}/env", "SOURCE=my folder", "OUT=here")
    assert shown.splitlines()[-1].endswith('/bin/paddle-ground demo --source "my folder" --out "here"')
    assert "-e '.[cpu,eval]'" in shown


@needs_make
def test_make_alone_lists_the_targets():
    (declared,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    listed = re.findall(r"^  make ([a-z-]+) +\S", run_make(), re.MULTILINE)
    assert sorted(listed) == sorted(declared.split())


def fake_python(folder: Path, name: str, body: str) -> None:
    """Put a program into a folder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def find_python(path: Path, *versions: str) -> subprocess.CompletedProcess[str]:
    """Run tools/find_python with one folder of programs and the system's own tools on PATH."""
    for name in ("sh", "sed", "cat", "env"):
        (path / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        [ROOT / "tools" / "find_python", *versions],
        check=False, env={**os.environ, "PATH": str(path)}, capture_output=True, text=True,
    )  # fmt: skip


def test_a_shim_that_does_not_start_is_passed_over(tmp_path):
    # pyenv's shim for a version that is not switched on.
    fake_python(tmp_path, "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    fake_python(tmp_path, "python3.10", f'exec "{sys.executable}" "$@"')
    fake_python(tmp_path, "python3.11", f'exec "{sys.executable}" "$@"')
    here = "{}.{}".format(*sys.version_info[:2])
    if here == "3.12":
        fake_python(tmp_path, "python3", f'exec "{sys.executable}" "$@"')
    found = find_python(tmp_path)
    assert (found.returncode, found.stdout.strip()) == (0, sys.executable)
    assert found.stderr == ""


def test_no_python_at_all_is_said_in_one_line(tmp_path):
    fake_python(tmp_path, "python3", "exit 1")
    found = find_python(tmp_path, "3.12", "3.11")
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("no working Python 3.12, 3.11 found")
    assert found.stderr.count("\n") == 1
