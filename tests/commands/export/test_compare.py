from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segtrain.commands.export.compare import LIMITS, Difference, Limits, compare, compute_mious
from segtrain.commands.export.graph import ExportError
from segtrain.commands.export.images import (
    batches_of,
    calibration_images,
    fit_image,
    images_to_compare,
    read_prepared,
    spread,
)
from segtrain.errors import DataError
from segtrain.formats.sample import Sample, SampleTable
from segtrain.images.reading import read_image
from segtrain.inference.predictor import Predictor
from segtrain.inference.runtimes.exported import ExportedNetwork
from tests.commands.export.exporting import CPU, config_of, images_of, options_of, tiny_network
from tests.conftest import draw_folders


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """Two images of 60 x 90 pixels."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, path in enumerate(paths):
        assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (60, 90, 3), dtype=np.uint8))
    return paths


def exported_as(network, run, **changes) -> ExportedNetwork:
    note = options_of(**changes).note(network.task)
    return ExportedNetwork(note, CPU, run, Path("model.onnx"))


def test_what_is_equal_does_not_differ(images):
    network = tiny_network()
    found = compare(network, exported_as(network, network.probabilities), images)
    # of each image 1 x 60 x 90, 3 x 51 x 67 and 2 x 41 x 23
    assert found == Difference(0.0, (1, 3, 60, 90), 0, 2 * (60 * 90 + 3 * 51 * 67 + 2 * 41 * 23), 3)
    assert Limits(0.0, 0.0, 0.0).explain(found) == ""


def test_the_largest_difference_and_where_it_is(images):
    network = tiny_network()

    def run(given):
        probabilities = network.probabilities(given).clone()
        if given.shape[2] == 41:
            probabilities[1, :, 5, 7] = torch.tensor([1.5, 0.0, 0.0])
        return probabilities

    small = [[*batches_of(read_prepared(path, network.task), None)][2] for path in images]
    changed = sum(int(network.probabilities(batch)[1, :, 5, 7].argmax() != 0) for batch in small)
    found = compare(network, exported_as(network, run), images)
    assert found.where == (2, 3, 41, 23) and 0.5 < found.largest <= 1.5
    assert found.changed == changed > 0
    assert str(found).startswith(f"largest difference in probability {found.largest:.2g} (at 2 x 41 x 23 pixels), 0.00")
    passes = f"a probability differs by {found.largest:.4g}, but at most {{}} is accepted (--max-difference)"
    assert LIMITS["fp32"].explain(found) == passes.format("0.001")
    assert Limits(0.4, 1.0, 1.0).explain(found) == passes.format("0.4")


@pytest.mark.parametrize("height", [60, 41])  # of the first batch and the last
def test_no_number_does_not_pass(images, height):
    network = tiny_network()

    def run(given):
        return network.probabilities(given) * (float("nan") if given.shape[2] == height else 1.0)

    found = compare(network, exported_as(network, run), images)
    assert np.isnan(found.largest)
    assert Limits(1.0, 1.0, 1.0).explain(found) == (
        "a probability differs by nan, but at most 1 is accepted (--max-difference)"
    )


def test_labels_alone_are_compared_where_labels_come_out(images):
    network = tiny_network()

    def run(given):
        labels = network.probabilities(given).argmax(1)
        labels[:, 0, :2] = (labels[:, 0, :2] + 1) % 3
        return labels.to(torch.uint8)

    found = compare(network, exported_as(network, run, labels=True), images)
    labels = 2 * (60 * 90 + 3 * 51 * 67 + 2 * 41 * 23)
    assert found.largest is None and (found.changed, found.labels) == (2 * (1 + 3 + 2) * 2, labels)
    assert str(found) == "0.0684% of 35,074 labels change, in batches of 3 shapes"
    assert LIMITS["fp32"].explain(found) == ""
    reason = Limits(0.0, 0.0005, 0.0).explain(found)
    assert reason == "0.0684% of the labels change, but at most 0.05% may (--max-changed)"


def test_a_rare_class_that_is_gone_is_seen_in_the_score(images, tmp_path):
    network = tiny_network(1)
    found = Predictor([network]).probabilities([read_image(path) for path in images])
    network.task = network.task.with_thresholds([float(found.flatten().quantile(0.95))])
    samples = []
    for path in images:  # ground truth that the network meets
        mask = tmp_path / f"{path.stem}.mask.png"
        assert cv2.imwrite(str(mask), Predictor([network]).predict(read_image(path)).astype(np.uint8))
        samples.append(Sample(path.stem, str(path), str(mask)))
    empty = exported_as(network, lambda given: torch.zeros(len(given), 1, *given.shape[2:]))
    assert LIMITS["int8"].explain(compare(network, empty, images)) == ""
    (before, after), _ = compute_mious([network, empty], SampleTable(samples), config_of(1))
    # of the background 95% are hit
    assert before == 1 and after == pytest.approx((0.95 + 0) / 2, abs=1e-4)
    assert LIMITS["int8"].explain_loss(before, after).startswith("0.5250 of mIoU is lost")


def test_what_is_lost_in_the_score():
    assert LIMITS["int8"].explain_loss(0.75, 0.71) == "" and LIMITS["int8"].explain_loss(0.5, 0.6) == ""
    reason = "0.0600 of mIoU is lost, but at most 0.05 is accepted (--max-loss)"
    assert LIMITS["int8"].explain_loss(0.75, 0.69) == reason
    assert LIMITS["int8"].explain_loss(float("nan"), float("nan")) == ""  # no pixel is labeled


def test_one_size_is_compared_at_that_size(images):
    network, shapes = tiny_network(), []

    def run(given):
        shapes.append(tuple(given.shape))
        return network.probabilities(given)

    assert compare(network, exported_as(network, run, size=(48, 120)), images[:1]).shapes == 2
    assert shapes == [(1, 3, 48, 120), (3, 3, 48, 120)]


def test_a_form_that_fails_says_on_what(images):
    def run(given):
        raise RuntimeError("The following operation failed in the TorchScript interpreter.\n\nbad shape\n")

    def fails(**changes) -> str:
        with pytest.raises(ExportError) as error:
            compare(tiny_network(), exported_as(tiny_network(), run, **changes), images)
        return str(error.value)

    assert fails() == "the exported model fails on 1 x 60 x 90 pixels: bad shape; write --size H W"
    advice = "write another --to"
    assert fails(size=(48, 64)) == f"the exported model fails on 1 x 48 x 64 pixels: bad shape; {advice}"


def test_batches_have_odd_sides_and_several_images():
    def shapes(height: int, width: int) -> list[tuple[int, ...]]:
        return [(len(batch), *batch.shape[2:]) for batch in batches_of(images_of(1, height, width), None)]

    assert shapes(60, 90) == [(1, 60, 90), (3, 51, 67), (2, 41, 23)]
    assert shapes(1, 1) == [(1, 1, 1), (3, 1, 1), (2, 1, 1)]


def test_images_are_cut_or_continued():
    image = torch.arange(6, dtype=torch.uint8).view(1, 1, 2, 3)
    assert fit_image(image, (1, 5)).tolist() == [[[[0, 1, 2, 2, 2]]]]
    assert fit_image(image, None) is image


def test_which_images_are_taken(images, tmp_path):
    assert spread(range(10), 4) == [0, 3, 6, 9] and spread([7], 4) == [7]
    samples = SampleTable(Sample(str(index), f"{index}.png", "") for index in range(100))
    chosen = images_to_compare(None, samples, output=tmp_path / "model.onnx")
    assert [path.name for path in chosen] == [f"{index}.png" for index in (0, 14, 28, 42, 57, 71, 85, 99)]
    assert images_to_compare(str(tmp_path), None, output=tmp_path / "model.onnx") == images
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "film.mp4").touch()
    with pytest.raises(DataError) as error:
        images_to_compare(str(tmp_path / "films"), None, output=tmp_path / "model.onnx")
    assert str(error.value) == f"--images {tmp_path / 'films'}: contains only videos; give a folder of images"


def test_calibration_images_come_one_after_the_other(images):
    samples = SampleTable(Sample(path.name, str(path), "") for path in images)
    give = calibration_images(samples, tiny_network().task, None)
    assert [tuple(image.shape) for image in give()] == [(1, 3, 60, 90)] * 2
    first, again = next(give()), next(give())
    assert torch.equal(first, again) and first.dtype == torch.uint8
    images[0].unlink()
    images[1].unlink()
    unread = give()  # nothing is read before it is asked for
    with pytest.raises(DataError):
        next(unread)


@pytest.mark.parametrize("classes", [1, 3])
def test_miou_is_that_of_the_predictor(tmp_path, classes):
    root = draw_folders(tmp_path / "data", val=3, classes=classes + (classes == 1))
    network = tiny_network(classes)
    config = config_of(
        classes,
        root=str(root),
        images={"train": "train/images", "val": "val/images"},
        masks={"train": "train/masks", "val": "val/masks"},
    )
    samples = SampleTable(
        Sample(path.stem, str(path), str(root / "val/masks" / path.name))
        for path in sorted((root / "val/images").iterdir())
    )
    mious, images = compute_mious([network, network], samples, config)
    assert images == 3 and mious[0] == mious[1]
    hits, unions = np.zeros(3), np.zeros(3)
    for sample in samples:
        mask = cv2.imread(sample.mask, cv2.IMREAD_GRAYSCALE)
        prediction = Predictor([network]).predict(cv2.imread(sample.image)[..., ::-1])
        for index in range(3):
            seen = mask != 255
            hits[index] += ((mask == index) & (prediction == index) & seen).sum()
            unions[index] += (((mask == index) | (prediction == index)) & seen).sum()
    there = unions > 0
    assert mious[0] == pytest.approx((hits[there] / unions[there]).mean())
