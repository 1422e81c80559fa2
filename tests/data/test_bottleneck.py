"""What a training that waits is told."""

import re
import time

import albumentations
import pytest

from segtrain.data import bottleneck
from segtrain.data.bottleneck import explain_wait
from segtrain.data.loaders import TrainLoader
from segtrain.formats.sample import SampleTable
from tests.data.drawn import draw, train_samples


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """A loader without reading processes, on a computer with one core."""
    monkeypatch.setattr(bottleneck, "count_cores", lambda: 1)

    def loader(*transforms, size=(40, 50)):
        dataset = train_samples(SampleTable(draw(tmp_path, [size] * 3)), transforms)
        return TrainLoader(dataset, batch_size=2, workers=1, pin_memory=False)

    return loader


def advice_of(loader) -> str:
    line = explain_wait(loader, 0.42)
    pattern = (
        r"the loader is the bottleneck: 42% of the time is spent waiting for images; each takes \d+ ms to read, \d+ to "
        r"decode and \d+ to augment, in one process; (.*)"
    )
    return re.fullmatch(pattern, line)[1]


def test_decoding(loader):
    assert advice_of(loader()) == "set data.cache: ram (about 0 MiB)"
    assert advice_of(loader({"RandomCrop": {"height": 32, "width": 32}}, size=(320, 320))) == (
        "save smaller images; they have 100 times the pixels of a crop or set data.cache: ram (about 1 MiB)"
    )


def test_augmentation(loader, monkeypatch):
    slow = albumentations.HorizontalFlip.apply
    monkeypatch.setattr(
        albumentations.HorizontalFlip, "apply", lambda *given, **named: (time.sleep(0.05), slow(*given, **named))[1]
    )
    flip, crop = {"HorizontalFlip": {"p": 1.0}}, {"RandomCrop": {"height": 32, "width": 32}}
    assert re.fullmatch(r"put RandomCrop before HorizontalFlip \(\d+ ms\)", advice_of(loader(flip, crop)))
    assert re.fullmatch(
        r"apply HorizontalFlip \(\d+ ms\) to fewer images \(p\), or remove it", advice_of(loader(crop, flip))
    )


def test_a_slow_disk(loader, monkeypatch):
    monkeypatch.setattr(bottleneck, "read_content", lambda _: time.sleep(0.02))
    monkeypatch.setattr(bottleneck, "read_available_bytes", lambda: 1)
    assert advice_of(loader()) == "set data.cache: folder, with data.cache_folder on a fast disk"
    monkeypatch.setattr(bottleneck, "count_cores", lambda: 8)
    assert advice_of(loader()).startswith("set data.workers: 8 or ")
