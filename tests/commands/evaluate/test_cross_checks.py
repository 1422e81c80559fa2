"""The numbers of an evaluation beside those of tools that others wrote: equal where the definitions agree."""

import json

import cv2
import numpy as np
import pycocotools.mask
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as cityscapes_tool
from cityscapesscripts.helpers.labels import id2label
from PIL import Image
from scipy import ndimage
from sklearn import metrics as sklearn_metrics
from torchmetrics.classification import (
    BinaryCalibrationError,
    BinaryJaccardIndex,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MultilabelConfusionMatrix,
    MultilabelJaccardIndex,
)

from segtrain.commands.evaluate.boundary import count_boundaries
from segtrain.commands.evaluate.report import compute_values
from segtrain.commands.evaluate.scores import Scores, score_predictions
from segtrain.commands.evaluate.source import find_split
from segtrain.config.rules import load_config
from segtrain.formats.dataset_info import load_dataset
from segtrain.images import rle
from segtrain.inference.score import score
from segtrain.inference.task import Task
from segtrain.metrics import compute_iou


def task_of(mode: str, classes: int) -> Task:
    names = [f"class {index}" for index in range(classes)]
    colors = [(index, 0, 0) for index in range(classes + (mode == "multilabel"))]
    thresholds = {"multiclass": [], "binary": [0.5], "multilabel": [0.5] * classes}[mode]
    return Task(mode=mode, names=names, colors=colors, thresholds=thresholds)


