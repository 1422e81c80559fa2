import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from segtrain.data.transforms import apply, build_eval_transform, build_transform
from segtrain.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 4, (40, 50)).astype(np.uint8)
IMAGE = np.repeat(MASK[..., None] * np.uint8(60), 3, axis=2)  # gray, four to a class

MOVING = {
    "RandomAffine": {"degrees": [20, 30]},
    "RandomRotation": {"degrees": [20, 30], "expand": True},
    "RandomPerspective": {"p": 1, "interpolation": "nearest"},
    "RandomZoomOut": {"p": 1},
    "torchvision.transforms.v2.RandomCrop": {"size": [64, 64], "pad_if_needed": True},
    "torchvision.transforms.v2.Pad": {"padding": 9},
}
COLORING = {
    "RandomPhotometricDistort": {"p": 1, "brightness": [0.5, 0.6]},
    "RandomInvert": {"p": 1},
    "RandomErasing": {"p": 1},
    "GaussianNoise": {},
}


def augment(*items, seed=0, image=IMAGE, mask=MASK, ignore_index=255):
    return apply(build_transform(items, ignore_index=ignore_index), image, mask, seed)


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize(("dtype", "ignore_index"), [(np.uint8, 255), (np.int32, 65535)])
def test_image_and_mask_move_together_and_what_is_uncovered_is_ignored(name, dtype, ignore_index):
    image, mask = augment({name: {**MOVING[name], "fill": 240}}, mask=MASK.astype(dtype), ignore_index=ignore_index)
    assert mask.dtype == dtype and image.dtype == np.uint8 and image.shape == (*mask.shape, 3)
    ignored = mask == ignore_index
    assert 0 < ignored.mean() < 1 and (image[ignored] == 240).all()
    assert np.array_equal(image[~ignored], np.repeat(mask[~ignored][:, None] * 60, 3, axis=1))


@pytest.mark.parametrize("name", COLORING)
def test_colors_leave_the_mask_alone(name):
    image, mask = augment({name: COLORING[name]})
    assert np.array_equal(mask, MASK) and not np.array_equal(image, IMAGE)


def test_it_is_what_torchvision_gives_for_the_seed_alone():
    """Also beside other draws of torch, whose generator stays as it was."""
    crop = {"torchvision.transforms.v2.RandomResizedCrop": {"size": [32, 32]}}
    torch.manual_seed(1)
    first = augment(crop, "RandomHorizontalFlip", seed=7)
    drawn = torch.rand(3)
    second = augment(crop, "RandomHorizontalFlip", seed=7)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)
    assert all(np.array_equal(*both) for both in zip(first, second, strict=True))
    assert not np.array_equal(first[1], augment(crop, "RandomHorizontalFlip", seed=8)[1])
    flipped = v2.RandomHorizontalFlip(p=1)(tv_tensors.Mask(torch.from_numpy(MASK))).numpy()
    assert np.array_equal(augment({"RandomHorizontalFlip": {"p": 1}})[1], flipped)


def test_layers_floats_and_many_channels():
    layers = np.stack([MASK == 1, MASK == 2]).astype(np.uint8)
    image = RNG.random((40, 50, 5), np.float32)
    moved, masks = augment({"RandomVerticalFlip": {"p": 1}}, image=image, mask=layers)
    assert np.array_equal(moved, image[::-1]) and np.array_equal(masks, layers[:, ::-1]) and moved.dtype == np.float32


def test_it_stands_among_those_of_albumentations():
    items = (
        {"Sequential": {"transforms": [{"RandomInvert": {"p": 1}}, "RandomChannelPermutation"], "p": 1}},
        {"Transpose": {"p": 1}},
    )
    image, mask = augment(*items)
    assert np.array_equal(mask, MASK.T) and np.array_equal(image, 255 - IMAGE.swapaxes(0, 1))


def test_what_torchvision_refuses_is_one_line():
    with pytest.raises(ConfigError, match=r"^transforms.train.0: RandomRotation: If degrees is a single number"):
        augment({"RandomRotation": {"degrees": -3}})
    with pytest.raises(ConfigError, match=r"^transforms.train.0: RandomAffine: 'soft' is not a valid Interpolation"):
        augment({"RandomAffine": {"degrees": 3, "interpolation": "soft"}})
    with pytest.raises(DataError, match=r"^transforms.train: Required crop size \(64, 64\) is larger than"):
        augment({"torchvision.transforms.v2.RandomCrop": {"size": 64}})
    with pytest.raises(DataError, match=r"^transforms.train: a transform returns images of shape \(40, 50, 1\)"):
        augment("Grayscale")
    with pytest.raises(ConfigError, match=r"^transforms.val.0: GaussianNoise may change the frame, but whole"):
        build_eval_transform(["GaussianNoise"])
