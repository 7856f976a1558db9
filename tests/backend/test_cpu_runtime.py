"""Settings of a CPU process: given only where the user has not given them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paddle_ground.backend import cpu_runtime
from paddle_ground.errors import ConfigError

NAMES = (
    "OMP_NUM_THREADS", "FLAGS_paddle_num_threads", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
    "MKL_DEBUG_CPU_TYPE", "PADDLE_GROUND_THREADS", "PADDLE_LOCAL_SIZE", "PADDLE_TRAINERS_NUM",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_a_child_gets_what_is_not_set_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    env = cpu_runtime.environment(3)
    assert "OMP_NUM_THREADS" not in env
    assert env["FLAGS_paddle_num_threads"] == "3"
    assert int(env["MALLOC_MMAP_THRESHOLD_"]) >= 2**30


def test_a_number_of_threads_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_GROUND_THREADS", "two")
    with pytest.raises(ConfigError, match="PADDLE_GROUND_THREADS is 'two'; expected a whole number"):
        cpu_runtime.threads_for_process()


@pytest.mark.parametrize(("vendor", "expected"), [("AuthenticAMD", "5"), ("GenuineIntel", None)])
def test_avx2_is_asked_for_on_amd_only(
    monkeypatch: pytest.MonkeyPatch, vendor: str, expected: str | None
) -> None:
    monkeypatch.setattr(cpu_runtime.Path, "read_text", lambda *_, **__: f"vendor_id : {vendor}")
    assert cpu_runtime.environment(1).get("MKL_DEBUG_CPU_TYPE") == expected


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = cpu_runtime.threads_for_process()
    assert cores == len(os.sched_getaffinity(0))
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", str(cores))
    assert cpu_runtime.threads_for_process() == 1
    monkeypatch.setenv("PADDLE_GROUND_THREADS", "5")
    assert cpu_runtime.threads_for_process() == 5


def test_tuning_raises_the_threads_that_import_paddle_fixed_at_one() -> None:
    """Upstream symptom: `import paddle` sets OMP_NUM_THREADS=1 when it is unset; children inherit it."""
    pytest.importorskip("paddle")
    code = (
        "import ctypes, os, paddle; from pathlib import Path; from paddle_ground.backend import cpu_runtime\n"
        "omp = ctypes.CDLL(str(Path(paddle.__file__).parent / 'libs' / 'libiomp5.so'))\n"
        "before = omp.omp_get_max_threads(); os.environ['PADDLE_GROUND_THREADS'] = '2'\n"
        "print('THREADS', before, cpu_runtime.tune(), omp.omp_get_max_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "THREADS 1 2 2" in done.stdout, done.stderr[-1000:]
