import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.errors import DataError
from segtrain.images.reading import image_size, read_image, read_mask, read_with_nodata
from tests.image_files import error_of, save

RNG = np.random.default_rng(0)


# GDAL's note of the value without data, dtype, scale; what it means for the values 1, 4 and that value
NO_DATA = [
    ("-9999", "int16", 4, [0.25, 1, 0]),
    ("-3.40282347e+38", "float32", 4, [0.25, 1, 0]),
    ("nan", "float32", 4, [0.25, 1, 0]),
    ("65535", "uint16", 4, [0.25, 1, 0]),
    ("4", "uint16", 4, [0.25, 1, 1]),
    ("-9999", "uint16", 4, [0.25, 1, 2]),
    ("none", "uint16", 4, [0.25, 1, 2]),
]


@pytest.mark.parametrize(("note", "dtype", "scale", "expected"), NO_DATA)
def test_pixels_that_a_geotiff_declares_to_be_no_data_are_black(tmp_path, capfd, note, dtype, scale, expected):
    without = {"65535": 65535, "4": 4, "-3.40282347e+38": np.finfo(np.float32).min}.get(note, 8)
    without = float(note) if note in ("nan", "-9999") and dtype != "uint16" else without
    pixels = np.array([[1, 4, without]], dtype)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, note, True), (42112, "s", 0, "<GDAL", True)]
    )
    (tmp_path / "a.tif.aux.xml").write_text("no XML")
    assert read_image(tmp_path / "a.tif", channels=1, scale=scale)[0, :, 0].tolist() == expected
    assert capfd.readouterr() == ("", "")


def test_no_data_is_left_out_of_the_guess(tmp_path):
    pixels = np.array([[7, 900, -32768]], np.int16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, "-32768", True)])
    text = "F: has int16 values from 7 to 900; write data.scale: 1023, the value that means white "
    assert error_of(tmp_path / "a.tif", channels=1) == text + "(1023 is a guess from that range), and train with it"


# How a TIFF of five bands is written; its pixels are HWC, or CHW where bands stand one after the other.
LAYOUTS = {
    "interleaved": {"planarconfig": "contig", "photometric": "minisblack"},
    "a plane a band": {"planarconfig": "separate", "photometric": "minisblack"},
    "RGB and two more": {"planarconfig": "contig", "photometric": "rgb", "extrasamples": (0, 0)},
    "a page a band": {},
    "tiles": {"planarconfig": "contig", "photometric": "minisblack", "tile": (16, 16)},
    "lzw": {"planarconfig": "contig", "photometric": "minisblack", "compression": "lzw", "predictor": True},
    "deflate": {"planarconfig": "separate", "photometric": "minisblack", "compression": "deflate"},
    "zstd": {"planarconfig": "contig", "photometric": "minisblack", "compression": "zstd"},
    "big endian": {"planarconfig": "contig", "photometric": "minisblack", "byteorder": ">"},
    "BigTIFF": {"planarconfig": "contig", "photometric": "minisblack", "bigtiff": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_five_bands(tmp_path, layout, dtype):
    bands = RNG.integers(0, 250, (20, 30, 5)).astype(dtype)
    options, path = LAYOUTS[layout], tmp_path / "a.tif"
    by_band = options.get("planarconfig", "separate") == "separate"
    tifffile.imwrite(path, np.moveaxis(bands, -1, 0) if by_band else bands, **options)
    expected = bands.astype(np.float32) / np.float32(250)
    assert np.array_equal(read_image(path, channels=5, scale=250), expected)
    assert np.array_equal(read_image(path, scale=250, bands=[4, 3, 2]), expected[..., [3, 2, 1]])
    assert np.array_equal(read_image(path, channels=1, scale=250, bands=[5]), expected[..., 4:])
    assert image_size(path) == (20, 30)


def test_an_array_saved_as_pages_of_its_rows(tmp_path):
    bands = RNG.integers(0, 250, (20, 30, 5)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", bands)  # 20 pages of 30 x 5, unless somebody says that the last axis is bands
    assert np.array_equal(read_image(tmp_path / "a.tif", channels=5), bands)
    assert image_size(tmp_path / "a.tif") == (20, 30)


def test_bands_that_are_no_colors_are_not_left_out(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((2, 4, 6), np.uint8), planarconfig="separate", photometric="minisblack"
    )
    assert error_of(tmp_path / "a.tif") == "F: has 2 channels, but data.channels is 3"
    text = "F: has 2 channels, but data.channels is 1; data.bands: [1] selects the first"
    assert error_of(tmp_path / "a.tif", channels=1) == text


def insert_exif(path, exif):
    """Put EXIF into a PNG, behind its header of 33 bytes."""
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    content, chunk = path.read_bytes(), (len(body) - 4).to_bytes(4, "big") + body
    path.write_bytes(content[:33] + chunk + zlib.crc32(body).to_bytes(4, "big") + content[33:])


ORIENTED = [[1, 2], [3, 4], [5, 6]]  # as it is stored
UPRIGHT = {
    1: [[1, 2], [3, 4], [5, 6]],
    2: [[2, 1], [4, 3], [6, 5]],
    3: [[6, 5], [4, 3], [2, 1]],
    4: [[5, 6], [3, 4], [1, 2]],
    5: [[1, 3, 5], [2, 4, 6]],
    6: [[5, 3, 1], [6, 4, 2]],
    7: [[6, 4, 2], [5, 3, 1]],
    8: [[2, 4, 6], [1, 3, 5]],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png uint8", "png uint16", "tif uint8", "tif uint16"])
def test_every_orientation(tmp_path, orientation, kind):
    suffix, dtype = kind.split()
    path, pixels = tmp_path / f"a.{suffix}", np.array(ORIENTED, dtype)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "png uint16":  # colors: Pillow reads the gray ones itself
        path.write_bytes(imagecodecs.png_encode(np.repeat(pixels[..., None], 3, axis=2)))
        insert_exif(path, exif)
    else:
        Image.fromarray(pixels).save(path, exif=exif)
    assert read_image(path, channels=1, scale=1)[..., 0].tolist() == UPRIGHT[orientation]
    assert image_size(path) == np.shape(UPRIGHT[orientation])


@pytest.mark.parametrize("layout", ["interleaved", "tiles", "lzw", "deflate", "zstd"])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.99])
def test_truncated_files_of_many_bands(tmp_path, capfd, layout, share):
    options, path = LAYOUTS[layout], tmp_path / "a.tif"
    bands = RNG.integers(0, 65536, (5, 40, 60) if options["planarconfig"] == "separate" else (40, 60, 5)).astype("<u2")
    tifffile.imwrite(path, bands, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    text = error_of(path, channels=5, scale=65535)
    assert text.startswith("F: cannot be read as an image: ") and text.endswith("; is the file complete?")
    assert "\n" not in text and capfd.readouterr() == ("", "")


def test_a_stack_is_no_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((7, 20, 30, 3), np.uint16), photometric="rgb")
    text = "F: contains a stack of shape (7, 20, 30, 3) (axes QYXS); split it into one file per image"
    assert error_of(tmp_path / "a.tif", scale=1) == text


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_a_tiff_mask_holds_whole_numbers_of_any_type(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 7, 100]], dtype), compression="zstd")
    mask = read_mask(tmp_path / "a.tif", as_color=False)
    assert mask.dtype.kind in "iu" and mask.tolist() == [[0, 7, 100]]


