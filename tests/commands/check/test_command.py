"""The command: what it prints, what it writes, and its exit status."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from segtrain.command import run_command
from segtrain.commands.check.command import main as check_data
from segtrain.commands.check.source import from_experiment
from segtrain.config.tree import parse_yaml
from tests.bad_input import truncate
from tests.commands.check.check_sets import CLEAN, draw_clean, look_at, read, write
from tests.conftest import PROJECT, run


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("COLUMNS", "100")
    return draw_clean(tmp_path / "street")


@pytest.fixture
def check(tmp_path):
    """The exit status of the command, given experiment layers or two folders."""

    def check(*layers, images=None, masks=None, output=tmp_path / "check.html"):
        options = Namespace(layers=list(layers), images=images, masks=masks, output=output)
        return run_command(check_data, options)

    return check


def test_a_clean_set(root, check, capsys, tmp_path):
    assert check(f"data.root={root}", *CLEAN) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"street: folders at {root}",
        "12 pairs (train 8, val 4), 80 x 64, PNG with 3 channels of uint8",
        f"nothing found; to look at: {tmp_path}/check.html",
    ]
    assert (tmp_path / "check.html").is_file()


def test_an_error_is_exit_status_1(root, check, capsys, tmp_path):
    path = root / "train/masks/003.png"
    mask = read(path)
    mask[20, 20:23] = 77
    write(path, mask)
    assert check(f"data.root={root}", *CLEAN) == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "",
        "level    finding, and what to write",
        "-" * 100,
        "error    1 value of the masks is most likely a slip",
        "         77 (3 pixels in 1 mask): a few pixels that the annotator or a program left behind. The line",
        "         ignores them.",
        f"         {path}",
        "         write in the experiment:",
        "           data:",
        "             ignore_values: [77]",
        "-" * 100,
        f"1 error; to look at: {tmp_path}/check.html",
    ]


def test_warnings_and_notes_are_exit_status_0(root, check, capsys):
    write(root / "train/images/003.png", np.zeros((64, 80, 3)))
    assert check(f"data.root={root}", *CLEAN) == 0
    assert "\nwarning  1 image is one colour all over\n" in capsys.readouterr().out


def test_two_folders_give_an_experiment(root, check, capsys, tmp_path):
    assert check(images=str(root / "train/images"), masks=str(root / "train/masks")) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("an experiment for it, with names to be changed:") + 1
    text = "\n".join(line.removeprefix("  ") for line in lines[start:-1])
    written = parse_yaml(text, origin="lines").plain()
    assert written == {
        "name": "mine",
        "data": {
            "root": str(root / "train"),
            "images": "images",
            "masks": "masks",
            "classes": ["class_0", "class_1", "class_2"],
        },
    }
    (tmp_path / "mine.yml").write_text(text)
    report, findings = look_at(from_experiment([str(tmp_path / "mine.yml"), *CLEAN[1:]]))
    assert len(report.records) == 8 and findings == []


def test_a_binary_set_gives_a_loss_for_one_class(root, check, capsys):
    for path in root.glob("train/masks/*.png"):
        write(path, np.where(read(path) == 1, 255, 0))
    assert check(images=str(root / "train/images"), masks=str(root / "train/masks")) == 0
    printed = capsys.readouterr().out
    assert "\n    - {name: object, value: 255}   #" in printed.replace("\n      -", "\n    -")
    assert "\n  loss: {BCEWithLogitsLoss: 1.0, DiceLoss: 1.0}\n" in printed


def test_long_lists_are_cut_in_the_terminal_alone(root, check, capsys, tmp_path):
    for path in (root / "train/images").iterdir():
        truncate(path)
    draw_clean(root, train=8, val=12)
    for path in (root / "val/images").iterdir():
        truncate(path)
    assert check(f"data.root={root}", *CLEAN) == 1
    printed = capsys.readouterr().out
    assert "error    12 files cannot be read\n" in printed
    assert "\n         and 9 more\n" in printed
    assert f"\n           ... 8 more lines in {tmp_path}/check.html\n" in printed
    assert (tmp_path / "check.html").read_text().count("mv ") == 24


WRONG_USAGE = {
    "masks missing": ({"images": "a"}, "check: give an experiment, or --images DIR and --masks DIR"),
    "both": (
        {"layers": ["x.yml"], "images": "a", "masks": "b"},
        "check: give an experiment, or --images DIR and --masks DIR",
    ),
    "no such experiment": ({"layers": ["nothing.yml"]}, "nothing.yml: cannot be read: No such file or directory"),
    "a wrong key": (
        {"layers": ["data.rot=x"]},
        "command line: data.rot=x: data.rot: unknown key; format folders has no 'rot'; did you mean 'root'?",
    ),
    "no such folder to write to": (
        {"output": Path("nothing/check.html")},
        "-o nothing/check.html: the folder nothing does not exist",
    ),
}


@pytest.mark.parametrize("case", WRONG_USAGE)
def test_wrong_usage_is_exit_status_2(case, check, capsys, root):
    options, text = WRONG_USAGE[case]
    layers = options.get("layers", [])
    assert check(*layers, **{key: value for key, value in options.items() if key != "layers"}) == 2
    assert capsys.readouterr().err == f"{text}\n"


def test_the_command_line(root, tmp_path):
    """python -m segtrain check, in a process of its own, which starts others."""
    for index in range(8, 40):
        for kind in ("images", "masks"):
            source = root / "train" / kind / f"{index % 8:03d}.png"
            (root / "train" / kind / f"{index:03d}.png").write_bytes(source.read_bytes())
    done = run("-m segtrain", "check", f"data.root={root}", *CLEAN, "-o", tmp_path / "page.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning  32 images are there twice or more" in done.stdout
    assert (tmp_path / "page.html").is_file()
    (root / "val/masks/000.png").unlink()
    assert run("-m segtrain", "check", f"data.root={root}", *CLEAN, "-o", tmp_path / "page.html").returncode == 1
    assert run("-m segtrain", "check", "--images", root).returncode == 2
