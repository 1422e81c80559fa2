"""Images larger than data.tile are samples of windows: which they are, their splits, and what is ignored."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.config.data_schema import DataConfig
from segtrain.config.rules import load_config
from segtrain.data.dataset import RawSamples, read_sample
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import build_loaders
from segtrain.data.splits import read_splits
from segtrain.data.statistics import read_statistics
from segtrain.data.tiling import drop_ignored, edges_of, find_shared
from segtrain.errors import ConfigError, DataError
from segtrain.files import split_window
from segtrain.formats.sample import Sample

RNG = np.random.default_rng(0)


def draw(root: Path, name: str, height=300, width=500, *, mask=None, **options) -> None:
    """images/NAME.tif and masks/NAME.tif of two classes, in tiles of 64 pixels."""
    image = RNG.integers(1, 256, (height, width, 3), dtype=np.uint8)
    mask = RNG.integers(0, 2, (height, width), dtype=np.uint8) if mask is None else mask
    for kind, pixels in (("images", image), ("masks", mask)):
        (root / kind).mkdir(parents=True, exist_ok=True)
        own = {"photometric": "rgb" if kind == "images" else "minisblack", "metadata": None}
        tifffile.imwrite(root / kind / f"{name}.tif", pixels, tile=(64, 64), compression="zlib", **own, **options)


def config_of(root: Path, **data) -> DataConfig:
    keys = {"format": "folders", "root": root, "images": "images", "masks": "masks", "classes": ["a", "b"], "tile": 128}
    return DataConfig.model_validate(keys | data)


def names_of(splits, split):
    return [sample.name for sample in splits[split]]


def test_windows_partition_the_side():
    assert edges_of(1000, 1000) == [0, 1000]
    assert edges_of(1249, 1000) == [0, 1249]  # less than a quarter is part of the last window
    assert edges_of(1250, 1000) == [0, 1000, 1250]
    assert edges_of(20_000, 1024)[-3:] == [18 * 1024, 19 * 1024, 20_000]
    assert edges_of(1, 1000) == [0, 1]


def test_every_pixel_is_in_one_window(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path, name)
    notes = []
    splits = read_splits(config_of(tmp_path), seed=0, notes=notes)
    assert notes == []
    samples = splits["train"]
    first = samples[0].whole_name
    assert names_of(splits, "train") == [
        f"{first}_y{y:03d}_x{x:03d}" for y in (0, 128, 256) for x in (0, 128, 256, 384)
    ]
    assert {sample.whole_name for sample in splits["val"]} == {"a", "b"} - {first}  # an image is in one split
    decoder, counted = build_decoder(config_of(tmp_path)), np.zeros((300, 500), int)
    whole = tifffile.imread(tmp_path / "images" / f"{first}.tif"), tifffile.imread(tmp_path / "masks" / f"{first}.tif")
    for sample in samples:
        window = split_window(sample.image)[1]
        counted[window.rows, window.columns] += 1
        for pixels, expected in zip(read_sample(sample, decoder, {}), whole, strict=True):
            assert np.array_equal(pixels, expected[window.rows, window.columns])
    assert (counted == 1).all()


def test_of_one_image_a_block_is_held_out(tmp_path):
    draw(tmp_path, "a", height=300, width=900)
    notes = []
    splits = read_splits(config_of(tmp_path, val_fraction=0.3), seed=0, notes=notes)
    lefts = {split: {split_window(s.image)[1].left for s in splits[split]} for split in ("train", "val")}
    assert lefts == {"train": {0, 128, 256, 384, 512}, "val": {640, 768}}
    path = tmp_path / "images" / "a.tif"
    assert notes == [f"a single image, {path}: columns 640 to 899 (29%) are held out for validation"]
    with pytest.raises(DataError) as error:
        read_splits(config_of(tmp_path, tile=900), seed=0)
    assert str(error.value) == (
        f"data: a single image is split into training and validation by windows, but {path} is 900 x 300 pixels "
        "and data.tile is 900; write a smaller data.tile"
    )


def test_folds_keep_images_together_or_are_blocks(tmp_path):
    for name in ("a", "b", "c"):
        draw(tmp_path, name)
    wholes = []
    for fold in range(3):
        splits = read_splits(config_of(tmp_path, folds=3, fold=fold), seed=0)
        wholes.append({sample.whole_name for sample in splits["val"]})
        assert not wholes[-1] & {sample.whole_name for sample in splits["train"]}
    assert sorted(map(sorted, wholes)) == [["a"], ["b"], ["c"]]
    held = []
    for fold in range(4):  # more than images
        splits = read_splits(config_of(tmp_path, folds=4, fold=fold), seed=0)
        assert len(splits["val"]) + len(splits["train"]) == 3 * 12
        for name in ("a", "b", "c"):
            lefts = [
                {split_window(s.image)[1].left for s in splits[split] if s.whole_name == name}
                for split in ("train", "val")
            ]
            assert not lefts[0] & lefts[1]  # columns of windows
        held += names_of(splits, "val")
    assert len(held) == len(set(held)) == 3 * 12


def test_a_given_split_stays_and_a_group_is_found_in_the_name_of_the_image(tmp_path):
    for name in ("north_1", "north_2", "south_1", "south_2"):
        draw(tmp_path, name)
    rows = [f"images/{name}.tif,masks/{name}.tif,{'val' if name == 'south_2' else 'train'}" for name in
            ("north_1", "north_2", "south_1", "south_2")]  # fmt: skip
    (tmp_path / "data.csv").write_text("\n".join(["image,mask,split", *rows]))
    csv = {"format": "csv", "file": "data.csv", "images": None, "masks": None}
    keys = {key: value for key, value in csv.items() if value}
    config = DataConfig.model_validate({"root": tmp_path, "classes": ["a", "b"], "tile": 128, **keys})
    assert {sample.whole_name.rpartition("/")[2] for sample in read_splits(config, seed=0)["val"]} == {"south_2"}
    splits = read_splits(config_of(tmp_path, folds=2, group_pattern="^.*(?=_)"), seed=0)
    assert {sample.group for sample in splits["val"]} in ({"north"}, {"south"})


def test_what_the_image_declares_as_no_data_is_ignored(tmp_path):
    draw(tmp_path, "a", extratags=[(42113, "s", 2, "0", True)])
    image = tifffile.imread(tmp_path / "images" / "a.tif")
    image[:, :130], image[5, 200] = 0, (0, 0, 1)
    tifffile.imwrite(tmp_path / "images" / "a.tif", image, photometric="rgb", extratags=[(42113, "s", 2, "0", True)])
    tifffile.imwrite(tmp_path / "masks" / "a.tif", np.ones((300, 500), np.uint8))
    sample = Sample("a", str(tmp_path / "images" / "a.tif"), str(tmp_path / "masks" / "a.tif"))
    _, mask = read_sample(sample, build_decoder(config_of(tmp_path)), {})
    assert mask.dtype == np.uint8 and (mask[:, :130] == 255).all() and (mask[:, 130:] == 1).all()
    window = sample._replace(image=f"{sample.image}#xywh=128,0,64,10", mask=f"{sample.mask}#xywh=128,0,64,10")
    _, cut = read_sample(window, build_decoder(config_of(tmp_path)), {})
    assert np.array_equal(cut, mask[:10, 128:192])


def test_training_windows_without_a_label_are_left_out(tmp_path, capsys):
    mask = np.ones((300, 500), np.uint8)
    mask[:, :256], mask[0, 130] = 255, 0
    draw(tmp_path, "a", mask=mask)
    draw(tmp_path, "b", mask=mask)
    config, decoder = config_of(tmp_path), build_decoder(config_of(tmp_path))
    splits = read_splits(config, seed=0)
    statistics = read_statistics(splits, decoder, names=config.class_names, cache=None)
    left, changed = drop_ignored(splits, statistics)
    assert capsys.readouterr().out == (
        "data.tile: 5 of 12 training samples are windows without a label and are left out\n"
    )
    kept = [name.partition("_")[2] for name in names_of(left, "train")]
    assert kept == ["y000_x128", "y000_x256", "y000_x384", "y128_x256", "y128_x384", "y256_x256", "y256_x384"]
    assert changed.presence.shape == (7, 2) and len(left["val"]) == 12


def test_what_makes_windows_slow_is_said_once(tmp_path):
    for name in ("a", "b"):
        draw(tmp_path, name)
        for kind in ("images", "masks"):
            pixels = tifffile.imread(tmp_path / kind / f"{name}.tif")
            (tmp_path / kind / f"{name}.tif").unlink()
            if kind == "images":
                Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")
            else:
                tifffile.imwrite(tmp_path / kind / f"{name}.tif", pixels, rowsperstrip=300, compression="zlib")
    notes = []
    train = read_splits(config_of(tmp_path, tile=64), seed=0, notes=notes)["train"][0].whole_name
    advice = (
        "training will be slow; convert to a tiled TIFF "
        "(gdal_translate -co TILED=YES -co COMPRESS=DEFLATE FROM TO.tif), or write data.cache: ram"
    )
    assert notes == [
        f"{tmp_path}/images/{train}.png and 1 more are read entirely for each window, because it is not a TIFF: "
        f"{advice}",
        f"{tmp_path}/masks/{train}.tif and 1 more are decoded far beyond each window, because strips are as wide as "
        f"the image: {advice}",
    ]
    notes = []
    read_splits(config_of(tmp_path, tile=64, cache="ram"), seed=0, notes=notes)
    assert notes == []
    read_splits(config_of(tmp_path, tile=1000), seed=0, notes=notes)
    assert notes == ["data.tile: 1000: no image is larger, so none is cut"]


def test_a_mask_of_another_size_is_told_before_anything_is_read(tmp_path):
    draw(tmp_path, "a")
    draw(tmp_path, "b", mask=np.zeros((300, 499), np.uint8))
    with pytest.raises(DataError) as error:
        read_splits(config_of(tmp_path), seed=0)
    image, mask = (tmp_path / kind / "b.tif" for kind in ("images", "masks"))
    assert str(error.value) == f"{mask}: is 499 x 300 pixels, but its image {image} is 500 x 300 pixels"


def test_windows_that_overlap_are_shared():
    train = [Sample("a", "/d/a.tif#xywh=0,0,100,100", ""), Sample("c", "/d/c.tif", "")]
    others = ["/d/a.tif#xywh=100,0,100,100", "/d/a.tif#xywh=99,99,2,2", "/d/b.tif", "/d/c.tif#xywh=5,5,1,1"]
    assert find_shared([Sample("x", path, "") for path in others], train) == [others[1], others[3]]


@pytest.mark.parametrize("cache", ["ram", "folder", None])
def test_loaders_give_windows(tmp_path, cache):
    for name in ("a", "b"):
        draw(tmp_path, name)
    keys = {"batch_size": 4, "workers": 0, "cache": cache, "mix": {"CutMix": 0.5}, "balance": 0.5}
    keys |= {"cache_folder": str(tmp_path / "cache")} if cache == "folder" else {}
    data = config_of(tmp_path).model_dump(mode="json", exclude_none=True) | keys
    crop = {"RandomCrop": {"height": 96, "width": 96, "pad_if_needed": True}}
    config = load_config([{"name": "t", "data": data, "transforms": {"train": [crop]}, "runs_dir": str(tmp_path)}])
    splits, decoder = read_splits(config.data, seed=0), build_decoder(config.data)
    presence = read_statistics(splits, decoder, names=["a", "b"], cache=None).presence
    loaders = build_loaders(config, splits, decoder, presence=presence)
    batch = next(loaders.train.stream(1, 1))
    assert batch["image"].shape == (4, 3, 96, 96) and set(batch["name"]) <= {s.name for s in splits["train"]}
    pixels = sum(group["mask"].numel() for groups in loaders.val for group in groups)
    assert pixels == 300 * 500
    plain = build_loaders(config.model_copy(update={"data": config.data.model_copy(update={"cache": None})}), splits,
                          decoder, presence=presence)  # fmt: skip
    assert np.array_equal(next(plain.train.stream(1, 1))["image"], batch["image"])


def test_layers_are_cut_too(tmp_path):
    draw(tmp_path, "a")
    for name in ("roof", "road"):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", RNG.integers(0, 2, (300, 500), dtype=np.uint8), tile=(64, 64))
    config = config_of(tmp_path, multilabel=True, classes=["roof", "road"], masks="{class}")
    splits = read_splits(config, seed=0)
    dataset = RawSamples(splits["val"], build_decoder(config), image_options={})
    _, mask = dataset.load(0)
    assert mask.shape == (2, 128, 116)
    assert np.array_equal(mask[1], tifffile.imread(tmp_path / "road" / "a.tif")[:128, 384:])


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        (["data.tile=0"], "should be greater than or equal to 64, not 0"),
        (["data.tile=wide"], "expected an integer, not 'wide'"),
        (["data.tile=200"], "200 is smaller than RandomCrop of 320 x 256; write 640, twice its side"),
        (["data.tile=512", "data.format=coco"], "format coco has no mask files to cut windows from; remove it"),
    ],
)
def test_a_tile_that_cannot_be(tmp_path, layers, line):
    crop = {"RandomCrop": {"height": 256, "width": 320}}
    base = {"data": {"root": "x", "classes": ["a", "b"]}, "transforms": {"train": [crop]}}
    with pytest.raises(ConfigError) as error:
        load_config([base, *layers])
    assert f"data.tile: {line}" in str(error.value)
