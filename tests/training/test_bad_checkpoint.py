"""A run folder or a checkpoint that cannot be used is one line, exit status 2, and stays as it is."""

import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from segtrain.__main__ import main as segtrain
from tests.bad_input import assert_one_line, contents
from tests.conftest import draw_sample


class Code:
    """What a hostile checkpoint holds."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


CHECKPOINTS = {
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        r"FILE: .*(damaged|truncated|incomplete|no checkpoint).*",
    ),
    "not ours": (
        lambda path: torch.save({"state_dict": {}}, path),
        r"FILE: is not a segtrain checkpoint; it has no 'segtrain' entry",
    ),
    "would run code": (
        lambda path: torch.save({"segtrain": 1, "model": Code(path.parent / "pwned")}, path),
        r"FILE: was not loaded: it contains more than tensors and plain values, which could run code",
    ),
    "text": (lambda path: path.write_text("weights"), r"FILE: .+"),
    "of a later version": (
        lambda path: torch.save({"segtrain": 2}, path),
        r"FILE: has format 2, but this version reads 1; update segtrain",
    ),
    "missing": (lambda path: path.unlink(), r"RUN: has no NAME; the run stopped before it was first saved"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_a_checkpoint_that_cannot_be_used(main, kept, tmp_path, capsys, case, name):
    damage, pattern = CHECKPOINTS[case]
    damage(kept / name)
    before = contents(kept)
    if name == "best.pt":
        draw_sample(tmp_path / "new", "a", seed=1)
        inputs, output = str(tmp_path / "new" / "images"), tmp_path / "out"
        assert segtrain(["predict", str(kept), inputs, "-o", str(output), "--device", "cpu"], prog="predict.py") == 2
        assert not output.exists()
    else:
        assert main(resume=kept) == 2
    pattern = pattern.replace("FILE", re.escape(str(kept / name))).replace("RUN", re.escape(str(kept)))
    assert_one_line(capsys.readouterr().err, pattern.replace("NAME", name))
    assert contents(kept) == before


def test_the_best_checkpoint_is_none_to_resume_from(main, kept, capsys):
    shutil.copy(kept / "best.pt", kept / "last.pt")
    assert main(resume=kept) == 2
    line = f"{kept / 'last.pt'}: cannot be resumed, because it contains only weights; use last.pt of the run"
    assert capsys.readouterr().err == line + "\n"


def test_a_folder_that_is_no_run(tmp_path, capsys):
    draw_sample(tmp_path / "new", "a", seed=1)
    (tmp_path / "empty").mkdir()
    for folder, text in (
        ("nowhere", "does not exist"),
        ("empty", "is not a run folder; it has neither .+"),
    ):
        inputs, output = str(tmp_path / "new" / "images"), tmp_path / "out"
        assert (
            segtrain(
                ["predict", str(tmp_path / folder), inputs, "-o", str(output), "--device", "cpu"], prog="predict.py"
            )
            == 2
        )
        assert_one_line(capsys.readouterr().err, re.escape(f"{tmp_path / folder}: ") + text)
