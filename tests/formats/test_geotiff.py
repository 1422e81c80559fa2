import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats import geotiff
from segtrain.images.reading import read_image
from tests.formats.format_reading import data_config

RNG = np.random.default_rng(0)
BANDS = RNG.integers(0, 10001, (6, 8, 5)).astype(np.uint16)
MASK = RNG.integers(0, 3, (6, 8)).astype(np.float32)


def draw(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", **({"planarconfig": "contig"} if pixels.ndim == 3 else {}))


@pytest.fixture
def root(tmp_path):
    """Three pairs of a 16-bit image of five bands and a mask of floats, with the files that lie beside GeoTIFFs."""
    for place, name in enumerate(["a.tif", "deep/b.TIFF", "c.tiff"]):
        draw(tmp_path / "images" / name, np.roll(BANDS, place, axis=0))
        draw(tmp_path / "masks" / name, np.roll(MASK, place, axis=0))
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    for name in ("images/a.tif.aux.xml", "images/a.tfw", "masks/a.tif.ovr", "masks/.hidden.tif"):
        (tmp_path / name).write_text("beside")
    return tmp_path


def test_every_pixel(root, capfd):
    config = data_config(format="geotiff", root=root, classes=["x", "y", "z"], channels=3, scale=10000, bands=[4, 3, 2])
    splits = geotiff.read(root, val_fraction=0.4)
    samples = {sample.name: sample for split in splits.values() for sample in split}
    assert sorted(samples) == ["a", "c", "deep/b"] and len(splits["val"]) == 1
    for place, name in enumerate(["a", "deep/b", "c"]):
        mask = LabelDecoder(config).read(samples[name])
        assert mask.dtype == np.uint8 and np.array_equal(mask, np.roll(MASK, place, axis=0))
        image = read_image(samples[name].image, **config.image_options)
        bands = np.roll(BANDS, place, axis=0)[..., [3, 2, 1]]
        assert np.array_equal(image, bands.astype(np.float32) / np.float32(10000))
    assert capfd.readouterr() == ("", "")


def test_a_folder_a_split(root):
    (root / "images").rename(root / "x")
    (root / "masks").rename(root / "y")
    splits = geotiff.read(root, images={"train": "x", "val": "x/deep"}, masks={"train": "y", "val": "y/deep"})
    assert {split: [sample.name for sample in samples] for split, samples in splits.items()} == {
        "train": ["a", "c", "deep/b"],
        "val": ["b"],
    }


def test_a_glob_of_the_user(root):
    splits = geotiff.read(root, images="images/*.tif*", masks="masks/*.tif*", val_fraction=0.5)
    assert sorted(sample.name for split in splits.values() for sample in split) == ["a", "c"]


MISTAKES = {
    "a mask that is not there": (
        "masks/c.tiff",
        "data: 1 of 3 images have no mask in 'R/masks/**/*.[tT][iI][fF]*': R/images/c.tiff",
    ),
    "an image that is not there": (
        "images/a.tif",
        "data: 1 of 3 masks have no image in 'R/images/**/*.[tT][iI][fF]*': R/masks/a.tif",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_pairs_that_are_not_complete(root, case):
    name, text = MISTAKES[case]
    (root / name).unlink()
    with pytest.raises(DataError) as error:
        geotiff.read(root)
    assert str(error.value).replace(str(root), "R") == text


def test_a_folder_that_is_not_there(root):
    with pytest.raises(DataError) as error:
        geotiff.read(root, images="tiles")
    assert str(error.value) == f"data.images: {root}/tiles does not exist; {root} contains: images, masks"
