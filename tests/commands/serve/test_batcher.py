import threading

import numpy as np
import pytest

from segtrain.commands.serve.batcher import Batcher
from segtrain.inference.options import InferOptions
from segtrain.inference.predictor import Predictor
from tests.commands.serve.serving import PATIENCE_S, Gate, Picky, draw


def batcher_of(network, *, batch_size=4, max_pixels=10_000) -> Batcher:
    return Batcher(Predictor([network], InferOptions(batch_size=batch_size)), max_pixels=max_pixels)


def labels_of(images, network, **options) -> tuple[list[int], list[np.ndarray]]:
    """Sizes of the batches and the labels, where the images come while a first one is computed."""
    batcher = batcher_of(network, **options)
    first = batcher.submit(draw(99))
    assert network.entered.wait(PATIENCE_S)
    waiting = [batcher.submit(image) for image in images]
    network.opened.set()
    labels = [job.result(PATIENCE_S) for job in (first, *waiting)]
    batcher.close()
    assert (batcher.images, batcher.batches) == (len(labels), len(network.sizes))
    return network.sizes, labels


def test_an_image_alone_does_not_wait():
    network = Gate()
    network.opened.set()
    batcher = batcher_of(network)
    for seed in range(3):
        image = draw(seed)
        assert np.array_equal(batcher.submit(image).result(PATIENCE_S), image.argmax(2))
    batcher.close()
    assert network.sizes == [1, 1, 1]


def test_what_waits_is_taken_together():
    images = [draw(seed) for seed in range(9)]
    sizes, labels = labels_of(images, Gate())
    assert sizes == [1, 4, 4, 1]
    for image, label in zip([draw(99), *images], labels, strict=True):
        assert np.array_equal(label, image.argmax(2))


def test_only_images_of_one_size_go_together_and_none_is_passed_over():
    small, wide = [draw(seed) for seed in range(4)], [draw(seed, width=40) for seed in range(4)]
    images = [wide[0], small[0], wide[1], small[1], small[2], wide[2], wide[3], small[3]]
    sizes, labels = labels_of(images, Gate(), batch_size=3)
    assert sizes == [1, 3, 3, 1, 1]
    for image, label in zip([draw(99), *images], labels, strict=True):
        assert np.array_equal(label, image.argmax(2))


def test_a_batch_has_no_more_pixels_than_one_image_may_have():
    sizes, _ = labels_of([draw(seed) for seed in range(4)], Gate(), max_pixels=2100)  # 30 x 20 are padded to 32 x 32
    assert sizes == [1, 2, 2]
    sizes, _ = labels_of([draw(seed) for seed in range(2)], Gate(), max_pixels=100)
    assert sizes == [1, 1, 1]


class PickyGate(Gate, Picky):
    """Waits, then fails at images with a white corner."""


def test_one_bad_image_does_not_spoil_the_others():
    images = [draw(seed) for seed in range(4)]
    images[2][0, 0] = 255
    network = PickyGate()
    batcher = batcher_of(network)
    jobs = [batcher.submit(draw(99))]
    assert network.entered.wait(PATIENCE_S)
    jobs += [batcher.submit(image) for image in images]
    network.opened.set()
    with pytest.raises(RuntimeError, match=r"^a white corner$"):
        jobs.pop(3).result(PATIENCE_S)
    good = [draw(99), *images[:2], images[3]]
    assert all(np.array_equal(job.result(PATIENCE_S), image.argmax(2)) for job, image in zip(jobs, good, strict=True))
    batcher.close()
    assert network.sizes == [1, 4, 1, 1, 1, 1]


def test_what_nobody_waits_for_is_left_out():
    network = Gate()
    batcher = batcher_of(network)
    first = batcher.submit(draw(0))
    assert network.entered.wait(PATIENCE_S)
    jobs = [batcher.submit(draw(seed)) for seed in range(3)]
    assert jobs[1].cancel() and not first.cancel()
    network.opened.set()
    assert np.array_equal(jobs[2].result(PATIENCE_S), draw(2).argmax(2))
    batcher.close()
    assert network.sizes == [1, 2]


def test_close_ends_the_thread_after_what_waits():
    before = threading.active_count()
    network = Gate()
    batcher = batcher_of(network, batch_size=1)
    jobs = [batcher.submit(draw(seed)) for seed in range(3)]
    network.opened.set()
    batcher.close()
    assert all(job.done() for job in jobs) and threading.active_count() == before
