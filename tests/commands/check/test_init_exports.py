"""`init EXPORT`: from what a labeling tool exports to an experiment that reads every pixel as it was labeled."""

import json
import re

import numpy as np
import pytest

from segtrain.__main__ import main as segtrain
from segtrain.commands.check import experiment
from segtrain.config.rules import load_config
from segtrain.data.labels import LabelDecoder
from segtrain.data.splits import read_splits
from tests.commands.check import exports_drawn as drawn


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A processor with 8 GiB and no hub, in an empty folder."""
    monkeypatch.setattr(
        experiment, "look_at_machine", lambda: {"gpu": False, "free_bytes": 8 << 30, "pretrained": False}
    )
    monkeypatch.chdir(tmp_path)


def decoded() -> dict[str, dict[int, np.ndarray]]:
    """split -> {number of the image: names of its classes, HW}, as mine.yml reads them."""
    config = load_config(["mine.yml"])
    decoder, names = LabelDecoder(config.data), np.array([*config.data.class_names, *["?"] * 300])
    splits = read_splits(config.data, seed=config.seed)
    return {
        split: {
            int(re.search(r"\d\d", s.name.split("-")[-1].split("/")[-1])[0]): names[decoder.read(s)] for s in samples
        }
        for split, samples in splits.items()
    }


@pytest.mark.parametrize("tool", drawn.TOOLS)
def test_every_pixel_and_every_name_of_each_tool(tool, tmp_path, capsys):
    drawn.TOOLS[tool](tmp_path / "my export")
    assert segtrain(["init", "my export", "-o", "mine.yml"]) == 0, capsys.readouterr().err
    text = (tmp_path / "mine.yml").read_text()
    assert text.startswith("# Made by python -m segtrain init 'my export' -o mine.yml\n")
    assert re.search(r"- .*\bcar\b.*# .*(9 objects, )?\d+\.\d+ % of the pixels, in 9 of 10 masks\n", text), text
    found = decoded()
    sizes = {split: len(masks) for split, masks in found.items()}
    assert sizes == drawn.SPLITS.get(tool, {"train": 8, "val": 2})
    masks = {index: mask for split in found.values() for index, mask in split.items()}
    assert sorted(masks) == [*range(drawn.COUNT)]
    for index, mask in masks.items():
        assert (mask == drawn.truth(index)).all(), index


def edit(draw, file, change):
    """Draw an export, then change the text of a file of it."""

    def draw_changed(root):
        draw(root)
        (root / file).write_text(change((root / file).read_text()))

    return draw_changed


def content(**changes):
    """A change of the keys of a JSON file; each is called with what is there."""
    return lambda text: json.dumps(json.loads(text) | {k: change(json.loads(text)[k]) for k, change in changes.items()})


def without(*paths):
    """Draw CVAT's COCO, and delete these files."""

    def draw(root):
        drawn.cvat_coco(root)
        for path in paths:
            (root / path).unlink()

    return draw


def draw_yolo(root):
    drawn.draw_image(root / "train/images/a.jpg", 0)
    (root / "data.yaml").write_text("train: ../train/images\nnc: 1\nnames: [car]\n")


def draw_boxes(root):
    drawn.draw_image(root / "a.jpg", 0)
    (root / "a.xml").write_text("<annotation><filename>a.jpg</filename></annotation>")


