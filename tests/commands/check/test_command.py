"""The command: what it prints, what it writes, and its exit status."""

import shlex
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from segtrain.__main__ import main as segtrain
from segtrain.command import run_command
from segtrain.commands.check.command import main as check_data
from segtrain.commands.check.source import from_experiment
from segtrain.config.tree import parse_yaml
from tests.bad_input import truncate
from tests.commands.check.check_sets import CLEAN, draw_clean, look_at, read, write
from tests.conftest import run


@pytest.fixture
def check(tmp_path):
    """The exit status of the command, given experiment layers or two folders."""

    def check(*layers, images=None, masks=None, output=tmp_path / "check.html", apply=None):
        options = Namespace(layers=list(layers), images=images, masks=masks, output=output, apply=apply)
        return run_command(check_data, options)

    return check


def test_a_clean_set(root, check, capsys, tmp_path):
    assert check(f"data.root={root}", *CLEAN) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"street: folders at {root}",
        "12 pairs (train 8, val 4), 80 x 64, PNG with 3 channels of uint8",
        f"no problems found; details and images: {tmp_path}/check.html",
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
        "level    finding and what to do",
        "-" * 100,
        "error    1 mask value is most likely a mistake",
        "         77 (3 pixels in 1 mask): a few pixels that the annotator or a program left behind. The line",
        "         below ignores them.",
        f"         {path}",
        "         write in the experiment:",
        "           data:",
        "             ignore_values: [77]",
        "-" * 100,
        f"1 error; details and images: {tmp_path}/check.html",
    ]


def test_warnings_and_notes_are_exit_status_0(root, check, capsys):
    write(root / "train/images/003.png", np.zeros((64, 80, 3)))
    assert check(f"data.root={root}", *CLEAN) == 0
    assert "\nwarning  1 image is a single color\n" in capsys.readouterr().out


def test_two_folders_give_an_experiment(root, check, capsys, tmp_path):
    assert check(images=str(root / "train/images"), masks=str(root / "train/masks")) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("a proposed experiment; change the names:") + 1
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
    draw_clean(root, train=70, val=4)
    names = [("train", n) for n in range(70)] + [("val", n) for n in range(4)]
    rows = [f"{split}/images/{n:03d}.png,{split}/masks/{n:03d}.png,{split}" for split, n in names]
    (root / "data.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    for path in sorted((root / "train/images").iterdir())[:18]:
        truncate(path)
    assert check(f"data.root={root}", *CLEAN, "data={format: csv, classes: [sky, road, car]}") == 1
    printed = capsys.readouterr().out
    assert "error    18 files cannot be read\n" in printed
    assert "\n         and 15 more\n" in printed
    assert f"\n           ... 2 more lines in {tmp_path}/check.html\n" in printed
    assert all(f"train/images/{n:03d}\n" in (tmp_path / "check.html").read_text() for n in range(17))


def test_a_fix_is_one_line_that_does_what_it_says(root, check, capsys, tmp_path):
    for path in (root / "train/masks/003.png", root / "val/masks/001.png"):
        write(path, read(path)[::2, ::2])
    arguments = [f"data.root={root}", *CLEAN]
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    assert check(*arguments) == 1
    line = f"python -m segtrain check {shlex.join(arguments)} --apply resize-masks"
    assert f"\n         run:\n           {line}\n" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in root.rglob("*.*")} == before  # to look changes nothing
    (tmp_path / "check.html").unlink()
    assert check(*arguments, apply="resize-masks") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{root}/train/masks/003.png: kept as 003.png.aside",
        f"{root}/val/masks/001.png: kept as 001.png.aside",
        "resize-masks: 2 files changed",
    ]
    for path in (root / "train/masks/003.png", root / "val/masks/001.png"):
        assert path.with_name(f"{path.name}.aside").read_bytes() == before[path] and read(path).shape == (64, 80)
    after = {path: path.read_bytes() for path in root.rglob("*.*")}
    assert check(*arguments, apply="resize-masks") == 0
    assert capsys.readouterr().out == "resize-masks: nothing to fix\n"
    assert {path: path.read_bytes() for path in root.rglob("*.*")} == after
    assert not (tmp_path / "check.html").exists() and check(*arguments) == 0


def test_a_fix_for_two_folders(root, check, capsys):
    (root / "train/masks/003.png").unlink()
    folders = {"images": f"{root}/train/images", "masks": f"{root}/train/masks"}
    assert check(**folders) == 1
    line = (
        f"python -m segtrain check --images {root}/train/images --masks {root}/train/masks --apply set-aside-unpaired"
    )
    assert f"\n           {line}\n" in capsys.readouterr().out
    assert check(**folders, apply="set-aside-unpaired") == 0
    assert (root / "train/images/003.png.aside").is_file() and check(**folders) == 0


def test_a_fix_that_does_not_exist_is_told_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as ended:
        segtrain(["check", "--apply", "repair-masks"])
    assert ended.value.code == 2 and "choose from" in capsys.readouterr().err


WRONG_USAGE = {
    "masks missing": ({"images": "a"}, "check: give an experiment or --images DIR and --masks DIR"),
    "both": (
        {"layers": ["x.yml"], "images": "a", "masks": "b"},
        "check: give an experiment or --images DIR and --masks DIR",
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
    assert "warning  32 images occur twice or more" in done.stdout
    assert (tmp_path / "page.html").is_file()
    assert run("-m segtrain", "check", "--images", root).returncode == 2
