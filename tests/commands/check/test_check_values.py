"""Masks whose values are not those of the classes, planted in a clean set."""

import numpy as np
import pytest
from PIL import Image

from segtrain.commands.check.source import from_experiment
from tests.commands.check.check_sets import (
    COLORED,
    COLORS,
    NAMES,
    change,
    class_lines,
    discs,
    lines,
    look,
    look_at,
    look_at_folders,
    read,
    run_fix,
    shown,
    to_colors,
    write,
)


def test_one_stray_value(root):
    path = root / "train/masks/003.png"
    mask = read(path)
    mask[20, 20:23] = 77
    write(path, mask)
    (found,) = look(root)
    assert shown([found]) == [("error", "1 mask value is most likely a mistake")]
    assert found.explanation.startswith("77 (3 pixels in 1 mask): ")
    assert found.files == [str(path)] and found.marked == {77}
    assert lines(found) == ["data:", "  ignore_values: [77]"]
    assert look(root, "data.ignore_values=[77]") == []
    (warned,) = look_at_folders(root / "*/images", root / "*/masks")
    assert shown([warned]) == [("warning", "1 mask value is most likely a mistake")]
    assert lines(warned) == ["data:", "  ignore_values: [77]"]


def test_a_class_that_was_forgotten(root):
    change(root, lambda mask: np.where(mask == 2, 7, mask))
    (found,) = look(root, "data.classes=[sky, road]")
    assert shown([found]) == [("error", "1 mask value belongs to no class")]
    assert len(found.files) == 12
    assert class_lines(found) == [
        "{name: sky, value: 0}",
        "{name: road, value: 1}",
        "{name: class_7, value: 7}",
    ]
    assert look(root, "data.classes=[{name: sky, value: 0}, {name: road, value: 1}, {name: c, value: 7}]") == []


def test_the_background_that_was_forgotten(root):
    """0 is most frequent, 1 and 2 are the two names."""
    change(root, lambda mask: np.where((mask == 2) & (np.arange(80) % 32 < 16), 0, mask))
    (found,) = look(root, "data.classes=[road, car]")
    assert shown([found]) == [("error", "1 mask value belongs to no class")]
    assert class_lines(found) == [
        "{name: background, value: 0}",
        "{name: road, value: 1}",
        "{name: car, value: 2}",
    ]


@pytest.mark.parametrize(("step", "counts"), [(1, "from 1, the classes from 0"), (-1, "from 0, the classes from 1")])
def test_masks_that_count_from_another_number(root, step, counts):
    own = "data.classes=[sky, road, car]"
    if step == 1:
        change(root, lambda mask: np.where(mask < 3, mask + 1, mask))
    else:
        own = "data.classes=[{name: sky, value: 1}, {name: road, value: 2}, {name: car, value: 3}]"
    (found,) = look(root, own)
    assert shown([found]) == [("error", f"The masks count {counts}")]
    first = 1 if step == 1 else 0
    assert class_lines(found) == [
        *(f"{{name: {name}, value: {value}}}" for value, name in enumerate(NAMES, start=first)),
    ]


def test_rgb_masks_where_the_classes_have_values(root):
    change(root, to_colors)
    (found,) = look(root)
    assert shown([found]) == [("error", "12 masks are RGB images, but the classes have values")]
    written = [line.partition("   #")[0].rstrip() for line in lines(found)]
    assert written[:2] == ["data:", "  classes:"]
    assert sorted(line.split("color: ")[1] for line in written[2:]) == [
        "[0, 0, 0]}",
        "[200, 30, 40]}",
        "[30, 180, 60]}",
        "[40, 60, 220]}",
    ]
    colored = [
        f"{{name: {n}, color: {c.tolist()}, value: {v}}}" for v, (n, c) in enumerate(zip(NAMES, COLORS, strict=True))
    ]
    (named,) = look(root, f"data.classes=[{', '.join(colored)}, {{name: void, color: [0, 0, 0], value: 9}}]")
    assert class_lines(named) == [
        "{name: sky, color: [200, 30, 40]}",
        "{name: road, color: [30, 180, 60]}",
        "{name: car, color: [40, 60, 220]}",
        "{name: void, color: [0, 0, 0]}",
    ]


def test_masks_of_values_where_the_classes_have_colors(root):
    (found,) = look(root, f"data.classes=[{', '.join(COLORED)}]")
    assert shown([found]) == [("error", "12 masks are images of values, but the classes have colors")]
    assert class_lines(found) == NAMES
    assert look(root) == []


def test_0_and_255_where_255_is_ignored(root):
    change(root, lambda mask: np.where(mask == 1, 255, 0))
    for classes, written in {
        "[car]": ["    - {name: car, value: 255}"],
        "[ground, car]": [
            "    - {name: ground, value: 0}",
            "    - {name: car, value: 255}",
            *("loss:", "  CrossEntropyLoss: 1.0", "  DiceLoss: 1.0"),  # the other is for one class
        ],
    }.items():
        loss = "loss={BCEWithLogitsLoss: 1.0}"
        (found,) = look(root, f"data.classes={classes}", loss)
        assert shown([found]) == [("error", "'car' has no pixel: its value in the masks is 255, which is ignored")]
        assert lines(found) == ["data:", "  classes:", *written]
    assert look(root, "data.classes=[{name: car, value: 255}]", loss) == []


@pytest.mark.parametrize("kind", ["jpeg", "smooth"])
def test_blended_colors(root, kind):
    """The fix finds every pixel's own color again, but for some on the edges."""
    discs(root)
    plain = {path: read(path) for path in sorted(root.glob("*/masks/*.png"))}
    for path, mask in plain.items():
        colored = Image.fromarray(to_colors(mask))
        if kind == "jpeg":
            path.unlink()
            colored.save(path.with_suffix(".jpg"), quality=90)
        else:
            small = colored.resize((120, 120), Image.Resampling.BILINEAR)
            small.resize((160, 160), Image.Resampling.BILINEAR).save(path)
    found = look(root, f"data.classes=[{', '.join(COLORED)}]")
    title = {"jpeg": "12 masks are JPEG", "smooth": "The values in the masks are blended"}[kind]
    assert shown(found) == [("error", title)]
    assert found[0].fix.name == "snap-masks"
    run_fix(found[0])
    assert look(root, f"data.classes=[{', '.join(COLORED)}]") == []
    for path, mask in plain.items():
        fixed = read(path)
        assert fixed.shape == (160, 160, 3)
        assert (fixed == to_colors(mask)).all(axis=2).mean() > 0.98


def test_one_mask_is_jpeg(root):
    """The fix changes no other."""
    discs(root)
    change(root, to_colors)
    path = root / "train/masks/003.png"
    Image.open(path).save(path.with_suffix(".jpg"), quality=90)
    path.unlink()
    (found,) = look(root, f"data.classes=[{', '.join(COLORED)}]")
    assert shown([found]) == [("error", "1 mask is JPEG")] and found.files == [str(path.with_suffix(".jpg"))]
    before = {other: other.read_bytes() for other in root.glob("*/masks/*.png")}
    run_fix(found)
    assert path.exists() and {other: other.read_bytes() for other in before} == before
    assert look(root, f"data.classes=[{', '.join(COLORED)}]") == []


def test_smoothed_masks_of_0_and_255(root):
    discs(root)
    for path in sorted(root.glob("*/masks/*.png")):
        picture = Image.fromarray(np.where(read(path) == 1, 255, 0).astype(np.uint8))
        picture.resize((90, 90), Image.Resampling.BICUBIC).resize((160, 160), Image.Resampling.BICUBIC).save(path)
    (found,) = look(root, "data.classes=[{name: disc, value: 255}]", "loss={BCEWithLogitsLoss: 1.0}")
    assert shown([found]) == [("error", "The values in the masks are blended")]
    run_fix(found)
    assert {value for path in root.glob("*/masks/*.png") for value in np.unique(read(path)).tolist()} == {0, 255}


def test_photographs_instead_of_masks(root):
    for path in sorted(root.glob("*/masks/*.png")):
        noise = np.random.default_rng(int(path.stem)).integers(0, 256, (64, 80, 3))
        write(path, noise)
    (found,) = look_at_folders(root / "train/images", root / "train/masks")
    assert shown([found]) == [("error", "The masks look like photographs")]
    assert lines(found) == [f"python -m segtrain check --images {root}/train/masks --masks {root}/train/images"]
    rows = [f"train/images/{path.name},train/masks/{path.name}\n" for path in (root / "train/masks").iterdir()]
    (root / "data.csv").write_text("".join(["image,mask\n", *rows]))
    source = from_experiment([f"data={{format: csv, root: {root}, classes: [a, b]}}", "loss.CrossEntropyLoss=1"])
    found = next(finding for finding in look_at(source)[1] if "photographs" in finding.title)
    assert lines(found) == ["data:", "  image_column: mask", "  mask_column: image"]


def test_numbers_of_objects_instead_of_classes(root):
    for index, path in enumerate(sorted(root.glob("train/masks/*.png"))):
        cells = np.arange(80, dtype=np.uint16).reshape(8, 10) + 80 * index
        Image.fromarray(np.kron(cells, np.ones((8, 8), np.uint16))).save(path)
    (found,) = look_at_folders(root / "train/images", root / "train/masks")
    assert shown([found]) == [("error", "The masks contain object ids, not classes")]


def test_masks_of_one_value(root):
    change(root, np.zeros_like, splits=["train"])
    (found,) = look_at_folders(root / "train/images", root / "train/masks")
    assert shown([found]) == [("error", "All masks contain a single value")]
    assert found.explanation == "It is 0, so there is nothing to learn. Are these the right files?"


@pytest.mark.parametrize("value", [-1, 70000])
def test_values_that_no_class_can_have(root, value):
    for path in root.glob("*/masks/*.png"):
        np.save(path.with_suffix(".npy"), np.where(read(path) == 2, value, read(path).astype(np.int64)))
        path.unlink()
    for found in (look(root), look_at_folders(root / "train/images", root / "train/masks")):
        assert shown(found) == [("error", "The masks contain values that no class can have")]
