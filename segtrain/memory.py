"""How much memory there is to take."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # version 2, as a container sees its own


def read_available_bytes() -> int | None:
    """Memory that can be taken without swapping, the limit of a container considered; None where the system does not
    say (it is Linux's /proc that does)."""
    found = [size for size in (_of_machine(), _of_container()) if size is not None]
    return min(found, default=None)


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
