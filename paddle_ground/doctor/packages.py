"""Installed packages against the ranges that this package declares.

Reads metadata only (importlib.metadata), so that a package that does not import is still told apart from one
that is missing. Gives findings.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from paddle_ground.doctor.findings import Finding, State

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OURS = "paddle-ground"
CPU_BUILD, GPU_BUILD = "paddlepaddle", "paddlepaddle-gpu"
PURPOSES: Mapping[str, str] = {
    "cpu": "Paddle itself, for CPUs",
    "eval": "metrics, Chinese labels in pictures, grounding metrics while training",
    "serve": "paddle-ground serve",
    "web": "paddle-ground web",
    "docs": "building the documentation",
    "dev": "tests, lint, types",
    "ray": "prepare --ray: many machines",
    "modelscope": "downloads with DOWNLOAD_SOURCE=modelscope",
}
"""What each extra is for; `all`, which holds them all, is left out."""


def examine() -> list[Finding]:
    """Look at Python, at what every user needs, at Paddle's builds, and at the extras."""
    python = Finding("packages", "python", State.OK, platform.python_version())
    try:
        needs, extras = declared()
    except metadata.PackageNotFoundError:
        text = "not installed: its ranges are unknown"
        remedy = "pip install -c constraints.txt -e '.[cpu,eval]'"
        return [python, Finding("packages", OURS, State.BROKEN, text, remedy)]
    ours = Finding("packages", OURS, State.OK, metadata.version(OURS))
    builds = extras.pop("cpu", [])
    found = [python, ours, *(paddle_builds(builds[0]) if builds else ())]
    found += [of_package(need) for need in needs]
    return found + [of_extra(extra, of_it) for extra, of_it in extras.items()]


def declared() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Read what the installed paddle-ground declares.

    Returns:
        What every user needs, and what each extra adds.

    Raises:
        PackageNotFoundError: paddle-ground is not installed.
    """
    from packaging.requirements import Requirement

    needs: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    names = metadata.metadata(OURS).get_all("Provides-Extra") or []
    for need in map(Requirement, metadata.requires(OURS) or []):
        if need.name == OURS:  # `all`, the sum of the others
            continue
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            needs.append(need)
            continue
        for extra in names:
            if need.marker.evaluate({"extra": extra}):
                extras.setdefault(extra, []).append(need)
    return needs, extras


def version_of(name: str) -> str | None:
    """Give a package's version, or None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def fits(need: Requirement, version: str) -> bool:
    """Whether a version is in a range; a build of a pre-release counts as its version."""
    return need.specifier.contains(version, prereleases=True)


def of_package(need: Requirement) -> Finding:
    """Look at a package that every user needs."""
    version = version_of(need.name)
    if version is not None and fits(need, version):
        return Finding("packages", need.name, State.OK, version)
    text = f"{version or 'not installed'}; needed: {need.specifier}"
    return Finding(
        "packages", need.name, State.BROKEN, text, f"pip install -c constraints.txt '{name_and_range(need)}'"
    )


def name_and_range(need: Requirement) -> str:
    """Write a requirement as pip takes it, without its marker."""
    extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
    return f"{need.name}{extras}{need.specifier}"


def paddle_builds(need: Requirement) -> Iterable[Finding]:
    """Look at Paddle's two builds, of which one must be there, and one only."""
    versions = {name: version for name in (CPU_BUILD, GPU_BUILD) if (version := version_of(name))}
    if len(versions) == 2:
        yield Finding(
            "packages", "paddle", State.BROKEN,
            " and ".join(f"{name} {version}" for name, version in versions.items()) + " own the same files",
            f"pip uninstall {CPU_BUILD} {GPU_BUILD}, then install one of them",
        )  # fmt: skip
        return
    remedy = (
        f"pip install -c constraints.txt '{name_and_range(need)}', or on a GPU {GPU_BUILD} of that version "
        "from Paddle's own index (README.md, On GPUs)"
    )
    if not versions:
        text = f"neither {CPU_BUILD} nor {GPU_BUILD} is installed"
        yield Finding("packages", "paddle", State.BROKEN, text, remedy)
        return
    ((name, version),) = versions.items()
    if fits(need, version):
        yield Finding("packages", "paddle", State.OK, f"{name} {version}")
    else:
        yield Finding(
            "packages", "paddle", State.BROKEN, f"{name} {version}; needed: {need.specifier}", remedy
        )


def of_extra(extra: str, needs: Iterable[Requirement]) -> Finding:
    """Look at what an extra adds; one that is missing keeps no training from running."""
    versions = [(need, version_of(need.name)) for need in needs]
    missing = [need.name for need, version in versions if version is None]
    wrong = [f"{n.name} {v} (needed: {n.specifier})" for n, v in versions if v is not None and not fits(n, v)]
    purpose = PURPOSES.get(extra, "")
    if not missing and not wrong:
        return Finding("extras", extra, State.OK, purpose)
    parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"wrong {', '.join(wrong)}"] * bool(wrong)
    remedy = f"pip install -c constraints.txt -e '.[{extra}]'"
    return Finding("extras", extra, State.NOTE, f"{purpose}: {'; '.join(parts)}", remedy)
