"""What the machine has: processors, memory, disk, shared memory, GPUs.

Reads what Linux tells about itself, and asks no library. Gives findings; none of them keeps training from
running.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from paddle_ground.doctor.findings import Finding, State
from paddle_ground.doctor.packages import GPU_BUILD, version_of

_ROOT = Path("/")
_GIB = 2**30
_LITTLE_SHARED = 1 * _GIB
_LITTLE_DISK = 10 * _GIB
_UNLIMITED = 2**60  # what cgroup v1 writes for "no limit" is larger


def examine(root: Path = _ROOT) -> list[Finding]:
    """Look at the machine.

    Args:
        root: Where `/proc`, `/sys` and `/dev` are; another one in tests.
    """
    return [processors(root), memory(root), shared_memory(root), disk(), gpus(root)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def processors(root: Path) -> Finding:
    """Count the processors that this process may use, and the threads that it was told to."""
    usable, quota = len(os.sched_getaffinity(0)), cpu_quota(root)
    parts = [f"{platform.machine()}, {usable} usable of {os.cpu_count()}"]
    if quota is not None:
        parts.append(f"a quota of {quota:g}")
    if os.environ.get("OMP_NUM_THREADS"):
        parts.append(f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}")
    flags = next((line for line in _read(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), "")
    if flags and "avx2" not in flags.split():
        text = "; ".join([*parts, "no AVX2"])
        return Finding("machine", "processors", State.NOTE, text, "Paddle's wheels for x86 are built for AVX")
    return Finding("machine", "processors", State.OK, "; ".join(parts))


def cpu_quota(root: Path) -> float | None:
    """Give how many processors' time a container allows, or None where it sets no limit."""
    words = _read(root / "sys/fs/cgroup/cpu.max").split()
    if not words:
        words = [
            _read(root / "sys/fs/cgroup/cpu" / name).strip()
            for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        ]
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def memory(root: Path) -> Finding:
    """Tell the machine's memory, what is free of it, and a container's limit."""
    lines = (line.split() for line in _read(root / "proc/meminfo").splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
    if "MemTotal" not in kib:
        return Finding("machine", "memory", State.NOTE, "this system does not tell it")
    free = kib.get("MemAvailable", 0) * 1024
    text = f"{kib['MemTotal'] * 1024 / _GIB:.1f} GiB, {free / _GIB:.1f} GiB available"
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _read(root / "sys/fs/cgroup" / name).strip()
        if limit.isdigit() and int(limit) < _UNLIMITED:
            text += f"; this container may use {int(limit) / _GIB:.1f} GiB"
    return Finding("machine", "memory", State.OK, text)


def shared_memory(root: Path) -> Finding:
    """Tell how much shared memory data loader processes have."""
    try:
        free = shutil.disk_usage(root / "dev/shm").free
    except OSError:
        return Finding("machine", "shared memory", State.NOTE, "no /dev/shm", "dataloader_num_workers: 0")
    if free >= _LITTLE_SHARED:
        return Finding("machine", "shared memory", State.OK, f"{free / _GIB:.1f} GiB free")
    text = f"{free / 2**20:.0f} MiB free: data loader processes hand batches on through it"
    return Finding(
        "machine", "shared memory", State.NOTE, text, "docker run --shm-size=8g, or dataloader_num_workers: 0"
    )


def disk() -> Finding:
    """Tell what is free where this command was called."""
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / _GIB:.1f} GiB free here"
    if free >= _LITTLE_DISK:
        return Finding("machine", "disk", State.OK, text)
    return Finding(
        "machine", "disk", State.NOTE, text, "checkpoints of a 2B model take tens of GiB: free some"
    )


def gpus(root: Path) -> Finding:
    """Tell NVIDIA's device files, and whether Paddle's build is one that can use them."""
    count = len([path for path in (root / "dev").glob("nvidia*") if path.name[6:].isdigit()])
    gpu_build = version_of(GPU_BUILD) is not None
    if count and not gpu_build:
        return Finding(
            "machine", "GPUs", State.NOTE, f"{count} of NVIDIA, which this build of Paddle can't use",
            f"uninstall paddlepaddle and install {GPU_BUILD} 3.3 from Paddle's own index (README.md)",
        )  # fmt: skip
    if count:
        return Finding("machine", "GPUs", State.OK, f"{count} of NVIDIA")
    if gpu_build:
        return Finding(
            "machine", "GPUs", State.NOTE, f"{GPU_BUILD} is there, but no device file of NVIDIA's",
            "install the driver; in a container: docker run --gpus all",
        )  # fmt: skip
    return Finding("machine", "GPUs", State.OK, "none of NVIDIA: CPU only")
