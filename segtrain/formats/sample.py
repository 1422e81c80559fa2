"""Samples: tables of image and mask files, and how they are split and looked for."""

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import NamedTuple, overload

from segtrain.errors import DataError
from segtrain.files import container_of, is_glob, require_regular, split_window

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".gif"}
    | {".ppm", ".pgm", ".pnm", ".npy"}
)

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Usual words for splits, in small letters, and the splits that they mean."""


class Sample(NamedTuple):
    """One image and its mask on the disk; `name` is unique in its split.

    `image` and `mask` are paths, also of files inside of others (segtrain.files). Where each class has a file of its
    own, `mask` has their paths, one a line, empty for one that is missing. A format that keeps its masks otherwise
    writes the path of the file that holds the annotation, a tab, and whatever its own read_mask makes the mask from.
    Samples of one `group` (a patient, a drive) are never divided between training and validation.
    """

    name: str
    image: str
    mask: str
    group: str = ""

    @property
    def whole_name(self) -> str:
        """Its name without that of the window, where it is a window of an image."""
        return self.name.rpartition("_y")[0] if split_window(self.image)[1] else self.name

    @property
    def mask_files(self) -> list[str]:
        """The files on the disk that the mask comes from."""
        return [container_of(file) for file in self.mask.partition("\t")[0].split("\n")]

    @property
    def mask_file(self) -> str:
        """The file to name where something is wrong with the mask."""
        return next(filter(None, self.mask_files), "")


class Label(NamedTuple):
    """A name of objects in annotation files: their number, its color, RGB 0..255, where the files have one, and the
    number of lines and points of that name, which cover no area."""

    name: str
    objects: int
    color: tuple[int, int, int] | None = None
    lines: int = 0


class MaskSizeError(DataError):
    """A mask of another size than its image."""


class OneSampleError(DataError):
    """A single sample of which a share is to be held out. `others` are the splits that there are beside it."""

    def __init__(self, sample: Sample, fraction: float):
        super().__init__("data: 1 sample cannot be split into training and validation; data.tile divides a large image")
        self.sample, self.fraction = sample, fraction
        self.others: Splits = {}


class SampleTable(Sequence[Sample]):
    """An immutable sequence of samples in two flat buffers: a million take some 150 MB, and forked reading processes
    share them (a list of objects would be copied piece by piece, as their reference counts change)."""

    def __init__(self, samples: Iterable[Sample] = ()):
        self._text, self._ends = bytearray(), array("q", [0])
        for sample in samples:
            self._text += "\0".join(sample).encode("utf-8", "surrogateescape")
            self._ends.append(len(self._text))
        self._rows: Sequence[int] = range(len(self._ends) - 1)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "SampleTable": ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        row = self._rows[index]
        text = bytes(memoryview(self._text)[self._ends[row] : self._ends[row + 1]])
        return Sample(*text.decode("utf-8", "surrogateescape").split("\0"))

    def take(self, indices: Iterable[int]) -> "SampleTable":
        """The samples at these indices, in this order; they share this table's memory."""
        taken = SampleTable()
        taken._text, taken._ends = self._text, self._ends
        taken._rows = array("q", (self._rows[index] for index in indices))
        return taken

    def where(self, chosen: Iterable[bool]) -> "SampleTable":
        """The samples that are chosen, by a truth value for each of them; they share this table's memory."""
        return self.take(compress(range(len(self)), chosen))


Splits = dict[str, SampleTable]
Paths = str | list[str]
"""A path or pattern below data.root, or several, of which the first that is there is meant."""
PathsBySplit = Paths | dict[str, Paths]
"""One for the whole set, or one for each split."""


def fixed_part(pattern: str) -> str:
    """The folders that a pattern begins with, up to the first part with a sign of a glob or a {placeholder}; a path
    without is returned as it is."""
    parts = Path(pattern).parts
    open_parts = (index for index, part in enumerate(parts) if is_glob(part) or "{" in part)
    return str(Path(*parts[: next(open_parts, len(parts))]))


def first_there(root: Path, paths: Paths) -> str:
    """The path or pattern that is meant: the first whose fixed part exists below root, else the first."""
    paths = [paths] if isinstance(paths, str) else paths
    return next((path for path in paths if (root / fixed_part(path)).exists()), paths[0])


