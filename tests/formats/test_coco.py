import shutil
from functools import partial

import pytest

from segtrain import formats
from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats import coco
from tests.formats.coco_export import (
    ANNOTATIONS,
    CAT_DOG,
    CATEGORIES,
    FILES,
    annotation,
    box,
    draw_images,
    draw_set,
    error_of,
    merged,
    read_masks,
    rows,
    write,
)
from tests.formats.format_reading import data_config

MASKS = {
    "a": ["111100", "122100", "111100", "00000?", "00000?"],
    "b": ["000000"] * 5,
    "deep/c": ["100022", "010022", "001022", "000122", "000012"],
}


@pytest.fixture
def root(tmp_path):
    return draw_set(tmp_path / "set")


@pytest.fixture
def read(root):
    return partial(read_masks, root)


def test_every_pixel(read, root):
    splits = read(other_labels="ignore")
    assert len(splits["val"]) == 1 and merged(splits) == MASKS
    classes = data_config(format="coco", root=root, classes=CAT_DOG).classes
    sample = coco.read(root, annotations="set.json", images="images", classes=classes)["train"][0]
    assert sample.image in {f"{root}/images/{file}" for file in FILES.values()}
    assert sample.mask_file == f"{root}/set.json"


WAYS = {
    "crowds of their class": (
        {"classes": CAT_DOG, "crowd": "class"},
        ["111100", "122100", "111100", "000002", "000002"],
        "000012",
    ),
    "classes of several labels": (
        {"classes": ["background", {"name": "animal", "labels": ["cat", "dog"]}]},
        ["111100", "111100", "111100", "00000?", "00000?"],
        "000011",
    ),
    "one class against the rest": (
        {"classes": ["cat"], "other_labels": "background"},
        ["000000", "011000", "000000", "00000?", "00000?"],
        "000001",
    ),
    "one class, and others ignored": (
        {"classes": ["cat"], "other_labels": "ignore"},
        ["????00", "?11?00", "????00", "00000?", "00000?"],
        "0000?1",
    ),
    "no background": (
        {"classes": ["cat", "dog"], "unlabeled": "ignore"},
        ["1111??", "1001??", "1111??", "??????", "??????"],
        "????10",
    ),
}


@pytest.mark.parametrize("case", WAYS)
def test_what_pixels_are(case, read):
    arguments, first, last_row = WAYS[case]
    masks = merged(read(**arguments))
    assert masks["a"] == first and masks["deep/c"][4] == last_row


def test_a_file_and_a_folder_for_each_split(read, root):
    shutil.move(root / "images", root / "train2017")
    draw_images(root / "val2017", "d.jpg")
    write(root, path="annotations/instances_train2017.json")
    write(root, path="annotations/instances_val2017.json", files={1: "d.jpg"}, annotations=[])
    config = {"classes": CAT_DOG}
    decoder = LabelDecoder(data_config(format="coco", root=root, **config))
    splits = formats.read_dataset("coco", root, {}, classes=decoder.classes)
    found = {split: {s.name: rows(decoder.read(s)) for s in samples} for split, samples in splits.items()}
    assert found == {"train": MASKS, "val": {"d": ["000000"] * 5}}


def test_what_roboflow_exports(read, root):
    categories = [{"id": 0, "name": "animals", "supercategory": "none"}, *CATEGORIES]
    for folder, name in (("train", "a_jpg.rf.1f.jpg"), ("valid", "b_jpg.rf.2e.jpg"), ("test", "c_jpg.rf.3d.jpg")):
        draw_images(root / folder, name)
        objects = [annotation(0, 0, 7, box(0, 0, 6, 1))]
        write(
            root, path=f"{folder}/_annotations.coco.json", files={0: name}, annotations=objects, categories=categories
        )
    folders = {"train": "train", "val": "valid", "test": "test"}
    files = {split: f"{folder}/_annotations.coco.json" for split, folder in folders.items()}
    mask = ["222222", *["000000"] * 4]
    assert read(annotations=files, images=folders) == {
        "train": {"a_jpg.rf.1f": mask},
        "val": {"b_jpg.rf.2e": mask},
        "test": {"c_jpg.rf.3d": mask},
    }


def test_a_share_of_train_where_there_is_no_val(read, root):
    write(root, path="train.json", files={10: "a.jpg", 12: "deep/c.png"}, annotations=ANNOTATIONS[3:])
    draw_images(root / "images", "d.jpg")
    write(root, path="test.json", files={1: "d.jpg"}, annotations=[])
    keys = {"annotations": {"train": "train.json", "test": "test.json"}, "images": "images"}
    splits = read(**keys, val_fraction=0.5)
    assert len(splits["train"]) == len(splits["val"]) == 1 and list(splits["test"]) == ["d"]
    assert sorted(splits["train"] | splits["val"]) == ["a", "deep/c"]


