import numpy as np
import pycocotools.mask
import pytest

from segtrain.images import rle

# 3 rows of 4 pixels, which are counted
#   1 4 7 10
#   2 5 8 11
#   3 6 9 12
RING = np.array([[0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 1, 1]], np.uint8)


def test_a_mask_that_is_read_by_hand():
    assert rle.encode(RING) == "4 4 9 1 11 2"
    decoded = rle.decode("4 4 9 1 11 2", 3, 4)
    assert decoded.dtype == np.uint8 and decoded.tolist() == RING.tolist()


def test_runs_in_another_order_and_runs_that_touch():
    assert rle.decode("11 2 9 1 4 2 6 2", 3, 4).tolist() == RING.tolist()


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        (np.zeros((2, 3), np.uint8), ""),
        (np.ones((2, 3), bool), "1 6"),
        (np.array([[0, 0, 7]]), "3 1"),
        (np.array([[0], [0], [-1.5]]), "3 1"),
    ],
)
def test_small_masks(mask, runs):
    assert rle.encode(mask) == runs
    assert rle.decode(runs, *mask.shape).tolist() == (mask != 0).astype(int).tolist()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_the_pixels_are_those_of_pycocotools(share):
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 50), (50, 1), (31, 64), (64, 31)):
        mask = (rng.random((height, width)) < share).astype(np.uint8)
        theirs = pycocotools.mask.encode(np.asfortranarray(mask))
        decoded = rle.decode(rle.encode(mask), height, width)
        assert np.array_equal(decoded, mask)
        assert pycocotools.mask.encode(np.asfortranarray(decoded)) == theirs
        counts = theirs["counts"].decode("ascii")
        assert np.array_equal(rle.runs_of_counts(counts, height, width), rle.find_runs(mask))


def test_counts_of_coco():
    runs = [[3, 4], [8, 1], [10, 2]]
    assert rle.runs_of_counts([3, 4, 1, 1, 1, 2], 3, 4).tolist() == rle.find_runs(RING).tolist() == runs
    assert rle.runs_of_counts([0, 12], 3, 4).tolist() == [[0, 12]]
    assert rle.runs_of_counts([12], 3, 4).tolist() == []
    pixels = np.zeros(12, np.uint16)
    rle.fill(pixels, np.array(runs), 300)
    assert (pixels.reshape((3, 4), order="F") == 300).astype(int).tolist() == RING.tolist()


BROKEN_COUNTS = [
    ([3, 4, 1], "its counts add up to 8 pixels, but the image has 12, 4 x 3"),
    ([3, 4, 6], "its counts add up to 13 pixels, but the image has 12, 4 x 3"),
    ([], "its counts are not valid numbers of pixels"),
    ([14, -2], "its counts are not valid numbers of pixels"),
    ([2**62, 2**62, 2**62, 2**62, 12], "its counts are not valid numbers of pixels"),
    ([6.0, 6.0], "its counts are not valid numbers of pixels"),
    (["6", "6"], "its counts are not valid numbers of pixels"),
    ([[6, 6]], "its counts are not valid numbers of pixels"),
    ("", "its counts are not valid numbers of pixels"),
    ("34", "its counts add up to 7 pixels, but the image has 12, 4 x 3"),
    ("3 4", "its compressed counts contain the invalid character ' '"),
    ("34\u00e9", "its compressed counts contain the invalid character '\u00e9'"),
    ("34P", "its compressed counts end in the middle of a number"),
]


@pytest.mark.parametrize(("counts", "text"), BROKEN_COUNTS)
def test_broken_counts(counts, text):
    with pytest.raises(ValueError) as error:
        rle.runs_of_counts(counts, 3, 4)
    assert str(error.value) == text


BROKEN = {
    "1 2 5": "has 3 numbers; a run consists of a start and a length",
    "1 two": "'two' is not a number; a run consists of a start and a length",
    "1 2.0": "'2.0' is not a number; a run consists of a start and a length",
    "-1 2": "'-1' is not a number; a run consists of a start and a length",
    "1 \u0662": "'\u0662' is not a number; a run consists of a start and a length",
    "0 2": "the run 0 2 is empty; starts are counted from 1, and lengths are at least 1",
    "5 0": "the run 5 0 is empty; starts are counted from 1, and lengths are at least 1",
    "1 1 12 2": "the run 12 2 ends past the 12 pixels of the image, 4 x 3",
    f"1 {10**30}": f"the run 1 {10**30} ends past the 12 pixels of the image, 4 x 3",
    "7 2 1 3 3 1": "the runs 1 3 and 3 1 overlap",
    "4 2 4 2": "the runs 4 2 and 4 2 overlap",
}


@pytest.mark.parametrize("runs", BROKEN)
def test_broken_runs(runs):
    with pytest.raises(ValueError) as error:
        rle.decode(runs, 3, 4)
    assert str(error.value) == BROKEN[runs]
