import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.config.schema import DataConfig
from segtrain.data.labels import LabelDecoder
from segtrain.data.statistics import read_statistics
from segtrain.errors import DataError
from segtrain.formats.sample import Sample

THREE = ["sky", "road", "car"]
COLORS = [
    {"name": "sky", "color": [0, 0, 255]},
    {"name": "road", "color": [128, 64, 128]},
    {"name": "car", "color": [255, 0, 0]},
]


def decoder(classes=THREE, **values):
    return LabelDecoder(DataConfig(root="x", classes=classes, **values))


def read(reader, path):
    return reader.read(Sample("name", "not read", path))


def u8(*rows):
    return np.array(rows, np.uint8)


def error_of(reader, path):
    with pytest.raises(DataError) as error:
        read(reader, path)
    return str(error.value).replace(path, "M")


DECODED = {
    "indices": ({}, u8([0, 1, 2, 255]), [[0, 1, 2, 255]]),
    "values": (
        {"classes": [{"name": "a", "value": 10}, {"name": "b", "value": 200}]},
        u8([10, 200, 255, 10]),
        [[0, 1, 255, 0]],
    ),
    "lists of values": (
        {"classes": [{"name": "a", "values": [1, 3]}, {"name": "b", "values": [0, 7]}]},
        u8([0, 1, 3, 7]),
        [[1, 0, 0, 1]],
    ),
    "swapped values": (
        {"classes": [{"name": "a", "value": 1}, {"name": "b", "value": 0}]},
        u8([0, 1, 0, 255]),
        [[1, 0, 1, 255]],
    ),
    "ignored values": ({"ignore_values": [7, 9]}, u8([0, 7, 9, 255]), [[0, 255, 255, 255]]),
    "another ignore index": ({"ignore_index": 100}, u8([0, 100, 2, 1]), [[0, 100, 2, 1]]),
    "a class at the ignore index's value": (
        {"classes": ["a", {"name": "b", "value": 255}], "ignore_index": 255},
        u8([0, 255, 0, 0]),
        [[0, 1, 0, 0]],
    ),
    "16 bits": (
        {"classes": [{"name": "a", "value": 1000}, {"name": "b", "value": 65535}], "ignore_values": [0]},
        np.array([[1000, 65535, 0]], np.uint16),
        [[0, 1, 255]],
    ),
    "colors": (
        {"classes": COLORS, "ignore_values": [[0, 0, 0]]},
        u8([[0, 0, 255], [255, 0, 0], [128, 64, 128], [0, 0, 0]]),
        [[0, 2, 1, 255]],
    ),
    "colors beside values are for pictures": (
        {"classes": [{"name": "a", "value": 4, "color": [9, 9, 9]}, {"name": "b", "value": 0}]},
        u8([0, 4]),
        [[1, 0]],
    ),
    "gray saved as RGB": ({}, np.repeat(u8([0, 1, 2, 255])[..., None], 3, axis=2), [[0, 1, 2, 255]]),
    "0 and 255": ({"classes": [{"name": "crack", "value": 255}]}, u8([0, 255, 0]), [[0, 1, 0]]),
    "binary indices": ({"classes": ["crack"]}, u8([0, 1, 255]), [[0, 1, 255]]),
    "binary with a value of its own": ({"classes": [{"name": "crack", "value": 77}]}, u8([0, 77, 255]), [[0, 1, 255]]),
    "binary colors": (
        {"classes": [{"name": "crack", "color": [255, 255, 255]}]},
        u8([[0, 0, 0], [255, 255, 255]]),
        [[0, 1]],
    ),
}


@pytest.mark.parametrize("case", DECODED)
def test_decoding(case, save):
    values, stored, expected = DECODED[case]
    mask = read(decoder(**values), save(stored))
    assert mask.dtype == np.uint8
    assert mask.tolist() == expected


def test_palette_images_give_their_indices_and_not_their_colors(save):
    picture = Image.fromarray(u8([0, 1, 2, 255]), mode=None).convert("P")
    picture.putdata([0, 1, 2, 255])
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [0, 0, 0] * 253)
    path = save(picture)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    assert read(decoder(), path).tolist() == [[0, 1, 2, 255]]


