"""--min-area: small regions are merged into their surroundings."""

import numpy as np
import pytest

from segtrain.commands.predict import raster, sieve
from segtrain.commands.predict.parts import PartFinder
from segtrain.commands.predict.sieve import sieve_labels
from tests.commands.predict.geo_files import burn, save
from tests.commands.predict.predicting import run
from tests.commands.predict.test_polygons import mask_of
from tests.painted import BINARY, LAYERS, painted, random_classes


def sieved(text: str, area: int) -> str:
    return " ".join("".join(map(str, row)) for row in sieve_labels(mask_of(text).astype(np.uint8), area).tolist())


def test_a_region_goes_to_the_neighbor_with_the_longest_border():
    assert sieved("1122 1322 1122", 2) == "1122 1122 1122"  # three of its sides touch 1, one touches 2
    assert sieved("00000 01110 00100 00000", 4) == "00000 01110 00100 00000"  # as many as are wanted
    assert sieved("00000 01110 00100 00000", 5) == "00000 00000 00000 00000"
    assert sieved("1112 1132 2222", 2) == "1112 1122 2222"  # two sides each: 2 has 6 pixels, 1 has 5


def test_the_smallest_goes_first_and_what_it_joins_counts():
    assert sieved("000000 011200 000000", 3) == "000000 000000 000000"
    assert sieved("0000000 0112110 0000000", 5) == "0000000 0000000 0000000"
    assert sieved("00000 01210 01110 00000", 5) == "00000 01110 01110 00000"  # the two arms are one with it


def test_what_touches_at_a_corner_alone_does_not_count():
    assert sieved("10 01", 2) == "00 00" or sieved("10 01", 2) == "11 11"
    assert sieved("1100 1100 0011 0011", 4) == "1100 1100 0011 0011"


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1)])
def test_the_last_region_stays(shape):
    assert (sieve_labels(np.full(shape, 2, np.uint8), 100) == 2).all()


def test_no_data_is_nobodys_neighbor():
    labels = mask_of("1555 5552 5522").astype(np.uint8)
    assert np.array_equal(sieve_labels(labels, 100, nodata=labels == 5), labels)


def test_layers_lose_specks_and_holes():
    layers = np.stack([mask_of("111 101 111"), mask_of("100 000 000")]).astype(np.uint8)
    assert sieve_labels(layers, 2).tolist() == [np.ones((3, 3)).tolist(), np.zeros((3, 3)).tolist()]


def test_in_bands_it_is_the_same_and_nothing_small_is_left(monkeypatch):
    for seed in range(20):
        labels = np.random.default_rng(seed).integers(0, 2 + seed % 3, (13, 17)).astype(np.uint8)
        whole = sieve_labels(labels, 9)
        finder = PartFinder()
        finder.add(whole)
        areas = finder.table().areas
        assert areas.min() >= 9 or len(areas) == 1
        with monkeypatch.context() as patch:
            patch.setattr(sieve, "AT_ONCE_PX", 17 * (1 + seed % 4))
            assert np.array_equal(sieve_labels(labels, 9), whole)


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("task", [BINARY, LAYERS], ids=["binary", "multilabel"])
def test_all_files_show_the_same(task, size, tmp_path, monkeypatch):
    if size == "large":
        monkeypatch.setattr(raster, "LARGE_PX", 100)
    classes = random_classes(5, 40, 50)
    classes[3, 3] = 1 - classes[3, 3] % 2
    image = save(tmp_path / "in" / "a.tif", 255 * (classes == 1))
    report = run(
        tmp_path / "in", tmp_path / "out", painted(task, tile_px=16), kinds=["index", "geojson"], min_area_px=60
    )
    assert report.failures == []
    expected = sieve_labels((classes == 1).astype(np.uint8), 60)
    burnt = burn(tmp_path / "out" / "a.geojson", image)
    assert np.array_equal(burnt == (1 if task is BINARY else 0), expected == 1) and (expected != (classes == 1)).any()
    share = float(
        (tmp_path / "out" / "manifest.csv").read_text().splitlines()[1].split(",")[-2 if task is BINARY else -3]
    )
    assert abs(share - (1 - expected.mean() if task is BINARY else expected.mean())) < 1e-5
