"""Pipelines of albumentations from the lists of an experiment; transforms of torchvision may be among them."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import albumentations
import cv2
import numpy as np
from albumentations.augmentations.crops.transforms import CropSizeError

from segtrain.config.libraries import find
from segtrain.config.section import suggest
from segtrain.errors import ConfigError, DataError, is_out_of_memory
from segtrain.formats.sample import Sample

TransformItem = str | dict[str, Any]

FRAME_KEEPING = ("Resize", "LongestMaxSize", "SmallestMaxSize", "NoOp")


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
        positions = np.flatnonzero(mask)
        if len(positions):
            height, width = mask.shape
            row, column = divmod(int(positions[self.py_random.randrange(len(positions))]), width)
            pad = chosen["pad_params"] or dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0)
            top = self._start(row + pad["pad_top"], self.height, height + pad["pad_top"] + pad["pad_bottom"])
            left = self._start(column + pad["pad_left"], self.width, width + pad["pad_left"] + pad["pad_right"])
            chosen["crop_coords"] = (left, top, left + self.width, top + self.height)
        return chosen

    def _start(self, pixel: int, length: int, size: int) -> int:
        """The first pixel of a window of `length` that holds `pixel`, on a line of `size` pixels."""
        return self.py_random.randint(max(0, pixel - length + 1), min(pixel, size - length))


def build_transform(
    items: Sequence[TransformItem], *, ignore_index: int, where: str = "transforms.train"
) -> albumentations.Compose:
    """A pipeline for an image (HWC uint8) and its mask (HW), from Name, Name: {arguments} or Name: [children].

    Every transform that fills what it uncovers fills masks with `ignore_index` unless told otherwise: albumentations'
    own default would make it class 0. Raises ConfigError, with the index in the list, for what a transform refuses.
    """
    children = [_build(item, ignore_index, f"{where}.{index}") for index, item in enumerate(items)]
    return albumentations.Compose(children, strict=True, seed=0)


def build_eval_transform(items: Sequence[TransformItem]) -> albumentations.Compose | None:
    """The pipeline of validation and prediction: pixel-level transforms and resizing, for the image alone; None if
    empty.

    Every transform is applied always, whatever its p is by default: an image has one score. Raises ConfigError for a
    transform that moves pixels within the frame (a prediction could not be laid on the image again), and for a p.
    """
    if not items:
        return None
    pipeline = build_transform(items, ignore_index=0, where="transforms.val")
    for index, child in enumerate(pipeline.transforms):
        name, arguments = split_item(items[index])
        if not isinstance(child, albumentations.ImageOnlyTransform) and name not in FRAME_KEEPING:
            allowed = f"pixel-level transforms of albumentations and {', '.join(FRAME_KEEPING[:3])}"
            reason = f"{name} may change the frame, but whole images are scored; only {allowed} are allowed here"
            raise ConfigError(f"transforms.val.{index}: {reason}")
        if (p := arguments.get("p", 1)) != 1:
            raise ConfigError(f"transforms.val.{index}: {name} with p {p} would make scores random; remove p")
        child.p = 1.0
    return pipeline


def split_item(item: TransformItem) -> tuple[str, dict[str, Any]]:
    """The name of a transform in a list of an experiment, and its arguments, children under `transforms`."""
    if isinstance(item, str):
        return item, {}
    name, arguments = next(iter(item.items()))
    return name, {"transforms": arguments} if isinstance(arguments, list) else dict(arguments or {})


def transform_names(items: Sequence[TransformItem]) -> Iterator[str]:
    """Every name in a list of transforms, those of children too."""
    for item in items:
        name, arguments = split_item(item)
        yield name
        yield from transform_names(arguments.get("transforms", []))


def _build(item: TransformItem, ignore_index: int, where: str) -> Any:
    name, arguments = split_item(item)
    target = find("transform", name)
    if target is albumentations.RandomCrop:
        target = ClassCrop
    of_torchvision = not issubclass(target, (albumentations.BasicTransform, albumentations.BaseCompose))
    if "transforms" in arguments:
        children = enumerate(arguments["transforms"])
        arguments["transforms"] = [_build(child, ignore_index, f"{where}.{name}.{index}") for index, child in children]
    parameters = inspect.signature(target).parameters
    for key in arguments.keys() - parameters.keys():  # the library would warn, and go on without it
        raise ConfigError(f"{where}: {name} has no argument '{key}'; {suggest(key, parameters)}")
    if "fill_mask" in parameters and parameters["fill_mask"].default is not None:  # None leaves the mask as it is
        arguments.setdefault("fill_mask", ignore_index)
    arguments = {key: _tuples(value) for key, value in arguments.items()}
    try:
        if of_torchvision:
            from segtrain.data.torchvision_transforms import build_torchvision

            return build_torchvision(target, arguments, ignore_index=ignore_index)
        return target(**arguments)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ConfigError(f"{where}: {name}: {_reason(error)}") from error


def _tuples(value: Any) -> Any:
    """YAML has lists only; where albumentations has ranges it wants tuples."""
    if isinstance(value, list) and all(isinstance(item, (int, float, list)) for item in value):
        return tuple(_tuples(item) for item in value)
    return value


def _reason(error: BaseException) -> str:
    """The sentence in a library's error that helps, in one line; albumentations hides it in a pydantic error."""
    cause = error.__cause__ or error
    details = getattr(cause, "errors", None)
    if not callable(details):
        return " ".join(str(error).split())
    reasons = []
    for item in details():
        key, text = ".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")
        whole = not key or item["type"] == "missing"  # then the input is all arguments together
        reasons.append(f"{key}: {text}".removeprefix(": ") + ("" if whole else f", not {item.get('input')!r}"))
    return "; ".join(reasons)


