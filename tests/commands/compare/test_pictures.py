"""Pictures of changed images: who is right where."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from segtrain.commands.compare.pictures import ONLY_COLORS, draw_change
from segtrain.config.schema import Config
from segtrain.inference.task import Task

TASKS = {
    mode: Task.of(Config.model_validate({"data": {"root": "d", "classes": ["a", "b"], **extra}}))
    for mode, extra in (("multiclass", {}), ("multilabel", {"multilabel": True, "masks": {"train": "{class}"}}))
}


@pytest.mark.parametrize("mode", TASKS)
def test_the_change_has_the_color_of_who_is_right(mode):
    mask = np.zeros((32, 96), np.uint8)
    mask[:, 64:] = 255
    first, second = mask.copy(), mask.copy()
    first[:, 32:], second[:, :32] = 1, 1  # the first is right to the left, the second in the middle
    if mode == "multilabel":
        mask, first, second = (np.stack([array, np.where(mask == 255, 255, 0)]) for array in (mask, first, second))
    image = np.full((32, 96, 3), 120, np.uint8)
    pictures = draw_change(image, mask, [first, second], TASKS[mode], names=("one", "two"))
    assert [name for name, _ in pictures] == ["image", "ground truth", "one", "two", "change"]
    file = io.BytesIO(base64.b64decode(pictures[-1][1].removeprefix("data:image/jpeg;base64,")))
    change = np.asarray(Image.open(file, formats=["JPEG"])).astype(int)
    expected = [ONLY_COLORS[0], ONLY_COLORS[1], (72, 72, 72)]  # dark and without color where ignored
    for column, color in zip((16, 48, 80), expected, strict=True):
        assert abs(change[16, column] - color).max() <= 4


def test_large_images_are_reduced():
    mask = np.zeros((100, 1000), np.uint8)
    pictures = dict(
        draw_change(np.zeros((100, 1000, 3), np.uint8), mask, [mask, mask], TASKS["multiclass"], names=("a", "b"))
    )
    for address in pictures.values():
        file = io.BytesIO(base64.b64decode(address.split(",")[1]))
        assert Image.open(file, formats=["JPEG"]).size == (334, 34)
