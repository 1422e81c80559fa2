from itertools import combinations

import cv2
import numpy as np
import pytest

from segtrain.visualize import (
    ERROR_COLOR,
    ERROR_IGNORED_COLOR,
    MARGIN_PX,
    class_suffixes,
    colorize,
    compare_panel,
    default_colors,
    flatten_both,
    flatten_layers,
    overlay,
    show_color,
    to_rgb,
)

NAMES = ["sky", "road", "car"]
COLORS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
PAINT = (10, 40, 100)  # a color that appears in a panel only where the image is


def distances(colors):
    """CIELAB distance of every pair; about 2 is just visible."""
    lab = cv2.cvtColor(np.float32([colors]) / 255, cv2.COLOR_RGB2LAB)[0]
    return [float(np.linalg.norm(one - other)) for one, other in combinations(lab, 2)]


def paint(height=192, width=256):
    return np.full((height, width, 3), PAINT, dtype=np.uint8)


def draw(image, mask, prediction, **arguments):
    return compare_panel(image, *flatten_both(mask, prediction, ignore_index=255), **arguments)


def find_pictures(panel):
    """Row, first column and last column of the first picture, by the color of its image."""
    rows, columns = np.nonzero((panel == PAINT).all(axis=2))
    return rows.min(), columns.min(), columns.max()


@pytest.mark.parametrize(("count", "least"), [(8, 45), (24, 30), (150, 13)])
def test_default_colors_are_far_apart_also_from_black_white_gray_and_the_error_color(count, least):
    colors = default_colors(count)
    assert min(distances(colors)) > least
    others = [(0, 0, 0), (255, 255, 255), ERROR_IGNORED_COLOR, ERROR_COLOR]
    assert min(distances([*colors, *others])) > min(least, 30)


def test_default_colors_are_one_fixed_sequence():
    assert default_colors(150)[:11] == default_colors(11)
    assert default_colors(0) == []
    assert len(set(default_colors(1000))) == 1000
    assert len(default_colors(5000)) == 5000
    assert all(0 <= value <= 255 and type(value) is int for color in default_colors(150) for value in color)


def test_colorize():
    picture = colorize(np.array([[0, 1], [2, 255]], dtype=np.uint8), COLORS)
    assert picture.tolist() == [[[200, 0, 0], [0, 200, 0]], [[0, 0, 200], [0, 0, 0]]]
    assert picture.dtype == np.uint8
    assert colorize(np.array([[0, 1]]), COLORS, ignore_index=0).tolist() == [[[0, 0, 0], [0, 200, 0]]]
    assert colorize(np.array([[-100, 1]]), COLORS, ignore_index=-100).tolist() == [[[0, 0, 0], [0, 200, 0]]]


def test_colorize_refuses_unknown_values():
    with pytest.raises(ValueError, match=r"mask value 3 is neither a class \(0..2\) nor 255"):
        colorize(np.array([[0, 3]]), COLORS)
    with pytest.raises(ValueError, match="mask value -1 is"):
        colorize(np.array([[0, -1]]), COLORS)
    with pytest.raises(ValueError, match=r"shape \(H, W\)"):
        colorize(np.zeros((1, 2, 2), dtype=int), COLORS)


def test_overlay_blends_and_spares_ignored_pixels():
    image = np.array([[[100, 100, 100], [100, 100, 100]]], dtype=np.uint8)
    color_mask = np.array([[[200, 0, 51], [200, 0, 51]]], dtype=np.uint8)
    assert overlay(image, color_mask, alpha=0.25).tolist() == [[[125, 75, 88]] * 2]  # 0.75 * 100 + 0.25 * 51 = 87.75
    spared = overlay(image, color_mask, alpha=1, ignored=np.array([[True, False]]))
    assert spared.tolist() == [[[100, 100, 100], [200, 0, 51]]]
    with pytest.raises(ValueError, match="of the same shape"):
        overlay(image, color_mask[:, :1])


def test_colors_and_classes_as_text():
    assert show_color((255, 0, 10)) == "#ff000a"
    assert class_suffixes(["sky", "road/lane"], "_prob") == ["_prob_0_sky.png", "_prob_1_road_lane.png"]


def test_panel_shows_image_truth_prediction_and_errors():
    mask = np.zeros((192, 256), dtype=np.uint8)
    mask[:, 100:] = 1
    mask[50, 7] = 255
    prediction = mask.astype(np.int64)
    prediction[50, 7] = 0
    prediction[20, 30] = 2
    panel = draw(paint(), mask, prediction, names=NAMES, colors=COLORS)
    top, left, _ = find_pictures(panel)
    assert left == MARGIN_PX
    assert panel.shape[1] == 4 * 256 + 5 * MARGIN_PX
    assert panel.shape[0] > top + 192 + MARGIN_PX
    image, truth, predicted, errors = (
        panel[top : top + 192, start : start + 256] for start in range(MARGIN_PX, panel.shape[1], 256 + MARGIN_PX)
    )
    assert (image == PAINT).all()
    sky, car = (124, 16, 40), (4, 16, 160)  # 0.4 * paint + 0.6 * color
    assert tuple(truth[20, 30]) == tuple(truth[0, 0]) == tuple(predicted[0, 0]) == sky
    assert tuple(truth[50, 7]) == PAINT
    assert tuple(predicted[20, 30]) == car
    assert tuple(errors[20, 30]) == ERROR_COLOR
    assert (errors == ERROR_COLOR).all(axis=2).sum() == 1
    assert tuple(errors[50, 7]) == ERROR_IGNORED_COLOR
    assert tuple(errors[0, 0]) == (48, 48, 48)  # 30 + 0.35 * (10 + 40 + 100) / 3 = 47.5, rounded to even


