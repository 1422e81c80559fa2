from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from segtrain.commands.predict import raster
from segtrain.commands.predict.result import encode_jpeg
from segtrain.commands.predict.shaping import Shaping
from segtrain.commands.predict.tiff_rows import TiffRows
from segtrain.config.schema import Config
from segtrain.errors import ConfigError, DataError
from segtrain.images.georeference import read_georeference
from segtrain.images.reading import read_image
from segtrain.inference.network import TorchNetwork
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.tiny_model import tiny_model

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 270, 3), dtype=np.uint8)
SCALE, TIE_POINT = (0.5, 0.5, 0.0), (0.0, 0.0, 0.0, 600000.0, 5200000.0, 0.0)
KEYS = (1, 1, 0, 1, 3072, 0, 1, 32632)  # ProjectedCSType: UTM zone 32 north
GEO = [(33550, "d", 3, SCALE, True), (33922, "d", 6, TIE_POINT, True), (34735, "H", 8, KEYS, True)]
LAYOUTS = {
    "tiles": {"tile": (64, 48), "compression": "zlib"},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "one strip": {},
    "bands apart": {"planarconfig": "separate", "tile": (32, 32)},
    "strips of bands": {"planarconfig": "separate", "rowsperstrip": 11},
    "predictor": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "big": {"bigtiff": True, "byteorder": ">", "rowsperstrip": 50},
}


def write(path: Path, pixels: np.ndarray, **options) -> Path:
    if options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    photometric = "rgb" if 3 in pixels.shape else "minisblack"
    tifffile.imwrite(path, pixels, **{"photometric": photometric, "metadata": None, **options})
    return path


def predictor_of(*, mode: str = "multiclass", **options) -> Predictor:
    classes = [{"name": "sky", "color": [10, 20, 30]}, {"name": "road", "color": [200, 0, 0]}]
    multilabel = {"multilabel": True} if mode == "multilabel" else {}
    config = Config.model_validate({"data": {"root": "data", "classes": classes, **multilabel}})
    network = TorchNetwork(tiny_model(), config, device=torch.device("cpu"), dtype=torch.float32)
    return Predictor([network], InferOptions(**{"tile_px": 64, **options}))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_a_file_are_those_of_the_whole(tmp_path, layout):
    path = write(tmp_path / "a.tif", PIXELS, **LAYOUTS[layout])
    with TiffRows(str(path)) as rows:
        assert (rows.height, rows.width) == (300, 270)
        for top, bottom in [(0, 300), (0, 1), (0, 64), (63, 65), (63, 127), (127, 300), (299, 300)]:
            bands = rows.read(top, bottom)
            assert np.array_equal(bands.pixels, PIXELS[top:bottom]) and bands.colors == 3


@pytest.mark.parametrize("layout", ["tiles", "strips", "bands apart"])
def test_a_large_tiff_is_predicted_as_a_small_one(tmp_path, layout):
    path = write(tmp_path / "a.tif", PIXELS, **LAYOUTS[layout])
    predictor = predictor_of(flip="horizontal", scales=(1.0, 0.5))
    size, files, shares = raster.predict_raster(
        predictor, path, tmp_path / "out" / "a", kinds=["overlay"], shaping=Shaping()
    )
    prediction = predictor.predict(read_image(path))
    assert files == [tmp_path / "out" / "a.tif", tmp_path / "out" / "a_overlay.jpg"]
    assert np.array_equal(tifffile.imread(files[0]), prediction) and len(np.unique(prediction)) == 2
    assert size == (300, 270)
    assert shares.tolist() == (np.bincount(prediction.ravel()) / prediction.size).tolist()
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["a.tif", "a_overlay.jpg"]


def test_the_result_has_the_classes_colors_and_lies_where_the_image_lay(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS, extratags=GEO)
    predictor = predictor_of()
    shaping = Shaping(georeferences={path: read_georeference(str(path))})
    raster.predict_raster(predictor, path, tmp_path / "a_mask", kinds=[], shaping=shaping)
    prediction = predictor.predict(read_image(path))
    with tifffile.TiffFile(tmp_path / "a_mask.tif") as file:
        page = file.pages.first
        assert page.photometric.name == "PALETTE" and (page.colormap[:, :2] // 257).T.tolist() == [
            [10, 20, 30],
            [200, 0, 0],
        ]
        tags = {code: page.tags[code].value for code in (33550, 33922, 34735)}
        assert tags == {33550: SCALE, 33922: TIE_POINT, 34735: KEYS}
        assert page.is_tiled and page.compression.name == "ADOBE_DEFLATE"
    colors = np.array([[10, 20, 30], [200, 0, 0]], np.uint8)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a_mask.tif").convert("RGB")), colors[prediction])


def test_the_overlay_is_reduced(tmp_path, monkeypatch):
    monkeypatch.setattr(raster, "PREVIEW_PX", 100)
    path = write(tmp_path / "a.tif", PIXELS)
    predictor = predictor_of()
    raster.predict_raster(predictor, path, tmp_path / "out", kinds=["overlay"], shaping=Shaping())
    colors = np.array([[10, 20, 30], [200, 0, 0]])[predictor.predict(PIXELS)[::3, ::3]]
    expected = np.rint(0.4 * PIXELS[::3, ::3] + 0.6 * colors).astype(np.uint8)
    assert (tmp_path / "out_overlay.jpg").read_bytes() == encode_jpeg(expected)


