"""The commands of docs/tutorials/, in their order, on small data and for one epoch."""

import re
import shlex
from pathlib import Path

import pytest

from segtrain.__main__ import main
from segtrain.commands.demo.demo import draw_demo, draw_town_set
from tests.conftest import PROJECT, SMALL

QUICK = [*SMALL, "train.epochs=1"]


def commands_of(page: str) -> list[list[str]]:
    """The commands in the sh blocks of a page, in their order."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the commands of a page in a folder with a copy of config.yml; returns what `train` and others were given."""
    (tmp_path / "config.yml").write_bytes((PROJECT / "config.yml").read_bytes())
    monkeypatch.chdir(tmp_path)

    def follow(page: str) -> list[list[str]]:
        done = []
        for words in commands_of(page):
            if words[0] != "python" or words[1] == "-c":
                continue  # make, pip, mkdir, cp
            arguments = words[3:] if words[1:3] == ["-m", "segtrain"] else [words[1].removesuffix(".py"), *words[2:]]
            if arguments[0] in ("demo", "serve") or "--overfit" in arguments:
                continue
            if arguments[0] == "train" and "--resume" not in arguments:
                arguments += QUICK
            assert main(arguments) == 0, arguments
            done.append(arguments)
        return done

    return follow


def test_first_training(follow, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw_demo(tmp_path / "data/street", train=8, val=2, height=64, width=96)
    assert main(["train", *QUICK]) == 0  # make train
    follow("tutorials/first-training.md")
    assert len(list((tmp_path / "out/street").glob("*_overlay.jpg"))) == 2
    assert "lite-1" in capsys.readouterr().out.rpartition("mIoU is")[2]


def test_the_mistake_of_the_first_training_is_reported_as_shown(capsys: pytest.CaptureFixture) -> None:
    text = (PROJECT / "docs/tutorials/first-training.md").read_text(encoding="utf-8")
    command, *expected = re.search(r"```text\n\$ python train.py (.*?)```", text, re.DOTALL)[1].splitlines()
    assert main(["train", *command.split()]) == 2
    assert capsys.readouterr().err.splitlines() == expected


def test_own_data(follow, tmp_path: Path) -> None:
    draw_demo(tmp_path / "data/street", train=10, val=2, height=64, width=96)
    (tmp_path / "data/mine").symlink_to(tmp_path / "data/street/train")
    follow("tutorials/own-data.md")
    assert (tmp_path / "check.html").is_file() and (tmp_path / "out/mine/0001.png").is_file()
    assert (tmp_path / "runs/mine-1/evaluation-val-1").is_dir()


@pytest.mark.parametrize("page", ["tutorials/binary-masks.md", "tutorials/aerial-geotiff.md"])
def test_towns(page: str, follow, tmp_path: Path) -> None:
    draw_town_set(tmp_path / "data/town", labeled=5, side=192)
    follow(page)
    assert "- {name: object, value: 255}" in (tmp_path / "experiments/town.yml").read_text(encoding="utf-8")
    written = {path.name for path in (tmp_path / "out").rglob("town5*")}
    assert {"town5.tif", "town5_overlay.jpg"} <= written
    assert ("town5.gpkg" in written) == ("aerial" in page)