def test_panel_legend_has_the_classes_that_occur():
    mask = np.zeros((192, 256), dtype=int)
    panel = draw(paint(), mask, mask + 2, names=NAMES, colors=COLORS)
    top = find_pictures(panel)[0]
    legend = panel[top + 192 + MARGIN_PX :].reshape(-1, 3).tolist()
    assert list(COLORS[0]) in legend  # true
    assert list(COLORS[2]) in legend  # predicted
    assert list(ERROR_COLOR) in legend
    assert list(COLORS[1]) not in legend
    assert list(ERROR_IGNORED_COLOR) not in legend


def test_panel_enlarges_small_and_reduces_large_images():
    for height, width, shown in ((20, 30, 270), (512, 2048, 1024), (192, 256, 256)):
        mask = np.ones((height, width), dtype=int)
        left, right = find_pictures(draw(paint(height, width), mask, mask, names=NAMES, colors=COLORS))[1:]
        assert right - left + 1 == shown


def test_panel_wraps_the_legend_of_many_classes():
    mask = np.arange(192 * 256).reshape(192, 256) % 150
    names = [f"a rather long class name {index}" for index in range(150)]
    colors = default_colors(150)
    few = draw(paint(), mask % 3, mask % 3, names=names, colors=colors)
    many = draw(paint(), mask, mask, names=names, colors=colors)
    assert many.shape[1] == few.shape[1]
    assert many.shape[0] > few.shape[0] + 30 * 13  # at most five columns
    legend = {tuple(color) for color in many[few.shape[0] - 40 :].reshape(-1, 3).tolist()}
    assert set(colors) <= legend


def test_panel_survives_long_names_and_all_ignored():
    mask = np.full((192, 256), 255)
    panel = draw(paint(), mask, mask * 0, names=["ünï" * 300, "b", "c"], colors=COLORS)
    assert panel.shape[1] == 4 * 256 + 5 * MARGIN_PX


def test_panel_refuses_different_sizes():
    mask = np.zeros((192, 256), dtype=int)
    with pytest.raises(ValueError, match=r"must have the same size, got \[\(192, 256\), \(256, 192\)\]"):
        compare_panel(paint(), mask, mask.T, mask == 1, names=NAMES, colors=COLORS)


def test_small_layers_lie_on_large_ones():
    layers = np.array([[[1, 1, 0, 0, 255]], [[1, 1, 1, 1, 255]], [[0, 1, 0, 255, 255]]], np.uint8)
    assert flatten_layers(layers).tolist() == [[1, 3, 2, 2, 255]]
    assert flatten_layers(layers[::-1]).tolist() == [[3, 1, 2, 2, 255]]
    assert flatten_layers(layers, like=layers[[2, 0, 1]]).tolist() == [[1, 1, 2, 2, 255]]


def test_a_layer_below_another_is_an_error_too():
    mask = np.array([[[1, 1, 0, 0, 255]], [[1, 0, 1, 0, 255]]], np.uint8)
    prediction = np.array([[[1, 0, 0, 0, 1]], [[0, 0, 1, 1, 1]]], np.uint8)
    flat, predicted, wrong = flatten_both(mask, prediction, ignore_index=255)
    assert (flat.tolist(), predicted.tolist()) == ([[2, 1, 2, 0, 255]], [[1, 0, 2, 2, 2]])
    assert wrong.tolist() == [[True, True, False, True, False]]


def test_any_image_can_be_looked_at():
    rgb = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert to_rgb(rgb) is not None and (to_rgb(rgb) == rgb).all()
    assert to_rgb(rgb[..., :1])[0, 1].tolist() == [3, 3, 3] and to_rgb(rgb[..., :2])[0, 1].tolist() == [3, 3, 3]
    ramp = np.linspace(0.2, 0.3, 1001, dtype=np.float32).reshape(-1, 1, 1)
    stretched = to_rgb(np.repeat(ramp, 5, axis=2))
    assert stretched.dtype == np.uint8 and stretched.shape == (1001, 1, 3)
    assert (
        stretched[0, 0, 0] == stretched[10, 0, 0] == 0 and stretched[500, 0, 1] == 127 and stretched[-10, 0, 0] == 255
    )
    assert to_rgb(np.zeros((2, 2, 3), np.float32)).max() == 0
