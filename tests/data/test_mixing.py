"""Golden regions, counts over many draws, and pixels that say which image they come from."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage

from segtrain.config.schema import Config, DataConfig, TransformsConfig
from segtrain.data import loaders as loaders_module
from segtrain.data.bottleneck import explain_wait
from segtrain.data.dataset import ClassBalance
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import build_loaders
from segtrain.data.memory_cache import keep_in_memory
from segtrain.data.mixing import Mixing, class_mix, copy_paste, cut_mix
from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable
from segtrain.training.overfit import narrow
from tests.conftest import draw_folders
from tests.data.drawn import DECODER, OPTIONS, draw, train_samples
from tests.data.test_loaders import assert_same, take

CROP = [{"RandomCrop": {"height": 24, "width": 32}}, "HorizontalFlip"]
CLASSES = ["a", "b", "c"]


def rngs(count):
    return (np.random.default_rng(seed) for seed in range(count))


def mixing(classes=CLASSES, **mix):
    return Mixing(DataConfig(root="x", classes=classes, mix=mix))


# The regions.


@pytest.mark.parametrize("shape", [(160, 224), (3, 64, 48)])
def test_a_rectangle_of_half_the_area_anywhere(shape):
    height, width = shape[-2:]
    covered, heights = np.zeros((height, width)), []
    for rng in rngs(400):
        region = cut_mix(np.zeros(shape, np.uint8), rng)
        rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        assert region.shape == (height, width) and region.sum() == len(rows) * len(columns)
        assert region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert abs(region.mean() - 0.5) < 0.5 / width + 0.5 / height  # no side is rounded by more than half a pixel
        covered += region
        heights.append(len(rows) / height)
    assert covered.any(axis=0).all() and covered.any(axis=1).all() and min(heights) < 0.52 and max(heights) > 0.98
    # The logarithm of the height is uniform: its mean is that of sqrt(1 / 2).
    assert np.exp(np.mean(np.log(heights))) == pytest.approx(0.5**0.5, abs=0.02)


def test_half_of_the_classes_and_never_what_is_ignored():
    mask = np.array([[0, 1, 1, 255], [3, 3, 0, 255], [6, 6, 255, 255]], np.uint8)
    counts = dict.fromkeys((0, 1, 3, 6), 0)
    for rng in rngs(600):
        region = class_mix(mask, rng, ignore_index=255)
        chosen = set(mask[region].tolist())
        assert len(chosen) == 2 and np.array_equal(region, np.isin(mask, list(chosen)))
        for value in chosen:
            counts[value] += 1
    assert all(250 < count < 350 for count in counts.values()), counts


@pytest.mark.parametrize("values", [[[2, 2]], [[255, 255]], [[255, 2]]])
def test_a_mask_of_one_class_gives_nothing(values):
    mask = np.array(values, np.uint8)
    assert not any(class_mix(mask, rng, ignore_index=255).any() for rng in rngs(20))


def test_many_classes():
    mask = np.array([[700, 4000], [65535, 700]], np.int32)
    regions = {tuple(class_mix(mask, rng, ignore_index=65535).ravel().tolist()) for rng in rngs(30)}
    assert regions == {(True, False, False, True), (False, True, False, False)}


def test_layers_count_what_has_no_class_as_one_more_class():
    """Two classes that overlap in the second pixel, nothing in the fourth, and the last ones not known."""
    layers = np.array([[[1, 1, 0, 0, 255, 0]], [[0, 1, 1, 0, 0, 255]]], np.uint8)
    regions = {tuple(class_mix(layers, rng, ignore_index=255)[0].tolist()) for rng in rngs(60)}
    first, second = (True, True) + (False,) * 4, (False, True, True) + (False,) * 3
    nothing = (False, False, False, True, False, False)
    assert regions == {first, second, nothing}  # one of three, half of them rounded down
    assert not class_mix(layers[:, :, 3:4], np.random.default_rng(0), ignore_index=255).any()


def test_objects_are_those_of_scipy_and_each_is_taken_half_of_the_time():
    mask = np.random.default_rng(3).choice([0, 1, 2, 255], (30, 40), p=[0.5, 0.2, 0.2, 0.1]).astype(np.uint8)
    objects, taken = [], []
    for value in (1, 2):
        labels, count = ndimage.label(mask == value, structure=np.ones((3, 3)))
        objects += [labels == label for label in range(1, count + 1)]
    for rng in rngs(200):
        region = copy_paste(mask, rng, classes=[1, 2])
        parts = [region[pixels] for pixels in objects]
        assert all(part.all() or not part.any() for part in parts)
        assert region.sum() == sum(part.sum() for part in parts)  # nothing else
        taken.append([part.all() for part in parts])
    assert np.mean(taken) == pytest.approx(0.5, abs=0.02) and np.mean(taken, axis=0).min() > 0.3
    assert not copy_paste(mask * 0, rng, classes=[1, 2]).any()


def test_objects_in_layers():
    layers = np.array([[[1, 0, 1, 255]], [[0, 1, 1, 1]]], np.uint8)
    regions = {tuple(copy_paste(layers, rng, classes=[0])[0].tolist()) for rng in rngs(40)}
    assert regions == {(one, False, other, False) for one in (True, False) for other in (True, False)}


# What is done with them.


def coded(count, *, layers=0, bands=3, dtype=np.uint8, size=(12, 16)):
    """Images whose pixels say which image and which place they are of, and masks that follow from both."""
    pairs = []
    rows, columns = np.mgrid[: size[0], : size[1]]
    for number in range(count):
        channels = [np.full(size, number), rows, columns, *[rows + columns] * (bands - 3)][:bands]
        image = np.stack(channels, axis=2).astype(dtype)
        mask = (rows // 4 + columns // 4 + number) % 4
        mask = np.where(mask == 3, 255, mask).astype(np.uint8)
        if layers:
            mask = np.stack([np.where(mask == 255, 255, mask >= c) for c in range(layers)]).astype(np.uint8)
        pairs.append((image, mask))
    return pairs


MIXES = [
    {"CutMix": 1.0},
    {"ClassMix": 1.0},
    {"CopyPaste": {"p": 1.0, "classes": ["a", "c"]}},
    {"CutMix": 0.3, "ClassMix": 0.3, "CopyPaste": {"p": 0.3, "classes": ["b"]}},
]


@pytest.mark.parametrize("kind", [{}, {"layers": 3}, {"dtype": np.float32}, {"bands": 7}, {"dtype": np.uint16}])
@pytest.mark.parametrize("mix", MIXES)
def test_image_and_mask_stay_together(tmp_path, mix, kind):
    pairs, others = coded(4, **kind), set()
    before = [(image.copy(), mask.copy()) for image, mask in pairs]
    samples = train_samples(SampleTable(draw(tmp_path, [(12, 16)] * 4)), kept=pairs)
    mixed = mixing(**mix)
    for seed in range(40):
        own = samples.augment(0, seed)
        sample, image, mask = mixed(own, seed, samples)
        assert sample is own[0] and image.dtype == pairs[0][0].dtype and mask.dtype == pairs[0][1].dtype
        numbers = image[..., 0].astype(int)
        others |= set(np.unique(numbers))
        for number in np.unique(numbers):
            there = numbers == number
            assert np.array_equal(image[there], before[number][0][there])
            assert np.array_equal(mask[..., there], before[number][1][..., there])
            if number and "CutMix" not in mix:  # what is ignored is pasted by rectangles alone
                hidden = before[number][1] == 255
                assert not (hidden if hidden.ndim == 2 else hidden.any(axis=0))[there].any()
    assert others == {0, 1, 2, 3}
    for (image, mask), (image_before, mask_before) in zip(pairs, before, strict=True):
        assert np.array_equal(image, image_before) and np.array_equal(mask, mask_before)


def test_a_single_class_is_an_object_on_a_background(tmp_path):
    pairs = [(np.full((8, 8, 3), number, np.uint8), np.full((8, 8), number, np.uint8)) for number in range(2)]
    samples = train_samples(SampleTable(draw(tmp_path, [(8, 8)] * 2)), kept=pairs)
    mixed = mixing(classes=["thing"], CopyPaste={"p": 1.0, "classes": ["thing"]})
    found = {int(mixed(samples.augment(0, seed), seed, samples)[1].mean()) for seed in range(40)}
    assert found == {0, 1}


def test_shares(tmp_path, monkeypatch):
    samples = train_samples(SampleTable(draw(tmp_path, [(12, 16)] * 2)), kept=coded(2))
    mixed, counts = mixing(CutMix=0.2, ClassMix=0.5), {"CutMix": 0, "ClassMix": 0}

    def counted(name, mask, rng):
        counts[name] += 1
        return np.zeros(mask.shape, bool)

    mixed._methods = [partial(counted, name) for name in counts]
    for seed in range(2000):
        mixed(samples.augment(0, seed), seed, samples)
    assert 340 < counts["CutMix"] < 460 and 930 < counts["ClassMix"] < 1070 and mixed.share == pytest.approx(0.7)


def test_nothing_else_changes_where_nothing_is_mixed(tmp_path):
    samples = train_samples(SampleTable(draw(tmp_path, [(40, 50)] * 4)), CROP)
    keys = [(epoch, index) for epoch in range(3) for index in range(4)]
    plain, none = samples.batch(keys), replace(samples, mix=mixing(ClassMix=0.0)).batch(keys)
    half = replace(samples, mix=mixing(CutMix=0.5)).batch(keys)
    assert_same([plain], [none])
    same = (half["image"] == plain["image"]).flatten(1).all(1)
    assert 2 <= same.sum() <= 10 and half["name"] == plain["name"]


def test_the_partner_is_balanced_too(tmp_path):
    """Of ten samples the last alone has the class; it is the partner each time."""
    samples = train_samples(SampleTable(draw(tmp_path, [(12, 16)] * 10)), kept=coded(10))
    presence = np.zeros((10, 3), bool)
    presence[9, 1] = True
    samples = replace(samples, balance=ClassBalance(1.0, presence))
    own = (samples.samples[0], *samples.kept[0])
    for seed in range(20):
        assert set(np.unique(mixing(CutMix=1.0)(own, seed, samples)[1][..., 0])) == {0, 9}


def test_memory_gives_the_same(tmp_path):
    samples, keys = SampleTable(draw(tmp_path, [(40, 50)] * 3)), [(0, 2), (1, 0), (1, 1)]
    dataset = replace(train_samples(samples, CROP), mix=mixing(CutMix=0.5, ClassMix=0.5))
    (kept,) = keep_in_memory([samples], DECODER, OPTIONS)
    for _ in range(2):
        assert_same([replace(dataset, kept=kept).batch(keys)], [dataset.batch(keys)])


def test_sizes_that_differ_are_told_in_one_line(tmp_path):
    samples = draw(tmp_path, [(20, 30), (24, 30)])
    error = replace(train_samples(samples), mix=mixing(CutMix=1.0)).__getitems__([(0, 0), (1, 0), (2, 0), (3, 0)])
    assert isinstance(error, DataError) and str(error) == (
        f"images that data.mix combines differ in height and width: {samples[0].image} (20, 30) and "
        f"{samples[1].image} (24, 30); end transforms.train with RandomCrop: "
        f"{{height: 256, width: 256, pad_if_needed: true}}, or Resize"
    )


# In a loader.


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """7 training and 3 validation images of 64 x 80 pixels."""
    return draw_folders(tmp_path_factory.mktemp("mixing"), train=7, val=3, classes=3)


def build(root, *, seed=0, **values):
    mix = {"CutMix": 0.4, "ClassMix": 0.4}
    config = DataConfig(**({"root": root, "classes": CLASSES, "batch_size": 4, "workers": 0, "mix": mix} | values))
    splits, decoder = read_splits(config, seed=seed), build_decoder(config)
    return build_loaders(Config(data=config, transforms=TransformsConfig(train=CROP), seed=seed), splits, decoder)


def test_the_stream_depends_on_seed_epoch_and_index_alone(root, monkeypatch):
    expected = take(build(root), 5)
    for workers in (1, 2):
        assert_same(take(build(root, workers=workers), 5), expected)
    assert_same(take(build(root), 3, epoch=2, step=0), expected[2:])  # a run that goes on
    halves = []
    for number in range(2):  # of two processes each has every second sample
        monkeypatch.setattr(loaders_module, "size", lambda: 2)
        monkeypatch.setattr(loaders_module, "rank", lambda number=number: number)
        halves.append(take(build(root), 5))
    for one, other, whole in zip(*halves, expected, strict=True):
        for key in ("image", "mask"):
            assert torch.equal(torch.stack([one[key], other[key]], dim=1).flatten(0, 1), whole[key])
    assert not torch.equal(take(build(root, seed=1), 1)[0]["image"], expected[0]["image"])


def test_evaluation_is_never_mixed(root):
    for one, other in ((build(root).val, build(root, mix=None).val), (build(root).train_eval, build(root).train_eval)):
        assert_same([group for batch in one for group in batch], [group for batch in other for group in batch])
    assert not hasattr(build(root).train_eval.dataset, "mix")


def test_images_learned_by_heart_are_not_mixed(prepare):
    made = prepare("data.mix={CutMix: 1.0}")
    splits = {"train": made.loaders.train.dataset.samples, "val": made.loaders.val.dataset.samples}
    assert made.loaders.train.dataset.mix is not None and narrow(made.config, splits, 2)[0].data.mix is None


def test_a_slow_loader_is_told_of_the_second_image(root):
    line = explain_wait(build(root).train, 0.4)
    assert ", in one process, and data.mix reads a second one for 80% of them; " in line
    assert "data.mix" not in explain_wait(build(root, mix=None).train, 0.4)
