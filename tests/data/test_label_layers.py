import numpy as np
import pytest

from segtrain.config.schema import DataConfig
from segtrain.data.labels import LayerDecoder, build_decoder
from segtrain.data.statistics import count_pixels, summarize
from segtrain.errors import DataError
from segtrain.formats.sample import Sample

ROAD = np.array([[0, 1, 1], [0, 1, 255]], np.uint8)
WET = np.array([[0, 0, 9], [9, 0, 0]], np.uint8)
CLASSES = [{"name": "road", "color": [1, 2, 3]}, {"name": "wet", "value": 9}]
EXPECTED = [[[0, 1, 1], [0, 1, 255]], [[0, 0, 1], [1, 0, 0]]]


def decoder(classes=CLASSES, **values):
    return build_decoder(DataConfig(root="x", classes=classes, multilabel=True, **values))


def sample(*files):
    return Sample("s", "not read", "\n".join(files))


def test_a_file_for_each_class(save):
    files = save(ROAD, "road.png"), save(WET, "wet.png")
    mask = decoder().read(sample(*files))
    assert mask.dtype == np.uint8 and mask.tolist() == EXPECTED
    assert decoder().read(sample("", files[1])).tolist() == [np.zeros_like(ROAD).tolist(), EXPECTED[1]]


def test_a_channel_for_each_class(save):
    assert decoder().read(sample(save(np.stack([ROAD, WET], axis=2), "m.npy"))).tolist() == EXPECTED
    three = np.stack([ROAD, ROAD * 0, ROAD // 255], axis=2)
    layers = decoder(["a", "b", "c"]).read(sample(save(three, "m.png")))
    assert layers.tolist() == [ROAD.tolist(), (ROAD * 0).tolist(), (ROAD // 255).tolist()]
    assert decoder(["a"]).read(sample(save(ROAD, "one.png"))).tolist() == [ROAD.tolist()]


def test_counts(save, tmp_path):
    files = save(ROAD, "road.png"), save(WET, "wet.png")
    counts = count_pixels([sample(*files), sample("", files[1])], decoder(), cache=tmp_path / "cache")
    assert counts.tolist() == [[3, 2, 0, 6], [0, 2, 0, 6]]
    statistics = summarize(counts, decoder(), names=["road", "wet"])
    assert (statistics.class_pixels, statistics.image_pixels) == ([3, 4], [6, 12])
    assert statistics.describe() == "road 25.0%, wet 33.3%"  # of twelve pixels; they overlap
    save(np.vstack([WET, WET]), "wet.png")
    with pytest.raises(DataError, match="differ in height and width"):
        count_pixels([sample(*files)], decoder(), cache=tmp_path / "cache")  # the second file is looked at too


def test_masks_of_0_and_255_that_are_all_ignored(save):
    file = save(255 * (WET > 0).astype(np.uint8), "a.png")
    counts = count_pixels([sample(file, file)], decoder(["road", "wet"]))
    with pytest.raises(DataError) as error:
        summarize(counts, decoder(["road", "wet"]), names=["road", "wet"])
    assert str(error.value) == (
        "data.classes: no mask has a pixel of 'road' or 'wet', but 2 pixels have the value 255, which is "
        "data.ignore_index; if they are 'road' or 'wet', write data.classes: "
        "[{name: road, value: 255}, {name: wet, value: 255}]"
    )


def test_what_is_wrong_is_named(save):
    road, wet = save(ROAD, "road.png"), save(WET, "wet.png")
    with pytest.raises(DataError) as error:
        decoder().read(sample(wet, wet))
    assert str(error.value) == (
        f"{wet} (road): no class claims value 9 (2 pixels); "
        "assign it to a class in data.classes, like {name: .., value: 9}, or write data.ignore_values: [9]"
    )
    jpeg = save(np.zeros((4, 4, 3), np.uint8), "m.jpg")
    with pytest.raises(DataError, match=r"a JPEG changes the values of a mask"):
        decoder(["a", "b", "c"]).read(sample(jpeg))
    with pytest.raises(
        DataError, match=r"road\.png: has 1 channels of uint8; .+ one integer channel for each of the 2"
    ):
        decoder().read(sample(road))


def test_the_decoder_is_chosen_by_the_configuration():
    assert isinstance(decoder(), LayerDecoder)
    assert not build_decoder(DataConfig(root="x", classes=["a", "b"])).multilabel