INSTANCES, XML = "annotations/instances_default.json", "annotations.xml"
NO_MASKS = "export the same data as COCO, with polygons or masks"
AS_IMAGES = 'in CVAT, export the task as "CVAT for images 1.1"'
MISTAKES = {
    "nothing": (
        lambda root: root.mkdir(),
        "D: init does not recognize it; it reads an export of CVAT (.+); or write two folders, .+",
    ),
    "two tasks": (
        lambda root: [drawn.cvat_images(root / task) for task in ("task 1", "task2")],
        "D: contains 2 exports: D/task 1, D/task2; choose one, as in python -m segtrain init 'D/task 1' -o mine.yml"
        ", or merge them in the labeling tool",
    ),
    "two files of COCO": (
        lambda root: [
            drawn.cvat_coco(root),
            drawn.write_json(root / "annotations/instances_b.json", drawn.coco_content([0])),
        ],
        "D: contains 2 COCO files: D/annotations/instances_b.json, D/annotations/instances_default.json; choose "
        "one, .+",
    ),
    "half a JSON file": (
        edit(drawn.cvat_coco, INSTANCES, lambda text: text[:200]),
        "D/annotations/instances_default.json:1: is not JSON: Expecting .+ .column 201.",
    ),
    "half an XML file": (
        edit(drawn.cvat_images, XML, lambda text: text[:900]),
        "D/annotations.xml:35: is not XML: unclosed token; is the file complete.",
    ),
    "a newer version": (
        edit(drawn.cvat_images, XML, lambda text: text.replace(">1.1<", ">1.2<")),
        f"D/annotations.xml:3: has version 1.2, but 1.1 is supported; {AS_IMAGES}",
    ),
    "a video": (
        edit(
            drawn.cvat_images, XML, lambda text: text.replace("<image", '<track id="0" label="car"></track><image', 1)
        ),
        f'D/annotations.xml:26: is an annotation of a video, "CVAT for video 1.1"; {AS_IMAGES}',
    ),
    "boxes of COCO": (
        edit(
            drawn.cvat_coco, INSTANCES, content(annotations=lambda all: [item | {"segmentation": []} for item in all])
        ),
        "D/annotations/instances_default.json: 19 of 19 objects have no segmentation, for example annotation 1; "
        "boxes do not make masks: export the dataset for segmentation, not for detection",
    ),
    "segmentations of another kind": (
        edit(
            drawn.cvat_coco, INSTANCES, content(annotations=lambda all: [item | {"segmentation": "x"} for item in all])
        ),
        "COCO at D: 10 files cannot be read: D/annotations/instances_default.json: annotation 1 of 00.jpg: its "
        "segmentation is neither a list of polygons .+",
    ),
    "boxes of PASCAL VOC": (draw_boxes, f"D/a.xml: is an export of bounding boxes .PASCAL VOC.; {NO_MASKS}"),
    "an export for YOLO": (draw_yolo, f"D/data.yaml: is a YOLO export; {NO_MASKS}"),
    "classes of Roboflow without values": (
        edit(drawn.roboflow_masks, "train/_classes.csv", lambda _: "filename, car\na.jpg, 1\n"),
        "D/train/_classes.csv: has no column of pixel values, only filename, car; export it as Semantic .+",
    ),
    "no objects": (
        edit(drawn.cvat_coco, INSTANCES, content(annotations=lambda _: [])),
        "D: has no objects with an area, so there is nothing to learn; is the labeling finished.",
    ),
    "no images": (
        without(*(f"images/{name}.jpg" for name in drawn.NAMES)),
        "D/annotations/instances_default.json: its images are not below D: 00.jpg, 01.jpg, 02.jpg and 7 more; export "
        "with images, or put them in D/images",
    ),
    "one image less": (
        without("images/03.jpg"),
        "D/annotations/instances_default.json: 1 of 10 images are not in D/images: 03.jpg",
    ),
    "another size": (
        edit(drawn.cvat_images, XML, lambda text: text.replace('width="56"', 'width="57"', 1)),
        "CVAT at D: 1 file cannot be read: D/annotations.xml: says that the image has 57 x 40 pixels, but "
        "D/images/00.jpg has 56 x 40; .+",
    ),
    "an image that is cut off": (
        lambda root: [drawn.cvat_images(root), (root / "images/00.jpg").write_bytes(b"\xff\xd8\xff\xe0")],
        "CVAT at D: 1 file cannot be read: D/images/00.jpg: is not an image of a supported type; .+; Training stops "
        "here; the reason follows each name. Export or copy them again.",
    ),
    "one image": (
        edit(drawn.cvat_images, "annotations.xml", lambda text: text.partition('<image id="1"')[0] + "</annotations>"),
        "D: has 1 image, but another one is needed for validation; label at least one more",
    ),
    "runs as a list": (
        edit(drawn.kaggle, "train.csv", lambda text: re.sub(r",(\d+) .+", r",[\1]", text)),
        r"D/train.csv:2: '.\d+.' is neither the path of an existing mask nor starts and lengths like 1 3 10 5; .+",
    ),
    "names that are not UTF-8": (
        lambda root: [
            drawn.kaggle(root),
            (root / "train.csv").write_bytes((root / "train.csv").read_bytes().replace(b"car", b"\xe4u")),
        ],
        r"D: the class name '.udce4u' is not in UTF-8; save the file that contains it as UTF-8",
    ),
    "a shape without a label": (
        edit(drawn.labelme, "03.json", lambda text: text.replace('"road"', "null")),
        r"D/03.json: shapes.0. has no label or no points",
    ),
    "a packed export": (
        lambda root: (root.mkdir(), (root / "a.zip").write_bytes(b"PK")),
        "D/a.zip: is an archive; unpack it and write the path of the folder",
    ),
    "Label Studio's own JSON": (
        lambda root: drawn.write_json(root / "export.json", [{"id": 1, "data": {}, "annotations": []}]),
        "D/export.json: is Label Studio's own JSON; export as COCO, with polygons or masks",
    ),
    "a table of something else": (
        edit(drawn.kaggle, "train.csv", lambda _: "a,b\n1,2\n"),
        "D/train.csv: no column 'ImageId'; it has: a, b; if one of these is meant, write data.image_column: NAME",
    ),
    "runs past the end": (
        edit(drawn.kaggle, "train.csv", lambda text: text.replace("00.jpg,car,", "00.jpg,car,2240 2 ")),
        "run lengths at D: 1 file cannot be read: D/train.csv: line 3 .car. of 00.jpg: the run 2240 2 ends past the "
        "2240 pixels of the image, 56 x 40; .+",
    ),
    "a mask of Roboflow with another value": (
        edit(drawn.roboflow_masks, "test/_classes.csv", lambda text: text.replace("2, road", "2, street")),
        "D/test/_classes.csv: value 2 is 'street', but 'road' in another split; make them agree",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_read_is_one_line_that_says_what_to_do(case, tmp_path, capsys):
    draw, pattern = MISTAKES[case]
    draw(tmp_path / "D")
    assert segtrain(["init", "D", "-o", "mine.yml"]) == 2
    line = capsys.readouterr().err
    assert re.fullmatch(pattern, line.removesuffix("\n")), line
    assert not (tmp_path / "mine.yml").exists()


def test_images_that_look_alike_stay_together_in_a_table_of_names(tmp_path, capsys):
    drawn.cvat_images(tmp_path / "D")
    for index in (1, 2, 3):
        drawn.draw_image(tmp_path / f"D/images/{index:02d}.jpg", 0)
    assert segtrain(["init", "D", "-o", "mine.yml"]) == 0
    assert "note: 4 images look like others; the split keeps them together" in capsys.readouterr().out
    assert "split_table: mine.csv" in (tmp_path / "mine.yml").read_text()
    rows = (tmp_path / "mine.csv").read_text().splitlines()
    assert rows[0] == "name,split,group" and len(rows) == 11
    assert len({row.partition(",")[2] for row in rows[1:] if row[:2] in ("00", "01", "02", "03")}) == 1
    splits = read_splits(load_config(["mine.yml"]).data, seed=0)
    written = {split: sorted(row[:2] for row in rows[1:] if f",{split}," in row) for split in ("train", "val")}
    assert {split: sorted(sample.name for sample in samples) for split, samples in splits.items()} == written
    folds = read_splits(load_config(["mine.yml", "data.folds=3"]).data, seed=0)
    assert not {s.group for s in folds["train"]} & {s.group for s in folds["val"]}


NOTES = {
    "labels in two spellings": (
        edit(drawn.cvat_images, XML, lambda text: text.replace('polygon label="car"', 'polygon label="Car "', 3)),
        "the labels 'car' and 'Car ' differ only in case or spaces, so they are one class",
        "{name: car, color: [250, 50, 83], labels: [car, 'Car ']}",
    ),
    "lines among polygons": (
        lambda root: (
            drawn.cvat_images(root),
            (root / XML).write_text(drawn.cvat_xml(range(10), shapes='<polyline label="edge" points="1,1;2,2"/>\n')),
        ),
        "lines and points do not cover an area and are left out: edge (10)",
        "lines: skip",
    ),
    "images without a file of labelme": (
        lambda root: (drawn.labelme(root), (root / "03.json").unlink()),
        "left out: 1 image without a JSON file; if they show no objects, write without_annotation: background",
        "without_annotation: skip",
    ),
    "images without a row": (
        edit(drawn.kaggle, "train.csv", lambda text: re.sub("03.jpg.*\n", "", text)),
        "taken as background: 1 image without a row in D/train.csv; write without_row: skip to leave them out",
        "without_row: background",
    ),
    "a label to be ignored": (
        edit(drawn.cvat_images, XML, lambda text: text.replace('polygon label="road"', 'polygon label="__ignore__"')),
        "objects labeled __ignore__ are ignored; see data.other_labels",
        "other_labels: ignore",
    ),
    "frames without a mask": (
        lambda root: (drawn.voc_masks(root), (root / "SegmentationClass/03.png").unlink()),
        "left out: 1 listed image without a mask or an image",
        "file: mine.csv",
    ),
    "numbers for classes": (
        edit(drawn.kaggle, "train.csv", lambda text: text.replace("car", "2").replace("road", "10")),
        "",
        "- {name: class_10, labels: ['10']}",
    ),
    "a table without classes": (
        edit(drawn.kaggle, "train.csv", lambda text: re.sub("ClassId,|car,|road,", "", text)),
        "",
        "- object   # 19 objects, 54.3 % of the pixels, in 10 of 10 masks",
    ),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_is_read_otherwise_is_said_and_written(case, tmp_path, capsys):
    draw, note, line = NOTES[case]
    draw(tmp_path / "D")
    assert segtrain(["init", "D", "-o", "mine.yml"]) == 0, capsys.readouterr().err
    assert not note or f"note: {note}\n" in capsys.readouterr().out
    assert line in (tmp_path / "mine.yml").read_text()
    assert sum(map(len, decoded().values())) == (
        9 if case in ("images without a file of labelme", "frames without a mask") else 10
    )


def test_a_file_may_be_given_and_folders_without_names_of_classes(tmp_path, capsys):
    drawn.cvat_coco(tmp_path / "D")
    assert segtrain(["init", "D/annotations/instances_default.json", "-o", "mine.yml"]) == 0
    assert "root: D\n" in (tmp_path / "mine.yml").read_text()
    drawn.table_of_paths(tmp_path / "E")
    assert segtrain(["init", "E/table.csv", "-o", "table.yml"]) == 0
    assert "image_column: image_path" in (tmp_path / "table.yml").read_text()
    for split in ("train", "val"):
        drawn.voc_masks(tmp_path / "F" / split, labelmap=False)
        (tmp_path / "F" / split / "JPEGImages").rename(tmp_path / "F" / split / "images")
        (tmp_path / "F" / split / "SegmentationClass").rename(tmp_path / "F" / split / "masks")
    assert segtrain(["init", "F", "-o", "folders.yml"]) == 0, capsys.readouterr().err
    assert "images: {train: train/images, val: val/images}" in (tmp_path / "folders.yml").read_text()
