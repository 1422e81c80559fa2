"""data.batch_size: auto: the number that is found, and that a run keeps it."""

from itertools import takewhile

import pytest
import torch

from segtrain.checkpoint import load_checkpoint
from segtrain.config.rules import load_config
from segtrain.config.tree import load_yaml
from segtrain.data.splits import read_splits
from segtrain.training.auto_batch import _read_sample, _try_on_gpu, find_largest, grid
from tests.conftest import SMALL

MIB = 1 << 20


def test_the_sizes_to_choose_from():
    assert list(grid(50)) == [2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    assert list(grid(1)) == [2]  # BatchNorm needs two


@pytest.mark.parametrize(("budget", "largest"), [(1000, 0), (1200, 2), (1599, 4), (1600, 6), (10_000, 48)])
def test_the_largest_that_fits(budget, largest):
    """1,000 MiB for the model, 100 for an image."""
    asked = []

    def measure(number: int) -> float:
        asked.append(number)
        return 1000 + 100 * number

    assert find_largest(measure, grid(50), budget=budget) == largest
    # From the third size on, memory is never asked for more than there is.
    assert all(1000 + 100 * number <= budget for number in asked[2:])
    assert asked == list(takewhile(lambda number: number <= max(asked), grid(50)))


def test_memory_that_runs_out_ends_it():
    assert find_largest(lambda number: float("inf") if number > 3 else 1.0, grid(50), budget=10.0) == 3
    assert find_largest(lambda number: float("inf"), grid(50), budget=10.0) == 0


def test_a_run_keeps_the_number(dataset, main, tmp_path, capsys):
    """Of 8 images of 64 x 64 pixels: two, for four batches in an epoch."""
    common = [*SMALL, f"data.root={dataset}", f"runs_dir={tmp_path}", "train.device=cpu", "train.epochs=1"]
    assert main(*common, "data.batch_size=auto") == 0
    assert "batch    2 images of 64 x 64 pixels, by estimate, " in (out := capsys.readouterr().out)
    assert "of memory free (data.batch_size: auto)" in out and "1 epoch of 4 steps of 2 images" in out
    assert load_yaml(tmp_path / "street-1" / "config.yml").plain()["data"]["batch_size"] == 2
    assert main(*common, "data.batch_size=2") == 0
    first, second = (load_checkpoint(tmp_path / f"street-{number}" / "last.pt")["model"] for number in (1, 2))
    assert all(torch.equal(first[name], second[name]) for name in second)
    capsys.readouterr()
    for size in ("auto", "8"):  # what the run has counts, unless another number is written
        assert main("train.epochs=1", f"data.batch_size={size}", resume=tmp_path / "street-2") == 0
    out = capsys.readouterr().out
    assert "batch    2 images as at the start of the run" in out and "1 step of 8 images" in out


def test_a_split_can_be_scored_before_there_is_a_number(dataset):
    assert load_config([*SMALL, f"data.root={dataset}", "data.batch_size=auto"]).data.images_at_once == 4


@pytest.fixture
def gpu(monkeypatch):
    """Memory of a GPU as torch tells it, on the CPU: 1,000 MiB, of which each image of a batch takes 100."""
    taken = [0]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000 * MIB, 2000 * MIB))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: taken[0])
    forward = torch.nn.Module.__call__

    def call(module, images, *arguments, **named):
        if isinstance(images, torch.Tensor) and images.dtype == torch.uint8:
            taken[0] = 100 * MIB * len(images)
            if len(images) > 9:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(module, images, *arguments, **named)

    monkeypatch.setattr(torch.nn.Module, "__call__", call)


def test_on_a_gpu_steps_are_tried(gpu, dataset, tmp_path):
    """Of 900 MiB, nine tenths, 8 images take 800; four batches of 16 would be an epoch of 64 images."""
    config = load_config([*SMALL, f"data.root={dataset}", "data.batch_size=auto", f"runs_dir={tmp_path}"])
    samples = read_splits(config.data, seed=0)["train"].take([*range(8)] * 8)
    sample = _read_sample(config, samples)
    share, reason = _try_on_gpu(config, sample, len(samples), torch.device("cpu"))
    assert (share, reason) == (8, "the largest tried that uses at most 90% of the 1000 MiB that are free")