def test_layers_are_bands(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS)
    predictor = predictor_of(mode="multilabel")
    *_, shares = raster.predict_raster(predictor, path, tmp_path / "layers", kinds=["overlay"], shaping=Shaping())
    prediction = predictor.predict(PIXELS)
    assert np.array_equal(tifffile.imread(tmp_path / "layers.tif"), 255 * np.moveaxis(prediction, 0, -1))
    assert shares.tolist() == prediction.mean((1, 2)).tolist()


def test_deep_images_are_scaled_as_when_read_whole(tmp_path):
    deep = PIXELS.astype(np.uint16) * 257
    path = write(tmp_path / "a.tif", deep, tile=(64, 64))
    config = Config.model_validate({"data": {"root": "data", "classes": ["a", "b"], "scale": 65535}})
    network = TorchNetwork(tiny_model(), config, device=torch.device("cpu"), dtype=torch.float32)
    predictor = Predictor([network], InferOptions(tile_px=64))
    raster.predict_raster(predictor, path, tmp_path / "deep", kinds=["overlay"], shaping=Shaping())
    expected = predictor.predict(read_image(path, scale=65535))
    assert np.array_equal(tifffile.imread(tmp_path / "deep.tif"), expected)


def test_which_files_are_large(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", PIXELS)
    assert not raster.is_large(path)
    monkeypatch.setattr(raster, "LARGE_PX", 300 * 270 - 1)
    assert raster.is_large(path)
    monkeypatch.setattr(raster, "LARGE_PX", 300 * 270)
    assert not raster.is_large(path)
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    (tmp_path / "b.tif").write_bytes(b"II*\0 nothing")
    monkeypatch.setattr(raster, "LARGE_PX", 1)
    assert [raster.is_large(tmp_path / name) for name in ("a.tif", "a.png", "b.tif", "gone.tif")] == [True] + 3 * [
        False
    ]


def refused(path: Path, **options) -> str:
    with pytest.raises((DataError, ConfigError)) as error:
        raster.predict_raster(
            predictor_of(**options), path, path.parent / "out" / "a", kinds=["overlay"], shaping=Shaping()
        )
    assert not list((path.parent / "out").glob("*")) and not list((path.parent / "out").glob(".*"))
    return str(error.value)


def test_kinds_that_cannot_be_read_in_rows(tmp_path):
    large = "is too large to be read at once, and cannot be read in rows:"
    path = write(tmp_path / "turned.tif", PIXELS, extratags=[(274, "H", 1, 6, True)])
    assert refused(path) == f"{path}: {large} it is stored rotated; save it upright"
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, np.moveaxis(PIXELS, -1, 0), photometric="minisblack")
    assert refused(path) == f"{path}: {large} its bands are in several pages; save them in one page"
    path = write(
        tmp_path / "palette.tif", PIXELS[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16)
    )
    assert refused(path) == f"{path}: {large} its colors are PALETTE; save it as RGB or gray"
    path = tmp_path / "none.tif"
    path.write_bytes(b"II*\0 nothing")
    assert refused(path).startswith(f"{path}: cannot be read as a TIFF: ")


def test_a_file_that_ends_too_early_leaves_nothing(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS, rowsperstrip=10, compression="zlib")
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        cut = file.pages.first.dataoffsets[20]
        assert file.pages.first.offset < cut  # the header survives
    path.write_bytes(content[:cut])
    assert refused(path).startswith(f"{path}: rows 141 to 205 cannot be read: ")


def test_channels_that_do_not_fit_are_named(tmp_path):
    path = write(
        tmp_path / "a.tif", np.dstack([PIXELS, PIXELS])[..., :5], photometric="minisblack", planarconfig="contig"
    )
    assert refused(path) == (f"{path}: has 5 channels, but data.channels is 3; data.bands: [1, 2, 3] selects the first")


def test_transforms_that_see_the_whole_image(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS)
    config = Config.model_validate(
        {"data": {"root": "d", "classes": ["a", "b"]}, "transforms": {"val": [{"Resize": {"height": 32, "width": 32}}]}}
    )
    network = TorchNetwork(tiny_model(), config, device=torch.device("cpu"), dtype=torch.float32)
    with pytest.raises(ConfigError) as error:
        raster.predict_raster(
            Predictor([network], InferOptions(tile_px=64)), path, tmp_path / "out", kinds=[], shaping=Shaping()
        )
    expected = (
        "an image that is read in strips does not support transforms.val, which contains {'Resize': "
        "{'height': 32, 'width': 32}}"
    )
    assert str(error.value) == expected


def test_a_folder_that_cannot_be_written(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError) as error:
        raster.predict_raster(predictor_of(), path, tmp_path / "out" / "a", kinds=[], shaping=Shaping())
    assert str(error.value) == f"{tmp_path / 'out' / 'a.tif'}: cannot be written: Not a directory"


def test_an_uncompressed_strip_is_read_in_parts(tmp_path):
    path = write(tmp_path / "a.tif", PIXELS)
    with TiffRows(str(path)) as rows:
        assert rows._page.rowsperstrip >= 300  # one strip holds the image
        assert np.array_equal(rows.read(100, 120).pixels, PIXELS[100:120]) and not rows._decoded


def test_a_compressed_strip_that_is_as_large_as_the_image_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", PIXELS, rowsperstrip=300, compression="zlib")
    monkeypatch.setattr("segtrain.commands.predict.tiff_rows.LARGEST_SEGMENT_BYTES", 300 * 270 * 3 - 1)
    reason = "its compressed strips are as large as the image; save it in tiles"
    assert refused(path) == f"{path}: is too large to be read at once, and cannot be read in rows: {reason}"