def apply(
    pipeline: albumentations.Compose, image: np.ndarray, mask: np.ndarray, seed: int, *, target: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Augment an image (HWC uint8, or float32 in 0..1) and its mask (HW, or CHW with a layer for each class); the
    outcome depends on `seed` alone. With a `target`, a RandomCrop takes a window that holds some of that class.

    Raises DataError where the image does not suit a transform, like a crop that is larger than the image.
    """
    for crop in _class_crops(pipeline):
        crop.target = target
    kind = "mask" if mask.ndim == 2 else "masks"
    result = _apply(pipeline, seed, "transforms.train", **{"image": image, kind: mask})
    return result["image"], result[kind]


def require_one_size(samples: Sequence[Sample], masks: Sequence[np.ndarray], what: str) -> None:
    """Raises DataError where the masks (HW or CHW) that augmentation has made differ in height and width. It names two
    samples; `what` says what they are together."""
    for sample, mask in zip(samples, masks, strict=True):
        if mask.shape != masks[0].shape:
            sizes = f"{samples[0].image} {masks[0].shape[-2:]} and {sample.image} {mask.shape[-2:]}"
            raise DataError(
                f"{what} differ in height and width: {sizes}; end transforms.train with RandomCrop: "
                f"{{height: 256, width: 256, pad_if_needed: true}}, or Resize"
            )


def _class_crops(pipeline: albumentations.BaseCompose) -> Iterator[ClassCrop]:
    for child in pipeline.transforms:
        if isinstance(child, albumentations.BaseCompose):
            yield from _class_crops(child)
        elif isinstance(child, ClassCrop):
            yield child


def resized(pipeline: albumentations.Compose | None, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of what apply_eval makes of an image of this size."""
    height, width = size
    for child in pipeline.transforms if pipeline is not None else ():
        if isinstance(child, albumentations.Resize):
            height, width = child.height, child.width
        elif isinstance(child, (albumentations.LongestMaxSize, albumentations.SmallestMaxSize)):
            most = max if isinstance(child, albumentations.SmallestMaxSize) else min
            wanted = child.max_size_hw or (child.max_size, child.max_size)
            sides = [max(side) if isinstance(side, (list, tuple)) else side for side in wanted]
            factor = most(
                side / max(own, 1) for side, own in zip(sides, (height, width), strict=True) if side is not None
            )
            height, width = max(round(height * factor), 1), max(round(width * factor), 1)
    return height, width


def apply_eval(pipeline: albumentations.Compose | None, image: np.ndarray) -> np.ndarray:
    """An image (HWC uint8, or float32 in 0..1) as validation and prediction see it: the same each time, even where a
    transform draws."""
    return image if pipeline is None else _apply(pipeline, 0, "transforms.val", image=image)["image"]


def _apply(pipeline: albumentations.Compose, seed: int, where: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    pipeline.set_random_seed(seed)
    try:
        result = pipeline(**arrays)
    except CropSizeError as error:
        raise DataError(f"{_reason(error)}; write pad_if_needed: true for the crop in {where}") from error
    # albumentations raises NotImplementedError, a RuntimeError, where a transform cannot take such images
    # (ChannelDropout, one channel); torchvision a TypeError, or a RuntimeError of torch.
    except (ValueError, TypeError, RuntimeError, cv2.error) as error:
        if is_out_of_memory(error):
            raise MemoryError(_reason(error)) from error
        raise DataError(f"{where}: {_reason(error)}") from error
    except KeyError as error:
        raise DataError(f"{where}: a transform needs {error}, but there are only {' and '.join(arrays)}") from error
    image, given = result["image"], arrays["image"]
    if image.dtype != given.dtype:
        what = f"returns images of {image.dtype} instead of {given.dtype}"
        raise DataError(f"{where}: a transform {what}; remove it: the model scales images itself")
    if image.shape[2:] != given.shape[2:]:
        what = f"returns images of shape {image.shape} for {given.shape}"
        raise DataError(f"{where}: a transform {what}; remove it: the model expects data.channels channels")
    return result
