"""Public datasets in a configuration: what is merged below the user's `data`, and how mistakes are told."""

import pytest

from segtrain.config.rules import load_config
from segtrain.config.tree import dump_yaml
from segtrain.errors import ConfigError


@pytest.fixture
def load(tmp_path, monkeypatch):
    """The configuration of these lines of `data`; there is no other."""
    monkeypatch.chdir(tmp_path)

    def load(*lines):
        (tmp_path / "my.yml").write_text("\n".join(["data:", *(f"  {line}" for line in lines)]) + "\n")
        return load_config(["my.yml"]).data

    return load


def test_classes_and_ignored_values_lie_below(load):
    data = load("format: camvid", "root: x")
    assert len(data.classes) == 11 and data.ignore_values == [11]
    assert (data.classes[8].name, data.classes[8].value, data.classes[8].color) == ("car", 8, [64, 0, 128])
    assert (data.format, data.arguments) == ("camvid", {})
    assert load("format: camvid", "root: x", "ignore_values: []").ignore_values == []
    assert load("format: camvid", "root: x", "classes: [a, b]").ignore_values is None


def test_words_of_the_data_set_change_them(load):
    assert load("format: camvid", "root: x", "version: full").ignore_values == [[0, 0, 0]]
    assert load("format: camvid", "root: x", "version: full").classes[2].colors == [[192, 192, 128], [0, 0, 64]]
    assert [item.value for item in load("format: cityscapes", "root: x").classes][:2] == [7, 8]
    assert [item.value for item in load("format: cityscapes", "root: x", "masks: labelTrainIds").classes][:2] == [0, 1]
    assert load("format: coco_stuff", "root: x").classes[0].value == 0
    assert load("format: coco_stuff", "root: x", "version: 10k").classes[0].value == 1
    assert load("format: oxford_pet", "root: x", "border: pet").class_names == ["background", "pet"]


def test_a_saved_configuration_says_the_same(load):
    """A run folder holds the classes, so that they are not merged again."""
    first = load("format: camvid", "root: x", "version: full")
    assert load(*dump_yaml(first.model_dump(mode="json")).splitlines()) == first


def test_colors_of_classes_that_have_names(load):
    with pytest.raises(ConfigError, match=r"my\.yml:4: data\.classes\.0: colors have no effect in annotations"):
        load("format: labelme", "root: x", "classes: [{name: a, colors: [[1, 2, 3]]}, {name: b, colors: [[1, 2, 4]]}]")


def test_classes_by_name_have_their_index_as_value(load):
    data = load("format: labelme", "root: x", "classes: [background, {name: car, color: [1, 2, 3]}]")
    assert [item.value for item in data.classes] == [0, 1] and data.ignore_values == [65535]
    assert [item.value for item in load("format: coco", "root: x", "classes: [car]").classes] == [1]


MISTAKES = {
    "a key that it lacks": (
        ["format: camvid", "root: x", "versoin: full"],
        "my.yml:4: data.versoin: unknown key; format camvid has no 'versoin'; did you mean 'version'?",
    ),
    "a word that it lacks": (
        ["format: camvid", "root: x", "version: ful"],
        "my.yml:4: data.version: expected segnet or full or null, not 'ful'",
    ),
    "a value of what lies below": (
        ["format: voc", "root: x", "missing_splits: 3"],
        "my.yml:4: data.missing_splits: expected error or skip, not 3",
    ),
    "a value that is a class's": (
        ["format: camvid", "root: x", "ignore_values: [3]"],
        "my.yml:4: data.ignore_values.0: value 3 belongs to class 'road'",
    ),
    "an index that is a class's": (
        ["root: x", "format: camvid", "ignore_index: 3"],
        "my.yml:4: data.ignore_index: 3 is a class index; choose 11 or more, like 255",
    ),
    "a dataset that is not known": (
        ["format: camvd", "root: x", "classes: [a, b]"],
        "my.yml:2: data.format: unknown format 'camvd'; did you mean 'camvid'?",
    ),
    "a dataset that is not known, without classes": (
        ["format: camvd", "root: x"],
        "my.yml:2: data.format: unknown format 'camvd'; did you mean 'camvid'?",
    ),
    "no classes": (
        ["format: coco", "root: x"],
        "my.yml:1: data.classes: is missing; format coco does not define any: write classes: [first, second, ..]",
    ),
    "one mask for all classes": (
        ["format: coco", "root: x", "classes: [a, b]", "multilabel: true"],
        "my.yml:5: data.multilabel: format coco has one mask for all classes; remove it",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_with_the_users_line(case, load):
    lines, text = MISTAKES[case]
    with pytest.raises(ConfigError) as error:
        load(*lines)
    assert str(error.value) == text
