import numpy as np
import pytest
from PIL import Image

from segtrain.data.reading import read_image, read_mask
from segtrain.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)


def error_of(path, **arguments):
    with pytest.raises(DataError) as error:
        read_image(path, **arguments)
    return str(error.value).replace(str(path), "F")


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
def test_every_mode_is_read_as_grey_or_rgb(tmp_path, mode, channels):
    picture = Image.fromarray(PIXELS).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    image = read_image(path, channels=channels)
    assert image.shape == (20, 30, channels) and image.dtype == np.uint8
    expected = np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(20, 30, channels)
    assert np.array_equal(image, expected)


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
    np.save(tmp_path / "grey.npy", array[..., 0])
    assert np.array_equal(read_image(tmp_path / "grey.npy", channels=1), array[..., :1])
    Image.fromarray(array[..., :4], mode=None).save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png", channels=4), array[..., :4])


ARRAY_MISTAKES = {
    "F: has 5 channels, but data.channels is 3": np.zeros((4, 6, 5), np.uint8),
    "F: expected an HWC uint8 image, not float32 of shape (4, 6, 3)": np.zeros((4, 6, 3), np.float32),
    "F: expected an HWC uint8 image, not uint8 of shape (1, 4, 6, 3)": np.zeros((1, 4, 6, 3), np.uint8),
    "F: expected an HWC uint8 image, not uint8 of shape (0, 6, 3)": np.zeros((0, 6, 3), np.uint8),
}


@pytest.mark.parametrize("text", ARRAY_MISTAKES)
def test_arrays_that_are_no_images(tmp_path, text):
    np.save(tmp_path / "a.npy", ARRAY_MISTAKES[text])
    assert error_of(tmp_path / "a.npy") == text


def test_an_array_file_that_would_run_code_is_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    text = "F: cannot be read as a NumPy array: Object arrays cannot be loaded when allow_pickle=False"
    assert error_of(tmp_path / "a.npy") == text


@pytest.mark.parametrize("array", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_refused(tmp_path, array):
    picture = Image.fromarray(PIXELS[..., 0].astype(array))
    path = tmp_path / ("a.png" if array == np.uint16 else "a.tif")
    picture.save(path)
    assert error_of(path) == f"F: has more than 8 bits a channel (mode {picture.mode}); convert it to 8 bits"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "gif", "webp", "ppm"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5])
def test_truncated_files(tmp_path, suffix, share):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    Image.fromarray(np.tile(PIXELS, (4, 4, 1))).save(whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    text = error_of(cut)
    assert text.startswith(("F: cannot be read as an image: ", "F: is not an image of a known type; "))
    assert text.endswith("; is the file complete?") and "\n" not in text


@pytest.mark.parametrize("content", [b"", b"not an image\n"])
def test_files_that_are_no_images(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert error_of(tmp_path / "a.png") == "F: is not an image of a known type; is the file complete?"
    (tmp_path / "a.npy").write_bytes(content)
    assert error_of(tmp_path / "a.npy").startswith("F: cannot be read as a NumPy array: ")


def test_a_file_that_is_not_there(tmp_path):
    assert error_of(tmp_path / "a.png") == "F: does not exist"
    assert error_of(tmp_path / "a.npy").startswith("F: cannot be read as a NumPy array: ")


def test_a_mask_keeps_its_values(tmp_path):
    values = np.array([[0, 300, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png", as_color=False), values)
    Image.fromarray(PIXELS).save(tmp_path / "rgb.png")
    assert np.array_equal(read_mask(tmp_path / "rgb.png", as_color=True), PIXELS)
