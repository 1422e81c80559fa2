import json
import os

import numpy as np
import pytest
from PIL import Image

from segtrain.data.labels import LabelDecoder
from segtrain.data.sample import Sample
from segtrain.data.statistics import ClassStatistics, count_classes
from segtrain.errors import DataError
from segtrain.experiment import DataConfig

NAMES = ["a", "b", "c"]
MASKS = ([[0, 0, 1, 1], [1, 1, 255, 255]], [[0, 0, 0, 255]])  # the third class never occurs


@pytest.fixture
def samples(tmp_path):
    return [save(tmp_path, str(index), mask) for index, mask in enumerate(MASKS)]


def save(folder, name, mask):
    path = folder / f"{name}.png"
    Image.fromarray(np.array(mask, np.uint8)).save(path)
    return Sample(name, "not read", str(path))


def decoder(classes=NAMES, **values):
    return LabelDecoder(DataConfig(root="x", classes=classes, **values))


def test_counts_by_hand(samples):
    statistics = count_classes(samples, decoder(), names=NAMES)
    # Class a: 2 + 3 pixels, in images of 6 and 3 labelled ones; class b: 4 pixels, in the image of 6.
    assert statistics == ClassStatistics(NAMES, [5, 4, 0], [9, 6, 0], 3)
    class_pixels, image_pixels = statistics.arrays()
    assert class_pixels.dtype == image_pixels.dtype == np.float64
    assert class_pixels.tolist() == [5, 4, 0] and image_pixels.tolist() == [9, 6, 0]
    assert statistics.absent() == ["c"]
    assert statistics.describe() == "a 55.6%, b 44.4%, c 0.0%"


def test_binary_counts_have_the_background_first(tmp_path):
    config = DataConfig(root="x", classes=[{"name": "crack", "value": 200}])
    statistics = count_classes(
        [save(tmp_path, "0", [[0, 0, 0, 200, 255]])], LabelDecoder(config), names=config.class_names
    )
    assert statistics == ClassStatistics(["background", "crack"], [3, 1], [4, 4], 1)


def test_the_cache_is_used_until_something_changes(samples, tmp_path):
    cache = tmp_path / "cache"

    def count(reader=None, names=NAMES):
        return count_classes(samples, reader or decoder(), names=names, cache=cache)

    first = count()
    (file,) = cache.iterdir()
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"ignored_pixels": 99}))
    assert count().ignored_pixels == 99  # read from the file, not counted

    state = os.stat(samples[0].mask)
    os.utime(samples[0].mask, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert count() == first
    swapped = [{"name": "a", "value": 1}, {"name": "b", "value": 0}, "c"]
    assert count(decoder(swapped)).class_pixels == [4, 5, 0]
    assert count(names=["x", "y", "z"]).names == ["x", "y", "z"]
    assert len(list(cache.iterdir())) == 4


def test_a_changed_mask_is_counted_again(samples, tmp_path):
    count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache")
    save(tmp_path, "1", [[2, 2, 2, 2]])
    assert count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache").class_pixels == [2, 4, 4]


def test_a_broken_cache_is_counted_again(samples, tmp_path):
    first = count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    for content in ("{", "{}", "[1]"):
        file.write_text(content)
        assert count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache") == first


def error_of(samples, reader, names, cache=None):
    with pytest.raises(DataError) as error:
        count_classes(samples, reader, names=names, cache=cache)
    return str(error.value)


def test_masks_of_0_and_255_that_are_taken_for_background_and_ignored(tmp_path):
    sample = save(tmp_path, "0", [[0, 0, 255, 255, 255]])
    assert error_of([sample], decoder(["crack"]), ["background", "crack"], tmp_path / "cache") == (
        "data.classes: no mask has a pixel of 'crack', but 3 pixels have the value 255, which is data.ignore_index; "
        "if they are 'crack', write data.classes: [{name: crack, value: 255}]"
    )
    assert not (tmp_path / "cache").exists()
    repaired = decoder([{"name": "crack", "value": 255}])
    assert count_classes([sample], repaired, names=["background", "crack"]).class_pixels == [2, 3]


def test_a_wrong_mask_is_named(samples, tmp_path):
    bad = save(tmp_path, "bad", [[0, 9]])
    assert error_of([*samples, bad], decoder(), NAMES) == (
        f"{bad.mask}: no class claims value 9 (1 pixels); "
        "give it to a class in data.classes, {name: .., value: 9}, or write data.ignore_values: [9]"
    )
    gone = Sample("gone", "not read", str(tmp_path / "gone.png"))
    assert error_of([gone], decoder(), NAMES) == f"{gone.mask}: does not exist"
    assert error_of([gone], decoder(), NAMES, tmp_path / "cache") == f"{gone.mask}: No such file or directory"