def draw(classes: int, *, layers: bool = False, seed: int = 0, images: int = 3):
    """Probabilities (N, K, 40, 60) that are right more often than not, and masks with a tenth ignored."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, classes, 40, 60) if layers else (images, 40, 60)
    masks = torch.randint(0, 2 if layers else classes, shape, generator=generator)
    hint = masks if layers else torch.nn.functional.one_hot(masks, classes).movedim(-1, 1)
    logits = torch.randn((images, classes, 40, 60), generator=generator) + (4 * hint - 2 if layers else 2 * hint)
    masks[torch.rand(shape, generator=generator) < 0.1] = 255
    return (logits.sigmoid() if layers else logits.softmax(1)), masks


def evaluate(task: Task, prediction: torch.Tensor, confidence: torch.Tensor, masks: torch.Tensor):
    """The scores and values of an evaluation of these images, in two batches."""
    counted = Scores(task)
    batches = [
        {
            "image": torch.zeros(len(masks[part]), 40, 60, 3, dtype=torch.uint8),
            "mask": masks[part].to(torch.uint8),
            "name": [str(index) for index in range(len(masks))[part]],
            "predicted": (prediction[part], confidence[part]),
        }
        for part in (slice(0, 2), slice(2, None))
    ]
    matrix = score(lambda batch: batch["predicted"], [batches], task, device=torch.device("cpu"), see=counted.add)
    scores = counted.finish(matrix)
    return scores, compute_values(scores, task.names)


def test_multiclass_with_torchmetrics_and_scikit_learn():
    probabilities, masks = draw(5)
    prediction = probabilities.argmax(1)
    scores, values = evaluate(task_of("multiclass", 5), prediction, probabilities.amax(1, keepdim=True), masks)
    assert torch.equal(
        torch.from_numpy(scores.matrix), MulticlassConfusionMatrix(5, ignore_index=255)(prediction, masks)
    )
    known = masks != 255
    true, guess = masks[known].numpy(), prediction[known].numpy()
    assert np.array_equal(scores.matrix, sklearn_metrics.confusion_matrix(true, guess))
    for key, tool, function in (
        ("iou", MulticlassJaccardIndex, sklearn_metrics.jaccard_score),
        ("dice", MulticlassF1Score, sklearn_metrics.f1_score),
    ):
        ours = np.array([values[f"{key}/class {index}"].value for index in range(5)])
        theirs = tool(5, average=None, ignore_index=255)(prediction, masks)
        assert np.array_equal(np.float32(ours), theirs.numpy())
        assert ours.tolist() == function(true, guess, average=None).tolist()
        assert values[f"m{key}"].value == pytest.approx(function(true, guess, average="macro"), abs=1e-15)
    theirs = MulticlassCalibrationError(5, n_bins=15, norm="l1", ignore_index=255)(probabilities, masks)
    assert values["calibration_error"].value == pytest.approx(float(theirs), abs=1e-6) and theirs > 0.05


def test_binary_with_torchmetrics_and_scikit_learn():
    probabilities, masks = draw(1, layers=True)
    prediction, masks = (probabilities[:, 0] >= 0.5).long(), masks[:, 0]
    scores, values = evaluate(task_of("binary", 2), prediction, probabilities, masks)
    known = masks != 255
    assert np.array_equal(scores.matrix, sklearn_metrics.confusion_matrix(masks[known], prediction[known]))
    assert values["iou/class 1"].value == sklearn_metrics.jaccard_score(masks[known], prediction[known])
    assert np.float32(values["iou/class 1"].value) == BinaryJaccardIndex(ignore_index=255)(prediction, masks)
    theirs = BinaryCalibrationError(n_bins=15, norm="l1", ignore_index=255)(probabilities[:, 0], masks)
    assert values["calibration_error"].value == pytest.approx(float(theirs), abs=1e-6) and theirs > 0.01


def test_multilabel_with_torchmetrics():
    probabilities, masks = draw(4, layers=True)
    prediction = (probabilities >= 0.5).long()
    scores, values = evaluate(task_of("multilabel", 4), prediction, probabilities, masks)
    theirs = MultilabelConfusionMatrix(4, ignore_index=255)(prediction, masks)
    assert torch.equal(torch.from_numpy(scores.matrix), theirs)
    theirs = MultilabelJaccardIndex(4, average=None, ignore_index=255)(prediction, masks)
    assert [np.float32(values[f"iou/class {index}"].value) for index in range(4)] == theirs.tolist()
    each = BinaryCalibrationError(n_bins=15, norm="l1", ignore_index=255)
    expected = np.mean([float(each(probabilities[:, index], masks[:, index])) for index in range(4)])
    assert values["calibration_error"].value == pytest.approx(expected, abs=1e-6)


def test_a_class_that_does_not_occur_is_in_no_mean_as_in_torchmetrics_and_scikit_learn():
    probabilities, masks = draw(3)
    prediction = probabilities.argmax(1)
    _, values = evaluate(task_of("multiclass", 4), prediction, probabilities.amax(1, keepdim=True), masks)
    known = masks != 255
    assert values["miou"].value == pytest.approx(
        sklearn_metrics.jaccard_score(masks[known], prediction[known], average="macro"), abs=1e-15
    )
    theirs = MulticlassJaccardIndex(4, average="macro", ignore_index=255)(prediction, masks)
    assert values["miou"].value == pytest.approx(float(theirs), abs=1e-6)
    with_zero = MulticlassJaccardIndex(4, average=None, ignore_index=255)(prediction, masks)
    assert with_zero[3] == 0 and np.isnan(values["iou/class 3"].value)  # where the definitions part


def boundary_by_erosion(mask: np.ndarray) -> np.ndarray:
    """As the authors' code has it: what a square of three pixels takes off in as many steps as the boundary is wide,
    beginning also from the border of the image."""
    steps = round(0.02 * float(np.hypot(*mask.shape)))
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=steps, border_value=0)


def test_boundaries_with_the_erosion_of_the_authors():
    rng = np.random.default_rng(0)
    blobs = [cv2.GaussianBlur(rng.normal(size=(200, 270, 4)), (0, 0), 9).argmax(2) for _ in range(2)]
    prediction, mask = np.where(np.arange(270) < 200, blobs[0], blobs[1]), blobs[0]
    iou = compute_iou(count_boundaries(prediction, mask, classes=4, ignore_index=255))
    for index in range(4):
        true, guess = boundary_by_erosion(mask == index), boundary_by_erosion(prediction == index)
        assert iou[index] == (true & guess).sum() / (true | guess).sum()
        assert 0.2 < iou[index] < 0.95


def test_run_lengths_with_pycocotools():
    _, masks = draw(2, images=1)
    mask = (masks[0] == 1).numpy().astype(np.uint8)
    other = np.roll(mask, 3, axis=1)
    encoded = [pycocotools.mask.encode(np.asfortranarray(item)) for item in (mask, other)]
    pixels = [rle.decode(rle.encode(item), *item.shape) for item in (mask, other)]
    assert [pycocotools.mask.encode(np.asfortranarray(item)) for item in pixels] == encoded
    theirs = pycocotools.mask.iou(encoded[:1], encoded[1:], [0])[0, 0]
    assert (pixels[0] & pixels[1]).sum() / (pixels[0] | pixels[1]).sum() == theirs


@pytest.fixture
def street(tmp_path):
    """Three frames in the layout of Cityscapes: all 34 label ids in ground truth, the 19 evaluated ones predicted, as
    label ids for its own evaluation and as class indices for ours."""
    train_ids = [item.values[0] for item in load_dataset("cityscapes").labels().classes]
    rng = np.random.default_rng(0)
    for split, city, frames in (("train", "aachen", 1), ("val", "munster", 1), ("val", "lindau", 2)):
        for frame in range(frames):
            name = f"{city}_{frame:06d}_000019"
            ids = np.kron(rng.integers(0, 34, (8, 12)), np.ones((6, 6), int)).astype(np.uint8)
            guess = np.where(rng.random(ids.shape) < 0.5, rng.integers(0, 18, ids.shape), 3)  # 18 is never predicted
            right = np.isin(ids, train_ids[:-1]) & (rng.random(ids.shape) < 0.6)
            guess[right] = [train_ids.index(number) for number in ids[right]]
            paths = {
                f"set/leftImg8bit/{split}/{city}/{name}_leftImg8bit.png": ids,
                f"set/gtFine/{split}/{city}/{name}_gtFine_labelIds.png": ids,
                f"results/{name}.png": np.array(train_ids)[guess],
                f"indices/{city}/{name}_leftImg8bit.png": guess,
            }
            for path, values in paths.items():
                if split == "val" or path.startswith("set"):
                    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(values.astype(np.uint8)).save(tmp_path / path)
    return tmp_path


def test_cityscapes_with_its_own_evaluation(street, monkeypatch):
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(street / "results"))
    settings = {
        "exportFile": str(street / "out" / "result.json"),
        "evalInstLevelScore": False,
        "quiet": True,
        "predictionPath": None,
        "predictionWalk": None,
        "evalLabels": [],
    }
    for key, value in settings.items():
        monkeypatch.setattr(cityscapes_tool.args, key, value)
    masks = sorted(map(str, street.glob("set/gtFine/val/*/*_labelIds.png")))
    predictions = [cityscapes_tool.getPrediction(cityscapes_tool.args, path) for path in masks]
    cityscapes_tool.evaluateImgLists(predictions, masks, cityscapes_tool.args)
    theirs = json.loads((street / "out" / "result.json").read_text())

    config = load_config(["data.format=cityscapes", f"data.root={street / 'set'}"])
    task = Task.of(config)
    scores = score_predictions(street / "indices", find_split(config, "val"), task)
    values = compute_values(scores, task.names)
    assert len(scores.names) == 3
    for item in load_dataset("cityscapes").labels().classes:
        assert values[f"iou/{item.name}"].value == theirs["classScores"][id2label[item.values[0]].name], item.name
    assert values["iou/bicycle"].value == 0 < values["iou/road"].value < 1
    assert values["miou"].value == pytest.approx(theirs["averageScoreClasses"], abs=1e-15)
