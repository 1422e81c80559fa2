"""A crop that can be asked to hold a class."""

from typing import Any

import albumentations
import numpy as np


class ClassCrop(albumentations.RandomCrop):
    """albumentations' RandomCrop; while `target` is a class index, the window holds a pixel of that class, if there is
    one: any such pixel and any such window with equal chance."""

    target: int | None = None

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """The window, as RandomCrop has it: crop_coords (left, top, right, bottom) in the padded image, pad_params."""
        chosen = super().get_params_dependent_on_data(params, data)
        if self.target is None:
            return chosen
        mask = data["mask"] == self.target if "mask" in data else data["masks"][self.target] == 1
        places = np.flatnonzero(mask)
        if len(places):
            height, width = mask.shape
            row, column = divmod(int(places[self.py_random.randrange(len(places))]), width)
            pad = chosen["pad_params"] or dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0)
            top = self._start(row + pad["pad_top"], self.height, height + pad["pad_top"] + pad["pad_bottom"])
            left = self._start(column + pad["pad_left"], self.width, width + pad["pad_left"] + pad["pad_right"])
            chosen["crop_coords"] = (left, top, left + self.width, top + self.height)
        return chosen

    def _start(self, pixel: int, length: int, size: int) -> int:
        """The first pixel of a window of `length` that holds `pixel`, on a line of `size` pixels."""
        return self.py_random.randint(max(0, pixel - length + 1), min(pixel, size - length))
