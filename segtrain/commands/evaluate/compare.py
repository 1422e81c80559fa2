"""Existing predictions, PNG and TIFF files that anyone made: finding them, pairing them with images, reading them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from segtrain.config.data_schema import pack_color, show_value
from segtrain.data.dataset import Batch, RawSamples
from segtrain.data.labels import Decoder
from segtrain.errors import ConfigError, DataError, name_some
from segtrain.files import split_window
from segtrain.formats.sample import Sample, SampleTable
from segtrain.images.reading import read_layers, read_picture
from segtrain.inference.task import Task
from segtrain.visualize import class_suffixes

COMPARED = 20  # files that tell which values predictions hold
TIFF_SUFFIXES = (".tif", ".tiff")
LAYER_VALUES = (0, 1, 255)  # in the file of one class: no, and two ways to write yes


class PredictedSamples(RawSamples):
    """Images and masks with their predictions from a folder. Groups have `prediction` too, like the mask.

    Args:
        folder: of the files.
        samples: of the split.
        decoder: of its masks.
        task: says which classes there are.
        numbering: index, for files of class indices or of the classes' colors, as predict.py writes them; data, for
            files that hold what the masks of the dataset hold.
        partial: samples without a prediction are left out.

    Raises DataError as pair_predictions does; for files of indices that agree with the masks far better as the data
    set's own values; and when a prediction is read, as read_prediction does.
    """

    def __init__(
        self,
        folder: Path,
        samples: SampleTable,
        decoder: Decoder,
        task: Task,
        *,
        numbering: Literal["index", "data"] = "index",
        partial: bool = False,
    ):
        self.files = pair_predictions(folder, samples, task, partial=partial)
        super().__init__(
            samples.where(sample.name in self.files for sample in samples), decoder, image_options=task.image_options
        )
        self.task = task
        self.numbering = numbering
        if numbering == "data" and (decoder.multilabel or any("\t" in sample.mask for sample in self.samples)):
            raise ConfigError(
                "--numbering data: this dataset has no mask files whose values a prediction could contain"
            )
        if numbering == "index" and not decoder.multilabel and not decoder.identity:
            self._refuse_raw_values(folder)

    def _refuse_raw_values(self, folder: Path) -> None:
        hits = {"index": 0, "data": 0}
        for sample in self.samples[:: max(len(self.samples) // COMPARED, 1)]:
            mask = self.decoder.read(sample)
            known = mask != self.task.ignore_index
            for numbering in hits:
                with suppress(DataError):
                    hits[numbering] += int((self._read(sample, mask, numbering) == mask)[known].sum())
        if hits["data"] > 2 * hits["index"]:
            raise DataError(
                f"--against {folder}: read as class indices, the files agree with the masks in {hits['index']:,} "
                f"pixels; read as values of the dataset, in {hits['data']:,}; write --numbering data"
            )

    def _read(self, sample: Sample, mask: np.ndarray, numbering: str) -> np.ndarray:
        files = self.files[sample.name]
        if numbering == "index":
            return read_prediction(files, sample.image, mask, self.task)
        prediction = self.decoder.read(sample._replace(mask=str(files[0])))
        require_same_size(files[0], prediction, sample.image, mask)
        undecided = (prediction == self.task.ignore_index) & (mask != self.task.ignore_index)
        if undecided.any():
            raise DataError(f"{files[0]}: {int(undecided.sum())} scored pixels have no class")
        return np.where(prediction == self.task.ignore_index, 0, prediction)

    def batch(self, keys: list[int]) -> list[Batch]:
        """See RawSamples."""
        batches = super().batch(keys)
        samples = {self.samples[index].name: self.samples[index] for index in keys}
        for batch in batches:
            pairs = zip(batch["name"], batch["mask"].numpy(), strict=True)
            labels = [self._read(samples[name], mask, self.numbering) for name, mask in pairs]
            batch["prediction"] = torch.from_numpy(np.stack(labels))
        return batches


def pair_predictions(
    folder: Path, samples: Sequence[Sample], task: Task, *, partial: bool = False
) -> dict[str, list[Path]]:
    """The files of each sample's prediction, by the sample's name: one, or in multilabel one for each class, or a TIFF
    with a band for each.

    A prediction is NAME.png or NAME.tif in or below `folder`. NAME is the image's path without suffix, with as many of
    its folders as are needed, or the sample's name in the dataset. In multilabel it is NAME.tif or NAME_0_CLASS.png
    and so on, as predict.py writes them. Other files that begin with NAME_ are ignored. With `partial`, samples without
    one are left out. Raises DataError for predictions that are missing, that belong to no image, and for one that
    belongs to two.
    """
    if not folder.is_dir():
        raise DataError(f"--against {folder}: is not a folder")
    files = _find_predictions(folder)
    layered = task.mode == "multilabel"
    apart = [suffix.removesuffix(".png") for suffix in class_suffixes(task.names)] if layered else [""]

    def endings(stem: str) -> list[str]:
        return [""] if stem in files and files[stem].suffix.lower() in TIFF_SUFFIXES else apart

    stems: dict[str, Sample] = {}
    missing = []
    for sample in samples:
        parts = (sample.name,) if split_window(sample.image)[1] else Path(sample.image).with_suffix("").parts
        candidates = [sample.name, *("/".join(parts[first:]) for first in range(len(parts)))]
        stem = next((stem for stem in candidates if stem + endings(stem)[0] in files), None)
        if stem is None:
            missing.append(f"{parts[-1]}{apart[0]}.png")
        elif stem in stems:
            raise DataError(
                f"{files[stem + endings(stem)[0]]}: could belong to {stems[stem].image} or to {sample.image}; put "
                f"predictions into the same folders as the images"
            )
        else:
            stems[stem] = sample
            missing += [f"{stem}{ending}.png" for ending in endings(stem) if stem + ending not in files]
    if missing and not (partial and stems and not layered):
        hint = f"; --partial scores only the {len(stems)} images that have one" if stems and not layered else ""
        raise DataError(f"--against {folder}: {len(missing)} prediction(s) are missing: {name_some(missing)}{hint}")
    used = {stem + ending for stem in stems for ending in endings(stem)}
    others = [
        str(path)
        for key, path in files.items()
        if key not in used and not any(sign == "_" and key[:index] in stems for index, sign in enumerate(key))
    ]
    if others:
        raise DataError(f"{name_some(others)}: belongs to no image of this split; check --split")
    return {sample.name: [files[stem + ending] for ending in endings(stem)] for stem, sample in stems.items()}


def _find_predictions(folder: Path) -> dict[str, Path]:
    """Path below the folder, without suffix, of all files that may be predictions -> the file."""
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".png", *TIFF_SUFFIXES) and not path.name.startswith("."):
            other = files.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
            if other != path:
                raise DataError(f"{other} and {path}: both could be the prediction; remove one of them")
    if not files:
        raise DataError(
            f"--against {folder}: contains no PNG or TIFF; predictions must be named after their images, like NAME.png"
        )
    return files


def read_prediction(paths: Sequence[Path], image: str, mask: np.ndarray, task: Task) -> np.ndarray:
    """A prediction, like `mask`: HW class indices, or CHW layers of 0 and 1, int32. Where `mask` is ignored, it may
    hold anything.

    Raises DataError, which names the file, for another size than the mask's and a value that is not a class.
    """
    layered = task.mode == "multilabel"
    yes_or_no = task.mode != "multiclass"
    allowed = LAYER_VALUES if yes_or_no else range(len(task.names))
    layers = []
    found: Iterable[tuple[Path, np.ndarray]] = ((path, _read_indices(path, task)) for path in paths)
    if layered and len(paths) == 1 < len(mask):
        found = [(paths[0], layer) for layer in read_layers(paths[0], len(mask))]
    for (path, layer), true in zip(found, mask if layered else mask[None], strict=True):
        require_same_size(path, layer, image, true)
        known, wrong = true != task.ignore_index, ~np.isin(layer, list(allowed))
        if (wrong & known).any():
            value = layer[wrong & known][0]
            listed = ", ".join(map(str, allowed)) if yes_or_no else f"0..{len(allowed) - 1}"
            count = int((layer[known] == value).sum())
            raise DataError(f"{path}: the value {value} ({count} pixels) is not a class; expected {listed}")
        layer = np.where(wrong, 0, layer)
        layers.append(layer > 0 if yes_or_no else layer)
    return (np.stack(layers) if layered else layers[0]).astype(np.int32)


def require_same_size(path: Path, prediction: np.ndarray, image: str, mask: np.ndarray) -> None:
    """Raises DataError where a prediction (HW) has another size than its mask (HW)."""
    if prediction.shape != mask.shape:
        size = "{1} x {0} pixels".format
        raise DataError(f"{path}: is {size(*prediction.shape)}, but its image {image} is {size(*mask.shape)}")


def _read_indices(path: Path, task: Task) -> np.ndarray:
    """HW values of a file; of an RGB picture the indices of the classes with its colors."""
    pixels = read_picture(str(path)).pixels
    if pixels.ndim == 2:
        return pixels
    if (pixels[..., :3] == pixels[..., :1]).all():
        return pixels[..., 0]
    packed = pixels[..., :3].astype(np.int32) @ np.array([1 << 16, 1 << 8, 1])
    colors = {pack_color(list(color)): index for index, color in enumerate(task.colors)}
    found, inverse = np.unique(packed, return_inverse=True)
    for color in found:
        if int(color) not in colors:
            raise DataError(f"{path}: {show_value(int(color), as_color=True)} is not the color of a class")
    return np.array([colors[int(color)] for color in found])[inverse].reshape(packed.shape)
