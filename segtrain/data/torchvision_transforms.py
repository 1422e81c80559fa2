"""Transforms of torchvision.transforms.v2 as members of a pipeline of albumentations: image and mask move together.

https://docs.pytorch.org/vision/stable/transforms.html: a v2 transform draws once for all tv_tensors of a sample, moves
masks with nearest neighbors and leaves their values alone where it changes colors.
"""

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import albumentations
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2


class TorchvisionTransform(albumentations.DualTransform):
    """A transform of torchvision, applied to image and masks at once; whether it does anything is its own choice.

    Its random numbers come from the sample's seed: the generator of torch, which it draws from, is set for the call and
    put back after it.
    """

    def __init__(self, transform: v2.Transform):
        super().__init__(p=1.0)
        self.transform = transform

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """`made`: the image (HWC) and the masks (HW each), both moved and with their dtypes."""
        masks = [data["mask"]] if "mask" in data else list(data.get("masks", ()))
        sample = [tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(data["image"].transpose(2, 0, 1))))]
        sample += [tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(mask))) for mask in masks]
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RandomErasing says that it leaves masks alone, as it should
            torch.manual_seed(self.py_random.getrandbits(63))
            image, *moved = self.transform(sample)
        return {"made": [image.numpy().transpose(1, 2, 0), *(mask.numpy() for mask in moved)]}

    def apply(self, img: np.ndarray, made: Sequence[np.ndarray], **params: Any) -> np.ndarray:
        """The image that was made."""
        return np.ascontiguousarray(made[0])

    def apply_to_mask(self, mask: np.ndarray, made: Sequence[np.ndarray], **params: Any) -> np.ndarray:
        """The mask that was made."""
        return made[1]

    def apply_to_masks(self, masks: np.ndarray, made: Sequence[np.ndarray], **params: Any) -> np.ndarray:
        """The masks that were made, CHW."""
        return np.stack(made[1:])


def build_torchvision(target: type[v2.Transform], arguments: dict[str, Any], *, ignore_index: int) -> Any:
    """A transform of torchvision for a pipeline, which fills masks with `ignore_index` where it uncovers something:
    torchvision's own default would make it class 0. `fill` is the image's; interpolation is a word, like bilinear, and
    holds for images alone. Raises what the transform raises for its arguments."""
    if "fill" in inspect.signature(target).parameters:
        arguments["fill"] = {tv_tensors.Image: arguments.get("fill", 0), tv_tensors.Mask: ignore_index}
    if isinstance(arguments.get("interpolation"), str):
        arguments["interpolation"] = InterpolationMode(arguments["interpolation"])
    return TorchvisionTransform(target(**arguments))