def split_by_fraction(samples: Iterable[Sample], fraction: float, seed: int) -> Splits:
    """Hold out a share of the samples for validation, chosen by seed and name: the same ones on every machine. Samples
    of one group stay together."""
    table = samples if isinstance(samples, SampleTable) else SampleTable(samples)
    if not 0 < fraction < 1:
        raise DataError(f"data.val_fraction: expected a share between 0 and 1, not {fraction}")
    if len(table) == 1:
        raise OneSampleError(table[0], fraction)
    if not len(table):
        raise DataError("data: 0 samples cannot be split into training and validation")
    names = [sample.group or sample.name for sample in table]
    sizes = Counter(names)
    if len(sizes) < 2:
        raise DataError(
            f"data: {len(table)} samples, all of the same group, cannot be split into training and validation"
        )
    order = sorted(sizes, key=lambda name: seeded_hash(name, seed))
    wanted, count, chosen = min(max(round(len(table) * fraction), 1), len(table) - 1), 0, set()
    for name in order:
        nearer = abs(count + sizes[name] - wanted) < abs(count - wanted)
        if nearer and count + sizes[name] < len(table):
            chosen.add(name)
            count += sizes[name]
    chosen = chosen or {min(order, key=sizes.__getitem__)}
    return {
        "train": table.where(name not in chosen for name in names),
        "val": table.where(name in chosen for name in names),
    }


def hold_out(splits: Splits, fraction: float | None, seed: int) -> Splits:
    """The splits, with a share held out for validation: of all samples (0.2 by default) where one split "" has them; of
    train where there is no val, if the share is given."""
    if "" in splits:
        return split_by_fraction(splits[""], 0.2 if fraction is None else fraction, seed)
    if fraction is None or "train" not in splits or "val" in splits:
        return splits
    try:
        return splits | split_by_fraction(splits["train"], fraction, seed)
    except OneSampleError as error:
        error.others = splits
        raise


def seeded_hash(name: str, seed: int) -> bytes:
    """A sort key for names: the order is the same on every machine, and another one for another seed."""
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()


def is_same_file(image: str, mask: str) -> bool:
    """Whether both are one file, also by links; False where one is not there."""
    try:
        return image == mask or os.path.samefile(image, mask)
    except OSError:
        return False


def require_own_mask(sample: Sample, where: str) -> None:
    """Raises DataError, beginning with `where`, for an image that is a mask of itself."""
    if any(is_same_file(sample.image, file) for file in sample.mask_files if file):
        raise DataError(
            f"{where}: image and mask are the same file, {sample.image}; write the path of its mask, or "
            f"data.mask_band if one of its bands is the mask"
        )


def require_mask_size(sample: Sample, mask: str, image_size: Sequence[int], mask_size: Sequence[int]) -> None:
    """Raises MaskSizeError where a mask file has another height and width, in pixels, than the image of the sample."""
    if tuple(image_size) != tuple(mask_size):
        size = "{1} x {0} pixels".format
        raise MaskSizeError(f"{mask}: is {size(*mask_size)}, but its image {sample.image} is {size(*image_size)}")


def require_path(path: Path, what: str) -> Path:
    """The path itself where it exists; otherwise a DataError that shows what lies beside it. Raises DataError for a
    pipe or a device too."""
    require_regular(path)
    if path.exists():
        return path
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    beside = (
        sorted(item.name for item in parent.iterdir() if not item.name.startswith("."))[:8] if parent.is_dir() else []
    )
    raise DataError(f"{what}: {path} does not exist; {parent} contains: {', '.join(beside) or 'nothing'}")


def require_layout(root: Path, wanted: Sequence[str]) -> None:
    """Raises DataError unless all the `wanted` paths lie below root, which is data.root; says which folder above or
    below has them."""
    require_nearby_layout(root, wanted)
    if not root.is_dir():
        raise DataError(f"data.root: {root} is not a folder")
    for name in wanted:
        require_path(root / name, "data.root")


def require_nearby_layout(root: Path, wanted: Sequence[Paths]) -> None:
    """Raises DataError where root, which is data.root, does not exist, or has not all the `wanted` paths (the fixed
    part of each, and of several the first) while a folder above or below has."""
    require_path(root, "data.root")
    names = [fixed_part(paths if isinstance(paths, str) else paths[0]) for paths in wanted]
    missing = [name for name in names if not (root / name).exists()]
    if not missing or not root.is_dir():
        return
    below = _folders_in(root)
    deeper = [inner for item in below for inner in _folders_in(item)]
    fitting = [item for item in (*below, *deeper) if all((item / name).exists() for name in names)]
    fitting = fitting or [item for item in root.resolve().parents if all((item / name).exists() for name in names)][:1]
    if fitting:
        named = " and ".join(map(str, fitting[:3]))
        have = "has" if len(fitting) == 1 else "have"
        raise DataError(f"data.root: {root} has no {missing[0]}, but {named} {have}; write data.root: {fitting[0]}")


def _folders_in(folder: Path) -> list[Path]:
    """The first hundred folders in a folder; none where it may not be read."""
    with suppress(OSError):
        return sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))[:100]
    return []
