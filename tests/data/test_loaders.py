import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch

from segtrain.config.schema import Config, DataConfig, TransformsConfig
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import EndlessBatches, build_loaders
from segtrain.data.splits import read_splits
from segtrain.data.workers import count_workers
from segtrain.errors import DataError
from tests.conftest import PROJECT, draw_folders

TRANSFORMS = TransformsConfig(train=[{"RandomCrop": {"height": 32, "width": 32}}, "HorizontalFlip"])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """7 training and 3 validation images of 64 x 80 pixels."""
    return draw_folders(tmp_path_factory.mktemp("loaders"), train=7, val=3, classes=3)


def build(root, *, workers=0, seed=0, **values):
    config = DataConfig(**({"root": root, "classes": ["a", "b", "c"], "batch_size": 2, "workers": workers} | values))
    splits, decoder = read_splits(config, seed=seed), build_decoder(config)
    return build_loaders(Config(data=config, transforms=TRANSFORMS, seed=seed), splits, decoder)


def take(loaders, count, *, epoch=0, step=0):
    stream = loaders.train.stream(epoch, step)
    batches = list(islice(stream, count))
    stream.close()
    return batches


def assert_same(first, second):
    assert [batch["name"] for batch in first] == [batch["name"] for batch in second]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["mask"], other["mask"])


@pytest.mark.parametrize(
    ("count", "batch_size", "steps", "size"), [(7, 2, 3, 2), (8, 2, 4, 2), (3, 8, 1, 3), (1, 1, 1, 1)]
)
def test_an_epoch_leaves_out_what_does_not_fill_a_batch_unless_it_is_all(count, batch_size, steps, size):
    batches = EndlessBatches(count, batch_size=batch_size, seed=0)
    assert (batches.steps_per_epoch, batches.batch_size) == (steps, size)
    for epoch, chunk in enumerate(
        (list(islice(iter(batches), 3 * steps))[:steps], list(islice(iter(batches), 3 * steps))[steps : 2 * steps])
    ):
        indices = [index for keys in chunk for _, index in keys]
        assert len(set(indices)) == len(indices) == steps * size
        assert {number for keys in chunk for number, _ in keys} == {epoch}


def test_the_order_depends_on_seed_and_epoch():
    def order(seed, epoch):
        batches = EndlessBatches(50, batch_size=50, seed=seed)
        batches.start = (epoch, 0)
        return [index for _, index in next(iter(batches))]

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert sorted(order(2, 1)) == list(range(50))


def test_training_batches(root):
    loaders = build(root)
    (batch,) = take(loaders, 1)
    assert loaders.train.steps_per_epoch == 3 and loaders.train.batch_size == 2
    assert batch["image"].shape == (2, 3, 32, 32) and batch["image"].dtype == torch.uint8
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert batch["mask"].shape == (2, 32, 32) and batch["mask"].dtype == torch.uint8
    assert len(batch["name"]) == 2


def test_the_stream_does_not_depend_on_the_number_of_workers(root):
    expected = take(build(root), 7)
    for workers in (1, 2):
        assert_same(take(build(root, workers=workers), 7), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_from_the_middle_is_the_rest_of_the_whole_one(root, workers):
    whole = take(build(root), 9)
    loaders = build(root, workers=workers)
    assert_same(take(loaders, 4, epoch=1, step=2), whole[5:])
    assert_same(take(loaders, 2, epoch=0, step=0), whole[:2])


def test_epochs_and_seeds_differ(root):
    whole = take(build(root), 6)
    first, second = whole[:3], whole[3:]
    assert [batch["name"] for batch in first] != [batch["name"] for batch in second]
    assert [batch["name"] for batch in take(build(root, seed=1), 3)] != [batch["name"] for batch in first]


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_draws_nothing_from_the_global_generator(root, workers):
    loaders = build(root, workers=workers)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    take(loaders, 4)
    list(loaders.val)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_gives_every_image_once_in_order(root, workers):
    loaders = build(root, workers=workers, eval_batch_size=2)
    for loader, count in ((loaders.val, 3), (loaders.train_eval, 7)):
        batches = list(loader)
        assert len(batches) == len(loader) == -(-count // 2)
        groups = [group for batch in batches for group in batch]
        assert [name for group in groups for name in group["name"]] == [f"{index:03d}" for index in range(count)]
        assert all(group["image"].shape[1:] == (3, 64, 80) and group["mask"].shape[1:] == (64, 80) for group in groups)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_a_file_arrives_as_one_line(tmp_path, workers):
    root = draw_folders(tmp_path, train=2, val=1, classes=3)
    broken = root / "train/images/001.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    loaders = build(root, workers=workers)
    with pytest.raises(DataError) as error:
        take(loaders, 1)
    expected = f"{broken}: cannot be read as an image: image file is truncated; is the file complete?"
    assert str(error.value).split(" (")[0] == expected.split(" (")[0] and "\n" not in str(error.value)
    (root / "val/masks/000.png").write_bytes(b"")
    with pytest.raises(DataError, match="is not an image of a supported type; is the file complete"):
        list(loaders.val)


KEEPS_A_LOADER = """
import sys
from pathlib import Path
from tests.data.test_loaders import build

loaders = build(Path(sys.argv[1]), workers=2)
stream = loaders.train.stream(0, 0)
print(next(stream)["image"].shape)
loaders.itself, loaders.stream = loaders, stream
"""


def test_a_program_that_still_has_workers_ends(root):
    line = [sys.executable, "-c", KEEPS_A_LOADER, str(root)]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "torch.Size([2, 3, 32, 32])\n", "")


def test_the_number_of_workers():
    assert count_workers(5, "cpu") == 5 and count_workers(0, "cuda") == 0
    assert 1 <= count_workers("auto", "cpu") <= 2
    assert count_workers("auto", "cpu") <= count_workers("auto", "cuda") <= 8
