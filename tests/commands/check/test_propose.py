"""From the values of masks to classes, and to the lines of an experiment that mean them."""

import numpy as np
import pytest

from segtrain.commands.check.examine import count_values, describe_mask, to_codes
from segtrain.commands.check.finding import write_classes, write_flow
from segtrain.commands.check.mask_values import labeling_of, merge_values, propose_classes, show_share
from segtrain.config.data_schema import ClassConfig, DataConfig
from segtrain.config.tree import parse_yaml
from segtrain.errors import DataError
from segtrain.formats.dataset_info import KnownClass, Labels, known_labels
from segtrain.images.reading import Picture

STREET = Labels(
    (KnownClass("sky", (0, 0, 200)), KnownClass("road", (90, 90, 90)), KnownClass("car", (200, 0, 0))),
    ignore_values=((0, 0, 0),),
)
ANIMALS = Labels((KnownClass("cat", (0, 0, 200)), KnownClass("dog", (90, 90, 90))))


def record(pixels, **options):
    picture = Picture(np.asarray(pixels), "PNG", **options)
    planes, is_color = to_codes(picture, "mask.png")
    return describe_mask(picture, planes, is_color=is_color)


def stripes(values, *, width=8, dtype=np.uint8):
    """A mask of 16 rows in which each value is a stripe of `width` columns."""
    return np.repeat(np.array([values], dtype), width, axis=1).repeat(16, axis=0)


def propose(*masks, known=None, **options):
    return propose_classes(merge_values([record(mask, **options) for mask in masks]), known or {})


def test_facts_of_a_mask():
    """5 5 7 / 5 5 7 / 9 9 9: one square of 5; all but the middle pixel are in the frame."""
    mask = record(np.array([[5, 5, 7], [5, 5, 7], [9, 9, 9]], np.uint8))
    assert mask.codes.tolist() == [5, 7, 9]
    assert mask.counts.tolist() == [[4, 1, 3], [2, 0, 2], [3, 0, 3]]
    assert (mask.is_color, mask.palette, mask.further_values) == (False, None, 0)


def test_the_most_frequent_values_are_kept():
    cells = np.arange(400, dtype=np.uint16).reshape(20, 20)
    mask = record(np.kron(cells, np.ones((2, 2), np.uint16)))
    assert len(mask.codes) == 300 and (mask.further_values, mask.further_pixels) == (100, 400)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_values_are_counted(dtype):
    values, counts = count_values(np.array([[3, 3, 0], [200, 3, 0]], dtype))
    assert values.tolist() == [0, 3, 200] and counts.tolist() == [2, 3, 1]
    assert [array.tolist() for array in count_values(np.zeros((0, 4), dtype))] == [[], []]


def test_what_a_mask_cannot_hold():
    for pixels, text in (
        (np.full((2, 2), 0.5), "m.png: mask values are integers, not float64 with fractions"),
        (np.zeros((2, 2, 7), np.uint8), "m.png: expected a mask of HW values or RGB colors, not uint8 of (2, 2, 7)"),
    ):
        with pytest.raises(DataError) as error:
            to_codes(Picture(pixels, ""), "m.png")
        assert str(error.value) == text
    assert to_codes(Picture(np.ones((2, 2), np.float32), ""), "m.png")[0].dtype == np.int64


# values of the masks: kind, and the lines without their comments
PLAIN = {
    (0, 1, 2): ("indices", ["    - class_0", "    - class_1", "    - class_2"]),
    (0, 1, 2, 255): ("indices", ["    - class_0", "    - class_1", "    - class_2"]),
    (0, 1): ("binary", ["    - object"]),
    (0, 1, 255): ("binary", ["    - object"]),
    (0, 255): ("binary", ["    - {name: object, value: 255}"]),
    (0, 38): ("binary", ["    - {name: object, value: 38}"]),
    (1, 2): ("values", ["    - {name: class_1, value: 1}", "    - {name: class_2, value: 2}"]),
    (0, 100, 200): (
        "values",
        [
            "    - {name: class_0, value: 0}",
            "    - {name: class_100, value: 100}",
            "    - {name: class_200, value: 200}",
        ],
    ),
    (7,): ("nothing", []),
}


@pytest.mark.parametrize("values", PLAIN)
def test_masks_of_values(values):
    kind, expected = PLAIN[values]
    proposal = propose(stripes(values))
    assert (proposal.kind, proposal.cause, proposal.noise) == (kind, "", 0.0)
    assert [line.partition("   #")[0].rstrip() for line in proposal.lines][2:] == expected


def test_the_lines_are_those_of_an_experiment():
    """16 x 32 pixels in the first mask, 16 x 8 in the second."""
    proposal = propose(stripes([0, 0, 0, 9]), stripes([4]))
    assert proposal.lines == [
        "data:",
        "  classes:",
        "    - {name: class_0, value: 0}   # 60.0 % of the pixels, in 1 of 2 masks",
        "    - {name: class_4, value: 4}   # 20.0 % of the pixels, in 1 of 2 masks",
        "    - {name: class_9, value: 9}   # 20.0 % of the pixels, in 1 of 2 masks",
    ]
    data = parse_yaml("\n".join(proposal.lines), origin="lines").plain()["data"]
    labeling = labeling_of(DataConfig(root="x", **data))
    assert labeling.claims == {0: 0, 4: 1, 9: 2, 255: -1}


def test_masks_of_colors():
    colors = np.array([[0, 0, 0], [10, 200, 30], [200, 10, 30]], np.uint8)
    proposal = propose(colors[stripes([1, 1, 2, 0])])
    assert proposal.kind == "colors" and proposal.known == ""
    assert proposal.classes == [
        ClassConfig(name="class_1", color=[10, 200, 30]),
        ClassConfig(name="background", color=[0, 0, 0]),
        ClassConfig(name="class_3", color=[200, 10, 30]),
    ]
    binary = propose(colors[stripes([0, 2])])
    assert binary.kind == "binary" and binary.classes == [ClassConfig(name="object", color=[200, 10, 30])]


