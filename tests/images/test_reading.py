import struct
import subprocess
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from segtrain.errors import DataError
from segtrain.images.reading import count_pictures, image_size, read_image, read_mask, read_picture
from tests.conftest import PROJECT
from tests.image_files import error_of, save

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_lossless_files_give_their_pixels_in_rgb(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(path)
    assert image.dtype == np.uint8 and np.array_equal(image, PIXELS)


def test_a_jpeg_is_close(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], (20, 30, 3))
    Image.fromarray(np.ascontiguousarray(smooth)).save(tmp_path / "a.JPG", quality=95)
    assert np.abs(read_image(tmp_path / "a.JPG").astype(int) - smooth).max() < 6


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "1", "P", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_read_as_gray_or_rgb(tmp_path, mode, channels):
    picture = Image.fromarray(PIXELS).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    image = read_image(path, channels=channels)
    assert image.shape == (20, 30, channels) and image.dtype == np.uint8
    expected = np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(20, 30, channels)
    assert np.array_equal(image, expected)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"gAMA", struct.pack(">I", 20000)),
        (b"sBIT", bytes([5, 6, 5])),
        (b"tRNS", struct.pack(">HHH", *PIXELS[0, 0])),
        (b"iCCP", b"odd\0\0" + zlib.compress(b"no profile")),
        (b"acTL", struct.pack(">II", 1, 0)),
    ],
)
def test_what_else_is_in_a_png_changes_no_pixel(tmp_path, kind, body):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    content = path.read_bytes()
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content[:33] + chunk + content[33:])  # behind the header
    assert np.array_equal(read_image(path), PIXELS)


def test_a_palette_with_transparency(tmp_path):
    picture = Image.fromarray(PIXELS).quantize(8)
    picture.save(tmp_path / "a.png", transparency=bytes([0, 255, 128]))
    assert np.array_equal(read_image(tmp_path / "a.png"), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_an_exif_rotation_is_applied(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    halves = np.zeros((20, 30, 3), np.uint8)
    halves[:, :15] = 255  # the left half becomes the upper one
    Image.fromarray(halves).save(tmp_path / f"a.{suffix}", exif=exif)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (30, 20, 3)
    assert image[:14].min() > 200 and image[16:].max() < 55


def test_arrays_of_any_number_of_channels(tmp_path):
    array = RNG.integers(0, 256, (4, 6, 5)).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    assert np.array_equal(read_image(tmp_path / "a.npy", channels=5), array)
    np.save(tmp_path / "gray.npy", array[..., 0])
    assert np.array_equal(read_image(tmp_path / "gray.npy", channels=1), array[..., :1])
    Image.fromarray(array[..., :4], mode=None).save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png", channels=4), array[..., :4])


ARRAY_MISTAKES = {
    "F: has 5 channels, but data.channels is 3; data.bands: [1, 2, 3] selects the first": np.zeros((4, 6, 5), np.uint8),
    "F: has 1 channels, but data.channels is 3": np.zeros((4, 6), np.uint8),
    "F: expected an image of HWC numbers, not uint8 of shape (1, 4, 6, 3)": np.zeros((1, 4, 6, 3), np.uint8),
    "F: expected an image of HWC numbers, not uint8 of shape (0, 6, 3)": np.zeros((0, 6, 3), np.uint8),
    "F: expected an image of HWC numbers, not complex64 of shape (4, 6, 3)": np.zeros((4, 6, 3), np.complex64),
}


@pytest.mark.parametrize("text", ARRAY_MISTAKES)
def test_arrays_that_are_no_images(tmp_path, text):
    np.save(tmp_path / "a.npy", ARRAY_MISTAKES[text])
    assert error_of(tmp_path / "a.npy") == text


def test_an_array_file_that_would_run_code_is_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    text = "F: cannot be read as a NumPy array: Object arrays cannot be loaded when allow_pickle=False"
    assert error_of(tmp_path / "a.npy") == text


# dtype, the two values of an image -> the line without data.scale
NEED_SCALE = {
    "int8": (-3, 100, "int8 values from -3 to 100; write data.scale: 255", "255"),
    "uint16": (12, 3987, "uint16 values from 12 to 3987; write data.scale: 4095", "4095"),
    "int16": (-9, 1023, "int16 values from -9 to 1023; write data.scale: 1023", "1023"),
    "uint32": (0, 70000, "uint32 values from 0 to 70000; write data.scale: 70000", "70000"),
    "float32": (0.25, 1.0, "float32 values from 0.25 to 1; write data.scale: 1", "1"),
    "float64": (np.nan, 6000.5, "float64 values from 6000.5 to 6000.5; write data.scale: 10000", "10000"),
    "bool": (False, True, "bool values from 0 to 1; write data.scale: 1", "1"),
}


@pytest.mark.parametrize("dtype", NEED_SCALE)
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_more_than_8_bits_need_their_white(tmp_path, dtype, suffix):
    low, high, text, white = NEED_SCALE[dtype]
    if (dtype, suffix) == ("bool", "tif"):
        dtype, text = "int32", text.replace("bool", "int32")  # a TIFF of bits is black and white
    path = save(tmp_path / f"a.{suffix}", np.array([[low, high]], dtype))
    assert (
        error_of(path, channels=1)
        == f"F: has {text}, the value that means white ({white} is a guess from that range), and train with it"
    )


def test_a_guess_needs_values(tmp_path):
    path = save(tmp_path / "a.npy", np.full((2, 3), np.nan))
    assert error_of(path, channels=1) == "F: has float64 values, none of them finite"


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_a_scale_reads_every_type(tmp_path, dtype, suffix):
    pixels = np.array([[[0, 20, 40], [100, 80, 60]]], dtype)
    image = read_image(save(tmp_path / f"a.{suffix}", pixels), scale=40)
    assert image.dtype == np.float32
    assert image.tolist() == [[[0, 0.5, 1], [2.5, 2, 1.5]]]


def test_a_scale_reads_8_bit_pictures_too(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", scale=255)
    assert image.dtype == np.float32 and np.array_equal(image, PIXELS.astype(np.float32) / np.float32(255))


def test_what_is_not_finite_is_black(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, 1e300, 3]])
    assert read_image(save(tmp_path / "a.npy", values), channels=1, scale=2)[0, :, 0].tolist() == [0, 0, 0, 0, 1.5]


def test_bands_of_pictures_and_arrays(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", bands=[3, 2, 1]), PIXELS[..., ::-1])
    assert np.array_equal(read_image(tmp_path / "a.png", channels=1, bands=[2]), PIXELS[..., 1:2])
    np.save(tmp_path / "a.npy", PIXELS)
    assert np.array_equal(read_image(tmp_path / "a.npy", channels=2, bands=[3, 3]), PIXELS[..., [2, 2]])


BAND_MISTAKES = {
    "F: has no band 4 (data.bands); it has 3 bands, counted from 1": {"bands": [1, 2, 4]},
    "F: has no band 0 (data.bands); it has 3 bands, counted from 1": {"bands": [0, 1, 2]},
    "F: data.bands selects 2 channels, but data.channels is 3": {"bands": [1, 2]},
    "F: data.bands selects 2 channels, but data.channels is 1": {"bands": [1, 2], "channels": 1},
    "F: has 3 channels, but data.channels is 4": {"channels": 4},
    "F: has 3 channels, but data.channels is 2; data.bands: [1, 2] selects the first": {"channels": 2},
}


@pytest.mark.parametrize("text", BAND_MISTAKES)
def test_bands_that_are_not_there(tmp_path, text):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert error_of(tmp_path / "a.png", **BAND_MISTAKES[text]) == text


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_their_low_byte(tmp_path, channels, suffix):
    pixels = RNG.integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    path = save(tmp_path / f"a.{suffix}", pixels, alpha=channels in (2, 4))
    full = pixels.astype(np.float32) / np.float32(65535)
    gray = full[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32) if channels > 2 else full[..., 0]
    color = full[..., :3] if channels > 2 else np.repeat(full[..., :1], 3, axis=2)
    assert np.array_equal(read_image(path, scale=65535), color)
    assert np.abs(read_image(path, channels=1, scale=65535)[..., 0] - gray).max() < 1e-6
    assert np.array_equal(read_image(path, channels=channels, scale=65535, bands=range(1, channels + 1)), full)
    assert image_size(path) == (20, 30)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "gif", "webp", "ppm"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_truncated_files(tmp_path, suffix, share):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(np.tile(PIXELS, (4, 4, 1))).save(whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    text = error_of(cut)
    assert text.startswith(("F: cannot be read as an image: ", "F: is not an image of a supported type; "))
    assert text.endswith("; is the file complete?") and "\n" not in text


@pytest.mark.parametrize("content", [b"", b"not an image\n"])
def test_files_that_are_no_images(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert error_of(tmp_path / "a.png") == "F: is not an image of a supported type; is the file complete?"
    (tmp_path / "a.npy").write_bytes(content)
    assert error_of(tmp_path / "a.npy").startswith("F: cannot be read as a NumPy array: ")


def test_a_file_that_is_not_there(tmp_path):
    assert error_of(tmp_path / "a.png") == "F: does not exist"
    assert error_of(tmp_path / "a.npy") == "F: does not exist"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "ppm"])
def test_the_size_is_in_the_header(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.tile(PIXELS, (4, 4, 1))).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert image_size(path) == (80, 120)


@pytest.mark.parametrize("suffix", ["webp", "tif"])
def test_the_size_of_a_whole_file(tmp_path, suffix):
    Image.fromarray(PIXELS).save(tmp_path / f"a.{suffix}")
    assert image_size(tmp_path / f"a.{suffix}") == (20, 30)


def test_the_size_of_an_array(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 6, 5), np.float32))
    assert image_size(tmp_path / "a.npy") == (4, 6)
    np.save(tmp_path / "a.npy", np.zeros((4, 6), np.float32))
    assert image_size(tmp_path / "a.npy") == (4, 6)


def test_the_size_of_what_is_no_image(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image\n")
    with pytest.raises(DataError) as error:
        image_size(tmp_path / "a.png")
    assert str(error.value) == f"{tmp_path}/a.png: is not an image of a supported type; is the file complete?"
    np.save(tmp_path / "a.npy", np.zeros(4))
    with pytest.raises(DataError) as error:
        image_size(tmp_path / "a.npy")
    assert str(error.value) == f"{tmp_path}/a.npy: expected an image of HWC numbers, not float64 of shape (4,)"


def test_a_mask_keeps_its_values(tmp_path):
    values = np.array([[0, 300, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png", as_color=False), values)
    Image.fromarray(PIXELS).save(tmp_path / "rgb.png")
    assert np.array_equal(read_mask(tmp_path / "rgb.png", as_color=True), PIXELS)


def test_a_mask_in_16_bit_colors_of_gray(tmp_path):
    values = np.array([[0, 300, 65535]], np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.repeat(values[..., None], 3, axis=2)))
    assert np.array_equal(read_mask(tmp_path / "a.png", as_color=False), values)


def test_a_crafted_array_is_named(tmp_path):
    path = tmp_path / "a.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (((\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert error_of(path).startswith("F: cannot be read as a NumPy array: ")


@pytest.mark.parametrize("read", [read_image, read_picture, image_size])
def test_types_that_run_other_programs_are_not_opened(tmp_path, monkeypatch, read):
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)  # Pillow looks for Ghostscript
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(DataError) as error:
        read(str(path))
    assert str(error.value) == f"{path}: is not an image of a supported type; is the file complete?"
    assert count_pictures(path) == 1


def test_warnings_of_pillow_are_not_shown(tmp_path):
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    code = "import sys; from segtrain.images.reading import image_size; print(image_size(sys.argv[1]))"
    line = [sys.executable, "-c", code, str(tmp_path / "large.png")]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(9000, 10000)\n", "")
