"""Large TIFFs are looked at in windows, by check and by init."""

import numpy as np
import pytest
import tifffile

from segtrain.commands.check import source
from segtrain.commands.check.command import find_all
from segtrain.commands.check.dataset_report import gather
from segtrain.commands.check.experiment import init_experiment
from segtrain.commands.check.export_source import ExportSource
from segtrain.commands.check.page import describe_set
from segtrain.commands.check.source import from_experiment, from_folders
from segtrain.config.rules import load_config
from segtrain.data.splits import read_splits

PLACE = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 600000.0, 5200000.0, 0.0), True)]
MOVED = [PLACE[0], (33922, "d", 6, (0.0, 0.0, 0.0, 600100.0, 5200000.0, 0.0), True)]


@pytest.fixture
def rasters(tmp_path, monkeypatch):
    """Two images of 384 x 256 pixels, which count as large, with masks of two classes; a corner shows nothing."""
    monkeypatch.setattr(source, "LARGE_PX", 384 * 256 - 1)
    monkeypatch.setattr(source, "TILE_PX", 128)
    for index, name in enumerate(("a", "b")):
        rng = np.random.default_rng(index)
        mask = np.kron(rng.integers(0, 2, (16, 24)), np.ones((16, 16))).astype(np.uint8)
        image = np.clip(np.array([60, 180])[mask][..., None] + rng.normal(0, 9, (256, 384, 3)), 0, 255).astype(np.uint8)
        image[:128, :128] = 0
        for kind, pixels in (("images", image), ("masks", mask)):
            (tmp_path / kind).mkdir(exist_ok=True)
            photometric = "rgb" if kind == "images" else "minisblack"
            tifffile.imwrite(tmp_path / kind / f"{name}.tif", pixels, photometric=photometric, tile=(32, 32),
                             extratags=PLACE)  # fmt: skip
    return tmp_path


def titles_of(report):
    return [(finding.level, finding.title) for finding in find_all(report)]


def test_init_proposes_a_tile_and_a_training_has_the_same_splits(rasters, monkeypatch, capsys):
    monkeypatch.chdir(rasters)
    folders = ["images", "masks"]
    found = ExportSource(from_folders(*folders))
    init_experiment(found, folders, rasters / "mine.yml", table=rasters / "mine.csv")
    text = (rasters / "mine.yml").read_text()
    why = "# side of the windows in which TIFFs are read; each crop is within one window"
    assert f"  tile: 128                      {why}\n" in text
    assert "# from 12 windows of 2 images; check the classes" in text
    assert capsys.readouterr().out.startswith(f"{rasters}/mine.yml: 6 train, 6 val windows; ")
    config = load_config(["mine.yml"])
    splits = read_splits(config.data, seed=0)
    assert [len(splits[split]) for split in ("train", "val")] == [6, 6]
    assert titles_of(gather(from_experiment(["mine.yml"]))) == []


def test_windows_of_nothing_are_neither_flat_images_nor_copies(rasters):
    report = gather(from_folders(str(rasters / "images"), str(rasters / "masks")))
    assert describe_set(report)[1].startswith("12 windows of 2 images, 128 x 128, TIFF with 3 channels of uint8")
    assert titles_of(report) == []


def test_an_experiment_without_a_tile_is_told(rasters, monkeypatch):
    monkeypatch.chdir(rasters)
    base = {"name": "t", "data": {"root": ".", "images": "images", "masks": "masks", "classes": ["a", "b"]}}
    base["transforms"] = {"train": [{"RandomCrop": {"height": 64, "width": 64}}]}
    report = gather(from_experiment([base, "data.batch_size=2"]))
    assert ("warning", "TIFFs of more than 0 megapixels") in titles_of(report)
    assert len(report.records) == 12


def test_a_mask_elsewhere_is_told_once_for_an_image(rasters):
    mask = tifffile.imread(rasters / "masks" / "b.tif")
    tifffile.imwrite(rasters / "masks" / "b.tif", mask, tile=(32, 32), extratags=MOVED)
    report = gather(from_folders(str(rasters / "images"), str(rasters / "masks")))
    (finding,) = find_all(report)
    assert finding.title == "1 mask is elsewhere on the map than the image"
    assert finding.files == [f"{rasters / 'masks' / 'b.tif'}: is 200.0 pixels away from its image"]


def test_a_mask_of_another_size_is_told_and_left_out(rasters):
    tifffile.imwrite(rasters / "masks" / "b.tif", np.zeros((256, 383), np.uint8), tile=(32, 32))
    report = gather(from_folders(str(rasters / "images"), str(rasters / "masks")))
    finding = find_all(report)[0]
    assert (finding.level, finding.title) == ("error", "1 mask is not the size of the image")
    image, mask = (f"{rasters / kind / 'b.tif'}" for kind in ("images", "masks"))
    assert finding.files == [f"{mask}: is 383 x 256 pixels, but its image {image} is 384 x 256 pixels"]
    assert len(report.records) == 6
