"""Check, init and training agree: what check proposes trains, on the classes that were drawn; what training refuses,
check reports."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from segtrain.commands.check import experiment
from segtrain.commands.check.export_source import ExportSource
from segtrain.commands.check.finding import INTO_EXPERIMENT, Finding
from segtrain.commands.check.page import write_proposal
from segtrain.commands.check.source import from_experiment, from_folders
from segtrain.config.rules import load_config
from segtrain.data.labels import build_decoder
from segtrain.data.loaders import build_loaders
from segtrain.data.splits import read_splits
from segtrain.data.statistics import read_statistics
from segtrain.errors import SegtrainError
from segtrain.training import build
from tests.commands.check.check_sets import look_at, run_fix
from tests.conftest import PROJECT, SMALL

COUNT, SIZE = 6, (48, 64)
COLORS = np.array([[90, 90, 90], [220, 40, 40], [40, 200, 60], [30, 60, 220]], np.uint8)
Save = Callable[[np.ndarray, Path, int], None]


def truth(index: int, classes: int) -> np.ndarray:
    """Squares of the classes 1, 2, .. on 0."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4 + index : 20 + index, 4:24] = 1
    if classes > 2:
        mask[10:30, 30 + index : 50 + index] = 2
    return mask


def values(table, dtype=np.uint8) -> Save:
    """A picture, TIFF or array in which class n is table[n], a value or a color."""

    def save(mask: np.ndarray, file: Path, index: int) -> None:
        pixels = np.array(table, dtype)[mask]
        if file.suffix == ".npy":
            np.save(file, pixels)
        elif file.suffix == ".tif":
            tifffile.imwrite(file, pixels)
        else:
            Image.fromarray(pixels).save(file)

    return save


def palette(*, same: bool) -> Save:
    def save(mask: np.ndarray, file: Path, index: int) -> None:
        order = np.arange(3) if same else np.random.default_rng(index).permutation(3)
        picture = Image.fromarray(np.argsort(order)[mask].astype(np.uint8))
        picture.putpalette(COLORS[order].ravel().tolist())
        picture.save(file)

    return save


def recolored(mask: np.ndarray, file: Path, index: int) -> None:
    """The same values, drawn in other colors in every other mask."""
    picture = Image.fromarray(mask)
    picture.putpalette((COLORS[:3] + index % 2 * np.uint8([[0], [2], [9]])).ravel().tolist())
    picture.save(file)


def banded(band: int, depth: int, dtype: type = np.uint8) -> Save:
    """The values in one band, counted from 1, of a picture that is white else."""

    def save(mask: np.ndarray, file: Path, index: int) -> None:
        pixels = np.full((*mask.shape, depth), 255, dtype)
        pixels[..., band - 1] = 90 * mask
        Image.fromarray(pixels).save(file)

    return save


def gray_rgb(mask: np.ndarray, file: Path, index: int) -> None:
    pixels = np.dstack([mask] * 3)
    np.save(file, pixels) if file.suffix == ".npy" else tifffile.imwrite(file, pixels.astype(np.uint16) * 999)


def mixed(first: Save, second: Save) -> Save:
    return lambda mask, file, index: (second if index % 2 else first)(mask, file, index)


def bordered(mask: np.ndarray, file: Path, index: int) -> None:
    """A line of 255 around each object, in the objects' pixels."""
    edge = np.zeros(mask.shape, bool)
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    Image.fromarray(np.where(edge, 255, mask).astype(np.uint8)).save(file)


def without_data(value: float, dtype: type) -> Save:
    def save(mask: np.ndarray, file: Path, index: int) -> None:
        pixels = mask.astype(dtype)
        pixels[:3] = value
        tifffile.imwrite(file, pixels)

    return save


def lossy(mask: np.ndarray, file: Path, index: int) -> None:
    Image.fromarray(mask * 255).save(file, quality=90)


def in_red(mask: np.ndarray, file: Path, index: int) -> None:
    Image.fromarray(np.dstack([mask, 0 * mask, 0 * mask])).save(file)


def with_alpha(mask: np.ndarray, file: Path, index: int) -> None:
    Image.fromarray(np.dstack([COLORS[mask], np.full_like(mask, 255)])).save(file)


SETS: dict[str, tuple[Save, int, str]] = {
    "0 1": (values([0, 1]), 2, ".png"),
    "0 255": (values([0, 255]), 2, ".png"),
    "one bit": (values([False, True], bool), 2, ".png"),
    "0 127 255": (values([0, 127, 255]), 3, ".png"),
    "from 1 on": (values([1, 2, 3]), 3, ".png"),
    "0 50 100": (values([0, 50, 100]), 3, ".png"),
    "1 255": (values([1, 255]), 2, ".png"),
    "RGB": (values(COLORS), 3, ".png"),
    "RGB of one object": (values([[0, 0, 0], [255, 0, 0]]), 2, ".png"),
    "RGBA": (with_alpha, 3, ".png"),
    "red channel": (in_red, 3, ".png"),
    "palette": (palette(same=True), 3, ".png"),
    "palettes that differ": (palette(same=False), 3, ".png"),
    "palette and RGB": (mixed(palette(same=True), values(COLORS)), 3, ".png"),
    "16 bits": (values([0, 300, 5000], np.uint16), 3, ".png"),
    "8 and 16 bits": (mixed(values([0, 255]), values([0, 65535], np.uint16)), 2, ".png"),
    "int32": (values([0, 1, 2], np.int32), 3, ".tif"),
    "float": (values([0, 1, 2], np.float32), 3, ".tif"),
    "-9999": (without_data(-9999, np.int32), 3, ".tif"),
    "nan": (without_data(np.nan, np.float32), 3, ".tif"),
    "border of 255": (bordered, 3, ".png"),
    "JPEG": (lossy, 2, ".jpg"),
    "palettes in other colors": (recolored, 3, ".png"),
    "alpha": (banded(4, 4), 3, ".png"),
    "gray and alpha": (banded(2, 2), 3, ".png"),
    "gray in RGB of 16 bits": (gray_rgb, 3, ".tif"),
    "gray in an array of three channels": (gray_rgb, 3, ".npy"),
    "npy": (values([0, 1, 2], np.int64), 3, ".npy"),
    "1 in some, 255 in others": (mixed(values([0, 1]), values([0, 255])), 2, ".png"),
    "1 2 in some, 127 255 in others": (mixed(values([0, 1, 2]), values([0, 127, 255])), 3, ".png"),
    "1 2 in some, 128 255 in others": (mixed(values([0, 1, 2]), values([0, 128, 255])), 3, ".png"),
    "2 in some, 255 in others": (mixed(values([0, 1, 2]), values([0, 1, 255])), 3, ".png"),
}
# What a user may have written for the classes before the first check; init: what init writes.
STARTS = {"init": "", "names": "[a, b, c]", "object": "[object]"}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(
        experiment, "look_at_machine", lambda: {"gpu": False, "free_bytes": 8 << 30, "pretrained": False}
    )


def draw(root: Path, save: Save, classes: int, ending: str) -> None:
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index in range(COUNT):
        mask, name = truth(index, classes), f"{index}"
        noise = np.random.default_rng(index).integers(0, 20, (*SIZE, 3), np.uint8)
        Image.fromarray(COLORS[mask] + noise).save(root / "images" / f"{name}.png")
        save(mask, root / "masks" / f"{name}{ending}", index)


def train_step(layers: list[str]) -> dict[str, np.ndarray]:
    """Read the data as training does and make one step; the masks by their names."""
    crop = "transforms.train=[{RandomCrop: {height: 32, width: 32, pad_if_needed: true}}]"
    config = load_config([*layers, *SMALL, crop, "data.batch_size=2", "train.device=cpu"])
    splits, decoder = read_splits(config.data, seed=config.seed), build_decoder(config.data)
    statistics = read_statistics(splits, decoder, names=config.data.class_names, cache=None)
    loaders = build_loaders(config, splits, decoder, presence=statistics.presence)
    model = build.place_model(config, torch.device("cpu"))
    loss = build.place_loss(config, torch.device("cpu"), statistics=statistics)
    batch = next(loaders.train.stream(0, 0))
    loss(model(batch["image"]), batch["mask"].long(), 0)[0].backward()
    return {sample.name: decoder.read(sample) for samples in splits.values() for sample in samples}


