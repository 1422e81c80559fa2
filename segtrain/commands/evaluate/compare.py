"""Existing predictions, PNG files that anyone made: finding them, pairing them with images, reading them."""

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

LAYER_VALUES = (0, 1, 255)  # in the file of one class: no, and two ways to write yes


class PredictedSamples(RawSamples):
    """Images and masks with their predictions from a folder. Groups have `prediction` too, like the mask. Raises
    DataError as pair_predictions does, and when a prediction is read, as read_prediction does."""

    def __init__(self, folder: Path, samples: Sequence[Sample], decoder: Decoder, task: Task):
        super().__init__(samples, decoder, image_options=task.image_options)
        self.task = task
        self.files = pair_predictions(folder, samples, task)

    def batch(self, keys: list[int]) -> list[Batch]:
        """See RawSamples."""
        batches = super().batch(keys)
        images = {self.samples[index].name: self.samples[index].image for index in keys}
        for batch in batches:
            pairs = zip(batch["name"], batch["mask"].numpy(), strict=True)
            predictions = [read_prediction(self.files[name], images[name], mask, self.task) for name, mask in pairs]
            batch["prediction"] = masks_to_tensor(predictions)
        return batches


def pair_predictions(folder: Path, samples: Sequence[Sample], task: Task) -> dict[str, list[Path]]:
    """The files of each sample's prediction, by the sample's name: one, or in multilabel one for each class.

    A prediction is NAME.png in or below `folder`. NAME is the image's path without suffix, with as many of its folders
    as are needed, or the sample's name in the data set. In multilabel it is NAME_0_CLASS.png and so on, as predict.py
    writes them. Other files that begin with NAME_ are ignored. Raises DataError for predictions that are missing, that
    belong to no image, and for one that belongs to two.
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
    layered = task.mode == "multilabel"
    endings = [suffix.removesuffix(".png") for suffix in class_suffixes(task.names)] if layered else [""]
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
    """A prediction, like `mask`: HW class indices, or CHW layers of 0 and 1, int32. Where `mask` is ignored, it may
    hold anything.

    Raises DataError, which names the file, for another size than the mask's and a value that is not a class.
    """
    layered = task.mode == "multilabel"
    allowed = LAYER_VALUES if layered else range(len(task.names))
    layers = []
    for path, true in zip(paths, mask if layered else mask[None], strict=True):
        layer = read_mask(path, as_color=False)
        if layer.shape != true.shape:
            size = "{1} x {0} pixels".format
            raise DataError(f"{path}: is {size(*layer.shape)}, but its image {image} is {size(*true.shape)}")
        known, wrong = true != task.ignore_index, ~np.isin(layer, list(allowed))
        if (wrong & known).any():
            value = layer[wrong & known][0]
            listed = ", ".join(map(str, allowed)) if layered else f"0..{len(allowed) - 1}"
            count = int((layer[known] == value).sum())
            raise DataError(f"{path}: the value {value} ({count} pixels) is not a class; expected {listed}")
        layers.append(np.where(wrong, 0, layer))
    return (np.stack(layers) > 0).astype(np.int32) if layered else layers[0].astype(np.int32)
