import os
import subprocess
import sys
from pathlib import Path

import pytest

from segtrain import memory
from segtrain.memory import read_available_bytes, show_bytes

FAULTS = """
import resource
from segtrain.memory import keep_freed_memory, read_available_bytes

size = 1 << 25

def pages_of(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        b"." * size
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
first, again = pages_of(1), pages_of(8)
before = int(open("/proc/self/statm").read().split()[1])
read_available_bytes()
print(first, again, before - int(open("/proc/self/statm").read().split()[1]))
"""


def count_pages(**variables: str) -> tuple[int, int, int]:
    """Pages that the system gave for one array and for the next eight, and those that it got back in the end."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=plain | variables, capture_output=True, text=True, check=True)
    first, again, given_back = map(int, done.stdout.split())
    return first, again, given_back


@pytest.mark.skipif(not memory._has_glibc(), reason="another C library")
def test_what_was_freed_is_taken_again_and_given_back_where_memory_is_asked_for():
    first, again, given_back = count_pages()
    assert again < 0.1 * first and given_back > 0.9 * first
    first, again, given_back = count_pages(MALLOC_MMAP_THRESHOLD_="1048576")  # somebody has chosen
    assert again > 7 * first and given_back < 0.1 * first


def test_sizes_in_words():
    assert show_bytes(300 << 20) == "300 MiB" and show_bytes(1.5 * (1 << 30)) == "1.5 GiB"


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = 1024 * int(next(line for line in lines if line.startswith("MemTotal:")).split()[1])
    assert 0 < read_available_bytes() < total
    files = {"memory.max": "3000000", "memory.current": "2500000", "memory.stat": "anon 1\ninactive_file 400000\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert read_available_bytes() == 900000
    (tmp_path / "memory.max").write_text("max\n")
    assert 900000 < read_available_bytes() < total
