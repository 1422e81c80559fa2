import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.classification import (
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
    MultilabelAccuracy,
    MultilabelF1Score,
    MultilabelJaccardIndex,
    MultilabelPrecision,
    MultilabelRecall,
)

from segtrain.metrics import (
    MIOU_DEFINITION,
    MULTILABEL_DEFINITION,
    ConfusionMatrix,
    class_counts,
    class_scores,
    compute_iou,
    compute_metrics,
    format_table,
    mean_of_known,
)

GOLDEN = [[5, 1, 0], [2, 3, 1], [0, 0, 4]]  # rows: ground truth of 6, 6, 4 pixels; columns: 7, 4, 5 predicted
NAMES = ["sky", "road", "car"]


def draw(classes, *, ignore_index=255, seed=0, shape=(3, 20, 30)):
    """Prediction right in about half of the pixels, and a tenth of the mask ignored."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, classes, shape, generator=generator)
    guess = torch.randint(0, classes, shape, generator=generator)
    prediction = torch.where(torch.rand(shape, generator=generator) < 0.5, mask, guess)
    mask[torch.rand(shape, generator=generator) < 0.1] = ignore_index
    return prediction, mask


def count(prediction, mask, classes, **kwargs):
    confusion = ConfusionMatrix(classes, **kwargs)
    confusion.update(torch.as_tensor(prediction), torch.as_tensor(mask))
    return confusion


def test_rows_are_ground_truth_and_ignored_pixels_are_not_counted():
    confusion = count([[0, 1, 1], [2, 0, 7]], [[0, 0, 1], [1, 255, 255]], 3)
    assert confusion.matrix.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert confusion.matrix.dtype == torch.int64


def test_golden_scores():
    assert class_counts(GOLDEN).tolist() == [[5, 3, 4], [6, 6, 4], [7, 4, 5]]
    scores = class_scores(class_counts(GOLDEN))
    assert scores["iou"] == pytest.approx([5 / 8, 3 / 7, 4 / 5])
    assert scores["dice"] == pytest.approx([10 / 13, 6 / 10, 8 / 9])
    assert scores["precision"] == pytest.approx([5 / 7, 3 / 4, 4 / 5])
    assert scores["recall"] == pytest.approx([5 / 6, 3 / 6, 4 / 4])
    metrics = compute_metrics(torch.tensor(GOLDEN), NAMES)
    assert metrics["miou"] == pytest.approx((5 / 8 + 3 / 7 + 4 / 5) / 3)
    assert metrics["mdice"] == pytest.approx((10 / 13 + 6 / 10 + 8 / 9) / 3)
    assert metrics["pixel_accuracy"] == pytest.approx(12 / 16)
    assert metrics["mean_class_accuracy"] == metrics["mrecall"] == pytest.approx((5 / 6 + 1 / 2 + 1) / 3)
    assert metrics["mprecision"] == pytest.approx((5 / 7 + 3 / 4 + 4 / 5) / 3)
    assert metrics["fwiou"] == pytest.approx((6 * 5 / 8 + 6 * 3 / 7 + 4 * 4 / 5) / 16)
    assert metrics["iou/road"] == pytest.approx(3 / 7)
    assert len(metrics) == 7 + 4 * 3


def test_class_absent_from_both_is_nan_and_in_no_mean():
    metrics = compute_metrics([[3, 0, 1], [0, 0, 0], [0, 0, 4]], NAMES)
    assert all(math.isnan(metrics[f"{key}/road"]) for key in ("iou", "dice", "precision", "recall"))
    assert metrics["miou"] == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert metrics["mrecall"] == pytest.approx((3 / 4 + 1) / 2)


def test_class_that_is_only_predicted_lowers_miou_but_not_class_accuracy():
    metrics = compute_metrics([[3, 1, 0], [0, 0, 0], [0, 0, 4]], NAMES)
    assert metrics["iou/road"] == metrics["recall/road"] == metrics["precision/road"] == 0
    assert metrics["miou"] == pytest.approx((3 / 4 + 0 + 1) / 3)
    assert metrics["mrecall"] == pytest.approx((3 / 4 + 0 + 1) / 3)
    assert metrics["mean_class_accuracy"] == pytest.approx((3 / 4 + 1) / 2)


def test_class_that_is_never_predicted_has_precision_zero():
    metrics = compute_metrics([[3, 0, 0], [2, 0, 0], [0, 0, 4]], NAMES)
    assert metrics["precision/road"] == metrics["dice/road"] == 0
    assert metrics["mprecision"] == pytest.approx((3 / 5 + 0 + 1) / 3)


def test_nothing_counted_gives_nan_everywhere():
    confusion = count([[0, 1]], [[255, 255]], 2)
    assert confusion.matrix.sum() == 0
    assert all(math.isnan(value) for value in compute_metrics(confusion.matrix, ["a", "b"]).values())


def test_binary_is_two_classes():
    metrics = compute_metrics(count([[1, 1, 0, 0]], [[1, 0, 0, 255]], 2).matrix, ["background", "crack"])
    assert metrics["iou/crack"] == pytest.approx(1 / 2)
    assert metrics["iou/background"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_agrees_with_sklearn(classes):
    prediction, mask = draw(classes)
    matrix = count(prediction, mask, classes).matrix
    true, predicted = mask[mask != 255].numpy(), prediction[mask != 255].numpy()
    assert np.array_equal(matrix, sklearn_metrics.confusion_matrix(true, predicted))
    references = {
        "iou": sklearn_metrics.jaccard_score,
        "dice": sklearn_metrics.f1_score,
        "precision": sklearn_metrics.precision_score,
        "recall": sklearn_metrics.recall_score,
    }
    for key, scores in class_scores(class_counts(matrix)).items():
        assert scores == pytest.approx(references[key](true, predicted, average=None), abs=1e-12)
    metrics = compute_metrics(matrix, [str(index) for index in range(classes)])
    assert metrics["mean_class_accuracy"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(true, predicted))
    assert metrics["pixel_accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, predicted))
    assert metrics["fwiou"] == pytest.approx(sklearn_metrics.jaccard_score(true, predicted, average="weighted"))


def test_agrees_with_torchmetrics_also_where_classes_are_absent():
    prediction, mask = draw(4)
    prediction[prediction == 3] = 1  # class 3 is never predicted, class 5 only predicted, class 4 in neither
    prediction[0, 0, :5] = 5
    metrics = compute_metrics(count(prediction, mask, 6).matrix, list("abcdef"))
    for key, reference in (
        ("miou", MulticlassJaccardIndex),
        ("mdice", MulticlassF1Score),
        ("mprecision", MulticlassPrecision),
        ("mrecall", MulticlassRecall),
    ):
        expected = reference(6, average="macro", ignore_index=255)(prediction, mask)
        assert metrics[key] == pytest.approx(float(expected), abs=1e-6), key


@pytest.mark.parametrize("ignore_index", [255, -100, 0])
def test_any_ignore_index_even_one_of_the_classes(ignore_index):
    prediction, mask = draw(3, ignore_index=ignore_index)
    matrix = count(prediction, mask, 3, ignore_index=ignore_index).matrix
    assert matrix.sum() == (mask != ignore_index).sum()
    assert matrix.diag().sum() == ((mask == prediction) & (mask != ignore_index)).sum()


def test_parts_add_up_to_the_whole():
    prediction, mask = draw(5)
    whole = count(prediction, mask, 5)
    parts = [count(prediction[index], mask[index], 5) for index in range(3)]
    batches = ConfusionMatrix(5)
    for index in range(3):
        batches.update(prediction[index], mask[index])
    assert torch.equal(batches.matrix, whole.matrix)
    assert torch.equal(torch.stack([part.counts for part in parts]).sum(dim=0), whole.counts)
    assert parts[0].matrix.sum() == (mask[0] != 255).sum()


def test_layout_and_dtype_do_not_matter():
    prediction, mask = draw(200)
    turned = count(prediction.transpose(0, 2).to(torch.uint8), mask.transpose(0, 2).to(torch.uint8), 200)
    assert torch.equal(turned.matrix, count(prediction, mask, 200).matrix)
    assert count(torch.tensor([True, False]), torch.tensor([1, 0]), 2).matrix.tolist() == [[1, 0], [0, 1]]


def test_the_matrix_is_a_copy():
    confusion = count([0, 1], [0, 1], 2)
    confusion.matrix.fill_(9)
    assert confusion.matrix.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("prediction", "mask", "message"),
    [
        ([0, 1, 1], [0, 2, 3], r"2 mask pixels are neither a class \(0..1\) nor ignore_index \(255\)"),
        ([0, 1], [0, -1], "1 mask pixels are neither"),
        ([0, 2], [0, 0], r"1 predicted pixels are not a class \(0..1\)"),
        ([-1, 0], [1, 0], "1 predicted pixels are not"),
        ([2, 0], [-1, 0], "1 mask pixels are neither"),  # -1 * 2 + 2 would be the cell (0, 0)
    ],
)
def test_values_out_of_range_are_an_error_and_in_no_cell(prediction, mask, message):
    confusion = count(prediction, mask, 2)
    with pytest.raises(ValueError, match=message):
        _ = confusion.matrix


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"prediction \(1, 2\) and mask \(2, 1\) must have the same shape"):
        ConfusionMatrix(2).update(torch.zeros(1, 2, dtype=torch.int64), torch.zeros(2, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"expected class indices, got prediction of torch.float32"):
        ConfusionMatrix(2).update(torch.zeros(2), torch.zeros(2, dtype=torch.int64))


def test_the_counts_of_many_images_are_scored_at_once():
    counts = np.stack([class_counts(GOLDEN), [[0, 0, 4], [0, 3, 4], [0, 0, 5]]])
    iou = compute_iou(counts)
    assert iou[0].tolist() == compute_iou(class_counts(GOLDEN)).tolist()
    assert np.isnan(iou[1, 0]) and iou[1, 1:].tolist() == [0, 4 / 5]
    assert mean_of_known(iou).tolist() == [pytest.approx((5 / 8 + 3 / 7 + 4 / 5) / 3), (0 + 4 / 5) / 2]
    assert np.isnan(mean_of_known(iou[1:, :1]))


@pytest.mark.parametrize("layers", [False, True])
def test_each_image_has_a_matrix_of_its_own(layers):
    prediction, mask = draw(2, shape=(3, 4, 5, 6))
    confusion = ConfusionMatrix(4 if layers else 2, layers=layers)
    matrices = confusion.update(prediction, mask)
    assert torch.equal(matrices.sum(dim=0), confusion.matrix)
    for index in range(3):
        alone = ConfusionMatrix(4 if layers else 2, layers=layers)
        alone.update(prediction[index : index + 1], mask[index : index + 1])
        assert torch.equal(matrices[index], alone.matrix)


def test_table():
    assert format_table([[3, 1, 0], [0, 4, 0], [0, 0, 0]], ["sky", "pavement", "car"]).split("\n") == [
        "class        IoU    Dice  precision  recall   share",
        "---------------------------------------------------",
        "sky       0.7500  0.8571     1.0000  0.7500  50.00%",
        "pavement  0.8000  0.8889     0.8000  1.0000  50.00%",
        "car            -       -          -       -   0.00%",
        "---------------------------------------------------",
        "mean      0.7750  0.8730     0.9000  0.8750",
        "pixel accuracy 0.8750, mean class accuracy 0.8750, frequency-weighted IoU 0.7750",
        MIOU_DEFINITION,
    ]


def test_table_of_nothing():
    assert "nan" not in format_table(np.zeros((2, 2)), ["a", "b"])


# Truth and prediction of two overlapping classes on four pixels: by hand TP 1, FN 1, FP 1, TN 1 and TP 2, FN 0, FP 1.
LAYERS = torch.tensor([[[1, 1, 0, 0]], [[1, 0, 255, 1]]])[None], torch.tensor([[[1, 0, 1, 0]], [[1, 1, 1, 1]]])[None]


def test_overlapping_classes_are_counted_each_for_itself():
    mask, prediction = LAYERS
    confusion = ConfusionMatrix(2, layers=True)
    confusion.update(prediction, mask)
    assert confusion.matrix.tolist() == [[[1, 1], [1, 1]], [[0, 1], [0, 2]]]
    metrics = compute_metrics(confusion.matrix, ["road", "wet"])
    assert metrics["iou/road"] == pytest.approx(1 / 3) and metrics["iou/wet"] == pytest.approx(2 / 3)
    assert metrics["miou"] == pytest.approx(1 / 2) and metrics["pixel_accuracy"] == pytest.approx(4 / 7)
    assert metrics["recall/road"] == pytest.approx(1 / 2) and metrics["precision/wet"] == pytest.approx(2 / 3)
    assert metrics["fwiou"] == pytest.approx((2 / 3 + 2 * 2 / 3) / 4)
    lines = format_table(confusion.matrix, ["road", "wet"]).split("\n")
    assert lines[2].split() == ["road", "0.3333", "0.5000", "0.5000", "0.5000", "50.00%"]
    assert lines[3].split()[-1] == "66.67%" and lines[-1] == MULTILABEL_DEFINITION


def test_overlapping_classes_as_torchmetrics_has_them():
    generator = torch.Generator().manual_seed(3)
    mask = torch.randint(0, 2, (3, 5, 20, 30), generator=generator)
    prediction = torch.where(torch.rand(mask.shape, generator=generator) < 0.7, mask, 1 - mask)
    mask[torch.rand(mask.shape, generator=generator) < 0.1] = 255
    confusion = ConfusionMatrix(5, layers=True)
    for start in range(3):
        confusion.update(prediction[start : start + 1], mask[start : start + 1])
    ours = compute_metrics(confusion.matrix, [str(place) for place in range(5)])
    references = {
        "iou": MultilabelJaccardIndex,
        "dice": MultilabelF1Score,
        "precision": MultilabelPrecision,
        "recall": MultilabelRecall,
    }
    for kind, reference in references.items():
        theirs = reference(5, average="none", ignore_index=255)(prediction, mask).tolist()
        assert [ours[f"{kind}/{place}"] for place in range(5)] == pytest.approx(theirs), kind
    theirs = MultilabelAccuracy(5, average="micro", ignore_index=255)(prediction, mask)
    assert ours["pixel_accuracy"] == pytest.approx(float(theirs))


def test_a_layer_that_is_neither_0_nor_1_is_told():
    confusion = ConfusionMatrix(2, layers=True)
    confusion.update(torch.zeros(1, 2, 1, 1, dtype=torch.int64), torch.tensor([[[[0]], [[7]]]]))
    with pytest.raises(ValueError, match="1 mask pixels are neither a class"):
        _ = confusion.matrix


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_counts_the_same_and_never_waits_for_the_device():
    prediction, mask = draw(150)
    confusion = ConfusionMatrix(150, device="cuda")
    on_device = prediction.cuda(), mask.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        confusion.update(*on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(confusion.matrix, count(prediction, mask, 150).matrix)
