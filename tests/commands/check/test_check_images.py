"""Types and sizes of images: deep ones, other channels, crops that do not fit."""

import cv2
import numpy as np
import pytest
from PIL import Image

from segtrain.commands.check.check_images import find_white
from segtrain.commands.check.examine import describe_image
from segtrain.commands.check.finding import write_lines
from segtrain.images.reading import Picture
from tests.commands.check.check_sets import lines, look, look_at_folders, read, shown, write
from tests.conftest import PROJECT, draw_sample


def make_deep(root, function):
    """Every image becomes function(gray image as float, 0..255), uint16."""
    for path in sorted(root.glob("*/images/*.png")):
        gray = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float64)
        assert cv2.imwrite(str(path), np.rint(function(gray)).astype(np.uint16))


# what 8 bits become, the scale to write, and what is said of them
DEEP = {
    "12 bits": (lambda gray: gray * 16 + 15, 4095, "They contain 12 bits: no value is above "),
    "8 bits": (lambda gray: gray, 255, "They contain 8 bits: no value is above "),
    "stretched": (lambda gray: gray * 257, 65535, "They contain 8 bits, stretched to 16 (each byte twice)"),
    "moved up": (lambda gray: (gray * 16 + gray % 16) * 16, 65535, "They contain 12 bits, shifted up to 16"),
    "16 bits": (lambda gray: gray * 256 + 3, 65535, "Their values end at "),
}


@pytest.mark.parametrize("case", DEEP)
def test_images_of_more_than_8_bits(case, root):
    function, scale, said = DEEP[case]
    make_deep(root, function)
    own = ["data.channels=1", "model.mean=[0.5]", "model.std=[0.3]"]
    (found,) = look(root, *own)
    assert shown([found]) == [("error", "12 images are uint16, and data.scale is missing")]
    assert found.explanation.startswith(said)
    assert lines(found) == ["data:", f"  scale: {scale}"]
    assert look(root, *own, f"data.scale={scale}") == []


@pytest.mark.parametrize("own", [[], ["data.scale=65535"]])
def test_images_of_8_and_16_bits(own, root):
    """Training refuses the ones without a scale, and the others with it; the fewer are listed."""
    path = root / "train/images/003.png"
    assert cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 257)
    (found,) = (finding for finding in look(root, *own) if "rejected" not in finding.title)
    assert shown([found]) == [("error", "1 image is uint16, 11 are uint8")]
    assert found.files == [str(path)] and found.fix is None


def test_a_scale_that_is_too_large(root):
    make_deep(root, lambda gray: gray * 16)
    (found,) = look(root, "data.channels=1", "model.mean=[0.5]", "model.std=[0.3]", "data.scale=65535")
    assert found.level == "warning" and found.title.startswith("data.scale is 65535, but the images end at ")
    assert lines(found) == ["data:", "  scale: 4095"]


def describe(pixels):
    return describe_image(Picture(pixels, "TIFF"), pixels[..., None])[0]


def test_the_white_of_floats():
    assert find_white([describe(np.array([[0.1, 0.9]], np.float32))]) == (1, "Their values end at 0.9")
    assert find_white([describe(np.array([[-0.5, 9000.0]], np.float32))]) == (10000, "Their values end at 9000")
    assert describe(np.array([[np.nan, 3.0]], np.float32)).high == 3.0  # training makes 0 of nan


def test_facts_of_an_image():
    """2 x 2 pixels: red 0, 10, 20, 30; green 5; blue 0 or 255."""
    pixels = np.array([[[0, 5, 0], [10, 5, 255]], [[20, 5, 0], [30, 5, 255]]], np.uint8)
    record, gray = describe_image(Picture(pixels, "PNG"), pixels)
    assert (record.height, record.width, record.channels, record.low, record.high) == (2, 2, 3, 0, 255)
    assert record.mean == (15, 5, 127.5)
    assert np.allclose(record.square, (350, 25, 32512.5))
    assert gray.tolist() == [[3, 35], [9, 41]]  # 0.299 red + 0.587 green + 0.114 blue