def start(root: Path, written: str) -> list[str]:
    """The experiment's layers: a file that names these classes, or what init writes or, where it refuses, check."""
    folders, file = [str(root / name) for name in ("images", "masks")], root / "mine.yml"
    if not written:
        try:
            experiment.init_experiment(ExportSource(from_folders(*folders)), folders, file, table=root / "mine.csv")
            return [str(file)]
        except SegtrainError:
            source = from_folders(*folders)
            report, findings = look_at(source)
            lines = write_proposal(report) or [
                f"data: {{root: {root}, images: images, masks: masks, classes: [object]}}"
            ]
            error = next(finding for finding in findings if finding.level == "error")
            file.write_text("\n".join([*lines, ""]))
            return [str(file), *paste(root, "init", error)]
    data = f"{{root: {root}, images: images, masks: masks, val_fraction: 0.3, classes: {written}}}"
    loss = "{CrossEntropyLoss: 1.0}" if "," in written else "{BCEWithLogitsLoss: 1.0}"
    file.write_text(f"data: {data}\nloss: {loss}\n")
    return [str(file)]


def paste(root: Path, name: str, finding: Finding) -> list[str]:
    """Do what a finding says: a file of the lines to write, or the change of files and no lines."""
    assert finding.fix is not None, finding
    if finding.fix.label != INTO_EXPERIMENT:
        assert not finding.fix.name.startswith("set-aside"), finding
        run_fix(finding)
        return []
    file = root / f"{name}.yml"
    file.write_text("\n".join(finding.fix.lines))
    return [str(file)]


@pytest.mark.parametrize("name", SETS)
def test_what_is_proposed_trains_on_the_classes_that_were_drawn(name, tmp_path):
    save, classes, ending = SETS[name]
    begins = [*STARTS][: 2 + [*SETS].index(name) % 2]  # the third for every other set: each takes a second
    for begin in begins:
        root = tmp_path / begin
        root.mkdir()
        draw(root, save, classes, ending)
        layers = start(root, STARTS[begin])
        for step in range(4):
            findings = look_at(from_experiment(layers))[1]
            wrong = [
                finding
                for finding in findings
                if finding.level == "error" or (finding.fix and "perhaps" in finding.title)
            ]
            if not wrong:
                break
            layers += paste(root, f"fix{step}", wrong[0])
        assert not wrong, (begin, wrong[0])
        masks = train_step(layers)
        pairs = {
            pair
            for index in range(COUNT)
            for pair in zip(truth(index, classes).flat, masks[f"{index}"].flat, strict=True)
            if pair[1] != 255
        }
        assert len(pairs) == len({own for own, _ in pairs}) == len({read for _, read in pairs}) == classes, (
            begin,
            pairs,
        )


REFUSED: dict[str, tuple[Save, str]] = {
    "RGB beside values": (mixed(values([0, 1, 2]), values(COLORS)), ".png"),
    "past 65535": (values([0, 70000, 140000], np.int32), ".tif"),
    "negative": (values([0, -5, 1], np.int32), ".tif"),
    "float array": (values([0, 1, 2], np.float32), ".npy"),
    "red of 16 bits": (
        lambda mask, file, _: tifffile.imwrite(file, np.dstack([mask, 0 * mask, 0 * mask]).astype(np.uint16)),
        ".tif",
    ),
    "fractions": (values([0, 0.5, 1], np.float32), ".tif"),
    "value of no class": (values([0, 1, 7]), ".png"),
    "JPEG": (values([0, 1, 2]), ".jpg"),
    "alpha": (lambda mask, file, _: Image.fromarray(np.dstack([0 * mask] * 3 + [mask * 60])).save(file), ".png"),
    "cut off": (lambda mask, file, _: file.write_bytes(b"\x89PNG\r\n\x1a\n"), ".png"),
    "too small": (lambda mask, file, _: Image.fromarray(mask[:30, :30]).save(file), ".png"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_training_refuses_is_an_error(name, tmp_path):
    save, ending = REFUSED[name]
    draw(tmp_path, save, 3, ending)
    layers = start(tmp_path, "[a, b, c]")
    with pytest.raises(SegtrainError) as error:
        train_step(layers)
    refused = {str(path) for path in (tmp_path / "masks").iterdir() if str(path) in str(error.value)}
    named = "\n".join(text for f in look_at(from_experiment(layers))[1] if f.level == "error" for text in f.files)
    assert refused and all(file in named for file in refused)
