"""The page: what it holds, that it holds nothing from outside, and that names cannot break it."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from segtrain.commands.check.examine import describe_mask
from segtrain.commands.check.mask_values import labeling_of
from segtrain.commands.check.page import paint, write_page, write_proposal
from segtrain.commands.check.source import from_experiment, from_folders
from segtrain.config.data_schema import DataConfig
from segtrain.errors import DataError
from segtrain.images.reading import Picture
from segtrain.visualize import ERROR_COLOR
from tests.commands.check.check_sets import CLEAN, look_at, read, write
from tests.conftest import PROJECT

EVIL = '<b onclick="x">&\'name'


class Page(HTMLParser):
    """The tags of a page with their attributes, the texts, and the texts of every <pre>."""

    VOID = frozenset({"meta", "img", "line", "circle", "rect", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open, self.blocks = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "pre":
            self.blocks.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == "pre":
            self.blocks[-1] += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def build(path, source):
    report, findings = look_at(source)
    write_page(path, report, findings, proposal=write_proposal(report))
    return Page(path.read_text(encoding="utf-8")), findings


def test_the_page_of_a_clean_set(root, tmp_path):
    page, _ = build(tmp_path / "check.html", from_experiment([f"data.root={root}", *CLEAN]))
    assert "no problems found" in page.texts and "80 x 64" in "".join(page.texts)
    assert {"Classes", "Samples", "Sizes"} <= set(page.texts)
    assert len(page.named("img")) == 12 and page.blocks == []
    cells = [text for text in page.texts if text in ("sky", "road", "car")]
    assert cells == ["sky", "road", "car"] * 2  # the table and the legend


def test_nothing_comes_from_outside(root, tmp_path):
    (root / "train/masks/003.png").unlink()
    page, _ = build(tmp_path / "check.html", from_experiment([f"data.root={root}", *CLEAN]))
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "base"})
    for _, attributes in page.tags:
        for key in ("src", "href", "srcset", "poster", "xlink:href"):
            assert attributes.get(key, "#").startswith(("#", "data:image/jpeg;base64,"))
    text = (tmp_path / "check.html").read_text()
    assert "url(" not in text and "@import" not in text and "http" not in text


def test_pictures_show_the_image_beside_its_overlay(root, tmp_path):
    page, _ = build(tmp_path / "check.html", from_experiment([f"data.root={root}", *CLEAN]))
    for attributes in page.named("img"):
        picture = Image.open(io.BytesIO(base64.b64decode(attributes["src"].partition(",")[2])))
        assert picture.size == (160, 64)
        assert attributes["alt"].endswith(", the image and its mask")


def test_findings_stand_on_the_page_with_their_lines(root, tmp_path):
    mask = read(root / "train/masks/003.png")
    mask[30, 30] = 77
    write(root / "train/masks/003.png", mask)
    write(root / "train/images/005.png", np.zeros((64, 80, 3)))
    (root / "val/masks/001.png").write_bytes(b"no picture")
    source = from_experiment([f"data.root={root}", *CLEAN])
    page, findings = build(tmp_path / "check.html", source)
    assert len(findings) == 3
    assert page.blocks == ["\n".join(finding.fix.lines_for(source.command)) for finding in findings]
    for finding in findings:
        assert {finding.title, finding.explanation, *finding.files} <= set(page.texts)
    assert "2 errors, 1 warning" in page.texts
    assert [a["class"] for a in page.named("article")] == [f"card finding {f.level}" for f in findings]
    assert [attributes["href"] for attributes in page.named("a")] == ["#f0", "#f1", "#f2"]
    assert len(page.named("img")) == 3 + 11  # one of each finding; eleven samples can be read


def test_names_cannot_break_the_page(root, tmp_path):
    for kind in ("images", "masks"):
        (root / "train" / kind / "003.png").rename(root / "train" / kind / f"{EVIL}.png")
    write(root / "train/images" / f"{EVIL}.png", np.zeros((64, 80, 3)))
    overrides = [f"data.root={root}", *CLEAN, "data.classes=[sky, road, '</table><script>']"]
    page, (finding,) = build(tmp_path / "check.html", from_experiment(overrides))
    assert finding.files == [f"{root}/train/images/{EVIL}.png"]
    assert f"train: {EVIL}" in page.texts and "</table><script>" in page.texts
    assert page.named("b") == [] and len(page.named("script")) == 1


def test_the_experiment_for_two_folders(root, tmp_path):
    page, _ = build(tmp_path / "check.html", from_folders(f"{root}/*/images", f"{root}/*/masks"))
    lines = [line.partition("   #")[0].rstrip() for line in page.blocks[0].splitlines()]
    assert lines == [
        "name: mine",
        "data:",
        f"  root: {root}",
        "  images: {train: train/images, val: val/images}",
        "  masks: {train: train/masks, val: val/masks}",
        "  classes:",
        "    - class_0",
        "    - class_1",
        "    - class_2",
    ]
    experiment = tmp_path / "mine.yml"
    experiment.write_text(page.blocks[0])
    source = from_experiment([str(experiment), "transforms.train=[]"])
    assert {split: len(samples) for split, samples in source.splits.items()} == {"train": 8, "val": 4}


def test_sizes_are_listed_where_they_differ(root, tmp_path):
    for kind in ("images", "masks"):
        write(root / "train" / kind / "003.png", read(root / "train" / kind / "003.png")[:, :70])
    overrides = [f"data.root={root}", *CLEAN]
    page, _ = build(tmp_path / "check.html", from_experiment(overrides))
    assert [text for text in page.texts if re.fullmatch(r"\d+ x \d+", text)] == ["80 x 64", "70 x 64"]
    assert [a["style"] for a in page.named("span") if a.get("class") == "bar"] == ["width:100.0%", "width:9.1%"]
    assert "Widths are 70 to 80 pixels, heights 64 to 64." in page.texts
    assert "Training crops are 64 x 64." in page.texts


def test_a_page_of_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    page, findings = build(tmp_path / "check.html", from_experiment([f"data.root={tmp_path}/nothing", *CLEAN]))
    assert page.named("img") == [] and findings != []


def test_a_page_that_cannot_be_written(root, tmp_path):
    with pytest.raises(DataError) as error:
        build(tmp_path, from_experiment([f"data.root={root}", *CLEAN]))
    assert str(error.value) == f"{tmp_path}: cannot be written: Is a directory"


def mask_of(planes, *, is_color=False, palette=None):
    picture = Picture(planes, "PNG", palette=palette)
    return describe_mask(picture, planes, is_color=is_color)


def test_masks_are_painted_in_the_colors_of_their_classes(root):
    labeling = look_at(from_experiment([f"data.root={root}", *CLEAN]))[0].labeling
    planes = np.array([[0, 1, 2], [255, 9, 1]])
    painted, shown = paint(planes, mask_of(planes), labeling, marked=frozenset())
    sky, road, car = map(list, labeling.colors)
    assert painted[0].tolist() == [sky, road, car] and painted[1, 1:].tolist() == [list(ERROR_COLOR), road]
    assert shown.tolist() == [[True, True, True], [False, True, True]]
    packed = np.array([[0x010203, 0xFFFFFF]])
    painted, _ = paint(packed, mask_of(packed, is_color=True), labeling, marked=frozenset())
    assert painted.tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_palettes_are_painted_where_the_classes_have_colors():
    labeling = labeling_of(DataConfig(root="x", classes=[{"name": f"{red}", "color": [red, 0, 0]} for red in (10, 20)]))
    planes = np.array([[0, 1]], np.uint8)
    mask = mask_of(planes, palette=np.array([[20, 0, 0], [10, 0, 0]], np.uint8))
    assert paint(planes, mask, labeling, marked=frozenset())[0].tolist() == [[[20, 0, 0], [10, 0, 0]]]


def test_broken_files_are_left_out_of_the_pictures(root, tmp_path):
    shutil.rmtree(root / "val")
    (root / "train/images/003.png").write_bytes(b"x")
    page, _ = build(tmp_path / "check.html", from_folders(f"{root}/train/images", f"{root}/train/masks"))
    assert len(page.named("img")) == 1 + 7  # of the broken pair its mask, of the others both
