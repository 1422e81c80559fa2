import cv2
import numpy as np
import pytest
import torch

from segtrain.data.dataset import (
    EvalSamples,
    RawSamples,
    images_to_tensor,
    make_batch,
    read_sample,
    sample_seed,
)
from segtrain.data.transforms import build_eval_transform
from segtrain.errors import DataError
from tests.data.drawn import DECODER, OPTIONS, draw, train_samples


def test_seeds_of_samples_differ_and_stay_the_same():
    assert sample_seed(0, 0, 0) == int(np.random.SeedSequence((0, 0, 0)).generate_state(1)[0])
    seeds = {sample_seed(s, e, i) for s in range(4) for e in range(4) for i in range(4)}
    assert len(seeds) == 64 and all(0 <= seed < 2**32 for seed in seeds)


def test_tensors_share_the_memory_layout_of_convolutions():
    images = images_to_tensor([np.arange(24, dtype=np.uint8).reshape(2, 4, 3)] * 2)
    assert images.shape == (2, 3, 2, 4) and images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images[0, :, 0, 1].tolist() == [3, 4, 5]
    masks = make_batch([], images, [np.array([[0, 300]], np.int32)] * 3)["mask"]
    assert masks.shape == (3, 1, 2) and masks.dtype == torch.int32


def test_a_training_batch(tmp_path):
    samples = draw(tmp_path, [(20, 30)] * 3)
    batch = train_samples(samples).__getitems__([(0, 2), (0, 0)])
    assert batch["image"].shape == (2, 3, 20, 30) and batch["image"].dtype == torch.uint8
    assert batch["mask"].shape == (2, 20, 30) and batch["mask"].dtype == torch.uint8
    assert batch["name"] == ["2", "0"]
    image, mask = read_sample(samples[2], DECODER, OPTIONS)
    assert np.array_equal(batch["image"][0].permute(1, 2, 0), image)
    assert np.array_equal(batch["mask"][0], mask)


def test_the_augmentation_depends_on_seed_epoch_and_index_alone(tmp_path):
    samples = draw(tmp_path, [(40, 40)] * 4)
    crop = [{"RandomCrop": {"height": 16, "width": 16}}, {"GaussNoise": {"p": 1}}]
    first, again = train_samples(samples, crop), train_samples(samples, crop)
    whole = first.batch([(0, 0), (0, 1), (0, 2), (0, 3)])["image"]
    assert torch.equal(torch.cat([again.batch([(0, index)])["image"] for index in (3, 2, 1, 0)]).flip(0), whole)
    assert not torch.equal(first.batch([(1, 0)])["image"], whole[:1])
    assert not torch.equal(train_samples(samples, crop, seed=1).batch([(0, 0)])["image"], whole[:1])


def test_images_of_several_sizes_cannot_be_one_training_batch(tmp_path):
    samples = draw(tmp_path, [(20, 30), (20, 30), (24, 30)])
    error = train_samples(samples).__getitems__([(0, 0), (0, 1), (0, 2)])
    assert isinstance(error, DataError)
    assert str(error) == (
        f"images of one batch differ in height and width: {samples[0].image} (20, 30) and {samples[2].image} (24, "
        f"30); end transforms.train with RandomCrop: {{height: 256, width: 256, pad_if_needed: true}}, or Resize"
    )


def test_a_crop_larger_than_the_image(tmp_path):
    samples = draw(tmp_path, [(20, 30)])
    error = train_samples(samples, [{"RandomCrop": {"height": 32, "width": 32}}]).__getitems__([(0, 0)])
    assert str(error) == (
        f"{samples[0].image}: Crop size (height, width) exceeds image dimensions (height, width): "
        "(32, 32) vs (20, 30); "
        "write pad_if_needed: true for the crop in transforms.train"
    )


@pytest.mark.parametrize("training", [True, False])
def test_an_image_and_a_mask_of_different_sizes(tmp_path, training):
    (sample,) = draw(tmp_path, [(20, 30)])
    cv2.imwrite(sample.mask, np.zeros((20, 28), np.uint8))
    dataset = (
        train_samples([sample]) if training else EvalSamples([sample], DECODER, image_options=OPTIONS, transform=None)
    )
    error = dataset.__getitems__([(0, 0)] if training else [0])
    expected = f"{sample.mask}: is 28 x 20 pixels, but its image {sample.image} is 30 x 20 pixels"
    assert isinstance(error, DataError) and str(error) == expected


def test_evaluation_keeps_every_image_whole_in_groups_of_one_size(tmp_path):
    samples = draw(tmp_path, [(20, 30), (30, 20), (20, 30), (30, 20), (7, 9)])
    groups = EvalSamples(samples, DECODER, image_options=OPTIONS, transform=None).__getitems__([0, 1, 2, 3, 4])
    assert [(group["name"], tuple(group["image"].shape), tuple(group["mask"].shape)) for group in groups] == [
        (["0", "2"], (2, 3, 20, 30), (2, 20, 30)),
        (["1", "3"], (2, 3, 30, 20), (2, 30, 20)),
        (["4"], (1, 3, 7, 9), (1, 7, 9)),
    ]


def test_raw_images_are_as_they_were_read(tmp_path):
    samples = draw(tmp_path, [(20, 30), (7, 9), (20, 30)])
    options = OPTIONS | {"scale": 255.0}
    groups = RawSamples(samples, DECODER, image_options=options).__getitems__([0, 1, 2])
    assert [group["name"] for group in groups] == [["0", "2"], ["1"]]
    for group in groups:
        for name, image, mask in zip(group["name"], group["image"], group["mask"], strict=True):
            expected = read_sample(samples[int(name)], DECODER, options)
            assert image.dtype == torch.float32 and np.array_equal(image, expected[0])
            assert np.array_equal(mask, expected[1])


def test_evaluation_resizes_images_and_never_masks(tmp_path):
    samples = draw(tmp_path, [(20, 30), (40, 60)])
    transform = build_eval_transform([{"Resize": {"height": 10, "width": 15}}])
    groups = EvalSamples(samples, DECODER, image_options=OPTIONS, transform=transform).batch([0, 1])
    assert [tuple(group["image"].shape) for group in groups] == [(1, 3, 10, 15)] * 2
    assert [tuple(group["mask"].shape) for group in groups] == [(1, 20, 30), (1, 40, 60)]
