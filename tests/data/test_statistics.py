import os

import numpy as np
import pytest
from PIL import Image

from segtrain.config.schema import DataConfig
from segtrain.data.labels import LabelDecoder
from segtrain.data.statistics import ClassStatistics, count_pixels, read_statistics, summarize
from segtrain.errors import DataError
from segtrain.formats.sample import Sample

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


def count_classes(samples, reader, *, names, cache=None):
    return summarize(count_pixels(samples, reader, cache=cache), reader, names=names)


def test_counts_by_hand(samples):
    statistics = count_classes(samples, decoder(), names=NAMES)
    # Class a: 2 + 3 pixels, in images of 6 and 3 labeled ones; class b: 4 pixels, in the image of 6.
    assert statistics == ClassStatistics(NAMES, [5, 4, 0], [9, 6, 0], 9, statistics.presence, ignored_pixels=3)
    class_pixels, image_pixels = statistics.arrays()
    assert class_pixels.dtype == image_pixels.dtype == np.float64
    assert class_pixels.tolist() == [5, 4, 0] and image_pixels.tolist() == [9, 6, 0]
    assert statistics.describe() == "a 55.6%, b 44.4%, c 0.0%; 25.0% of all pixels are ignored"


def test_binary_counts_have_the_background_first(tmp_path):
    config = DataConfig(root="x", classes=[{"name": "crack", "value": 200}])
    statistics = count_classes(
        [save(tmp_path, "0", [[0, 0, 0, 200, 255]])], LabelDecoder(config), names=config.class_names
    )
    assert statistics == ClassStatistics(
        ["background", "crack"], [3, 1], [4, 4], 4, statistics.presence, ignored_pixels=1
    )


def test_a_part_of_the_masks_is_spread_over_the_set(tmp_path):
    masks = [[[0, 0]], [[1, 1]], [[2, 2]], [[1, 0]], [[255, 2]]]
    train = [save(tmp_path, str(index), mask) for index, mask in enumerate(masks)]
    splits = {"train": train, "val": train[:1]}
    statistics = read_statistics(splits, decoder(), names=NAMES, cache=None, most=3)
    assert (statistics.class_pixels, statistics.ignored_pixels) == ([2, 0, 3], 1)  # of the first, third and fifth
    assert statistics.presence.tolist() == [
        [True, False, False],
        [False] * 3,
        [False, False, True],
        [False] * 3,
        [False, False, True],
    ]


def test_pixels_of_each_mask(samples):
    counts = count_pixels(samples, decoder())
    assert counts.dtype == np.uint32
    assert counts.tolist() == [[2, 4, 0, 2, 8], [3, 0, 0, 1, 4]]
    assert count_pixels(samples[:0], decoder()).shape == (0, 5)


def test_the_cache_is_used_until_something_changes(samples, tmp_path):
    cache = tmp_path / "cache"

    def count(reader=None):
        return count_pixels(samples, reader or decoder(), cache=cache).tolist()

    first = count()
    (file,) = cache.iterdir()
    with np.load(file) as kept:
        keys, counts = kept["keys"], kept["counts"]
    np.savez(file, keys=keys, counts=counts + 7)
    assert count() == [[value + 7 for value in row] for row in first]  # read from the file, not counted

    state = os.stat(samples[0].mask)
    os.utime(samples[0].mask, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert count() == [first[0], [value + 7 for value in first[1]]]  # the one whose file changed
    swapped = [{"name": "a", "value": 1}, {"name": "b", "value": 0}, "c"]
    assert count(decoder(swapped)) == [[4, 2, 0, 2, 8], [0, 3, 0, 1, 4]]
    assert len(list(cache.iterdir())) == 2


def test_samples_in_another_order_and_new_ones_share_the_cache(samples, tmp_path):
    count_pixels(samples[:1], decoder(), cache=tmp_path / "cache")
    new = save(tmp_path, "new", [[2, 2, 2]])
    mixed = count_pixels([new, samples[1], samples[0], new], decoder(), cache=tmp_path / "cache").tolist()
    assert mixed == [[0, 0, 3, 0, 3], [3, 0, 0, 1, 4], [2, 4, 0, 2, 8], [0, 0, 3, 0, 3]]
    (file,) = (tmp_path / "cache").iterdir()
    with np.load(file) as kept:
        assert len(kept["keys"]) == 3 and (np.diff(kept["keys"]) > 0).all()


def test_a_changed_mask_is_counted_again(samples, tmp_path):
    count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache")
    save(tmp_path, "1", [[2, 2, 2, 2]])
    assert count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache").class_pixels == [2, 4, 4]


def test_a_broken_cache_is_counted_again(samples, tmp_path):
    first = count_classes(samples, decoder(), names=NAMES, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    for content in (b"", b"{}", file.read_bytes()[:-30]):
        file.write_bytes(content)
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
    repaired = decoder([{"name": "crack", "value": 255}])
    assert count_classes([sample], repaired, names=["background", "crack"]).class_pixels == [2, 3]


def test_a_wrong_mask_is_named(samples, tmp_path):
    bad = save(tmp_path, "bad", [[0, 9]])
    assert error_of([*samples, bad], decoder(), NAMES) == (
        f"{bad.mask}: no class claims value 9 (1 pixels); "
        "assign it to a class in data.classes, like {name: .., value: 9}, or write data.ignore_values: [9]"
    )
    gone = Sample("gone", "not read", str(tmp_path / "gone.png"))
    assert error_of([gone], decoder(), NAMES) == f"{gone.mask}: No such file or directory"
