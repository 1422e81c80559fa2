"""What commands print, wherever it goes."""

import errno
import resource
import subprocess
import sys

import pytest

from segtrain.command import run_command, tell
from segtrain.errors import OUT_OF_FILES, ConfigError
from tests.conftest import PROJECT, run

MISTAKE = ["-m", "segtrain", "train", "--check", "optimiser=\N{GREEK SMALL LETTER ALPHA}"]


def test_a_line_break_in_a_value_is_escaped(capsys):
    tell(ConfigError("a.yml:1: 'two\nlines': unknown", "a.yml:2: name: is missing"))
    assert capsys.readouterr().err == "a.yml:1: 'two\\nlines': unknown\na.yml:2: name: is missing\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.png: is not an image", "a.png: is not an image"),
        ("two\nlines\tof it", "two\nlines\tof it"),
        ("\x1b[31mred\x07 \x00", "\\x1b[31mred\\x07 \\x00"),
        ("lone \udcff", "lone \\udcff"),
        ("x" * 1000, "x" * 1000),
        ("a" * 600 + "b" * 600, "a" * 500 + " [.. 200 characters ..] " + "b" * 500),
    ],
)
def test_errors_are_readable(text, shown, capsys):
    tell(text)
    assert capsys.readouterr().err == f"{shown}\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_consoles_of_any_encoding(encoding):
    line = [sys.executable, *MISTAKE]
    done = subprocess.run(line, cwd=PROJECT, env={"PYTHONIOENCODING": encoding}, capture_output=True, timeout=60)
    alpha = "\N{GREEK SMALL LETTER ALPHA}" if encoding == "utf-8" else "\\u03b1"
    assert done.returncode == 2
    assert done.stderr.decode(encoding) == (
        f"command line: optimiser={alpha}: optimiser: unknown key; did you mean 'optimizer'?\n"
    )


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "</dev/null >/dev/full", "2>/dev/full"])
def test_streams_that_take_nothing(redirection):
    line = f'"{sys.executable}" -m segtrain schema {redirection}; echo "status $?" >> "$0"'
    script = ["bash", "-c", line]
    done = subprocess.run([*script, "/dev/stdout"], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    full = "/dev/full" in redirection and "2>" not in redirection
    assert done.stdout.splitlines()[-1] == f"status {int(full)}"
    assert done.stderr == ("standard output or a file: No space left on device\n" if full else "")


def test_no_name_reaches_a_terminal_as_it_is(tmp_path):
    """In what is printed of a dataset; colors of our own do."""
    names = ["\x1b[31mred\x07\r\x08.png", "two\nlines\x9b\x7f.png"]
    for index, name in enumerate(names):
        for kind in ("images", "masks"):
            (tmp_path / str(index) / kind).mkdir(parents=True)
            (tmp_path / str(index) / kind / name).write_bytes(b"no image")
    roots = f"data.root=[{tmp_path}/0, {tmp_path}/1]"
    keys = [roots, "data.images=images", "data.masks=masks", "data.val_fraction=0.5", "data.classes=[a, b]"]
    done = run("-m segtrain", "check", *keys, cwd=tmp_path)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    printed = done.stdout + done.stderr
    assert all(sign.isprintable() or sign in "\n\t" for sign in printed)
    assert all(shown in printed for shown in (r"\x1b[31mred\x07\r\x08.png", r"lines\x9b\x7f.png"))


def test_colors_of_our_own(tmp_path):
    script = "from segtrain.command import colored, escape_stdout\nescape_stdout()\n"
    script += "print(colored('error', 31), '\\x1b[31m', 'a\\tb', flush=True)"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "\x1b[31merror\x1b[0m \\x1b[31m a\tb\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files", "a.png"),
        OSError(errno.ENFILE, "Too many open files in system"),
        ImportError("libmkl.so: cannot open shared object file: Too many open files"),
        RuntimeError("unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)"),
        RuntimeError("received 0 items of ancdata"),
    ],
    ids=str,
)
def test_too_many_open_files(error, capsys):
    def fail(_):
        raise error

    def fail_after(_):
        try:
            raise error
        except (OSError, ImportError, RuntimeError) as before:
            raise ValueError("not an image") from before

    assert run_command(fail, None) == run_command(fail_after, None) == 1
    assert capsys.readouterr().err == f"{OUT_OF_FILES}\n" * 2


def test_a_process_that_may_open_few_files(capsys):
    def open_many(_):
        files = []
        try:
            while True:
                files.append(open(__file__))  # noqa: SIM115
        finally:
            for file in files:
                file.close()

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
    try:
        assert run_command(open_many, None) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert capsys.readouterr().err == f"{OUT_OF_FILES}\n"


def test_python_that_drops_docstrings():
    for command in ("models --help", "train --check"):
        line = [sys.executable, "-OO", "-m", "segtrain", *command.split()]
        done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=200)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout
