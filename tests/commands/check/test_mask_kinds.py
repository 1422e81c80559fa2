"""Masks as other programs write them: no data, one band, palettes that differ, one class of two values."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segtrain.commands.check.dataset_report import gather
from segtrain.commands.check.source import from_folders
from tests.commands.check.check_sets import class_lines, look_at_folders, shown

COLORS = np.array([[90, 90, 90], [220, 40, 40], [40, 200, 60]], np.uint8)


def draw(root: Path, save, ending: str = ".png", count: int = 8) -> tuple[str, str]:
    """Images and masks of two squares, classes 1 and 2 on 0; `save(mask, file, index)` writes a mask."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(count):
        mask = np.zeros((48, 64), np.uint8)
        mask[4 + index : 20 + index, 4:24] = 1
        mask[10:30, 30 + index : 50 + index] = 2
        noise = np.random.default_rng(index).integers(0, 20, (48, 64, 3), np.uint8)
        Image.fromarray(COLORS[mask] + noise).save(root / "images" / f"{index}.png")
        save(mask, root / "masks" / f"{index}{ending}", index)
    return str(root / "images"), str(root / "masks")


def proposed(folders: tuple[str, str]) -> list[str]:
    """The lines of the proposal, without comments."""
    return [line.partition("   #")[0].strip() for line in gather(from_folders(*folders)).proposal.lines]


def save_palette(mask, file, order) -> None:
    picture = Image.fromarray(np.argsort(order)[mask].astype(np.uint8))
    picture.putpalette(COLORS[order].ravel().tolist())
    picture.save(file)


def errors(findings) -> list[str]:
    return [title for level, title in shown(findings) if level == "error"]


def test_palettes_that_differ(tmp_path) -> None:
    orders = [np.random.default_rng(seed).permutation(3) for seed in range(8)]
    folders = draw(tmp_path, lambda mask, file, index: save_palette(mask, file, orders[index]))
    finding = look_at_folders(*folders)[0]
    assert (finding.level, finding.title) == ("error", "The palettes of the masks differ")
    colors = [f"color: {color}" for color in COLORS.tolist()]
    written = class_lines(finding)
    assert all(any(color in line for line in written) for color in colors) and len(written) == 3


def test_palettes_of_unused_colors_may_differ(tmp_path) -> None:
    def save(mask, file, index) -> None:
        picture = Image.fromarray(mask)
        picture.putpalette([*COLORS.ravel().tolist(), index, 7, 9])
        picture.save(file)

    assert errors(look_at_folders(*draw(tmp_path, save))) == []


@pytest.mark.parametrize("other", [255, 65535, True])
def test_one_class_of_two_values(tmp_path, other) -> None:
    def save(mask, file, index) -> None:
        value = np.asarray([1, other][index % 2])
        Image.fromarray(mask > 0 if value.dtype == bool else ((mask > 0) * value).astype(np.uint16)).save(file)

    titles = errors(look_at_folders(*draw(tmp_path, save)))
    assert titles == ([] if other is True else [f"One class has the values 1 and {other}"])


@pytest.mark.parametrize(
    ("table", "expected"),
    [([0, 127, 255], ["Some masks have 1, 2, and others 127, 255"]), ([0, 60, 200], []), ([0, 3, 4], [])],
)
def test_classes_that_are_stretched_in_some_masks(tmp_path, table, expected) -> None:
    def save(mask, file, index) -> None:
        Image.fromarray(np.array(table if index % 2 else [0, 1, 2], np.uint8)[mask]).save(file)

    assert errors(look_at_folders(*draw(tmp_path, save))) == expected


def test_a_border_beside_an_object_is_no_class(tmp_path) -> None:
    def save(mask, file, index) -> None:
        mask = (mask > 0).astype(np.uint8)
        mask[:3] = 255
        Image.fromarray(mask).save(file)

    folders = draw(tmp_path, save)
    assert errors(look_at_folders(*folders)) == [] and proposed(folders)[-1] == "- object"


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (-9999, np.int16, "[-9999]"),
        (-1, np.int8, "[-1]"),
        (4294967295, np.uint32, "[4294967295]"),
        (np.nan, np.float32, "[.nan]"),
        (-3.4028234663852886e38, np.float32, "[-3.4028234663852886e+38]"),
    ],
)
def test_no_data_is_no_class(tmp_path, value, kind, written, declared) -> None:
    def save(mask, file, index) -> None:
        mask = mask.astype(kind)
        mask[:3] = value
        tags = [(42113, "s", 0, str(value), True)] if declared else []
        tifffile.imwrite(file, mask, extratags=tags)

    folders = draw(tmp_path, save, ".tif")
    doubtful = value == -1 and not declared  # it may be a class that was shifted
    assert errors(look_at_folders(*folders)) == ["The masks contain values that no class can have"] * doubtful
    ignored = [] if declared else [f"ignore_values: {written}"]
    assert proposed(folders) == ["data:", "classes:", "- class_0", "- class_1", "- class_2", *ignored]


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_values_in_one_channel(tmp_path, channel) -> None:
    def save(mask, file, index) -> None:
        pixels = np.zeros((*mask.shape, 3), np.uint8)
        pixels[..., channel] = mask
        Image.fromarray(pixels).save(file)

    folders = draw(tmp_path, save)
    assert errors(look_at_folders(*folders)) == []
    assert proposed(folders)[2:] == ["- class_0", "- class_1", "- class_2", f"mask_band: {channel + 1}"]


def test_a_mask_in_the_alpha_channel(tmp_path) -> None:
    def save(mask, file, index) -> None:
        Image.fromarray(np.dstack([np.zeros((*mask.shape, 3), np.uint8), mask])).save(file)

    folders = draw(tmp_path, save)
    assert errors(look_at_folders(*folders)) == []
    assert proposed(folders)[2:] == ["- class_0", "- class_1", "- class_2", "mask_band: 4"]


def test_palette_masks_beside_rgb_ones_are_read_by_their_colors(tmp_path) -> None:
    def save(mask, file, index) -> None:
        save_palette(mask, file, np.arange(3)) if index % 2 else Image.fromarray(COLORS[mask]).save(file)

    folders = draw(tmp_path, save)
    assert errors(look_at_folders(*folders)) == []
    assert [line.partition(", ")[2] for line in sorted(proposed(folders)[2:])] == [
        f"color: {color}}}"
        for color in COLORS[[0, 2, 1]].tolist()  # by their share
    ]


def test_masks_of_values_beside_rgb_ones_are_refused(tmp_path) -> None:
    def save(mask, file, index) -> None:
        Image.fromarray(mask if index % 4 == 0 else COLORS[mask]).save(file)

    titles = errors(look_at_folders(*draw(tmp_path, save)))
    assert titles == ["2 masks are images of values, but the classes have colors"]


def test_the_border_of_voc_is_ignored_in_rgb_masks(tmp_path) -> None:
    def save(mask, file, index) -> None:
        pixels = COLORS[mask]
        pixels[:4] = (224, 224, 192)
        Image.fromarray(pixels).save(file)

    assert proposed(draw(tmp_path, save))[-1] == "ignore_values: [[224, 224, 192]]"
