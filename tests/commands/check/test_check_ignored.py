"""Ignored values: borders are, areas are asked about; a class whose value is the ignored one is named."""

import cv2
import numpy as np
import pytest
from PIL import Image

from segtrain.commands.check.dataset_report import gather
from segtrain.commands.check.examine import count_thick
from segtrain.commands.check.page import _describe_classes
from segtrain.commands.check.source import from_experiment, from_folders
from tests.commands.check.check_sets import class_lines, look, look_at, shown
from tests.conftest import PROJECT


def objects(index: int) -> np.ndarray:
    """Classes 1 and 2 on 0, 512 x 384."""
    mask = np.zeros((384, 512), np.uint8)
    mask[32 + 8 * index : 160 + 8 * index, 32:192] = 1
    mask[80:240, 240 + 8 * index : 400 + 8 * index] = 2
    return mask


def bordered(mask, width: int):
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((width, width), np.uint8)) > 0
    return np.where(edge, 255, mask)


def draw(root, change) -> tuple[str, str]:
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index in range(4):
        mask = objects(index)
        noise = np.random.default_rng(index).integers(0, 40, (*mask.shape, 3), np.uint8)
        Image.fromarray(noise + 60 * mask[..., None]).save(root / "images" / f"{index}.png")
        Image.fromarray(change(mask, index).astype(np.uint8)).save(root / "masks" / f"{index}.png")
    return str(root / "images"), str(root / "masks")


BORDERS = {width: lambda mask, index, width=width: bordered(mask, width) for width in (3, 5, 7, 9)}
BORDERS["frame"] = lambda mask, index: np.pad(mask[4:-4], ((4, 4), (0, 0)), constant_values=255)
AREAS = {
    "an object": lambda mask, index: np.where(mask == 2, 255, mask),
    "in one mask": lambda mask, index: np.where(mask == 2, 255, mask) if index == 0 else bordered(mask, 5),
    "beside borders": lambda mask, index: np.where(np.arange(512) >= 440, 255, bordered(mask, 5)),
}


@pytest.mark.parametrize("case", BORDERS)
def test_borders_are_ignored_without_a_word(case, tmp_path):
    report, findings = look_at(from_folders(*draw(tmp_path, BORDERS[case])))
    assert findings == [] and not [line for line in report.proposal.lines if "255" in line]


@pytest.mark.parametrize("case", AREAS)
def test_areas_are_asked_about(case, tmp_path):
    report, findings = look_at(from_folders(*draw(tmp_path, AREAS[case])))
    (found,) = (finding for finding in findings if "255 fills areas" in finding.title)
    assert found.level == "warning" and "if not, write data.ignore_values: [255]" in found.explanation
    assert any("255" in line for line in class_lines(found)) and found.files
    assert [line for line in report.proposal.lines if line.startswith("    # Is 255 a class too?")]


def test_an_area_is_wider_than_a_border():
    """6 pixels on either side of the middle in 500: a bar of 13 rows is an area, and one of 12 is none."""
    mask = np.zeros((400, 500), bool)
    mask[100:112, 100:300] = True
    assert count_thick(mask) == 0
    mask[112, 100:300] = True
    assert count_thick(mask) == 13 * 200 and count_thick(np.ones((9, 9), bool)) == 0


def test_two_habits_are_one_class(tmp_path):
    folders = draw(tmp_path, lambda mask, index: np.where(mask == 2, 255, mask) if index % 2 else mask)
    finding = look_at(from_folders(*folders))[1][0]
    assert shown([finding]) == [("error", "One class has the values 2 and 255")]
    assert class_lines(finding)[2] == "{name: class_2, values: [2, 255]}"


def test_a_class_that_is_ignored_is_not_left_out(root, tmp_path):
    for path in root.glob("*/masks/*.png"):
        mask = np.array(Image.open(path))
        Image.fromarray(np.where(mask == 255, 0, np.where(mask == 2, 255, mask)).astype(np.uint8)).save(path)
    (found,) = (finding for finding in look(root) if "car" in finding.title)
    assert shown([found]) == [
        ("warning", "'car' has no pixel: its value in the masks is perhaps 255, which is ignored")
    ]
    assert class_lines(found)[2] == "{name: car, value: 255}"


def write_layers(root, *values):
    """Layers of four images with these values, one after the other; the file of the experiment. Class a is three
    quarters of each, and b half of it."""
    draw(root, lambda mask, index: mask)
    for name, rows in {"a": 288, "b": 192}.items():
        (root / "layers" / name).mkdir(parents=True)
        for index in range(4):
            inside = np.broadcast_to(np.arange(384)[:, None] < rows, (384, 512))
            layer = np.where(inside, values[index % len(values)], 0).astype(np.uint8)
            Image.fromarray(layer).save(root / "layers" / name / f"{index}.png")
    folders = f"{{root: {root}, images: images, masks: 'layers/{{class}}', val_fraction: 0.5, multilabel: true"
    file = root / "mine.yml"
    file.write_text(f"data: {folders}, classes: [a, b]}}\nloss: {{BCEWithLogitsLoss: 1.0}}\n")
    return file


def test_layers_of_1_and_of_255(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    file = write_layers(tmp_path, 1, 255)
    (found,) = look_at(from_experiment([str(file)]))[1]
    assert shown([found]) == [("error", "2 masks have areas of 255, which is ignored")]
    assert class_lines(found) == ["{name: a, values: [1, 255]}", "{name: b, values: [1, 255]}"]
    (tmp_path / "fix.yml").write_text("\n".join(found.fix.lines))
    for layers in (["fix.yml"], []):
        more = [str(tmp_path / name) for name in layers] or ["data.ignore_values=[255]"]
        assert look_at(from_experiment([str(file), *more]))[1] == []


def test_layers_of_255(tmp_path, monkeypatch):
    """Shares are of the image."""
    monkeypatch.chdir(PROJECT)
    file = write_layers(tmp_path, 255)
    (found,) = look_at(from_experiment([str(file)]))[1]
    assert shown([found]) == [("error", "a, b have no pixel: the value in the masks is 255, which is ignored")]
    assert class_lines(found) == ["{name: a, value: 255}", "{name: b, value: 255}"]
    (tmp_path / "fix.yml").write_text("\n".join(found.fix.lines))
    report = gather(from_experiment([str(file), str(tmp_path / "fix.yml")]))
    assert [item["shares"] for item in _describe_classes(report)["classes"]] == [[0.75, 0.75], [0.5, 0.5]]