def test_palette_images_give_their_colors_to_classes_that_are_colors(save):
    picture = Image.fromarray(u8([0, 1, 2]), mode=None).convert("P")
    picture.putdata([0, 1, 2])
    picture.putpalette([255, 0, 0, 0, 0, 255, 128, 64, 128])
    assert read(decoder(COLORS), save(picture, transparency=0)).tolist() == [[2, 0, 1]]


def test_bilevel_masks_are_0_and_1(save):
    path = save(Image.fromarray(u8([0, 255, 255])).convert("1"))
    with Image.open(path) as stored:
        assert stored.mode == "1"
    assert read(decoder(["crack"]), path).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_arrays(save, dtype):
    assert read(decoder(), save(np.array([[0, 1]], dtype), "mask.npy")).tolist() == [[0, 1]]


def test_more_than_255_classes(save):
    reader = decoder([f"class{index}" for index in range(300)], ignore_index=65535)
    mask = read(reader, save(np.array([[0, 255, 299, 65535]], np.uint16)))
    assert mask.dtype == np.int32 and mask.tolist() == [[0, 255, 299, 65535]]
    assert read(reader, save(u8([0, 255]))).tolist() == [[0, 255]]
    assert error_of(reader, save(np.array([[300]], np.uint16))).startswith("M: no class claims value 300 (1 pixels); ")


def test_masks_that_are_indices_already_are_not_copied(save):
    assert decoder().identity
    assert not decoder(["a", {"name": "b", "value": 5}]).identity
    assert not decoder(ignore_values=[9]).identity
    assert not decoder(COLORS).identity


UNCLAIMED = {
    "one value": (
        {},
        u8([0, 1, 2, 7, 7]),
        "M: no class claims value 7 (2 pixels); "
        "assign it to a class in data.classes, like {name: .., value: 7}, or write data.ignore_values: [7]",
    ),
    "the most frequent first": (
        {},
        u8([3, 4, 4, 5, 5, 5, 6, 7, 8, 0]),
        "M: no class claims value 5 (3 pixels), value 4 (2 pixels), value 3 (1 pixels), value 6 (1 pixels) and 2 more; "
        "assign it to a class in data.classes, like {name: .., value: 5}, or write data.ignore_values: [5]",
    ),
    "0 and 255 read as one class among others": (
        {"classes": [{"name": "a", "value": 255}, {"name": "b", "value": 128}]},
        u8([0, 0, 255]),
        "M: no class claims value 0 (2 pixels); "
        "assign it to a class in data.classes, like {name: .., value: 0}, or write data.ignore_values: [0]",
    ),
    "16 bits": (
        {},
        np.array([[0, 256]], np.uint16),
        "M: no class claims value 256 (1 pixels); "
        "assign it to a class in data.classes, like {name: .., value: 256}, or write data.ignore_values: [256]",
    ),
    "a color": (
        {"classes": COLORS},
        u8([[0, 0, 255], [1, 2, 3], [1, 2, 3]]),
        "M: no class claims color [1, 2, 3] (2 pixels); assign it to a class in data.classes, like {name: .., color: "
        "[1, 2, 3]}, or write data.ignore_values: [[1, 2, 3]]",
    ),
    "smoothed colors": (
        {"classes": COLORS},
        u8([[i, i, 0] for i in range(20)]),
        "M: no class claims color [0, 0, 0] (1 pixels), color [1, 1, 0] (1 pixels), color [2, 2, 0] (1 pixels), "
        "color [3, 3, 0] (1 pixels) and 16 more; "
        "this many colors come from a JPEG or from smoothed edges: export the masks as PNG without antialiasing",
    ),
    "colors where values are expected": (
        {},
        u8([[0, 0, 255], [1, 2, 3]]),
        "M: is an RGB image; give every class a color, like data.classes: [{name: sky, color: [0, 0, 255]}]",
    ),
}


@pytest.mark.parametrize("case", UNCLAIMED)
def test_unclaimed(case, save):
    values, stored, text = UNCLAIMED[case]
    assert error_of(decoder(**values), save(stored)) == text