def test_one_folder_of_images_for_all_splits_as_cvat_has_it(read, root):
    write(root, path="annotations/instances_train.json", files={10: "a.jpg"}, annotations=ANNOTATIONS[:2])
    write(root, path="annotations/instances_val.json", files={12: "deep\\c.png"}, annotations=ANNOTATIONS[3:])
    files = {split: f"annotations/instances_{split}.json" for split in ("train", "val")}
    masks = read(annotations=files, images="images")
    assert masks == {"train": {"a": [*MASKS["a"][:3], "000000", "000000"]}, "val": {"deep/c": MASKS["deep/c"]}}


def test_painted_masks_of_cvat_are_no_crowds_without_a_word(read, root):
    painted = [record | {"iscrowd": 1} for record in ANNOTATIONS[:4]]
    write(root, annotations=[*painted, ANNOTATIONS[4]])
    text = (
        "R/set.json: 4 of 5 objects have iscrowd: 1, which CVAT writes for everything painted with the brush: cat "
        "(2), dog (2); write data.crowd: class to train on them as their class, or data.crowd: ignore if they really "
        "are crowds"
    )
    assert error_of(read, root) == text
    assert merged(read(crowd="class"))["a"] == [*MASKS["a"][:3], "000002", "000002"]
    assert merged(read(crowd="ignore"))["a"] == ["????00", "????00", "????00", "00000?", "00000?"]


NINE_DOGS = [annotation(place, 11, 3, box(0, 0, 2, 2)) for place in range(20, 29)]
TWENTY_DOGS = [annotation(place, 11, 3, box(0, 0, 2, 2)) for place in range(30, 50)]
PARTS = {
    "one crowd of few objects": ([True], NINE_DOGS, "warning"),
    "a tenth": ([1, 1.0, 1], [*TWENTY_DOGS, *NINE_DOGS], "warning"),
    "more than a tenth": ([1, 1, 1], NINE_DOGS, "error"),
    "most of a class": ([1, 1, 1, 0], [*TWENTY_DOGS, *NINE_DOGS], "error"),
    "no crowds": ([None, 0, False], NINE_DOGS, ""),
}


@pytest.mark.parametrize("case", PARTS)
def test_crowds_are_counted_and_more_than_there_can_be_are_an_error(case, root):
    crowds, others, expected = PARTS[case]
    cats = [annotation(place, 10, 7, box(0, 0, 2, 2)) | {"iscrowd": crowd} for place, crowd in enumerate(crowds)]
    if case == "a tenth":
        others = [*others, *({**cats[0], "iscrowd": 0} for _ in crowds)]
    write(root, annotations=[*cats, *others])
    classes, notes = data_config(format="coco", root=root, classes=CAT_DOG).classes, []
    options = {"annotations": "set.json", "images": "images", "classes": classes, "notes": notes}
    number, total = sum(map(bool, crowds)), len(cats) + len(others)
    found = f"{root}/set.json: {number} of {total} objects have iscrowd: 1"
    keys = "write data.crowd: class to train on them as their class, or data.crowd: ignore"
    if expected == "error":
        with pytest.raises(DataError) as error:
            coco.read(root, **options)
        assert str(error.value).startswith(found)
    else:
        coco.read(root, **options)
        line = (
            f"{found} and are ignored: cat ({number}); {keys} if they really are crowds (either key removes this line)"
        )
        assert notes == ([line] if expected else [])
    for crowd in ("class", "ignore"):
        notes.clear()
        coco.read(root, crowd=crowd, **options)
        assert not notes


def test_a_crowd_is_0_or_1(read, root):
    write(root, annotations=[ANNOTATIONS[0] | {"iscrowd": "1"}])
    assert error_of(read, root) == 'R/set.json: annotation 1 has "1" as iscrowd; write 0 or 1'


def test_images_without_a_size_have_that_of_their_file(read, root):
    write(root, size=(None, None))
    assert merged(read()) == MASKS


def test_the_classes_of_voc(root):
    config = data_config(format="coco", root=root, preset="voc", annotations="set.json", images="images")
    assert len(config.classes) == 21 and config.class_names[:2] == ["background", "aeroplane"]
    categories = [{"id": 1, "name": "couch"}, {"id": 2, "name": "zebra"}, {"id": 3, "name": "tv"}]
    names = ["airplane", "dining table", "motorcycle", "potted plant", "person"]
    categories += [{"id": 10 + place, "name": name} for place, name in enumerate(names)]
    objects = [annotation(9, 10, 1, box(0, 0, 6, 4)), annotation(1, 10, 2, box(1, 1, 5, 3))]
    objects += [annotation(place, 10, 10 + place, box(place, 4, place + 1, 5)) for place in range(5)]
    write(root, categories=categories, annotations=[*objects, annotation(8, 10, 3, box(5, 4, 6, 5))])
    splits = formats.read_dataset("coco", root, config.arguments, classes=config.classes)
    sample = next(sample for samples in splits.values() for sample in samples if sample.name == "a")
    mask = LabelDecoder(config).read(sample)
    sofa, zebra = [18] * 6, [18, 0, 0, 0, 0, 18]
    assert mask.tolist() == [sofa, zebra, zebra, sofa, [1, 11, 14, 16, 15, 20]]
