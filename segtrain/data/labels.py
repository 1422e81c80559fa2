"""What the values or colours of a mask file mean."""

from collections.abc import Sequence

import numpy as np

from segtrain.data.reading import read_mask
from segtrain.errors import ConfigError, DataError
from segtrain.data.section import ClassConfig, DataConfig

_UNCLAIMED = -1


class LabelDecoder:
    """Turns mask files into class indices, HW uint8, or int32 where an index needs more; ignored pixels get `ignore_index`.

    A class is one value, several, or a colour; in binary segmentation value 0 (or black) is the background, index 0, and the
    class is index 1. A value that nothing claims is an error: never silently a class, never silently ignored.
    """

    def __init__(self, config: DataConfig):
        self.classes = config.classes
        self.ignore_index = config.ignore_index
        self.binary = config.mode == "binary"
        self.as_color = any(item.color and item.value is None and item.values is None for item in self.classes)
        largest = max(len(self.classes), self.ignore_index)
        self.dtype = np.dtype(np.uint8 if largest < 256 else np.int32)
        claims = self._claims(config.ignore_values or [])
        size = 1 << 24 if self.as_color else 1 << 16
        self.table = np.full(size, _UNCLAIMED, np.int16 if largest < 32768 else np.int32)
        for value, index in claims.items():
            self.table[value] = index
        claimed = range(len(self.classes) + self.binary)
        self.identity = not self.as_color and all(claims.get(index) == index for index in claimed)
        self.identity &= all(index == value for value, index in claims.items())

    def _claims(self, ignore_values: Sequence) -> dict[int, int]:
        """Mask value (or packed colour) -> class index or ignore_index."""
        claims: dict[int, int] = {} if self.as_color else {self.ignore_index: self.ignore_index}
        for value in ignore_values:
            if isinstance(value, list) != self.as_color:
                wanted = "colours [r, g, b], as the classes are" if self.as_color else "values, as the classes have no bare color"
                raise ConfigError(f"data.ignore_values: {value} is of the wrong kind; write {wanted}")
            claims[self._pack(value)] = self.ignore_index
        owners: dict[int, str] = {}
        for place, item in enumerate(self.classes):
            if self.as_color:
                if item.color is None:
                    raise ConfigError(f"data.classes.{place}: '{item.name}' needs a color, as the other classes have")
                values = [self._pack(item.color)]
            else:
                values = item.values or [place + self.binary if item.value is None else item.value]
            for value in values:
                if value in owners:
                    raise ConfigError(f"data.classes.{place}: '{item.name}' and '{owners[value]}' claim the same {self._show(value)}")
                if value >= 1 << 16 and not self.as_color:
                    raise ConfigError(f"data.classes.{place}: value {value} is past 65535, the largest that a mask may hold")
                owners[value] = item.name
                claims[value] = place + self.binary
        if self.binary and claims.setdefault(0, 0) != 0:
            raise ConfigError(f"data.classes: value 0 is the background of a single class; to make 0 '{self.classes[0].name}', write two classes")
        return claims

    @staticmethod
    def _pack(value: int | list[int]) -> int:
        return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]

    def _show(self, value: int) -> str:
        return f"colour [{value >> 16}, {value >> 8 & 255}, {value & 255}]" if self.as_color else f"value {value}"

    def read(self, path: str) -> np.ndarray:
        """The mask file as class indices. Raises DataError for what cannot be read or is not claimed, naming file and value."""
        raw = read_mask(path, as_color=self.as_color)
        if self.as_color:
            raw = (raw[..., 0].astype(np.int32) << 16) | (raw[..., 1].astype(np.int32) << 8) | raw[..., 2]
        elif raw.dtype != np.uint8 and raw.size and (raw.min() < 0 or raw.max() >= len(self.table)):
            raise DataError(f"{path}: values from {raw.min()} to {raw.max()} are no class indices; a mask holds 0..65535")
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

    def _unclaimed(self, raw: np.ndarray, path: str) -> str:
        values, counts = np.unique(raw, return_counts=True)
        keep = self.table[values] == _UNCLAIMED
        values, counts = values[keep], counts[keep]
        order = np.argsort(-counts, kind="stable")
        first = int(values[order[0]])
        listed = ", ".join(f"{self._show(int(values[i]))} ({counts[i]} pixels)" for i in order[:4])
        more = f" and {len(order) - 4} more" if len(order) > 4 else ""
        written = self._show(first).removeprefix("colour ").removeprefix("value ")
        key = "color" if self.as_color else "value"
        if len(order) > 16 and self.as_color:
            hint = "so many colours come from a JPEG or from smoothed edges: export the masks as PNG without antialiasing"
        else:
            hint = f"give it to a class in data.classes, {{name: .., {key}: {written}}}, or write data.ignore_values: [{written}]"
        return f"{path}: no class claims {listed}{more}; {hint}"
