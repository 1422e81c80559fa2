import numpy as np
import pytest
from scipy import ndimage

from segtrain.commands.evaluate.boundary import boundary_width_px, count_boundaries, find_boundary
from segtrain.metrics import compute_iou


def square(first: int, last: int, side: int = 9) -> np.ndarray:
    """A square of class 1 on class 0, from row and column `first` to `last`."""
    mask = np.zeros((side, side), np.uint8)
    mask[first : last + 1, first : last + 1] = 1
    return mask


def boundary_by_distance(mask: np.ndarray, width_px: int) -> np.ndarray:
    """The definition, for one class: pixels of the mask at most `width_px` from outside of it or of the image."""
    padded = np.pad(mask, width_px + 1)
    distance = ndimage.distance_transform_cdt(padded, metric="chessboard")
    return mask & (distance[width_px + 1 : -width_px - 1, width_px + 1 : -width_px - 1] <= width_px)


def random_blobs(classes: int, seed: int, shape: tuple[int, int] = (60, 83)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=(classes, *shape)), (0, 4, 4)).argmax(0)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(360, 480, 12), (1024, 2048, 46), (9, 9, 1), (100, 125, 3), (100, 1000, 20)]
)
def test_the_width_is_two_percent_of_the_diagonal(height, width, expected):
    assert boundary_width_px(height, width) == expected


def test_a_square_by_hand():
    # 5 x 5 pixels of class 1: its outline is 16 of them. Class 0 has the border of the image, 32, and the ring of 24
    # around the square.
    labels = square(2, 6) + 1
    assert find_boundary(labels, 1)[labels == 2].sum() == 16
    assert find_boundary(labels, 1)[labels == 1].sum() == 56
    hit, true, predicted = count_boundaries(square(2, 6), square(2, 6), classes=2, ignore_index=255)
    assert hit.tolist() == true.tolist() == predicted.tolist() == [56, 16]


def test_a_square_that_is_one_pixel_off_by_hand():
    # The outlines of the squares, 16 pixels each, cross in 2; the union has 30.
    truth, guess = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    truth[2:7, 2:7], guess[3:8, 3:8] = 1, 1
    counts = count_boundaries(guess, truth, classes=2, ignore_index=255)
    assert counts[:, 1].tolist() == [2, 16, 16]
    assert compute_iou(counts)[1] == pytest.approx(2 / 30)


def test_it_sees_what_iou_does_not():
    truth, guess = square(10, 89, side=100), square(12, 87, side=100)
    counts = count_boundaries(guess, truth, classes=2, ignore_index=255)
    region = np.array([[76 * 76], [80 * 80], [76 * 76]])
    # d is 3: rings of 80**2 - 74**2 and 76**2 - 70**2 pixels share that of 76**2 - 74**2
    assert counts[:, 1].tolist() == [300, 924, 876]
    assert compute_iou(region)[0] > 0.9 and compute_iou(counts)[1] == pytest.approx(300 / 1500)


@pytest.mark.parametrize("classes", [2, 5, 300])
def test_all_classes_at_once_are_each_class_for_itself(classes):
    prediction, mask = random_blobs(classes, 1), random_blobs(classes, 2)
    prediction[:30] = mask[:30]
    mask[random_blobs(6, 3) == 0] = 65535
    counts = count_boundaries(prediction, mask, classes=classes, ignore_index=65535)
    width_px = boundary_width_px(*mask.shape)
    assert width_px == 2
    for index in range(classes):
        true = boundary_by_distance(mask == index, width_px)
        guess = boundary_by_distance((prediction == index) & (mask != 65535), width_px)
        assert counts[:, index].tolist() == [(true & guess).sum(), true.sum(), guess.sum()]
    assert counts[0].sum() > 0


def test_errors_in_ignored_pixels_cost_nothing():
    truth = square(2, 6)
    truth[:, 6:] = 255
    guess = square(2, 6)
    guess[3:5, 7:] = 1
    hit, true, predicted = count_boundaries(guess, truth, classes=2, ignore_index=255)
    assert hit.tolist() == true.tolist() == predicted.tolist()
    assert true[1] == 14  # 5 x 4 pixels are left, whose inside is 3 x 2


def test_a_mask_that_is_all_ignored_has_none():
    counts = count_boundaries(np.zeros((8, 8), int), np.full((8, 8), 255), classes=2, ignore_index=255)
    assert counts.tolist() == [[0, 0]] * 3
    assert np.isnan(compute_iou(counts)).all()


def test_layers_are_counted_each_for_itself():
    prediction, mask = (np.stack([random_blobs(2, seed + step) for step in range(3)]) for seed in (10, 20))
    mask[1, 20:40] = 255
    counts = count_boundaries(prediction, mask, classes=3, ignore_index=255)
    for index in range(3):
        alone = count_boundaries(prediction[index], mask[index], classes=2, ignore_index=255)
        assert counts[:, index].tolist() == alone[:, 1].tolist()
