"""A window of an image file holds the pixels that the whole image has there, and only what it touches is decoded."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.errors import DataError
from segtrain.files import Window, container_of, split_window, window_path
from segtrain.images import windows
from segtrain.images.reading import image_size, read_image, read_layers, read_mask, read_picture, read_with_nodata
from segtrain.images.windows import TiffSegments, find_storage

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (150, 130, 3), dtype=np.uint8)
MASK = RNG.integers(0, 4, (150, 130), dtype=np.uint8)
WINDOWS = [Window(0, 0, 130, 150), Window(0, 0, 1, 1), Window(60, 33, 50, 70), Window(129, 149, 1, 1)]
TILED = {"tile": (32, 48), "compression": "zlib"}
LAYOUTS = {
    "tiles": TILED,
    "tiles, not compressed": {"tile": (64, 64)},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "one strip": {},
    "one compressed strip": {"rowsperstrip": 150, "compression": "zlib"},
    "bands apart": {"planarconfig": "separate", "tile": (32, 32), "compression": "zlib"},
    "rows of bands": {"planarconfig": "separate", "rowsperstrip": 1},
    "predictor": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "big": {"bigtiff": True, "byteorder": ">", "rowsperstrip": 50},
    "big tiles": {"bigtiff": True, "byteorder": ">", **TILED},
}


def write(path, pixels, **options):
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    kind = {"photometric": "rgb" if 3 in pixels.shape else "minisblack", "metadata": None}
    if pixels.ndim == 3 and "planarconfig" not in options:
        kind["planarconfig"] = "contig"
    tifffile.imwrite(path, pixels, **kind | options)
    return str(path)


def part(pixels, window):
    return pixels[window.rows, window.columns]


def test_a_window_is_a_path():
    window = Window(1024, 0, 512, 300)
    assert window_path("a b/ö.tif", window) == "a b/ö.tif#xywh=1024,0,512,300"
    assert split_window("a b/ö.tif#xywh=1024,0,512,300") == ("a b/ö.tif", window)
    assert split_window("a#1.tif") == ("a#1.tif", None)
    assert container_of("s.tar!512+99/a.tif#xywh=0,0,1,1") == "s.tar"
    assert image_size("nowhere.tif#xywh=1024,0,512,300") == (300, 512)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_of_a_tiff_is_that_part_of_the_whole(tmp_path, layout):
    path = write(tmp_path / "a.tif", RGB, **LAYOUTS[layout])
    assert find_storage(path, tile=64).reason == ""
    for window in WINDOWS:
        assert np.array_equal(read_image(window_path(path, window)), part(RGB, window))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_bands_of_any_type(tmp_path, dtype):
    deep = (RNG.random((150, 130, 5)) * 3000).astype(dtype)
    path, window = write(tmp_path / "a.tif", deep, **TILED), WINDOWS[2]
    options = {"channels": 2, "scale": 3000, "bands": [5, 1]}
    assert np.array_equal(read_image(window_path(path, window), **options), part(read_image(path, **options), window))


def palette_tiff(path, **options):
    colors = np.zeros((3, 256), np.uint16)
    colors[:, :4] = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]).T * 257
    return write(path, MASK, photometric="palette", colormap=colors, **options)


def test_masks_of_every_kind(tmp_path):
    one_bit = write(tmp_path / "bits.tif", MASK > 1, compression="packbits")
    inverted = write(tmp_path / "inverted.tif", MASK, photometric="miniswhite", **TILED)
    floats = write(tmp_path / "floats.tif", np.where(MASK == 3, np.nan, MASK).astype(np.float32), **TILED)
    files = [
        one_bit,
        inverted,
        palette_tiff(tmp_path / "palette.tif", **TILED),
        write(tmp_path / "m.tif", MASK, **TILED),
    ]
    np.save(tmp_path / "m.npy", MASK)
    Image.fromarray(MASK).save(tmp_path / "m.png")
    for path in [*files, str(tmp_path / "m.npy"), str(tmp_path / "m.png")]:
        for window in WINDOWS:
            cut = read_mask(window_path(path, window), as_color=False)
            assert np.array_equal(cut, part(read_mask(path, as_color=False), window)), path
    colors = [read_mask(name, as_color=True) for name in (files[2], window_path(files[2], WINDOWS[2]))]
    assert np.array_equal(colors[1], part(colors[0], WINDOWS[2])) and colors[1].any()
    hidden = read_mask(window_path(floats, WINDOWS[2]), as_color=False, ignored=[np.nan])
    assert np.array_equal(np.ma.getmask(hidden), part(MASK, WINDOWS[2]) == 3)
    layers = write(tmp_path / "layers.tif", np.stack([MASK == 1, MASK == 2], -1).astype(np.uint8), **TILED)
    found = read_layers(window_path(layers, WINDOWS[2]), 2)
    assert np.array_equal(found, np.stack([part(MASK, WINDOWS[2]) == index for index in (1, 2)]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_stored_turned_is_cut_upright(tmp_path, orientation):
    path = write(tmp_path / "a.tif", RGB, extratags=[(274, "H", 1, orientation, True)], **TILED)
    whole = read_image(path)
    window = Window(5, 60, 40, 33)
    assert image_size(path) == whole.shape[:2]
    assert np.array_equal(read_image(window_path(path, window)), part(whole, window))


def test_other_files_are_read_whole_once(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    path, opened = str(tmp_path / "a.png"), []
    assert find_storage(path, tile=64).reason == "it is not a TIFF"
    load = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(a) or load(*a, **k))
    for window in WINDOWS:
        assert np.array_equal(read_image(window_path(path, window)), part(RGB, window))
    assert len(opened) == 1
    picture = read_picture(window_path(path, WINDOWS[2]))
    assert picture.file_type == "PNG" and np.array_equal(picture.pixels, part(RGB, WINDOWS[2]))


def test_the_first_page_is_the_image_and_overviews_are_not(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB, photometric="rgb", subifds=0, metadata=None, **TILED)
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, metadata=None, **TILED)
    path = window_path(str(tmp_path / "a.tif"), WINDOWS[2])
    assert np.array_equal(read_image(path), part(RGB, WINDOWS[2]))


def test_bands_in_pages_are_read_whole(tmp_path):
    path = str(tmp_path / "a.tif")
    tifffile.imwrite(path, np.moveaxis(RGB, -1, 0), photometric="minisblack")
    assert find_storage(path, tile=64).reason == "its bands are in several pages"
    found = read_image(window_path(path, WINDOWS[2]), bands=[1, 2, 3])
    assert np.array_equal(found, part(RGB, WINDOWS[2]))


def test_only_the_tiles_that_a_window_touches_are_decoded(tmp_path, monkeypatch):
    path, decoded = write(tmp_path / "a.tif", RGB, tile=(32, 32), compression="zlib"), []
    decode = TiffSegments._decode
    monkeypatch.setattr(TiffSegments, "_decode", lambda self, index: decoded.append(index) or decode(self, index))
    read_image(window_path(path, Window(32, 32, 64, 32)))
    assert decoded == [6, 7]  # of five a row
    assert find_storage(path, tile=64).decoded == 1
    assert (
        find_storage(write(tmp_path / "b.tif", RGB, rowsperstrip=8, compression="zlib"), tile=26).decoded == 5 * 32 / 26
    )


def test_pixels_without_data(tmp_path):
    """The value that GDAL notes, in all bands that are used; nan in floats."""
    pixels = np.full((64, 64, 3), 7, np.uint8)
    pixels[:2, :, :2] = 0
    pixels[0, :, 2] = 0
    path = write(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 2, "0", True)])
    for name in (path, window_path(path, Window(0, 0, 64, 32))):
        _, missing = read_with_nodata(name)
        assert missing[0].all() and missing.sum() == 64
    assert read_with_nodata(path, channels=2, bands=[1, 2])[1].sum() == 2 * 64
    assert read_with_nodata(window_path(path, Window(0, 2, 64, 32)))[1] is None
    floats = np.ones((64, 64), np.float32)
    floats[5, 5] = np.nan
    image, missing = read_with_nodata(write(tmp_path / "f.tif", floats), channels=1, scale=1)
    assert np.argwhere(missing).tolist() == [[5, 5]] and image[5, 5] == 0


def test_what_is_wrong_with_a_window_is_told_with_it(tmp_path):
    path = write(tmp_path / "a.tif", RGB, **TILED)
    outside = window_path(path, Window(100, 0, 31, 10))
    with pytest.raises(DataError) as error:
        read_image(outside)
    assert str(error.value) == f"{path}: is 130 x 150 pixels; the window #xywh=100,0,31,10 is outside it"
    with tifffile.TiffFile(path) as file:
        end = file.pages.first.dataoffsets[6] + 5
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:end])
    assert np.array_equal(read_image(window_path(path, Window(0, 0, 48, 32))), RGB[:32, :48])
    broken = window_path(path, Window(0, 60, 48, 32))
    with pytest.raises(DataError) as error:
        read_image(broken)
    assert str(error.value) == f"{broken}: cannot be read as an image: the file ends too early; is the file complete?"
    with pytest.raises(DataError) as error:
        read_image(window_path(str(tmp_path / "gone.tif"), WINDOWS[1]))
    assert str(error.value) == f"{tmp_path / 'gone.tif'}: does not exist"


def test_one_large_compressed_strip_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "LARGEST_SEGMENT_BYTES", RGB.nbytes - 1)
    path = write(tmp_path / "a.tif", RGB, rowsperstrip=150, compression="zlib")
    assert find_storage(path, tile=64).reason == "it is compressed as one strip"
    assert np.array_equal(read_image(window_path(path, WINDOWS[2])), part(RGB, WINDOWS[2]))