@pytest.mark.parametrize("name", ["mask.jpg", "mask.jpeg", "named.png"])
def test_a_jpeg_is_no_mask(name, save):
    text = "M: a JPEG changes the values of a mask; save masks as PNG, from the original annotation"
    assert error_of(decoder(), save(u8([0, 1]), name, format="JPEG")) == text


def test_values_that_no_mask_can_hold(save):
    text = "M: values from -1 to 70000 are not class indices; mask values are 0..65535; to ignore -1 (1 pixels), "
    text += "write data.ignore_values: [-1]"
    assert error_of(decoder(), save(np.array([[-1, 70000]]), "mask.npy")) == text
    text = "M: expected a mask of HW integers, not float64 of (1, 1)"
    assert error_of(decoder(), save(np.zeros((1, 1)), "mask.npy")) == text


NO_DATA = [(-9999, np.int16), (4294967295, np.uint32), (np.nan, np.float32), (-3.4028234663852886e38, np.float32)]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("value", "kind"), NO_DATA)
def test_values_that_are_no_data_are_ignored(tmp_path, value, kind, declared):
    pixels = np.array([[0, 1, value]]).astype(kind)
    tags = [(42113, "s", 0, str(value), True)] if declared else []
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=tags)
    known = LabelDecoder(DataConfig(root=".", classes=["a", "b"], ignore_values=[] if declared else [value]))
    assert known.read(Sample("a", "a.png", str(tmp_path / "a.tif"))).tolist() == [[0, 1, 255]]
    if not declared:
        unknown = LabelDecoder(DataConfig(root=".", classes=["a", "b"]))
        with pytest.raises(DataError, match=r"write data.ignore_values: \["):
            unknown.read(Sample("a", "a.png", str(tmp_path / "a.tif")))


@pytest.mark.parametrize("value", [0, 99])
def test_a_class_may_have_the_value_that_is_declared_as_no_data(tmp_path, value):
    tifffile.imwrite(tmp_path / "a.tif", u8([0, 1, 99]), extratags=[(42113, "s", 0, str(value), True)])
    known = LabelDecoder(DataConfig(root=".", classes=["a", "b", {"name": "c", "value": 99}]))
    assert known.read(Sample("a", "a.png", str(tmp_path / "a.tif"))).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_gray_tiffs_are_read_as_stored(tmp_path, bits, photometric):
    pixels = np.array([[0, 1, 2, 3]], np.uint16 if bits == 16 else np.uint8)
    packed = {"bitspersample": bits} if bits < 8 else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, **packed)
    known = LabelDecoder(DataConfig(root=".", classes=["a", "b", "c", "d"]))
    assert known.read(Sample("a", "a.png", str(tmp_path / "a.tif"))).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(("band", "depth"), [(1, 3), (3, 3), (4, 4), (2, 2)])
def test_a_band_that_holds_the_values(tmp_path, band, depth):
    pixels = np.zeros((1, 3, depth), np.uint8)
    pixels[..., band - 1] = [0, 1, 2]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    sample, classes = Sample("a", "a.png", str(tmp_path / "a.png")), ["a", "b", "c"]
    known = LabelDecoder(DataConfig(root=".", classes=classes, mask_band=band))
    assert known.read(sample).tolist() == [[0, 1, 2]]
    with pytest.raises(DataError, match=rf"write data.mask_band: {band}$"):
        LabelDecoder(DataConfig(root=".", classes=classes)).read(sample)


def test_palettes_that_differ_are_told(tmp_path, capsys):
    samples = []
    for name, palette in (("a", [9, 9, 9, 200, 0, 0]), ("b", [9, 9, 9, 0, 200, 0])):
        picture = Image.fromarray(u8([0, 1]))
        picture.putpalette(palette)
        picture.save(tmp_path / f"{name}.png")
        samples.append(Sample(name, f"{name}.jpg", str(tmp_path / f"{name}.png")))
    known = LabelDecoder(DataConfig(root=".", classes=["x", "y"]))
    read_statistics({"train": samples[:1], "val": samples[1:]}, known, names=["x", "y"], cache=None)
    assert "warning: value 1 has the color [0, 200, 0] in the palette of" in capsys.readouterr().out
