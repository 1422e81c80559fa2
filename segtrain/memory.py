"""Memory and cores: how much is available, how much a training uses, and how freed memory is kept."""

import ctypes
import os
import platform
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # version 2, as a container sees its own

# Of malloc.h in glibc, and what mallopt is told for each.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
KEEPING = {M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_MAX: 0, M_ARENA_MAX: 1}

# What a training takes, by the kind of its device, and what it may take.
BYTES_PER_PIXEL = {"cpu": 1800, "gpu": 3600}  # of the batch; Unet with resnet18 in bf16 took 1600, the other is a guess
MODEL_BYTES = 700 << 20
SHARE_OF_MEMORY = 0.5
LARGEST_BATCH = {"cpu": 8, "gpu": 16}


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Let this process reuse memory that it has freed, rather than ask the system for new memory.

    glibc maps every large array separately and unmaps it when it is freed, and the system fills each page of a new one
    with zeros when it is first touched: on a CPU that was a quarter of a network's forward pass. With one heap for all
    threads, memory that one has freed serves the others. Does nothing without glibc, or if glibc's own variables
    (MALLOC_..., GLIBC_TUNABLES) are set.
    """
    chosen = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if _has_glibc() and not chosen:
        for option, value in KEEPING.items():
            ctypes.CDLL(None).mallopt(option, value)


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def give_back_memory() -> None:
    """Return memory that this process has freed to the system."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def read_available_bytes() -> int | None:
    """Memory that is available without swapping, taking the limit of a container into account; None if the system does
    not say (Linux's /proc does). Memory that this process has freed is returned first, so that it counts."""
    give_back_memory()
    found = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(found, default=None)


def choose_batch(crop: tuple[int, int], *, count: int, kind: str, free_bytes: int | None) -> int:
    """Images in a batch: a power of two that fits in memory and leaves at least four batches in an epoch, at least 2.

    Args:
        crop: height and width of a training image in pixels.
        count: training images.
        kind: "cpu" or "gpu".
        free_bytes: the memory of the device; None: unknown.
    """
    batch = LARGEST_BATCH[kind]
    while batch > 2:
        needed = MODEL_BYTES + batch * crop[0] * crop[1] * BYTES_PER_PIXEL[kind]
        if 4 * batch <= count and (free_bytes is None or needed <= SHARE_OF_MEMORY * free_bytes):
            break
        batch //= 2
    return batch


def show_bytes(size: float) -> str:
    """`1.5 GiB`, or MiB below one."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _of_container() -> int | None:
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        statistics = (CGROUP / "memory.stat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    reclaimable = int(statistics[statistics.index("inactive_file") + 1]) if "inactive_file" in statistics else 0
    return max(int(limit) - used + reclaimable, 0)
