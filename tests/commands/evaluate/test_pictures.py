"""Which images are shown as the worst, and how."""

import numpy as np
import torch
from PIL import Image

from segtrain.commands.evaluate.pictures import GAP_PX, draw_calibration, draw_panel, draw_sheet
from segtrain.commands.evaluate.probabilities import BINS
from segtrain.commands.evaluate.scores import Scores, Shown
from segtrain.inference.score import score
from segtrain.inference.task import Task

TASK = Task(mode="multiclass", names=["a", "b"], colors=[(200, 0, 0), (0, 0, 200)])
LAYERS = Task(
    mode="multilabel", names=["a", "b"], colors=[(60, 60, 60), (200, 0, 0), (0, 0, 200)], thresholds=[0.5, 0.5]
)


def evaluate(task: Task, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Scores:
    """The scores of predictions and masks, each an image of its own whose pixels are all its index."""
    counted = Scores(task)
    batches = [
        {
            "image": torch.full((1, *mask.shape[-2:], 3), index, dtype=torch.uint8),
            "mask": torch.from_numpy(mask)[None],
            "name": [f"image {index}"],
            "prediction": torch.from_numpy(prediction)[None],
        }
        for index, (prediction, mask) in enumerate(pairs)
    ]
    matrix = score(
        lambda batch: (batch["prediction"], None), [batches], task, device=torch.device("cpu"), see=counted.add
    )
    return counted.finish(matrix)


def with_errors(wrong: list[int], side: int = 20) -> Scores:
    """Images of one class, in each of which so many pixels are predicted as the other; -1 is one that is ignored."""
    pairs = []
    for count in wrong:
        prediction = np.zeros(side * side, np.int64)
        prediction[: max(count, 0)] = 1
        pairs.append((prediction.reshape(side, side), np.full((side, side), 255 if count < 0 else 0, np.uint8)))
    return evaluate(TASK, pairs)


def test_the_worst_twelve_are_kept_in_order_and_those_without_a_pixel_are_not():
    counts = [5, 90, 20, -1, 70, 10, 60, 30, 80, 40, 50, 15, 25, 35, 90]
    worst = with_errors(counts).worst
    order = [1, 14, 8, 4, 6, 10, 9, 13, 7, 12, 2, 11]  # of the two with 90, the one that came first is first
    assert [shown.name for shown in worst] == [f"image {index}" for index in order]
    assert worst[0].miou == ((400 - 90) / 400 + 0) / 2
    assert [int(shown.image[0, 0, 0]) for shown in worst] == order
    assert (worst[0].mask == 0).all() and worst[0].prediction.sum() == 90


def test_large_pictures_are_reduced_and_hold_on_to_nothing():
    (shown,) = with_errors([1000], side=1000).worst
    assert shown.image.shape == (500, 500, 3) and shown.mask.shape == shown.prediction.shape == (500, 500)
    assert shown.image.base is None and shown.mask.base is None and shown.prediction.base is None


def test_layers_are_shown_flat():
    mask = np.array([[[1, 0, 255]], [[1, 0, 255]]], np.uint8)
    prediction = np.array([[[1, 1, 0]], [[0, 0, 1]]])
    (shown,) = evaluate(LAYERS, [(prediction, mask)]).worst
    assert shown.mask.tolist() == [[2, 0, 255]] and shown.prediction.tolist() == [[1, 1, 2]]
    assert shown.miou == (1 / 2 + 0) / 2


def test_the_sheet_has_two_columns_with_the_panels_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    shown = [
        Shown(f"image {index}", 0.1 * index, rng.integers(0, 256, (30, width, 3), np.uint8), *2 * [mask], mask == 1)
        for index, width in enumerate((40, 50, 40))
        for mask in [np.zeros((30, width), np.uint8)]
    ]
    panels = [draw_panel(item, TASK) for item in shown]
    draw_sheet(shown, panels, tmp_path / "worst.png")
    sheet = np.asarray(Image.open(tmp_path / "worst.png"))
    width = max(panel.shape[1] for panel in panels)
    assert sheet.shape[1] == 2 * (width + GAP_PX) + GAP_PX
    for index, left in ((1, GAP_PX + width + GAP_PX), (2, GAP_PX)):
        height, own_width = panels[index].shape[:2]
        top = sheet.shape[0] - GAP_PX - height if index == 2 else GAP_PX + 35
        assert np.array_equal(sheet[top : top + height, left : left + own_width], panels[index])


def test_a_sheet_and_a_diagram_of_nothing(tmp_path):
    draw_sheet([], [], tmp_path / "worst.png")
    draw_calibration(np.zeros((3, 1, BINS)), TASK, tmp_path / "calibration.png")
    with Image.open(tmp_path / "calibration.png") as picture:
        assert picture.size == (700, 800)


def test_a_diagram_of_what_is_overconfident(tmp_path):
    counted = np.zeros((3, 2, BINS))
    counted[:, 0, 13], counted[:, 1, 4] = (100, 90, 60), (50, 15, 15)
    draw_calibration(counted, LAYERS, tmp_path / "calibration.png")
    picture = np.asarray(Image.open(tmp_path / "calibration.png").convert("RGB")).astype(int)
    blue = (abs(picture - [42, 120, 214]).sum(axis=2) < 30)[200:560]
    columns = np.flatnonzero(blue.sum(axis=0) > 100)  # the bars: 60 % and 30 % of the height
    assert len(np.flatnonzero(np.diff(columns) > 50)) == 1
    heights = [blue[:, columns[0] + 5].sum(), blue[:, columns[-1] - 5].sum()]
    assert 1.8 < heights[1] / heights[0] < 2.2
