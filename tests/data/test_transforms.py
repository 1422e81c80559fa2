import inspect

import albumentations
import numpy as np
import pytest

from segtrain.data.transforms import apply, apply_eval, build_eval_transform, build_transform, transform_names
from segtrain.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8)
MASK = RNG.integers(0, 4, (40, 50)).astype(np.uint8)


def augment(items, *, seed=0, mask=MASK, ignore_index=255):
    return apply(build_transform(items, ignore_index=ignore_index), IMAGE, mask, seed)


def test_an_empty_list_changes_nothing():
    image, mask = augment([])
    assert np.array_equal(image, IMAGE) and np.array_equal(mask, MASK)


def test_names_arguments_and_children():
    items = [{"HorizontalFlip": {"p": 1}}, {"Sequential": ["Transpose", {"OneOf": {"transforms": ["NoOp"], "p": 1}}]}]
    assert list(transform_names(items)) == ["HorizontalFlip", "Sequential", "Transpose", "OneOf", "NoOp"]
    pipeline = build_transform(items, ignore_index=255)
    flip, sequence = pipeline.transforms
    assert type(flip).__name__ == "HorizontalFlip" and flip.p == 1
    assert [type(child).__name__ for child in sequence.transforms] == ["Transpose", "OneOf"]
    image, mask = augment([{"HorizontalFlip": {"p": 1}}])
    assert np.array_equal(image, IMAGE[:, ::-1]) and np.array_equal(mask, MASK[:, ::-1])


FILLING = {
    "PadIfNeeded": {"min_height": 64, "min_width": 64},
    "Pad": {"padding": 9},
    "RandomCrop": {"height": 64, "width": 64, "pad_if_needed": True},
    "CenterCrop": {"height": 64, "width": 64, "pad_if_needed": True},
    "CropAndPad": {"px": 9, "keep_size": False},
    "Rotate": {"limit": [40, 45]},
    "SafeRotate": {"limit": [40, 45]},
    "Affine": {"translate_px": 10},
    "Perspective": {"scale": [0.3, 0.3], "fit_output": True},
    "GridDistortion": {"distort_limit": [-0.9, -0.9]},
    "OpticalDistortion": {"distort_limit": [0.9, 0.9]},
}


@pytest.mark.parametrize("name", FILLING)
@pytest.mark.parametrize(("dtype", "ignore_index"), [(np.uint8, 255), (np.int32, 65535)])
def test_what_is_uncovered_is_ignored(name, dtype, ignore_index):
    item = {name: {**FILLING[name], "p": 1}}
    ones = np.full_like(MASK, 1, dtype)
    for items in ([item], [{"OneOf": [{"Sequential": {"transforms": [item], "p": 1}}]}]):
        found = set()
        for seed in range(4):
            _, mask = augment(items, seed=seed, mask=ones, ignore_index=ignore_index)
            assert mask.dtype == dtype
            found |= set(np.unique(mask).tolist())
        assert found == ({1, ignore_index} if items == [item] else found & {1, ignore_index})


def test_a_value_of_ones_own_is_kept():
    item = {"PadIfNeeded": {"min_height": 64, "min_width": 64, "fill_mask": 2}}
    _, mask = augment([item], mask=np.ones_like(MASK))
    assert set(np.unique(mask)) == {1, 2}
    _, mask = augment([{"Sequential": [item]}], mask=np.ones_like(MASK))
    assert set(np.unique(mask)) <= {1, 2}


def test_dropped_pixels_keep_their_class():
    _, mask = augment([{"CoarseDropout": {"num_holes_range": [3, 3], "p": 1}}], mask=np.ones_like(MASK))
    assert set(np.unique(mask)) == {1}


def test_every_transform_that_fills_masks_is_told_what_with():
    names = [
        name
        for name, item in vars(albumentations).items()
        if isinstance(item, type)
        and "fill_mask" in inspect.signature(item).parameters
        and inspect.signature(item).parameters["fill_mask"].default is not None
        and all(p.default is not p.empty for p in inspect.signature(item).parameters.values())
        and not inspect.isabstract(item)
        and name not in ("PiecewiseAffine", "ShiftScaleRotate", "Mosaic")  # the first two warn when they are built
        and not name.endswith("3D")
    ]
    assert len(names) > 10
    for name in names:
        given = {
            "CropAndPad": {"px": 4},
            "RandomCrop": {"height": 4, "width": 4},
            "CenterCrop": {"height": 4, "width": 4},
        }
        built = build_transform([{name: given.get(name, {})}], ignore_index=77)
        assert built.transforms[0].fill_mask == 77, name


BAD = {
    "transforms.train.0: HorizontalFlip: p: Input should be less than or equal to 1, not 3": [
        {"HorizontalFlip": {"p": 3}}
    ],
    "transforms.train.1: RandomCrop: height: Input should be greater than or equal to 1, not -4": [
        "HorizontalFlip",
        {"RandomCrop": {"height": -4, "width": 5}},
    ],
    "transforms.train.0: RandomCrop: height: Field required; width: Field required": ["RandomCrop"],
    "transforms.train.0.OneOf.1: Rotate: limit.tuple[float, float]: Input should be a valid tuple, not 'a'": [
        {"OneOf": ["HorizontalFlip", {"Rotate": {"limit": "a"}}]}
    ],
    "'NoSuchTransform' is not in albumentations": ["NoSuchTransform"],
}


