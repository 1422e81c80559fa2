"""Pictures of mixed samples: which, what they show, and a full disk."""

import errno
import os
from types import SimpleNamespace

import numpy as np
from PIL import Image

from segtrain.config.schema import Config, DataConfig
from segtrain.data.dataset import TrainSamples
from segtrain.data.labels import build_decoder
from segtrain.data.transforms import build_transform
from segtrain.formats.sample import Sample
from segtrain.inference.task import Task
from segtrain.training.mixed import draw_mixed
from segtrain.visualize import MARGIN_PX, sample_panel


def test_the_first_mixed_samples_are_drawn(prepare):
    made = prepare("data.mix={CutMix: 0.6}")
    dataset = made.loaders.train.dataset
    draw_mixed(made.run, dataset)
    mixed = dataset.batch([(0, index) for index in range(8)])
    dataset.mix = None
    plain = dataset.batch([(0, index) for index in range(8)])
    changed = [bool((one != other).any()) for one, other in zip(mixed["image"], plain["image"], strict=True)]
    expected = [f"{index:03d}.png" for index in np.flatnonzero(changed)[:4]]
    assert sorted(path.name for path in (made.folder / "mixed").iterdir()) == expected and len(expected) == 4
    first = int(np.flatnonzero(changed)[0])
    picture = np.asarray(Image.open(made.folder / "mixed" / expected[0]))
    scale = (picture.shape[1] - 3 * MARGIN_PX) // 2 // 64  # a crop of 64 pixels is enlarged
    image = mixed["image"][first].permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
    left = picture[:, MARGIN_PX : MARGIN_PX + len(image)]
    assert any(np.array_equal(left[top : top + len(image)], image) for top in range(80))  # below the title


def test_layers_are_laid_over_one_another(tmp_path):
    image = np.full((256, 256, 3), 200, np.uint8)
    layers = np.zeros((2, 256, 256), np.uint8)
    layers[0, :, :128], layers[1, :64] = 1, 1
    config = DataConfig(root="x", classes=["a", "b"], multilabel=True)
    samples = TrainSamples(
        [Sample("a/b", "", "")],
        build_decoder(config),
        image_options={},
        transform=build_transform([], ignore_index=255),
        seed=0,
        kept=[(image, layers)],
        mix=lambda made, *_: (*made[:2], made[2].copy()),
    )
    task = Task.of(Config(data=config))
    draw_mixed(SimpleNamespace(task=task, folder=tmp_path), samples)
    flat = np.zeros((256, 256), int)
    flat[:, :128], flat[:64] = 1, 2
    picture = np.asarray(Image.open(tmp_path / "mixed" / "a_b.png"))
    assert np.array_equal(picture, sample_panel(image, flat, names=task.picture_names, colors=task.colors))


def test_a_full_disk_costs_a_warning(prepare, monkeypatch, capsys):
    made = prepare("data.mix={CutMix: 1.0}")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    draw_mixed(made.run, made.loaders.train.dataset)
    assert capsys.readouterr().out == "warning: pictures were not written: [Errno 28] No space left on device\n"
