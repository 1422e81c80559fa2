import numpy as np
import pytest
from PIL import Image

from segtrain.errors import DataError
from segtrain.formats import cvat
from segtrain.formats.cvat_file import read_cvat
from segtrain.formats.sample import Label
from tests.formats.format_reading import decoded

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>t</name><labels>
    <label><name>road</name><color>#804080</color><type>any</type><attributes></attributes></label>
    <label><name>säule</name><color>#fa3253</color><type>any</type><attributes></attributes></label>
    <label><name>pose</name><type>skeleton</type><svg>&lt;line x1="1"&gt;</svg></label>
    <label><name>knee</name><type>points</type><parent>pose</parent></label>
  </labels></task></meta>
"""
# The road first, and the pillar on it in front, though it is written before.
SHAPES = """<mask label="säule" source="manual" occluded="0" rle="1, 2, 1, 1, 1" left="2" top="1" width="3" height="2"
 z_order="2"><attribute name="old">yes</attribute></mask>
<polygon label="road" source="manual" occluded="1" points="0.00,0.00;6.00,0.00;6.00,3.00;0.00,3.00" z_order="1"/>
<tag label="road" source="manual"></tag>
"""
MASK = ["111111", "111221", "111211", "000000", "000000"]
CLASSES = ["background", "road", "säule"]

# Written by datumaro 1.13.12 (Dataset.export, format cvat) of masks that are given below.
DATUMARO = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id></id>
      <name>train</name>
      <size>2</size>
      <mode>annotation</mode>
      <overlap></overlap>
      <start_frame>0</start_frame>
      <stop_frame>2</stop_frame>
      <frame_filter></frame_filter>
      <z_order>True</z_order>
      <labels>
        <label>
          <name>cat</name>
          <attributes>
          </attributes>
        </label>
        <label>
          <name>road</name>
          <attributes>
          </attributes>
        </label>
      </labels>
    </task>
  </meta>
  <image id="0" name="a.jpg" width="9" height="7">
    <mask label="cat" occluded="0" outside="0" keyframe="0" rle="11, 4, 5, 1, 1, 2, 5, 4, 29, 1" left="0" top="0" width="9" height="7" z_order="1">
    </mask>
    <polygon label="road" occluded="0" outside="0" keyframe="0" points="0.00,0.00;4.00,0.00;4.00,3.00;0.00,3.00" z_order="0">
    </polygon>
  </image>
  <image id="1" name="b.jpg" width="9" height="7">
    <mask label="road" occluded="0" outside="0" keyframe="0" rle="0, 1, 3, 7, 1, 1, 1, 1, 1, 2, 4, 3, 1, 5, 2, 2, 2, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 4, 1, 5" left="0" top="0" width="9" height="7" z_order="0">
    </mask>
  </image>
</annotations>
"""  # noqa: E501


def image(name="a.png", shapes=SHAPES, *, more="", width=6):
    return f'<image id="0" name="{name}"{more} width="{width}" height="5">{shapes}</image>\n'


