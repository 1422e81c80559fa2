"""`init`: from two folders to an experiment that trains."""

import re
from pathlib import Path

import numpy as np
import pandas
import pytest
import tifffile
from PIL import Image

from segtrain.__main__ import main as segtrain
from segtrain.commands.check import experiment
from segtrain.config.layers import load_tree
from segtrain.config.mistakes import validate
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.data.labels import LabelDecoder
from segtrain.data.splits import read_splits
from tests.conftest import PROJECT, SMALL, draw_folders, draw_sample

COLORS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]], np.uint8)
WITHOUT_HUB = {"gpu": False, "free_bytes": 8 << 30, "pretrained": False}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A processor with 8 GiB and no hub: what is written does not depend on where the test runs."""
    monkeypatch.setattr(experiment, "look_at_machine", lambda: WITHOUT_HUB)


@pytest.fixture
def pairs(tmp_path) -> Path:
    """20 images with masks of four classes, none like another: data/images and data/masks."""
    for index in range(20):
        draw_sample(tmp_path / "data", f"{index:03d}", seed=index, classes=4)
        path = tmp_path / f"data/masks/{index:03d}.png"
        mask = np.asarray(Image.open(path)).copy()
        Image.fromarray(np.where(mask == 255, 0, mask).astype(np.uint8)).save(path)
    return tmp_path / "data"


def run_init(folder: Path, output: Path, images="images", masks="masks") -> int:
    return segtrain(["init", str(folder / images), str(folder / masks), "-o", str(output)])


def encode(folder: Path, how: str) -> str:
    """Write the masks of a dataset in another way; the name of their folder."""
    for path in sorted((folder / "masks").glob("*.png")):
        mask = np.asarray(Image.open(path))
        target = folder / how / path.name
        target.parent.mkdir(exist_ok=True)
        if how == "palette":
            picture = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
            picture.putpalette(COLORS.ravel().tolist())
            picture.save(target)
        else:
            array = {"rgb": COLORS[mask], "values": mask * 40, "black_white": 255 * (mask == 1).astype(np.uint8)}[how]
            Image.fromarray(array.astype(np.uint8)).save(target)
    return how


def decoded(experiment: Path) -> dict[str, np.ndarray]:
    """All masks that an experiment trains or validates on, by name."""
    config = load_config([str(experiment)])
    decoder = LabelDecoder(config.data)
    splits = read_splits(config.data, seed=config.seed)
    return {f"{split}/{s.name}": decoder.read(s) for split, samples in splits.items() for s in samples}


def test_an_index_a_palette_colors_and_values_are_one_data_set(pairs, main, monkeypatch):
    monkeypatch.chdir(PROJECT)
    tables, masks = {}, {}
    for how in ("masks", "palette", "values", "rgb"):
        folder = how if how == "masks" else encode(pairs, how)
        experiment = pairs / f"{how}.yml"
        assert run_init(pairs, experiment, masks=folder) == 0
        masks[how] = decoded(experiment)
        if how != "rgb":  # its classes are in another order, that of their frequency
            runs = f"runs_dir={pairs / 'runs'}"
            assert main(str(experiment), *SMALL, "train.epochs=1", "loss={CrossEntropyLoss: 1}", runs) == 0
            table = pandas.read_csv(pairs / "runs" / f"{how}-1" / "metrics.csv")
            tables[how] = [
                round(value, 12) for name, value in table.iloc[0].items() if "loss" in name or "miou" in name
            ]
    assert len(masks["masks"]) == 20 and sum(name.startswith("val/") for name in masks["masks"]) == 4
    for name, mask in masks["masks"].items():
        assert (masks["palette"][name] == mask).all() and (masks["values"][name] == mask).all(), name
    order = {
        (int(a), int(b))
        for n in masks["rgb"]
        for a, b in zip(masks["masks"][n].flat, masks["rgb"][n].flat, strict=True)
    }
    assert len(order) == 4 and len({index for index, _ in order}) == 4  # the same classes by other numbers
    assert tables["masks"] == tables["palette"] == tables["values"]


def test_black_and_white_masks_are_binary(pairs, main, capsys):
    experiment = pairs / "crack.yml"
    assert run_init(pairs, experiment, masks=encode(pairs, "black_white")) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{experiment}: 16 train, 4 val images; crops of 96 x 64 pixels, batches of 4, 200 epochs"
    )
    config = load_config([str(experiment)])
    assert [(item.name, item.value) for item in config.data.classes] == [("object", 255)]
    assert list(config.loss) == ["BCEWithLogitsLoss", "DiceLoss"]
    assert main(str(experiment), *SMALL, "train.epochs=1", f"runs_dir={pairs / 'runs'}") == 0


def test_the_file_is_complete_and_every_reason_stands_beside_its_value(pairs, monkeypatch):
    monkeypatch.chdir(PROJECT)
    experiment = pairs / "mine.yml"
    assert run_init(pairs, experiment) == 0
    over_the_base = load_config([str(experiment)])
    alone = validate(load_tree([], Config, base=experiment), Config)
    assert over_the_base == alone
    text = experiment.read_text()
    assert text.startswith(f"# Made by python -m segtrain init {pairs}/images {pairs}/masks -o {experiment}\n")
    assert "    - class_0   # " in text and "val_fraction: 0.2" in text
    assert all(len(line) <= 120 for line in text.splitlines() if str(pairs) not in line)


def test_images_that_look_alike_stay_together(pairs, main):
    for index in range(5):  # each of five is there twice more, compressed and darker
        image = Image.open(pairs / f"images/{index:03d}.png")
        for copy, changed in (("a", image.resize((160, 128))), ("b", image.point(lambda value: value * 0.9))):
            changed.save(pairs / f"images/{index:03d}{copy}.jpg", quality=90)
            mask = Image.open(pairs / f"masks/{index:03d}.png").resize(changed.size, Image.Resampling.NEAREST)
            mask.save(pairs / f"masks/{index:03d}{copy}.png")
    experiment = pairs / "mine.yml"
    assert run_init(pairs, experiment) == 0
    assert "# 15 images look like others; the split keeps them together" in experiment.read_text()
    table = pandas.read_csv(pairs / "mine.csv")
    assert list(table.columns) == ["image", "mask", "split", "group"] and len(table) == 30
    assert table.groupby("group")["split"].nunique().max() == 1 and table["group"].nunique() == 20
    assert main(str(experiment), *SMALL, "train.epochs=1", f"runs_dir={pairs / 'runs'}") == 0
    assert len(decoded(experiment)) == 30
    for fold in range(3):
        config = load_config([str(experiment), "data.folds=3", f"data.fold={fold}"])
        splits = read_splits(config.data, seed=0)
        assert not {s.group for s in splits["train"]} & {s.group for s in splits["val"]}


def test_folders_of_splits_are_kept(tmp_path):
    root = draw_folders(tmp_path / "street", train=6, val=3)
    for kind in ("images", "masks"):
        for split in ("train", "val"):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            (root / split / kind).rename(tmp_path / "set" / kind / split)
    experiment = tmp_path / "mine.yml"
    assert run_init(tmp_path / "set", experiment) == 0
    splits = read_splits(load_config([str(experiment)]).data, seed=0)
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 6, "val": 3}


def mingle(folder: Path, image: str, mask: str) -> Path:
    """The pairs in one folder, with other names; the folder."""
    for kind, name in (("images", image), ("masks", mask)):
        for index, path in enumerate(sorted((folder / kind).iterdir())):
            target = folder / "d" / name.format(index, split="train" if index < 14 else "valid")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    return folder / "d"


MINGLED = {
    "an ending": ("p_{:02}.png", "p_{:02}_mask.png", ("d", "d")),
    "globs": ("p_{:02}.png", "p_{:02}_mask.png", ("d/*.png", "d/*_mask.png")),
    "a folder each": ("T_{0:02}/T_{0}.png", "T_{0:02}/T_{0}_mask.png", ("d", "d")),
    "splits": ("{split}/a{:02}.rf.b1.png", "{split}/a{:02}.rf.b1_mask.png", ("d", "d")),
    "splits and beginnings": ("{split}/img_{:02}.png", "{split}/mask_{:02}.png", ("d", "d")),
    "beginnings": ("img {:02}.png", "mask {:02}.png", ("d", "d")),
    "two endings": ("{:02}_training.png", "{:02}_manual1.png", ("d", "d")),
}


@pytest.mark.parametrize("case", MINGLED)
def test_images_and_masks_in_one_folder(case, pairs, main, monkeypatch, capsys):
    *names, given = MINGLED[case]
    mingle(pairs, *names)
    monkeypatch.chdir(pairs)
    (pairs / "config.yml").write_text((PROJECT / "config.yml").read_text())
    assert segtrain(["check", "--images", given[0], "--masks", given[1]]) == (1 if given == ("d", "d") else 0)
    assert ("Images and masks are in the same folder" in capsys.readouterr().out) == (given == ("d", "d"))
    assert segtrain(["init", *given, "-o", "mine.yml"]) == 0
    assert "set-aside-unpaired" not in capsys.readouterr().out
    splits = read_splits(load_config(["mine.yml"]).data, seed=0)
    found = {(s.image, s.mask) for samples in splits.values() for s in samples}
    wanted = {tuple("d/" + name.format(n, split="train" if n < 14 else "valid") for name in names) for n in range(20)}
    assert found == wanted and len(splits["val"]) == (6 if "splits" in case else 4)
    if case in ("splits and beginnings", "two endings"):
        assert main("mine.yml", *SMALL, "train.epochs=1", f"runs_dir={pairs / 'runs'}") == 0


def test_a_folder_with_brackets_in_its_name(pairs, monkeypatch):
    (pairs / "images").rename(pairs / "my [images]")
    monkeypatch.chdir(pairs)
    assert segtrain(["init", "my [images]", "masks", "-o", "mine.yml"]) == 0
    splits = read_splits(load_config([str(PROJECT / "config.yml"), "mine.yml"]).data, seed=0)
    assert {len(samples) for samples in splits.values()} == {16, 4}


def test_masks_of_two_annotators_are_chosen_from(pairs, monkeypatch, capsys):
    mingle(pairs, "I_{:02}L.png", "I_{:02}L_1stHO.png")
    for path in sorted((pairs / "d").glob("*_1stHO.png")):
        path.with_name(path.name.replace("1st", "2nd")).write_bytes(path.read_bytes())
    monkeypatch.chdir(pairs)
    for command in (["check", "--images", "d", "--masks", "d"], ["init", "d", "d"]):
        assert segtrain(command) == 2
        assert capsys.readouterr().err == (
            "data: the files in d can be paired in several ways: I_00L.png with I_00L_1stHO.png or I_00L.png with "
            "I_00L_2ndHO.png; give the images and masks as 'd/*[L].png' 'd/*_1stHO.png', or 'd/*[L].png' "
            "'d/*_2ndHO.png'\n"
        )
    assert segtrain(["init", "d/*[L].png", "d/*_2ndHO.png", "-o", "mine.yml"]) == 0


def test_an_image_alone_in_one_folder_is_not_set_aside(pairs, capsys):
    folder = mingle(pairs, "p_{:02}.png", "p_{:02}_mask.png")
    (folder / "p_03_mask.png").unlink()
    assert run_init(pairs, pairs / "mine.yml", "d", "d") == 2
    assert f"{folder}: 1 of 20 images has no mask: {folder}/p_03.png; " in capsys.readouterr().err
    page = ["-o", str(pairs / "check.html")]
    assert segtrain(["check", "--images", str(folder), "--masks", str(folder), *page]) == 1
    assert "set-aside-unpaired" not in capsys.readouterr().out


def test_an_experiment_of_one_folder_is_told_its_keys(pairs, monkeypatch, capsys):
    mingle(pairs, "{split}/{:02}.jpg", "{split}/{:02}.png")
    monkeypatch.chdir(pairs)
    both = "{train: train, val: valid}"
    experiment = (
        f"data: {{root: d, images: {both}, masks: {both}, classes: [a, b, c, d]}}\nloss: {{CrossEntropyLoss: 1}}\n"
    )
    (pairs / "mine.yml").write_text(experiment)
    assert segtrain(["check", "mine.yml"]) == 1
    shown = capsys.readouterr().out
    assert "Images and masks are in the same folder" in shown and "set-aside-unpaired" not in shown
    assert "images: {train: train/*.jpg, val: valid/*.jpg}" in shown


def test_bands_and_bits(pairs, main):
    for path in (pairs / "images").glob("*.png"):
        image = np.asarray(Image.open(path)).astype(np.uint16) * 15
        tifffile.imwrite(path.with_suffix(".tif"), np.concatenate([image, image[..., :1]], axis=2))
        path.unlink()
    experiment = pairs / "mine.yml"
    assert run_init(pairs, experiment) == 0
    config = load_config([str(experiment)])
    assert (config.data.channels, config.data.scale) == (4, 4095)
    assert len(config.model.mean) == 4 and all(0 < value < 1 for value in (*config.model.mean, *config.model.std))
    assert "RandomRotate90" in config.transforms.train
    assert main(str(experiment), *SMALL, "train.epochs=1", f"runs_dir={pairs / 'runs'}") == 0


def test_gray_photographs_among_others_and_floats(pairs):
    path = pairs / "images/003.png"
    Image.open(path).convert("L").save(path)
    assert run_init(pairs, pairs / "2024.yml") == 0  # a name that YAML would take for a number
    assert (load_config([str(pairs / "2024.yml")]).name, load_config([str(pairs / "2024.yml")]).data.channels) == (
        "2024",
        3,
    )
    for path in (pairs / "images").glob("*.png"):
        image = np.asarray(Image.open(path).convert("RGB")).astype(np.float32) / 25500
        tifffile.imwrite(path.with_suffix(".tif"), image, photometric="rgb")
        path.unlink()
    assert run_init(pairs, pairs / "floats.yml") == 0
    config = load_config([str(pairs / "floats.yml")])
    assert config.data.scale == 1 and 0.001 < config.model.mean[0] < 0.01 and config.model.std[0] > 0.001


def mix(folder: Path) -> None:
    path = folder / "images/003.png"
    tifffile.imwrite(path.with_suffix(".tif"), np.asarray(Image.open(path)).astype(np.uint16) * 100, photometric="rgb")
    path.unlink()


def break_mask(folder: Path) -> None:
    (folder / "masks/003.png").write_bytes((folder / "masks/003.png").read_bytes()[:60])


def smooth(folder: Path) -> None:
    for path in (folder / "masks").glob("*.png"):
        mask = Image.fromarray(COLORS[np.asarray(Image.open(path))])
        mask.resize((160, 128), Image.Resampling.BICUBIC).resize(mask.size, Image.Resampling.BICUBIC).save(path)


MISTAKES = {
    "a broken mask": (break_mask, "I with M: 1 file cannot be read: M/003.png: cannot be read as an image: .+; HINT"),
    "smoothed masks": (
        smooth,
        "I with M: The values in the masks are blended: M/000.png, M/001.png, M/002.png and 17 more; HINT",
    ),
    "an image alone": (
        lambda folder: (folder / "masks/003.png").unlink(),
        "I with M: 1 of 20 images has no mask: I/003.png; HINT",
    ),
    "no folder": (
        lambda folder: (folder / "masks").rename(folder / "labels"),
        "data.masks: M does not exist; .+ contains: images, labels",
    ),
    "a table that is there": (
        lambda folder: (folder / "mine.csv").write_text("mine"),
        "F/mine.csv: exists; choose another file, .+",
    ),
    "images of two kinds": (
        mix,
        "I with M: the images have different types: I/000.png has 3 channels of uint8, I/003.tif has 3 channels of "
        "uint16; .+",
    ),
    "a file that is there": (
        lambda folder: (folder / "mine.yml").touch(),
        "F/mine.yml: exists; choose another file, .+",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(case, pairs, capsys):
    damage, pattern = MISTAKES[case]
    damage(pairs)
    before = {path: path.stat().st_mtime_ns for path in pairs.rglob("*")}
    assert run_init(pairs, pairs / "mine.yml") == 2
    line = capsys.readouterr().err.removesuffix("\n").replace(f"{pairs}/images", "I").replace(f"{pairs}/masks", "M")
    hint = "python -m segtrain check --images I --masks M shows how to fix it"
    assert re.fullmatch(pattern.replace("HINT", re.escape(hint)), line.replace(str(pairs), "F")), line
    assert {path: path.stat().st_mtime_ns for path in pairs.rglob("*")} == before


def test_the_experiment_is_yaml(pairs, capsys):
    assert run_init(pairs, pairs / "mine.csv") == 2
    assert capsys.readouterr().err == (
        f"{pairs}/mine.csv: an experiment must be a YAML file; write -o {pairs}/mine.yml\n"
    )


def test_an_experiment_that_cannot_be_written(pairs, capsys):
    (pairs / "file").touch()
    assert run_init(pairs, pairs / "file" / "deep" / "mine.yml") == 2
    assert capsys.readouterr().err == f"{pairs}/file/deep/mine.yml: cannot be written: Not a directory\n"
