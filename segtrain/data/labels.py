"""What the values or colours of a mask file mean."""

import numpy as np

from segtrain.config.claims import LARGEST_VALUE, are_colors, claim_values, show_value
from segtrain.config.data_schema import DataConfig
from segtrain.errors import DataError
from segtrain.formats import FORMATS
from segtrain.formats.sample import Sample
from segtrain.images.reading import read_mask

_UNCLAIMED = -1


class LabelDecoder:
    """Turns mask files into class indices, HW uint8, or int32 where an index needs more. `width` is the number of
    indices: a binary task has two, background and the class.

    Ignored pixels get `ignore_index`. A value that nothing claims is an error: never silently a class, never silently
    ignored.
    """

    multilabel = False

    def __init__(self, config: DataConfig):
        self.classes = config.classes
        self.ignore_index = config.ignore_index
        self.binary = config.mode == "binary"
        self.width = len(self.classes) + self.binary
        self.as_color = are_colors(self.classes)
        self.read_raw = getattr(FORMATS[config.format], "read_mask", read_mask)
        largest = max(len(self.classes), self.ignore_index)
        self.dtype = np.dtype(np.uint8 if largest < 256 else np.int32)
        claims = claim_values(self.classes, config.ignore_values or [], ignore_index=self.ignore_index)
        size = 1 << 24 if self.as_color else LARGEST_VALUE + 1
        self.table = np.full(size, _UNCLAIMED, np.int16 if largest < 32768 else np.int32)
        for value, index in claims.items():
            self.table[value] = index
        self.identity = not self.as_color and all(claims.get(index) == index for index in range(self.width))
        self.identity &= all(index == value for value, index in claims.items())

    def read(self, sample: Sample) -> np.ndarray:
        """The mask as class indices. Raises DataError for what is unreadable or unclaimed, with file and value."""
        raw = self.read_raw(sample.mask, as_color=self.as_color)
        path = sample.mask_file if sample.mask_file == sample.mask else f"{sample.mask_file}: {sample.name}"
        return self.decode(raw, path)

    def decode(self, raw: np.ndarray, path: str) -> np.ndarray:
        """Class indices of what a mask file holds, HW integers or HWC uint8 RGB; `path` is for messages."""
        if self.as_color:
            raw = (raw[..., 0].astype(np.int32) << 16) | (raw[..., 1].astype(np.int32) << 8) | raw[..., 2]
        elif raw.dtype != np.uint8 and raw.size and (raw.min() < 0 or raw.max() >= len(self.table)):
            raise DataError(
                f"{path}: values from {raw.min()} to {raw.max()} are no class indices; a mask holds 0..65535"
            )
        if raw.dtype == np.uint8:
            counts = np.bincount(raw.ravel(), minlength=256)
            unclaimed = counts[self.table[:256] == _UNCLAIMED].any()
            mask = raw if self.identity and not unclaimed else self.table[:256].astype(self.dtype)[raw]
        else:
            mask = self.table[raw]
            unclaimed = (mask == _UNCLAIMED).any()
        if unclaimed:
            raise DataError(self._unclaimed(raw, path))
        return mask.astype(self.dtype, copy=False)

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Pixels of each class, then ignored ones, then all: int64 (width + 2,), of a mask of class indices, HW."""
        counts = np.bincount(mask.ravel(), minlength=max(self.width, self.ignore_index + 1))
        return np.append(counts[: self.width], [counts[self.ignore_index], mask.size])

    def _unclaimed(self, raw: np.ndarray, path: str) -> str:
        values, counts = np.unique(raw, return_counts=True)
        keep = self.table[values] == _UNCLAIMED
        values, counts = values[keep], counts[keep]
        order = np.argsort(-counts, kind="stable")
        first = int(values[order[0]])
        listed = ", ".join(
            f"{show_value(int(values[i]), as_color=self.as_color)} ({counts[i]} pixels)" for i in order[:4]
        )
        more = f" and {len(order) - 4} more" if len(order) > 4 else ""
        written = show_value(first, as_color=self.as_color).removeprefix("colour ").removeprefix("value ")
        key = "color" if self.as_color else "value"
        if len(order) > 16 and self.as_color:
            hint = (
                "so many colours come from a JPEG or from smoothed edges: export the masks as PNG without antialiasing"
            )
        else:
            claim = f"{{name: .., {key}: {written}}}"
            hint = f"give it to a class in data.classes, {claim}, or write data.ignore_values: [{written}]"
        return f"{path}: no class claims {listed}{more}; {hint}"
