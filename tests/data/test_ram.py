import multiprocessing
import sys

import pytest
import torch
from torch.utils.data import Dataset

from segtrain.data import memory_cache
from segtrain.data.dataset import EvalSamples
from segtrain.data.memory_cache import estimate_memory, keep_in_memory
from segtrain.data.workers import build_loader
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable
from tests.data.drawn import DECODER, OPTIONS, draw, train_samples

CROP = [{"RandomCrop": {"height": 16, "width": 16}}]


@pytest.fixture
def samples(tmp_path):
    return SampleTable(draw(tmp_path, [(40, 50), (40, 50), (60, 50)]))


def test_the_estimate_is_right_for_what_was_measured(samples):
    pixels = (40 + 40 + 60) * 50
    assert estimate_memory(samples, DECODER, OPTIONS) == 4 * pixels
    assert estimate_memory(samples, DECODER, {"channels": 3, "scale": 255.0}) == 13 * pixels


def test_batches_are_the_same_and_no_file_is_opened_again(samples, tmp_path, capsys):
    keys = [(0, 2), (1, 0), (1, 1)]
    expected = train_samples(samples, CROP).batch(keys)
    whole = EvalSamples(samples, DECODER, image_options=OPTIONS, transform=None).batch([0, 2])
    kept, again = keep_in_memory([samples, samples], DECODER, OPTIONS)
    dataset, evaluation = (
        train_samples(samples, CROP, kept=kept),
        EvalSamples(samples, DECODER, image_options=OPTIONS, transform=None, kept=again),
    )
    assert capsys.readouterr().out == "memory   about 0 MiB for 6 images and masks (data.cache: ram)\n"
    for path in tmp_path.glob("*/*.png"):
        path.unlink()
    for _ in range(2):  # augmentation changed nothing that is kept
        batch = dataset.batch(keys)
        assert (batch["image"] == expected["image"]).all() and (batch["mask"] == expected["mask"]).all()
    assert (evaluation.batch([0, 2])[1]["image"] == whole[1]["image"]).all()


def test_memory_that_does_not_suffice_is_told_first(samples, monkeypatch):
    monkeypatch.setattr(memory_cache, "read_available_bytes", lambda: 30000)
    monkeypatch.setattr(memory_cache, "read_sample", lambda *_: pytest.fail("something was read"))
    with pytest.raises(DataError) as error:
        keep_in_memory([samples], DECODER, OPTIONS)
    assert str(error.value) == (
        "data.cache: ram: 3 images need about 0 MiB of memory, but 0 MiB are free; write data.cache: null, or make "
        "the images smaller"
    )


def test_a_broken_file_is_named(samples):
    with open(samples[1].image, "r+b") as file:
        file.truncate(200)
    with pytest.raises(DataError, match=r"images/1\.png: cannot be read as an image"):
        keep_in_memory([samples], DECODER, OPTIONS)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork")
def test_reading_processes_share_the_memory_of_the_training():
    class Shared(Dataset):
        def __getitem__(self, index):
            return {"image": torch.tensor(index)}

        def __reduce__(self):
            raise AssertionError("copied to a reading process")

    multiprocessing.RLock()  # as tqdm makes one
    loader = build_loader(Shared(), batch_sampler=[[0, 1], [2, 3]], workers=1, pin_memory=False)
    assert [batch[1]["image"].item() for batch in loader] == [1, 3]
