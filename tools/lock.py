#!/usr/bin/env python3
"""Write constraints.txt: one pin for every package that any extra of paddle_ground can bring in.

Takes setup.cfg; asks pip's own resolver once for each supported Python (`pip install --dry-run --report`)
and merges the answers, with an environment marker only where the versions differ. Gives constraints.txt.
Knows nothing about where packages come from: that is the machine's pip configuration, and no address
is written down.

    make lock            newest versions that setup.cfg's ranges allow
    make lock KEEP=1     keep the present pins, add what is missing (after a new dependency)
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PYTHON_VERSIONS = ("3.10", "3.11", "3.12")
BUILD_TOOLS = ("pip", "setuptools", "wheel")
"""Pinned too: sdists among the dependencies (GPUtil, jieba, rouge_score) are built with them."""
FORBIDDEN = {"torch", "tensorflow", "jax"}
"""Frameworks that we never use; each would bring gigabytes that `make setup` cannot afford."""

HEADER = """\
# Written by tools/lock.py (`make lock`); do not edit by hand.
# Every package of every extra, for CPython {first} to {last} on Linux x86-64:
#     pip install -c constraints.txt '.[all]'
# GPU machines take paddlepaddle-gpu from Paddle's own index in place of the extra `cpu`.
"""


def resolve(version: str, keep: bool) -> dict[str, str]:
    """Resolve all extras for one Python.

    Args:
        version: "3.10" and so on; an interpreter of it must be on this machine.
        keep: Hold on to the pins that constraints.txt has now.

    Returns:
        Normalised package name -> version, without paddle_ground itself.
    """
    python = subprocess.run(
        [ROOT / "tools" / "find_python", version], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        subprocess.run([python, "-m", "venv", f"{scratch}/venv"], check=True)
        pip = [f"{scratch}/venv/bin/python", "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
        command = [*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        command += ["--constraint", str(CONSTRAINTS)] if keep else []
        subprocess.run([*command, f"{ROOT}[all]", *BUILD_TOOLS], check=True, cwd=scratch)
        packages = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    pins = {re.sub(r"[-_.]+", "-", p["name"]).lower(): p["version"] for p in packages}
    del pins["paddle-ground"]
    if heavy := FORBIDDEN & pins.keys():
        sys.exit(
            f"Python {version}: the extras bring in {', '.join(sorted(heavy))}; find out which and drop it"
        )
    return pins


def merge(resolved: dict[str, dict[str, str]]) -> list[str]:
    """Merge the answers of several Pythons into constraint lines.

    Args:
        resolved: Python version -> (package -> version).

    Returns:
        Sorted lines; a package has several, with markers, only where its version differs.
    """
    lines = []
    for name in sorted({name for pins in resolved.values() for name in pins}):
        pythons_by_pin: dict[str, list[str]] = {}
        for python, pins in resolved.items():
            if name in pins:
                pythons_by_pin.setdefault(pins[name], []).append(python)
        if len(pythons_by_pin) == 1:
            lines.append(f"{name}=={next(iter(pythons_by_pin))}")
            continue
        for pin, pythons in pythons_by_pin.items():
            marker = " or ".join(f'python_version == "{python}"' for python in pythons)
            lines.append(f"{name}=={pin} ; {marker}")
    return lines


def main() -> None:
    """Resolve for every supported Python and replace constraints.txt."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="keep the present pins, add what is missing")
    keep = parser.parse_args().keep
    resolved = {}
    for version in PYTHON_VERSIONS:
        resolved[version] = resolve(version, keep)
        print(f"Python {version}: {len(resolved[version])} packages", flush=True)
    text = HEADER.format(first=PYTHON_VERSIONS[0], last=PYTHON_VERSIONS[-1])
    text += "\n".join(merge(resolved)) + "\n"
    temporary = CONSTRAINTS.with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, CONSTRAINTS)
    print(f"wrote {CONSTRAINTS.name}")


if __name__ == "__main__":
    main()