MASK_MISTAKES = {
    "F: has float32 values like 0.5; mask values are integers, 0..65535": (np.float32([[0, 0.5]]), False),
    "F: has float64 values like nan; mask values are integers, 0..65535; to ignore it, "
    "write data.ignore_values: [.nan]": (np.array([[1, np.nan]]), False),
    "F: has 5 channels; a mask has one channel with class values; write data.mask_band: 1 if that is the first": (
        np.zeros((4, 6, 5), np.uint8),
        False,
    ),
    "F: expected an 8-bit RGB mask, not uint16 with 3 channels": (np.zeros((4, 6, 3), np.uint16), True),
    "F: is an RGB image; give every class a color, like data.classes: [{name: sky, color: [0, 0, 255]}]": (
        np.uint16([[[1, 2, 3]]]),
        False,
    ),
}


@pytest.mark.parametrize("text", MASK_MISTAKES)
def test_tiffs_that_are_no_masks(tmp_path, text):
    pixels, as_color = MASK_MISTAKES[text]
    options = {"planarconfig": "contig"} if pixels.ndim == 3 else {}
    photometric = "rgb" if pixels.shape[-1] == 3 and pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, **options)
    with pytest.raises(DataError) as error:
        read_mask(tmp_path / "a.tif", as_color=as_color)
    assert str(error.value).replace(str(tmp_path / "a.tif"), "F") == text


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
def test_what_a_tiff_says_is_transparent_holds_no_data(tmp_path, dtype, channels):
    """Whether Pillow opens it (8 bits) or tifffile; not where the channel is read as a band."""
    pixels = np.random.default_rng(0).integers(1, 200, (20, 30, channels)).astype(dtype)
    pixels[:5, :7, -1] = 0
    path = save(tmp_path / "a.tif", pixels, alpha=True)
    scale = None if dtype == np.uint8 else 255
    for wanted in (1, 3):
        image, missing = read_with_nodata(path, channels=wanted, scale=scale)
        assert image.shape == (20, 30, wanted) and np.array_equal(missing, pixels[..., -1] == 0)
        opaque = save(tmp_path / "b.tif", pixels[..., :-1])
        assert (
            np.abs(image - read_image(opaque, channels=wanted, scale=scale)).max() < 1e-7
        )  # other strides, other rounding
    everything = {"channels": channels, "scale": scale, "bands": range(1, channels + 1)}
    assert read_with_nodata(path, **everything)[1] is None