def test_mean_and_std_of_gray_images(root):
    """Half of the pixels 51, half 153: mean 102 and deviation 51, of 255."""
    for path in sorted(root.glob("*/images/*.png")):
        rng = np.random.default_rng(sum(path.parts[-3].encode()) + int(path.stem))
        cells = rng.permutation(np.repeat([51, 153], 40)).reshape(8, 10)
        write(path, np.kron(cells, np.ones((8, 8))))
    (found,) = look(root, "data.channels=1")
    assert shown([found]) == [("note", "The images have 1 channel, with unknown mean")]
    assert lines(found) == ["model:", "  mean: [0.4]", "  std: [0.2]"]
    assert look(root, "data.channels=1", "model.mean=[0.4]", "model.std=[0.2]") == []
    (found,) = look_at_folders(root / "train/images", root / "train/masks")
    assert lines(found) == ["data:", "  channels: 1", "model:", "  mean: [0.4]", "  std: [0.2]"]


def test_channels_that_training_refuses(root):
    for path in sorted(root.glob("*/images/*.png")):
        image = read(path)
        path.unlink()
        np.save(path.with_suffix(".npy"), np.concatenate([image, image[..., :2]], axis=2))
    (found,) = look(root)
    assert shown([found]) == [("error", "12 images (NPY, 5 channels, uint8) would be rejected")]
    assert found.explanation.endswith("has 5 channels, but data.channels is 3; data.bands: [1, 2, 3] selects the first")
    assert lines(found) == ["data:", "  channels: 5"]


def test_a_crop_that_does_not_fit(root):
    write(root / "train/images/003.png", read(root / "train/images/003.png")[:60])
    write(root / "train/masks/003.png", read(root / "train/masks/003.png")[:60])
    crop = "{RandomCrop: {height: 64, width: 64}}"
    (found,) = look(root, f"transforms.train=[HorizontalFlip, {crop}]")
    assert shown([found]) == [("error", "transforms.train fails on images of 80 x 60")]
    assert found.files == [f"{root}/train/images/003.png: 80 x 60"]
    assert lines(found) == [
        "transforms:",
        "  train:",
        "    - HorizontalFlip",
        "    - RandomCrop: {height: 64, width: 64, pad_if_needed: true}",
    ]
    padded = "{RandomCrop: {height: 64, width: 64, pad_if_needed: true}}"
    assert look(root, f"transforms.train=[HorizontalFlip, {padded}]") == []


def test_a_crop_that_does_not_fit_once_the_image_is_scaled(root):
    scale = "{RandomScale: {scale_limit: [-0.5, -0.4], p: 1.0}}"
    (found,) = look(root, f"transforms.train=[{scale}, {{RandomCrop: {{height: 48, width: 48}}}}]")
    assert lines(found) == [
        "transforms:",
        "  train:",
        "    - RandomScale: {scale_limit: [-0.5, -0.4], p: 1.0}",
        "    - RandomCrop: {height: 48, width: 48, pad_if_needed: true}",
    ]


def test_sizes_that_cannot_be_stacked(root):
    for kind in ("images", "masks"):
        path = root / "train" / kind / "003.png"
        write(path, read(path)[:48])
    (found,) = look(root, "transforms.train=[HorizontalFlip]")
    assert shown([found]) == [("error", "The images of a batch would differ in size: 80 x 48, 80 x 64")]
    assert lines(found) == [
        "transforms:",
        "  train:",
        "    - HorizontalFlip",
        "    - RandomCrop: {height: 32, width: 64, pad_if_needed: true}",
    ]


def test_images_much_larger_than_the_crop(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            seed = index + 9 * (split == "val")
            draw_sample(tmp_path / split, f"{index}", seed=seed, height=480, width=640)
    (found,) = look(tmp_path)
    assert shown([found]) == [("note", "A crop of 64 x 64 shows 1.3 % of an image of 640 x 480")]
    assert lines(found) == ["transforms:", "  train:", "    - RandomCrop: {height: 96, width: 160}"]
    resized = "transforms.train=[{SmallestMaxSize: {max_size: 96}}, {RandomCrop: {height: 64, width: 64}}]"
    assert look(tmp_path, resized) == []


def test_transforms_are_written_as_they_are_read():
    items = ["HorizontalFlip", {"OneOf": ["Blur", {"Affine": {"scale": [0.5, 1], "p": 1, "keep_ratio": True}}]}]
    assert write_lines({"transforms": {"train": items}}) == [
        "transforms:",
        "  train:",
        "    - HorizontalFlip",
        "    - OneOf: [Blur, {Affine: {scale: [0.5, 1], p: 1, keep_ratio: true}}]",
    ]


def test_a_palette_image_is_rgb(root):
    path = root / "train/images/003.png"
    Image.open(path).quantize(64).save(path)
    assert look(root) == []