def write(root, *images, head=HEAD, files=("a.png",), size=(5, 6)):
    for file in files:
        (root / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(root / "images" / file)
    (root / "annotations.xml").write_text(f"{head}{''.join(images)}</annotations>", encoding="utf-8")
    return root


def masks(root, classes=CLASSES, **keys):
    """name -> rows of class indices as digits, ? where they are ignored"""
    found = decoded(root, "cvat", classes=classes, val_fraction=0.5, **keys)
    return {
        name: ["".join("?" if value == 255 else str(value) for value in row) for row in mask]
        for split in found.values()
        for name, mask in split.items()
    }


def test_masks_and_polygons_in_the_order_of_z(tmp_path):
    write(tmp_path, image(), image("deep/b.png", ""), files=("a.png", "deep/b.png"))
    assert masks(tmp_path) == {"a": MASK, "deep/b": ["000000"] * 5}
    assert masks(tmp_path, ["säule"], other_labels="ignore")["a"][1:3] == ["???11?", "???1??"]
    assert masks(tmp_path, CLASSES[1:], unlabeled="ignore")["a"][2:4] == ["000100", "??????"]
    assert cvat.find_labels(tmp_path) == [
        Label("road", 1, (128, 64, 128)),
        Label("säule", 1, (250, 50, 83)),
        Label("pose", 0),
    ]


def test_pixels_are_those_of_datumaro(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(tmp_path / "images" / name)
    (tmp_path / "annotations.xml").write_text(DATUMARO)
    cat = np.zeros((7, 9), int)
    cat[1:4, 2:6], cat[2, 3], cat[6, 8] = 1, 0, 1
    road = np.zeros((7, 9), int)
    road[:3, :4] = 2
    noise = np.random.default_rng(0).random((7, 9)) > 0.5
    found = decoded(tmp_path, "cvat", classes=["background", "cat", "road"], val_fraction=0.5)
    found = {name: mask for split in found.values() for name, mask in split.items()}
    assert found == {"a": np.where(cat, 1, road).tolist(), "b": (2 * noise).tolist()}


SHAPE = {
    "a box": ('<box label="road" xtl="1.00" ytl="1.00" xbr="3.00" ybr="3.00"/>', {"boxes": "draw"}, "011000 011000"),
    "a box that is turned": (
        '<box label="road" xtl="0" ytl="1" xbr="4" ybr="3" rotation="90.00"/>', {"boxes": "draw"}, "011000 011000",
    ),
    "an ellipse": ('<ellipse label="road" cx="2.00" cy="2.00" rx="1.20" ry="1.20"/>', {}, "011000 011000"),
    "a box beside a polygon": (
        '<box label="road" xtl="1" ytl="1" xbr="3" ybr="3"/><polygon label="road" points="0,0;0,0;0,0"/>', {},
        "011000 011000",
    ),
    "lines that are skipped": (
        '<polyline label="x" points="1,1;2,2"/><skeleton label="pose"><points label="knee" points="1,1"/></skeleton>'
        '<cuboid label="x" xtl1="1"/>' + SHAPES, {"lines": "skip"}, "111221 111211",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPE)
def test_other_shapes(case, tmp_path):
    shapes, keys, rows = SHAPE[case]
    write(tmp_path, image(shapes=shapes), image("b.png", ""), files=("a.png", "b.png"))
    assert masks(tmp_path, **keys)["a"][1:3] == rows.split()


def test_subsets_of_a_project_are_its_splits(tmp_path):
    names = {"Train": ("a.png", "b.png"), "Validation": ("a.png",), "Test": ("c.png",)}
    images = [image(name, "", more=f' subset="{key}"') for key, found in names.items() for name in found]
    write(tmp_path, *images, files=[f"{key}/{name}" for key, found in names.items() for name in found])
    splits = {split: sorted(table) for split, table in decoded(tmp_path, "cvat", classes=CLASSES).items()}
    assert splits == {"train": ["Train/a", "Train/b"], "val": ["Validation/a"], "test": ["Test/c"]}


EXPORT = 'in CVAT, export the task as "CVAT for images 1.1"'
MISTAKES = {
    "XML of something else": ("<html></html>", f":1: is not a CVAT file: it contains <html>; {EXPORT}"),
    "boxes of VOC": (
        "<annotation></annotation>",
        ":1: is an XML file of boxes in PASCAL VOC format; boxes do not make masks: export polygons or masks as "
        '"CVAT for images 1.1" or COCO',
    ),
    "no XML": ("\x89PNG", ":1: is not XML: not well-formed (invalid token); is the file complete?"),
    "an empty file": ("", ":1: is not XML: no element found; is the file complete?"),
    "billion laughs": (
        '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]><annotations>&b;</annotations>',
        ":1: has a DOCTYPE, which CVAT does not write; remove it",
    ),
    "a file of the system": (
        '<!DOCTYPE x SYSTEM "/etc/passwd"><annotations/>',
        ":1: has a DOCTYPE, which CVAT does not write; remove it",
    ),
    "an encoding that nobody knows": ('<?xml version="1.0" encoding="klingon"?><annotations/>', ": is not XML: "),
    "a deep file": ("<annotations>" + "<a>" * 99, ":1: is nested too deeply"),
    "another version": (
        "<annotations><version>2.0</version></annotations>",
        f":1: has version 2.0, but 1.1 is supported; {EXPORT}",
    ),
    "no images": (f"{HEAD}</annotations>", f": contains no images; {EXPORT}, from a task that has images"),
    "no size": ('<annotations><image name="a.png"/></annotations>', ":1: image has '' as height, not a number"),
    "no pixels": (
        '<annotations><image name="a.png" width="0" height="5"/></annotations>',
        ":1: image a.png has no size",
    ),
    "no label": (f"<annotations>{image(shapes='<box/>')}</annotations>", ":1: a box has no label"),
    "points that are no pairs": (
        f"""<annotations>{image(shapes='<polygon label="x" points="1,2;3"/>')}</annotations>""",
        ":1: polygon 1 (x) has points that are not pairs of x,y",
    ),
    "points that are not numbers": (
        f"""<annotations>{image(shapes='<polygon label="x" points="1,nan"/>')}</annotations>""",
        ":1: polygon 1 (x) has points that are not pairs of x,y",
    ),
    "a box without an end": (
        f"""<annotations>{image(shapes='<box label="x" xtl="1" ytl="1"/>')}</annotations>""",
        ":1: box 1 (x) has '' as xbr, not a number",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_files_that_are_wrong(case, tmp_path):
    text, message = MISTAKES[case]
    (tmp_path / "a.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_cvat(tmp_path / "a.xml")
    found = str(error.value).removeprefix(f"{tmp_path}/a.xml")
    assert found == message or (message.endswith(": ") and found.startswith(message) and "\n" not in found)


SETS = {
    "an image that is not there": (
        [image(), image("c.png")], {},
        '1 of 2 images are not in R/images: c.png; export with "Save images", or copy them there',
    ),
    "an image twice": ([image(), image()], {}, "contains the image a.png twice; export the task again"),
    "lines": (
        [image(shapes='<polyline label="road" points="1,1;2,2"/>')],
        {},
        "polyline (1) do not cover an area; draw polygons or masks, or write data.lines: skip",
    ),
    "boxes alone": (
        [image(shapes='<box label="road" xtl="1" ytl="1" xbr="3" ybr="3"/>')], {},
        "has only boxes (1), which make masks rectangular; draw polygons or masks in CVAT, or write "
        "data.boxes: draw",
    ),
    "boxes that are not wanted": (
        [image(shapes=f'{SHAPES}<box label="road" xtl="1" ytl="1" xbr="3" ybr="3"/>')], {"boxes": "error"},
        "has boxes (1), which make masks rectangular; draw polygons or masks in CVAT, or write data.boxes: draw",
    ),
    "labels in another case": (
        [image(shapes=SHAPES.replace("road", "Road"))], {},
        "no class claims the labels of 1 object: Road (1); the classes claim: background, road, säule; add them to "
        "classes, like {name: .., labels: [road, Road]}, or write data.other_labels: background or ignore",
    ),
    "another size": (
        [image(width=7), image("b.png", "")], {}, "says that the image has 7 x 5 pixels, but R/images/a.png has 6 x 5"
    ),
    "runs past the box": (
        [image(shapes=SHAPES.replace("1, 2, 1,", "1, 2, 9,")), image("b.png", "")], {},
        "mask 1 (säule) of a.png: its rle adds up to 14 pixels, but its box has 6",
    ),
    "a box past the image": (
        [image(shapes=SHAPES.replace('left="2"', 'left="4"')), image("b.png", "")], {},
        "mask 1 (säule) of a.png: its box, 3 x 2 at 4, 1, extends beyond the image, 6 x 5",
    ),
    "runs that are no numbers": (
        [image(shapes=SHAPES.replace("1, 2, 1,", "1, -2, x,")), image("b.png", "")], {},
        "mask 1 (säule) of a.png: its rle contains something other than pixel counts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SETS)
def test_sets_that_are_wrong(case, tmp_path):
    images, keys, message = SETS[case]
    write(tmp_path, *images, files=("a.png", "b.png"))
    with pytest.raises(DataError) as error:
        masks(tmp_path, **keys)
    assert str(error.value).replace(str(tmp_path), "R") == f"R/annotations.xml: {message}"
