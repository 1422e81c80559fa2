"""What the tests of `python -m segtrain batch` share."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segtrain.command import run_command
from segtrain.commands.batch.command import add_arguments
from segtrain.commands.batch.command import main as main_of_command
from tests.conftest import PROJECT

EXPERIMENT = "data: {format: folders, root: data, images: images, masks: masks, classes: [a, b]}\ntrain: {epochs: 3}\n"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, without config.yml, where trainer.py stands in for the process that trains."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROJECT}/tests/commands/batch/trainer.py" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    folder = tmp_path / "work place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("one", "two"):
        Path(f"{name}.yml").write_text(f"name: {name}\n{EXPERIMENT}")
    return folder


@pytest.fixture
def batch(workplace: Path) -> Callable[..., int]:
    """`python -m segtrain batch` in this process: its exit status."""

    def batch(*arguments: str) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return run_command(main_of_command, parser.parse_intermixed_args(arguments))

    return batch