def test_known_colors():
    colors = np.array([[0, 0, 0], [200, 0, 0], [90, 90, 90], [0, 0, 200]], np.uint8)
    proposal = propose(colors[stripes([1, 2, 2, 3, 0])], known={"street": STREET, "animals": ANIMALS})
    assert proposal.known == "street" and proposal.ignore_values == [[0, 0, 0]]
    assert [line.partition("  #")[0].rstrip() for line in proposal.lines] == [
        "data:",
        "  classes:",
        "    - {name: sky, color: [0, 0, 200]}",
        "    - {name: road, color: [90, 90, 90]}",
        "    - {name: car, color: [200, 0, 0]}",
        "  ignore_values: [[0, 0, 0]]",
    ]
    assert proposal.lines[1] == "  classes:   # named by the colors of street"
    stranger = np.vstack([colors, [[1, 99, 1]]]).astype(np.uint8)
    assert propose(stranger[stripes([1, 2, 3, 4])], known={"street": STREET}).known == ""


def test_pure_colors_name_no_dataset():
    pure = Labels((KnownClass("hat", (255, 0, 0)), KnownClass("hair", (0, 0, 255)), KnownClass("skin", (0, 255, 0))))
    colors = np.array([[255, 0, 0], [0, 0, 255], [0, 255, 0]], np.uint8)
    proposal = propose(colors[stripes([0, 1, 2])], known={"pure": pure})
    assert proposal.known == "" and [item.name for item in proposal.classes] == ["class_1", "class_2", "class_3"]


def test_known_colors_of_a_palette():
    """The palette's order is another than that of the set, and 3 is its void."""
    palette = np.array([[200, 0, 0], [0, 0, 200], [90, 90, 90], [0, 0, 0]], np.uint8)
    proposal = propose(stripes([0, 1, 2, 3]), known={"street": STREET}, palette=palette)
    assert [line.partition("  #")[0].rstrip() for line in proposal.lines] == [
        "data:",
        "  classes:",
        "    - car",
        "    - sky",
        "    - road",
        "  ignore_values: [3]",
    ]


def test_published_sets_are_known():
    known = known_labels()
    assert len(known["camvid"].classes) == 11 and len(known["camvid (version: full)"].classes) == 11
    assert known["camvid (version: full)"].classes[3].colors == ((128, 64, 128), (128, 0, 192), (192, 0, 64))


def test_a_slip_is_no_class():
    slip = stripes([0, 1, 2])
    slip[3, 3] = 77
    proposal = propose(*[stripes([0, 1, 2])] * 11, slip)
    assert proposal.strays.tolist() == [77] and proposal.ignore_values == [77]
    assert proposal.lines[-1] == "  ignore_values: [77]" and len(proposal.classes) == 3


def disc(values, size=96):
    """A disc of the second value on the first, its edge a ramp between them."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    share = np.clip(30 - np.hypot(rows, columns), 0, 1)[..., None]
    low, high = (np.array(value, np.float64) for value in values)
    return np.rint(low + share * (high - low)).astype(np.uint8)


def test_smoothed_edges_are_no_classes():
    proposal = propose(disc([[0], [255]])[..., 0])
    assert (proposal.kind, proposal.cause) == ("binary", "blended")
    assert proposal.codes.tolist() == [0, 255] and 0.01 < proposal.noise < 0.04 and proposal.noise_values > 10
    colored = propose(disc([[200, 0, 0], [0, 0, 200]]))
    assert colored.cause == "blended" and [item.color for item in colored.classes] == [[200, 0, 0], [0, 0, 200]]


def test_thin_lines_are_classes():
    """One pixel wide: none of its pixels is in a square, but it is the only such value."""
    mask = stripes([0, 2])
    mask[5] = 1
    proposal = propose(mask)
    assert proposal.cause == "" and [item.name for item in proposal.classes] == ["class_0", "class_1", "class_2"]


def test_texts_are_read_as_they_were():
    for text in (
        "road",
        "traffic light",
        "a: b",
        "no",
        "12",
        'say "x"',
        "it's",
        r"^\d+(?=_)",
        "",
        " x",
        "#1",
        "é",
        "\t",
        "a\nb",
    ):
        assert parse_yaml(f"key: {write_flow(text)}", origin="x").plain() == {"key": text}
    assert [write_flow(text) for text in ("road", "../x", "no", "12", "a\nb")] == [
        "road",
        "../x",
        "no",
        "'12'",
        '"a\\nb"',
    ]


def test_classes_are_written():
    items = [
        ClassConfig(name="a"),
        ClassConfig(name="b", values=[1, 2], color=[1, 2, 3]),
        ClassConfig(name="c: d", value=0),
        ClassConfig(name="e", colors=[[1, 2, 3], [4, 5, 6]]),
    ]
    assert write_classes(items) == [
        "data:",
        "  classes:",
        "    - a",
        "    - {name: b, values: [1, 2], color: [1, 2, 3]}",
        "    - {name: 'c: d', value: 0}",
        "    - {name: e, colors: [[1, 2, 3], [4, 5, 6]]}",
    ]
    assert write_classes(items[:1], [9], comments={"a": "few"})[2:] == [
        "    - a   # few",
        "  ignore_values: [9]",
    ]


def test_shares():
    shares = {0: "0.00 %", 0.00001: "less than 0.01 %", 0.00012: "0.01 %", 0.0555: "5.5 %", 1: "100.0 %"}
    assert {share: show_share(share) for share in shares} == shares
