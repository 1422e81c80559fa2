"""Predictions that are there already, as PNG files, made by anyone: found, paired with their images, read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtrain.data.dataset import Batch, RawSamples, masks_to_tensor
from segtrain.data.labels import Decoder
from segtrain.errors import DataError, name_some
from segtrain.formats.sample import Sample
from segtrain.images.reading import read_mask
from segtrain.inference.task import Task
from segtrain.visualize import class_suffixes

LAYER_VALUES = (0, 1, 255)  # of a prediction of one class: not there, and two ways to write that it is


class PredictedSamples(RawSamples):
    """Images and masks with their predictions from a folder, see pair_predictions: groups have `prediction` too, like
    the mask. Raises DataError for predictions that are missing or left over; for one that is wrong, when it is read."""

    def __init__(self, folder: Path, samples: Sequence[Sample], decoder: Decoder, task: Task):
        super().__init__(samples, decoder, image_options=task.image_options)
        self.task = task
        self.files = pair_predictions(folder, samples, task)

    def batch(self, keys: list[int]) -> list[Batch]:
        """See RawSamples; keys of several images of one size."""
        batches = super().batch(keys)
        images = {self.samples[index].name: self.samples[index].image for index in keys}
        for batch in batches:
            pairs = zip(batch["name"], batch["mask"].numpy(), strict=True)
            predictions = [read_prediction(self.files[name], images[name], mask, self.task) for name, mask in pairs]
            batch["prediction"] = masks_to_tensor(predictions)
        return batches


def pair_predictions(folder: Path, samples: Sequence[Sample], task: Task) -> dict[str, list[Path]]:
    """The files of the prediction of each sample, by its name: one, or in multilabel one for each class.

    A prediction lies below `folder` as NAME.png, where NAME is the image's file without its suffix, with as many of its
    folders as it takes (or the name of the sample in the data set); in multilabel as NAME_0_CLASS.png and so on, as
    predict.py writes them. NAME_ANYTHING.png beside it is left alone. Raises DataError for predictions that are
    missing, that belong to no image, and for one that belongs to two.
    """
    if not folder.is_dir():
        raise DataError(f"--against {folder}: is not a folder")
    files = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() == ".png" and not path.name.startswith(".")
    }
    if not files:
        raise DataError(f"--against {folder}: holds no PNG file; predictions are named after their images, NAME.png")
    suffixes = class_suffixes(task.names) if task.mode == "multilabel" else [".png"]
    endings = [suffix.removesuffix(".png") for suffix in suffixes]
    stems: dict[str, Sample] = {}
    missing = []
    for sample in samples:
        parts = Path(sample.image).with_suffix("").parts
        candidates = [sample.name, *("/".join(parts[first:]) for first in range(len(parts)))]
        stem = next((stem for stem in candidates if stem + endings[0] in files), None)
        if stem is None:
            missing.append(f"{Path(sample.image).with_suffix('').name}{endings[0]}.png")
        elif stem in stems:
            raise DataError(
                f"{files[stem + endings[0]]}: could belong to {stems[stem].image} and to {sample.image}; "
                "put predictions into folders like those of the images"
            )
        else:
            stems[stem] = sample
            missing += [f"{stem}{ending}.png" for ending in endings if stem + ending not in files]
    if missing:
        raise DataError(f"--against {folder}: {len(missing)} prediction(s) are missing: {name_some(missing)}")
    used = {stem + ending for stem in stems for ending in endings}
    others = [
        str(path)
        for key, path in files.items()
        if key not in used and not any(sign == "_" and key[:index] in stems for index, sign in enumerate(key))
    ]
    if others:
        raise DataError(f"{name_some(others)}: belongs to no image of the split; --split may name another one")
    return {sample.name: [files[stem + ending] for ending in endings] for stem, sample in stems.items()}


def read_prediction(paths: Sequence[Path], image: str, mask: np.ndarray, task: Task) -> np.ndarray:
    """A prediction, like `mask`: HW class indices, or CHW layers of 0 and 1, int32. What it holds where `mask` is
    ignored does not matter.

    Raises DataError, which names the file, for another size than the mask's and a value that is no class.
    """
    layers = [read_mask(path, as_color=False) for path in paths]
    for path, layer in zip(paths, layers, strict=True):
        if layer.shape != mask.shape[-2:]:
            size = "{1} x {0} pixels".format
            raise DataError(f"{path}: is {size(*layer.shape)}, but its image {image} is {size(*mask.shape[-2:])}")
    known = mask != task.ignore_index
    if task.mode != "multilabel":
        return _checked(layers[0], range(len(task.names)), known, paths[0])
    named = zip(layers, known, paths, strict=True)
    return np.stack([_checked(layer, LAYER_VALUES, there, path) > 0 for layer, there, path in named]).astype(np.int32)


def _checked(layer: np.ndarray, allowed: Sequence[int], known: np.ndarray, path: Path) -> np.ndarray:
    """The values; 0 for those that are not allowed, where that does not matter."""
    wrong = ~np.isin(layer, list(allowed))
    if (wrong & known).any():
        value = layer[wrong & known][0]
        listed = f"0..{len(allowed) - 1}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
        count = int((layer[known] == value).sum())
        raise DataError(f"{path}: holds the value {value} ({count} pixels), which is not a class; expected {listed}")
    return np.where(wrong, 0, layer).astype(np.int32)
