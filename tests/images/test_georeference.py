"""The place of a file on the earth, written as GDAL and others write it, and how two of them differ."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.images.georeference import compare_places, read_georeference, read_place

SIZE = {"height": 64, "width": 96}
X, Y = 4e5, 5e6


def tags(x=X, y=Y, *, px=0.5, py=None, tie=(0, 0), epsg=32633, point=False, key=3072) -> list:
    """The tags of a GeoTIFF with pixels of `px` meters whose corner, or `tie` pixel, lies at (x, y)."""
    keys = [1, 1, 0, 2, 1025, 0, 1, 2 if point else 1, key, 0, 1, epsg]
    found = [(34735, "H", len(keys), keys, True)] if epsg is not None else []
    scale = (px, py or px, 0.0)
    return [*found, (33550, "d", 3, scale, True), (33922, "d", 6, (*tie, 0, x, y, 0), True)]


def turned(degrees: float) -> list:
    """A ModelTransformation that is turned about the corner: x, y, z and shift of both rows."""
    c, s = 0.5 * np.cos(np.radians(degrees)), 0.5 * np.sin(np.radians(degrees))
    return [[c, s, 0, X], [s, -c, 0, Y]]


def model_tags(rows: list, **keys) -> list:
    own = [*rows[0], *rows[1], 0, 0, 0, 0, 0, 0, 0, 1]
    return [tag for tag in tags(**keys) if tag[0] == 34735] + [(34264, "d", 16, own, True)]


def save(path, extratags=(), **options) -> str:
    tifffile.imwrite(path, np.zeros((64, 96), np.uint8), extratags=list(extratags), **options)
    return str(path)


def compare(tmp_path, image, mask) -> str:
    first, second = (read_place(save(tmp_path / f"{n}.tif", own)) for n, own in enumerate((image, mask)))
    return "" if first is None or second is None else compare_places(first, second, **SIZE)


SAME = {
    "one place": (tags(), tags()),
    "less than half a pixel": (tags(), tags(X + 0.2, Y - 0.2)),
    "half a pixel": (tags(), tags(X + 0.25, Y + 0.25)),
    "area and point, one tie point": (tags(), tags(point=True)),
    "area and point, half a pixel": (tags(), tags(X + 0.25, Y - 0.25, point=True)),
    "another tie point": (tags(), tags(X + 5, Y - 10, tie=(10, 20))),
    "a matrix for the tie point": (tags(), model_tags(turned(0))),
    "degrees": (tags(13.0, 52.0, px=1e-6, key=2048, epsg=4326), tags(13.0, 52.0, px=1e-6, key=2048, epsg=4326)),
    "a system without a number": (tags(), tags(epsg=32767)),
    "no keys": (tags(), tags(epsg=None)),
    "nothing in the mask": (tags(), []),
    "nothing in the image": ([], tags()),
    "a scale without a tie point": (tags(), [tag for tag in tags(X + 99) if tag[0] != 33922]),
    "a scale of zero": (tags(), tags(X + 99, px=0.0)),
    "not a number": (tags(), tags(float("nan"))),
}

OTHER = {
    "beside": (tags(), tags(X + 100), "is 200.0 pixels away from its image"),
    "above": (tags(), tags(X, Y + 2), "is 4.0 pixels away from its image"),
    "both": (tags(), tags(X + 1.5, Y + 2), "is 5.0 pixels away from its image"),
    "more than half a pixel": (tags(), tags(X + 0.3), "is 0.6 pixels away from its image"),
    "far away": (tags(), tags(X + 5e5), "is 1,000,000.0 pixels away from its image"),
    "larger pixels": (tags(), tags(px=1.0), "has pixels of 1 x 1, but its image 0.5 x 0.5"),
    "slightly larger pixels": (tags(), tags(px=0.51), "has pixels of 0.51 x 0.51, but its image 0.5 x 0.5"),
    "pixels that are not square": (tags(), tags(py=0.6), "has pixels of 0.5 x 0.6, but its image 0.5 x 0.5"),
    "turned": (tags(), model_tags(turned(5)), "is rotated or mirrored relative to its image"),
    "mirrored": (tags(), model_tags([[0.5, 0, 0, X], [0, 0.5, 0, Y]]), "is rotated or mirrored relative to its image"),
    "another system": (tags(), tags(epsg=25833), "is in EPSG:25833, but its image is in EPSG:32633"),
    "degrees and meters": (
        tags(),
        tags(13, 52, epsg=4326, key=2048),
        "is in EPSG:4326, but its image is in EPSG:32633",
    ),
    "both turned, one shifted": (
        model_tags(turned(30)),
        model_tags([[*turned(30)[0][:3], X + 3], turned(30)[1]]),
        "is 6.0 pixels away from its image",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_files_in_one_place(case, tmp_path):
    assert compare(tmp_path, *SAME[case]) == ""


@pytest.mark.parametrize("case", OTHER)
def test_files_in_other_places(case, tmp_path):
    image, mask, text = OTHER[case]
    assert compare(tmp_path, image, mask) == text


@pytest.mark.parametrize("name", ["a.tfw", "a.tifw", "a.wld", "a.TFW"])
def test_a_world_file_is_the_same_place(name, tmp_path):
    (tmp_path / name).write_text(f"0.5\n0\n0\n-0.5\n{X + 0.25}\n{Y - 0.25}\n")
    place = read_place(save(tmp_path / "a.tif"))
    assert compare_places(read_place(save(tmp_path / "b.tif", tags())), place, **SIZE) == ""
    inside = read_place(save(tmp_path / "a.tif", tags(X + 100)))  # the tags are what GDAL takes too
    assert compare_places(place, inside, **SIZE) == "is 200.0 pixels away from its image"


@pytest.mark.parametrize(("name", "world"), [("a.jpg", "a.jgw"), ("a.png", "a.pgw"), ("a.png", "a.pngw")])
def test_world_files_of_pictures(name, world, tmp_path):
    Image.new("L", (96, 64)).save(tmp_path / name)
    assert read_place(str(tmp_path / name)) is None
    (tmp_path / world).write_text(f"0.5\n0.0\n0.0\n-0.5\n{X}\n{Y}\n")
    assert np.allclose(read_place(str(tmp_path / name)).matrix, [[0.5, 0, X - 0.25], [0, -0.5, Y + 0.25]])


@pytest.mark.parametrize("text", ["", "beside", "1\n2\n3\n", "0\n0\n0\n0\n1\n1\n", "0,5\n0\n0\n-0,5\n1\n2\n"])
def test_a_file_that_is_no_world_file_says_nothing(text, tmp_path):
    (tmp_path / "a.tfw").write_text(text)
    assert read_place(save(tmp_path / "a.tif")) is None


def test_pixels_counted_from_the_corner_are_no_place(tmp_path):
    """What GDAL gives for a raster without a place, and rasterio then writes into a copy of it."""
    grid = model_tags([[1, 0, 0, 0], [0, 1, 0, 0]], epsg=None)
    path = save(tmp_path / "a.tif", grid)
    assert read_georeference(path) is None
    (tmp_path / "a.tfw").write_text(f"0.5 0 0 -0.5 {X + 0.25} {Y - 0.25}")
    np.testing.assert_array_equal(read_place(path).matrix, [[0.5, 0, X], [0, -0.5, Y]])
    assert read_place(save(tmp_path / "b.tif", model_tags([[1, 0, 0, 0], [0, 1, 0, 0]]))).epsg == 32633
