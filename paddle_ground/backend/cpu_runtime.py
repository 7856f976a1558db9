"""Set up a CPU process for arithmetic: threads, memory, and the matrix library's instruction set.

Takes nothing but the machine. Every setting here can be given from outside by the
environment variable named beside it; then it is left alone. The figures that made us set
them stand in docs/performance.md.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from paddle_ground.errors import ConfigError

# glibc's mallopt parameters (malloc.h). Paddle's CPU allocator takes and frees every tensor;
# by default glibc hands large blocks back to the kernel each time, and page faults cost more
# than the arithmetic of an element-wise operator.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 2**31 - 1


def environment(threads: int | None = None) -> dict[str, str]:
    """Give the variables that a child process should start with, for those not set already."""
    count = str(threads or threads_for_process())
    wanted = {
        "OMP_NUM_THREADS": count,
        "FLAGS_paddle_num_threads": count,
        "MALLOC_MMAP_THRESHOLD_": str(_KEEP_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(_KEEP_BYTES),
    }
    if is_amd():
        # The MKL that Paddle ships falls to SSE on AMD unless told to use AVX2.
        wanted["MKL_DEBUG_CPU_TYPE"] = "5"
    return {k: v for k, v in wanted.items() if k not in os.environ}


def tune() -> int:
    """Apply the settings to this running process, as far as they can still be applied.

    Returns:
        Threads that the matrix library uses now.
    """
    if is_amd():
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")  # read at MKL's first call, so early enough here
    _keep_freed_memory()
    threads = threads_for_process()
    _set_threads(threads)
    return threads


def threads_for_process() -> int:
    """Give this process's share of the cores; PADDLE_GROUND_THREADS overrides it.

    Raises:
        ConfigError: That variable holds no whole number.
    """
    asked = os.environ.get("PADDLE_GROUND_THREADS")
    if asked:
        try:
            return max(1, int(asked))
        except ValueError:
            raise ConfigError(
                f"PADDLE_GROUND_THREADS is {asked!r}; expected a whole number, or unset it"
            ) from None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    local = int(os.environ.get("PADDLE_LOCAL_SIZE") or os.environ.get("PADDLE_TRAINERS_NUM") or 1)
    return max(1, cores // max(1, local))


def is_amd() -> bool:
    """Tell whether the processor is AMD's (Linux; false elsewhere)."""
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False


def _keep_freed_memory() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc
        return
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def _set_threads(threads: int) -> None:
    """Raise the thread counts that `import paddle` has fixed at 1 (it sets OMP_NUM_THREADS=1 when unset)."""
    import paddle

    libraries = Path(paddle.__file__).parent / "libs"
    for file, function in (
        ("libiomp5.so", "omp_set_num_threads"),
        ("libmklml_intel.so", "MKL_Set_Num_Threads"),
    ):
        path = libraries / file
        if path.exists():
            getattr(ctypes.CDLL(str(path)), function)(threads)
    paddle.base.core.set_num_threads(threads)