@pytest.mark.parametrize("text", BAD)
def test_bad_values(text):
    with pytest.raises(ConfigError) as error:
        build_transform(BAD[text], ignore_index=255)
    assert text in str(error.value) and "\n" not in str(error.value)


def test_an_argument_that_a_transform_does_not_have_is_an_error_and_no_warning():
    with pytest.raises(ConfigError) as error:
        build_transform([{"OneOf": [{"HorizontalFlip": {"prob": 1}}]}], ignore_index=255)
    assert str(error.value) == "transforms.train.0.OneOf.0: HorizontalFlip has no argument 'prob'; known: p"


RANDOM = [
    {"RandomScale": {"scale_limit": [-0.3, 0.3], "p": 1}},
    {"RandomCrop": {"height": 24, "width": 32, "pad_if_needed": True}},
    {"OneOf": [{"GaussNoise": {"p": 1}}, {"RandomBrightnessContrast": {"p": 1}}]},
    {"SomeOf": {"transforms": ["HorizontalFlip", "VerticalFlip", "Transpose"], "n": 2, "p": 0.5}},
]


def test_the_seed_decides_everything():
    first, again = build_transform(RANDOM, ignore_index=255), build_transform(RANDOM, ignore_index=255)
    apply(again, IMAGE, MASK, 99)  # what was drawn before does not matter
    outcomes = []
    for seed in range(6):
        one, other = apply(first, IMAGE, MASK, seed), apply(again, IMAGE, MASK, seed)
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
        outcomes.append(one[0].tobytes())
    assert len(set(outcomes)) == 6


def test_the_global_generators_play_no_part():
    np.random.seed(0)
    first = augment(RANDOM, seed=3)
    np.random.seed(1)
    assert np.array_equal(augment(RANDOM, seed=3)[0], first[0])


def test_a_mask_keeps_to_its_values():
    image, mask = augment([{"Affine": {"rotate": [10, 20], "scale": [0.5, 0.7], "p": 1}}], mask=MASK)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1, 2, 3, 255}


UNSUITABLE = {
    "Crop size (height, width) exceeds image dimensions (height, width): (90, 90) vs (40, 50); "
    "write pad_if_needed: true for the crop in transforms.train": [{"RandomCrop": {"height": 90, "width": 90}}],
    "transforms.train: a transform returns images of float32 instead of uint8; remove it: the model scales images "
    "itself": ["ToFloat"],
}


@pytest.mark.parametrize("text", UNSUITABLE)
def test_images_that_do_not_suit_a_transform(text):
    with pytest.raises(DataError) as error:
        augment(UNSUITABLE[text])
    assert str(error.value) == text


@pytest.mark.parametrize("name", ["FDA", "OverlayElements", "BBoxSafeRandomCrop", "RandomCropNearBBox"])
def test_transforms_that_need_more_than_image_and_mask(name):
    with pytest.raises(DataError) as error:
        augment([{name: {"p": 1}}])
    assert str(error.value).startswith("transforms.train: ") and "\n" not in str(error.value)


def test_evaluation_takes_what_keeps_the_frame():
    assert build_eval_transform([]) is None
    pipeline = build_eval_transform([{"Resize": {"height": 20, "width": 25}}, {"ToGray": {"p": 1}}])
    assert pipeline(image=IMAGE)["image"].shape == (20, 25, 3)
    assert build_eval_transform([{"LongestMaxSize": {"max_size": 25}}])(image=IMAGE)["image"].shape == (20, 25, 3)


@pytest.mark.parametrize("item", ["ToGray", "CLAHE", "GaussNoise", {"RandomBrightnessContrast": {"p": 1}}])
def test_evaluation_sees_an_image_the_same_way_each_time(item):
    pipeline = build_eval_transform([item])
    seen = [apply_eval(pipeline, IMAGE) for _ in range(8)]
    assert all(np.array_equal(image, seen[0]) for image in seen)
    assert not np.array_equal(seen[0], IMAGE)
    assert np.array_equal(apply_eval(None, IMAGE), IMAGE)


def test_evaluation_refuses_chance():
    with pytest.raises(ConfigError) as error:
        build_eval_transform(["Equalize", {"ToGray": {"p": 0.5}}])
    assert str(error.value) == "transforms.val.1: ToGray with p 0.5 would make scores random; remove p"


@pytest.mark.parametrize(
    "item", ["HorizontalFlip", {"RandomCrop": {"height": 4, "width": 4}}, {"OneOf": ["Transpose"]}]
)
def test_evaluation_refuses_what_moves_pixels(item):
    name = item if isinstance(item, str) else next(iter(item))
    with pytest.raises(ConfigError) as error:
        build_eval_transform([{"Resize": {"height": 20, "width": 25}}, item])
    assert str(error.value) == (
        f"transforms.val.1: {name} may change the frame, but whole images are scored; only pixel-level transforms of "
        "albumentations and Resize, LongestMaxSize, SmallestMaxSize are allowed here"
    )
