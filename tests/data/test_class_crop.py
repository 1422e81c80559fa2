import albumentations
import numpy as np
import pytest

from segtrain.data.transforms import apply, build_transform

CROP = {"RandomCrop": {"height": 8, "width": 12}}


def scene(height=40, width=50):
    """A mask of zeros with one pixel of class 2, and an image that holds each pixel's row and column."""
    mask = np.zeros((height, width), np.uint8)
    mask[31, 44] = 2
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, 0 * rows], axis=2), mask


def test_a_crop_holds_the_class_anywhere_in_its_window():
    image, mask = scene()
    pipeline = build_transform([CROP], ignore_index=255)
    places = set()
    for seed in range(400):
        cut, part = apply(pipeline, image, mask, seed, target=2)
        assert part.shape == (8, 12) and (part == 2).sum() == 1
        assert (cut[..., 0] >= 24).all() and (cut[..., 1] >= 33).all()
        places.add(tuple(np.argwhere(part == 2)[0]))
    assert {row for row, _ in places} == set(range(8))
    assert {column for _, column in places} == set(range(6, 12))  # the pixel is 5 from the right edge


def test_without_a_class_it_is_albumentations_own_crop():
    image, mask = scene()
    own = albumentations.Compose([albumentations.RandomCrop(8, 12)], strict=True, seed=0)
    pipeline = build_transform([CROP], ignore_index=255)
    apply(pipeline, image, mask, 3, target=2)
    for seed in range(20):
        own.set_random_seed(seed)
        expected = own(image=image, mask=mask)["image"]
        assert (apply(pipeline, image, mask, seed)[0] == expected).all()
        assert (apply(pipeline, image, mask, seed, target=1)[0] == expected).all()  # a class that is not there


@pytest.mark.parametrize("position", ["center", "top_left", "bottom_right"])
def test_a_padded_crop_holds_the_class(position):
    image, mask = scene(40, 50)
    crop = {"RandomCrop": {"height": 48, "width": 12, "pad_if_needed": True, "pad_position": position}}
    pipeline = build_transform([{"OneOf": {"transforms": [crop], "p": 1}}], ignore_index=255)
    for seed in range(50):
        cut, part = apply(pipeline, image, mask, seed, target=2)
        assert part.shape == (48, 12) and (part == 2).sum() == 1 and (part == 255).sum() == 8 * 12
        assert cut[part == 2].tolist() == [[31, 44, 0]]


def test_layers_are_cropped_together():
    image, mask = scene()
    layers = np.stack([mask == 0, mask == 2]).astype(np.uint8)
    crop = {"RandomCrop": {"height": 48, "width": 12, "pad_if_needed": True}}
    pipeline = build_transform([crop, "HorizontalFlip"], ignore_index=255)
    for seed in range(30):
        cut, parts = apply(pipeline, image, layers, seed, target=1)
        assert parts.shape == (2, 48, 12) and (parts[1] == 1).sum() == 1
        assert ((parts[0] == 255) == (parts[1] == 255)).all() and (parts[0] == 255).sum() == 8 * 12
        assert cut[parts[1] == 1].tolist() == [[31, 44, 0]]
