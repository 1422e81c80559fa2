from pathlib import Path

from segtrain import memory
from segtrain.memory import read_available_bytes, show_bytes


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
