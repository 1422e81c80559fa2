"""Seeded damage for the fuzz tests, and what every damaged input must end in.

Each test of this folder damages an input some hundred times, always in the same ways. FUZZ_TIMES=20 in the environment
tries twenty times as many.
"""

import io
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from segtrain.command import run_command

MOST_SECONDS = 5
MOST_KIB = 500 * 1024
LONGEST_LINE = 2000

VALUES = [
    None, True, False, 0, -1, 1, 2, 255, 256, 65536, 2**31, 2**63, -(2**64), 10**30, 0.5, -0.0, 1e-300, 1e300,
    float("nan"), float("inf"), float("-inf"), "", " ", "a", "0", "-1", "nan", "None", "null", "~", "*", "%s{}",
    "..", "../up", "/dev/zero", "/dev/stdin", "/", ".", "os.system", "a" * 10_000, "9" * 5000, "a\x00b", "\x1b[31m",
    "two\nlines", "\r", "\u202e", "\x85", "\udcff", "\ud800", "é", "e\u0301", "\U0001f600", [], {}, [[]], [[[[[]]]]],
    [None], [1, 2], [1] * 1000, {"a": 1}, {"name": None}, {"": ""}, {"name": "x" * 300, "value": -1}, [0, 0, 0],
]  # fmt: skip

SIGNS = [b'"', b",", b"\n", b"\r", b"\x00", b"{", b"[", b"\xef\xbb\xbf", b"-"]


def mutate_tree(value: Any, rng: Random, pool: list | None = None) -> Any:
    """The value with one thing inside it replaced by another, added, taken out, doubled or exchanged."""
    if pool is None:
        pool = VALUES + nodes_of(value)
    if not isinstance(value, (dict, list, tuple)) or not value or rng.random() < 0.05:
        return rng.choice(pool)
    items = dict(value) if isinstance(value, dict) else list(value)
    keys = list(items) if isinstance(items, dict) else list(range(len(items)))
    key, other, choice = rng.choice(keys), rng.choice(keys), rng.random()
    if choice < 0.12:
        del items[key]
    elif choice < 0.2:
        items[key], items[other] = items[other], items[key]
    elif choice < 0.28:
        if isinstance(items, dict):
            items[rng.choice([item for item in VALUES if isinstance(item, str)])] = items[key]
        else:
            items.insert(key, items[other])
    else:
        items[key] = mutate_tree(items[key], rng, pool)
    return items


def nodes_of(value: Any) -> list:
    """The value and all that it holds, but of long lists the first alone."""
    items = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, (list, tuple)) else []
    return [value, *(node for item in items[:50] for node in nodes_of(item))]


def mutate_bytes(data: bytes, rng: Random, *, head: int | None = None) -> bytes:
    """The bytes with one to four places flipped, replaced, cut, taken out, doubled or exchanged; with `head` most of
    them among the first bytes."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        size = max(len(data), 1)
        at = rng.randrange(min(size, head) if head and rng.random() < 0.7 else size)
        length, choice = rng.choice([1, 1, 2, 4, 16, 200]), rng.randrange(8)
        before, part, after = data[:at], data[at : at + length], data[at + length :]
        if choice == 0:
            data = before + bytes(byte ^ 1 << rng.randrange(8) for byte in part[:1]) + data[at + 1 :]
        elif choice == 1:
            data = before + rng.randbytes(len(part)) + after
        elif choice == 2:
            data = before + rng.choice([b"\x00", b"\xff", b"\x7f", b"\x80"]) * len(part) + after
        elif choice == 3:
            data = before
        elif choice == 4:
            data = before + after
        elif choice == 5:
            data = before + part * rng.choice([2, 3, 50]) + after
        elif choice == 6:
            data = (
                before
                + rng.choice([b'"', b",", b"\n", b"\r", b"\x00", b"{", b"[", b"\xef\xbb\xbf", b"-"])
                + part
                + after
            )
        else:
            other = rng.randrange(size)
            data = before + data[other : other + length] + after
    return data


def listing(root: Path, without: tuple[Path, ...] = ()) -> dict[str, tuple]:
    """Path below a folder -> size and time, of all that does not lie in the folders `without`."""
    found = {}
    for path in root.rglob("*"):
        if not any(path.is_relative_to(folder) for folder in without):
            state = path.lstat()
            found[str(path)] = (state.st_size, state.st_mtime_ns) if not path.is_dir() else ()
    return found


def attack(
    count: int,
    damage: Callable[[Random], object],
    use: Callable[[], object],
    *,
    root: Path,
    may_write: tuple[Path, ...] = (),
    most_lines: int = 1,
    seed: str = "",
) -> dict[int, int]:
    """Damage an input and use it, `count` times; exit status -> how often it came.

    Each use ends well, or in one line (`most_lines`) and exit status 1 or 2, within bounds of time and memory, and
    writes nothing below `root` but into the folders `may_write`.
    """
    faults, statuses = [], {}
    signal.signal(signal.SIGALRM, _too_late)
    for index in range(count * int(os.environ.get("FUZZ_TIMES", "1"))):
        what = damage(Random(f"{seed}{index}"))
        before, memory = listing(root, may_write), peak_kib()
        started, said = time.perf_counter(), io.StringIO()
        status, fault = None, ""
        try:
            signal.setitimer(signal.ITIMER_REAL, 3 * MOST_SECONDS)
            with redirect_stderr(said), redirect_stdout(io.StringIO()):
                status = run_command(lambda _: bool(use()) and None, None)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            fault = "".join(traceback.format_exception(error))[-3000:]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        statuses[status] = statuses.get(status, 0) + 1
        text, seconds = said.getvalue(), time.perf_counter() - started
        fault = fault or find_fault(status, text, most_lines)
        if seconds > MOST_SECONDS:
            fault = fault or f"{seconds:.1f} s"
        if (grown := peak_kib() - memory) > MOST_KIB:
            fault = fault or f"{grown / 1024:.0f} MiB"
        if listing(root, may_write) != before:
            fault = fault or "wrote elsewhere"
        if fault:
            faults.append(f"{index}: {str(what)[:300]!r}\n{fault}\n{text[:500]}")
    assert not faults, f"{len(faults)} faults\n" + "\n\n".join(faults[:20])
    return statuses


def _too_late(*_: object) -> None:
    raise AssertionError("still not done")


def find_fault(status: int | None, text: str, most_lines: int) -> str:
    """What is wrong with how a command ended and what it said on stderr."""
    lines = text.splitlines()
    if status not in (0, 1, 2):
        return f"exit status {status}"
    if not (bool(status) <= len(lines) <= (most_lines if status else 0)):
        return f"{len(lines)} lines"
    if any(len(line) > LONGEST_LINE or not line.replace("\t", "").isprintable() for line in lines):
        return "a line that is long, or not printable"
    return ""


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
