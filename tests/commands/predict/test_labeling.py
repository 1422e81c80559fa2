"""Predictions for labeling tools, read by hand and by segtrain. `make others` reads them with the tools' own code."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segtrain.commands.predict.cvat import count_runs
from segtrain.commands.predict.labelme import move_in
from segtrain.commands.predict.labelstudio import encode_brush
from segtrain.commands.predict.polygons import cut_holes, trace_regions
from segtrain.config.schema import DataConfig
from segtrain.errors import ConfigError, DataError
from segtrain.formats import labelme
from segtrain.inference.task import Task
from tests.commands.predict.predicting import names_in, run, small_disk
from tests.painted import BINARY, COLORS, LAYERS, paint, painted, random_classes

NAMED = Task(mode="multiclass", names=["a & b", '<"ü">'], colors=[(255, 0, 0), (0, 128, 255)])
RING = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]


def test_cvat_that_is_read_by_hand(tmp_path):
    paint(tmp_path / "in" / "sub" / 'ü & "b".png', [[1, 1, 0], [1, 0, 1]])
    out = tmp_path / "out"
    run(tmp_path / "in", out, painted(NAMED), kinds=["cvat"])
    start = '<mask label="a &amp; b" source="auto" occluded="0" z_order="0"'
    other = start.replace('"a &amp; b"', "'&lt;\"ü\"&gt;'")
    assert (out / "annotations.xml").read_text(encoding="utf-8").splitlines() == [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "<version>1.1</version>",
        "<meta><task><labels>",
        "<label><name>a &amp; b</name><color>#ff0000</color><attributes/></label>",
        '<label><name>&lt;"ü"&gt;</name><color>#0080ff</color><attributes/></label>',
        "</labels></task></meta>",
        """<image id="10000000" name='sub/ü &amp; "b".png' width="3" height="2">""",
        f'{start} rle="0,1" left="2" top="0" width="1" height="1"></mask>',
        f'{start} rle="0,1" left="1" top="1" width="1" height="1"></mask>',
        f'{other} rle="0,3,1" left="0" top="0" width="2" height="2"></mask>',
        f'{other} rle="0,1" left="2" top="1" width="1" height="1"></mask>',
        "</image>",
        "</annotations>",
    ]
    assert json.loads((out / "cvat_labels.json").read_text(encoding="utf-8")) == [
        {"name": "a & b", "color": "#ff0000", "attributes": []},
        {"name": '<"ü">', "color": "#0080ff", "attributes": []},
    ]


def test_runs_of_cvat_begin_outside():
    assert count_runs(np.array([[False, True], [True, False]])) == [1, 2, 1]
    assert count_runs(np.array([[True]])) == [0, 1]


def test_a_brush_that_is_read_by_hand():
    """8 values, words of 8 bits, lengths of 3, 4, 8 and 16 bits; then a run of 4 zeros and one of 4 times 255."""
    sizes = "0010" + "0011" + "0111" + "1111"
    bits = f"{8:032b}" + "00111" + sizes + "1" + "00" + "011" + "00000000" + "1" + "00" + "011" + "11111111"
    bits += "0" * (-len(bits) % 8)
    assert encode_brush(np.array([[0, 7]])) == [int(bits[first : first + 8], 2) for first in range(0, len(bits), 8)]


def test_tasks_of_label_studio(tmp_path):
    paint(tmp_path / "in" / "sub" / "b #1.png", [[0, 255]], [[0, 0]])
    out = tmp_path / "out"
    run(tmp_path / "in", out, painted(LAYERS), kinds=["labelstudio"], model="street-1")
    (task,) = json.loads((out / "labelstudio.json").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=in/sub/b%20%231.png"}
    (prediction,) = task["predictions"]
    assert prediction == {
        "model_version": "street-1",
        "result": [
            {
                "id": "class0",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": 2,
                "original_height": 1,
                "image_rotation": 0,
                "value": {"format": "rle", "rle": encode_brush(np.array([[0, 1]])), "brushlabels": ["wet"]},
            }
        ],
    }
    assert (out / "labelstudio.xml").read_text() == (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n  <BrushLabels name="label" toName="image">\n'
        '    <Label value="wet" background="#c80000"/>\n    <Label value="road/lane" background="#009600"/>\n'
        '    <Label value="car" background="#0000fa"/>\n  </BrushLabels>\n</View>\n'
    )


def test_the_score_of_label_studio_is_what_the_model_is_sure_of(tmp_path):
    paint(tmp_path / "in" / "a.png", [[127, 255]])
    run(tmp_path / "in", tmp_path / "out", painted(BINARY), kinds=["labelstudio"], ranked=True)
    (task,) = json.loads((tmp_path / "out" / "labelstudio.json").read_text())
    assert task["predictions"][0]["score"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("https://images.org/set/", "https://images.org/set/a%20%25.png"),
        ("/data/local-files/?d=street/", "/data/local-files/?d=street/a%20%25.png"),
        ("s3://bucket/", "s3://bucket/a %.png"),
    ],
)
def test_addresses_of_images(tmp_path, monkeypatch, prefix, address):
    paint(tmp_path / "a %.png", [[0]])
    monkeypatch.chdir(tmp_path)
    run(Path("a %.png"), Path("out"), kinds=["labelstudio"], image_url=prefix)
    (task,) = json.loads(Path("out/labelstudio.json").read_text())
    assert task["data"]["image"] == address
    run(Path("a %.png"), Path("out"), kinds=["labelstudio"])
    (task,) = json.loads(Path("out/labelstudio.json").read_text())
    assert task["data"]["image"] == f"/data/local-files/?d={tmp_path.name}/a%20%25.png"


def test_labelme_that_is_read_by_hand(tmp_path):
    paint(tmp_path / "in" / "sub" / "a.png", RING)
    out = tmp_path / "out"
    run(tmp_path / "in", out, kinds=["labelme"])
    content = json.loads((out / "sub" / "a.json").read_text())
    shapes = content.pop("shapes")
    assert content.pop("version") == "5.5.0"
    assert content == {
        "flags": {},
        "imagePath": "../../in/sub/a.png",
        "imageData": None,
        "imageHeight": 3,
        "imageWidth": 3,
    }
    assert [(shape["label"], shape["shape_type"], shape["points"]) for shape in shapes] == [
        ("road", "polygon", [[0, 0], [2.95, 0], [2.95, 2.95], [0, 2.95]]),  # its hole is filled by what comes next
        ("sky", "polygon", [[1, 1], [1.95, 1], [1.95, 1.95], [1, 1.95]]),
    ]


def test_holes_that_nothing_fills_are_cut_open(tmp_path):
    paint(tmp_path / "in" / "a.png", np.array(RING) * 255)
    run(tmp_path / "in", tmp_path / "out", painted(BINARY), kinds=["labelme"])
    shapes = json.loads((tmp_path / "out" / "a.json").read_text())["shapes"]
    assert len(shapes) == 2 and {shape["label"] for shape in shapes} == {"road"}


@pytest.mark.parametrize("seed", range(30))
def test_pillow_fills_the_outlines_of_labelme_exactly(seed):
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 2, rng.integers(1, 9, 2)), np.ones((1 + seed % 3, 1 + seed % 2))).astype(np.uint8)
    for region in trace_regions(mask, {1}):
        canvas = Image.new("L", mask.shape[::-1])
        for ring in move_in(cut_holes(region))[0]:
            ImageDraw.Draw(canvas).polygon([tuple(point) for point in ring.tolist()], outline=1, fill=1)
        (left, top, width, height), filled = region.box, np.asarray(canvas).copy()
        assert filled.sum() == region.area_px
        assert (mask[top : top + height, left : left + width] >= filled[top : top + height, left : left + width]).all()


def test_segtrain_reads_labelme_again(tmp_path):
    for seed in range(3):
        paint(tmp_path / "in" / f"{seed}.png", random_classes(seed, 40, 33))
    run(tmp_path / "in", tmp_path / "out", kinds=["labelme"])
    settings = {"root": tmp_path, "format": "labelme", "classes": ["sky", "road", "car"]}
    classes = DataConfig.model_validate(settings).classes
    splits = labelme.read(tmp_path, annotations="out", unlabeled="ignore", classes=classes)
    samples = {sample.name: sample for split in splits.values() for sample in split}
    for seed in range(3):
        read = labelme.read_mask(samples[str(seed)].mask, as_color=False)
        assert np.array_equal(read, random_classes(seed, 40, 33))


def test_an_image_that_shows_nothing_has_its_entry(tmp_path):
    paint(tmp_path / "in" / "a.png", [[0, 0]])
    out = tmp_path / "out"
    assert run(tmp_path / "in", out, painted(BINARY), kinds=["cvat", "labelstudio", "labelme"]).status == 0
    assert '<image id="10000000" name="a.png" width="2" height="1">\n</image>' in (out / "annotations.xml").read_text()
    assert json.loads((out / "labelstudio.json").read_text())[0]["predictions"][0]["result"] == []
    assert json.loads((out / "a.json").read_text())["shapes"] == []


def test_noise_of_many_regions_is_written(tmp_path):
    noise = np.random.default_rng(0).integers(0, 3, (150, 200))
    paint(tmp_path / "in" / "a.png", noise)
    assert run(tmp_path / "in", tmp_path / "out", kinds=["cvat", "labelstudio", "labelme"]).status == 0
    assert (tmp_path / "out" / "annotations.xml").read_text().count("<mask ") > 10_000


BAD_CLASS = "the class 'a\\x07': contains the character '\\x07', which is not allowed in XML; rename it"


@pytest.mark.parametrize("kind", ["cvat", "labelstudio"])
def test_names_of_classes_that_xml_cannot_hold(tmp_path, kind):
    paint(tmp_path / "in" / "a.png", [[0]])
    task = Task(mode="multiclass", names=["a\x07", "b"], colors=COLORS[:2])
    with pytest.raises(DataError) as error:
        run(tmp_path / "in", tmp_path / "out", painted(task), kinds=[kind])
    assert str(error.value) == BAD_CLASS and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "shown"), [("a\x01.png", "'\\x01'"), ("a\udcff.png", "'\\udcff'")])
def test_names_of_images_that_xml_cannot_hold(tmp_path, name, shown):
    paint(tmp_path / "in" / "b.png", [[0]])
    (tmp_path / "in" / "b.png").rename(tmp_path / "in" / name)
    with pytest.raises(DataError) as error:
        run(tmp_path / "in", tmp_path / "out", kinds=["cvat"])
    assert str(error.value).endswith(f": contains the character {shown}, which is not allowed in XML; rename it")
    assert run(tmp_path / "in", tmp_path / "out", kinds=["labelstudio", "labelme"]).status == 0


def test_names_with_a_newline(tmp_path):
    paint(tmp_path / "in" / "a\nb.png", [[0]])
    run(tmp_path / "in", tmp_path / "out", kinds=["cvat", "labelstudio", "labelme"])
    assert 'name="a&#10;b.png"' in (tmp_path / "out" / "annotations.xml").read_text()
    assert "in/a%0Ab.png" in (tmp_path / "out" / "labelstudio.json").read_text()


@pytest.mark.parametrize("kind", ["cvat", "labelstudio", "labelme"])
def test_frames_have_no_files(tmp_path, kind):
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "clip.mp4", tmp_path / "out", kinds=[kind])
    assert str(error.value) == (
        f"{tmp_path / 'clip.mp4'}: --save {kind} needs image files, but video frames are not files; extract them "
        "(ffmpeg -i clip.mp4 frames/%06d.png) and predict the folder"
    )


def test_an_image_that_is_called_as_a_table(tmp_path):
    paint(tmp_path / "in" / "coco.png", [[0]])
    with pytest.raises(DataError) as error:
        run(tmp_path / "in", tmp_path / "out", kinds=["coco", "labelme"])
    reason = "its output coco.json would have the same name as the table of all images; rename the image"
    assert str(error.value) == f"{tmp_path / 'in' / 'coco.png'}: {reason}"
    assert run(tmp_path / "in", tmp_path / "out", kinds=["labelme"]).status == 0
    assert names_in(tmp_path / "out") == ["coco.json", "manifest.csv"]


@pytest.mark.parametrize(("kind", "file"), [("cvat", "annotations.xml"), ("labelstudio", "labelstudio.json")])
def test_a_full_disk_leaves_no_half_of_a_file(tmp_path, kind, file):
    paint(tmp_path / "in" / "a.png", np.random.default_rng(0).integers(0, 3, (100, 100)))
    with small_disk(5000), pytest.raises(DataError) as error:
        run(tmp_path / "in", tmp_path / "out", kinds=[kind])
    assert str(error.value) == f"{tmp_path / 'out' / file}: cannot be written: File too large"
    assert names_in(tmp_path / "out") == ["manifest.csv"]
