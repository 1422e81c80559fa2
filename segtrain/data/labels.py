"""Label decoders: mask files to class indices, or to a layer for each class where classes may overlap."""

from functools import partial

import numpy as np

from segtrain.config.data_schema import LARGEST_VALUE, DataConfig, are_colors, claim_values, is_in_range, show_value
from segtrain.errors import DataError, name_some
from segtrain.formats import find_mask_reader
from segtrain.formats.sample import Sample
from segtrain.images.reading import read_layers, read_mask

_UNCLAIMED = -1


class LabelDecoder:
    """Turns mask files into class indices, HW uint8, or int32 if an index needs it. `width` is the number of indices: a
    binary task has two, background and the class.

    Ignored pixels get `ignore_index`. A value that no class claims is an error: it never silently becomes a class and
    is never silently ignored.
    """

    multilabel = False

    def __init__(self, config: DataConfig):
        self.classes = config.classes
        self.ignore_index = config.ignore_index
        self.binary = config.mode == "binary"
        self.width = len(self.classes) + self.binary
        self.as_color = are_colors(self.classes)
        claims = claim_values(self.classes, config.ignore_values or [], ignore_index=self.ignore_index)
        far = [value for value in claims if not (self.as_color or is_in_range(value))]
        self.read_as = (config.mask_band, far)
        self.palettes: dict[tuple[int, tuple[int, ...]], str] = {}
        self.read_raw = find_mask_reader(config.format, config.arguments) or partial(
            read_mask, band=config.mask_band, ignored=far, palettes=None if self.as_color else self.palettes
        )
        largest = max(len(self.classes), self.ignore_index)
        self.dtype = np.dtype(np.uint8 if largest < 256 else np.int32)
        size = 1 << 24 if self.as_color else LARGEST_VALUE + 1
        self.table = np.full(size, _UNCLAIMED, np.int16 if largest < 32768 else np.int32)
        for value in claims.keys() - set(far):
            self.table[value] = claims[value]
        same = set(range(self.width)) <= claims.keys() and all(index == value for value, index in claims.items())
        self.identity = same and not self.as_color

    def read(self, sample: Sample) -> np.ndarray:
        """The mask as class indices. Raises DataError for what is unreadable or unclaimed, with file and value."""
        raw = self.read_raw(sample.mask, as_color=self.as_color)
        path = sample.mask_file if sample.mask_file == sample.mask else f"{sample.mask_file}: {sample.name}"
        return self.decode(raw, path)

    def decode(self, raw: np.ndarray, path: str) -> np.ndarray:
        """Class indices for the content of a mask file, HW integers or HWC uint8 RGB; the masked pixels of a masked
        array are ignored unless a class claims them. `path` is for messages."""
        hidden, raw = np.ma.getmask(raw), np.ma.getdata(raw)
        if self.as_color:
            raw = (raw[..., 0].astype(np.int32) << 16) | (raw[..., 1].astype(np.int32) << 8) | raw[..., 2]
            hidden = hidden.all(axis=-1)
        if hidden.any() or raw.dtype != np.uint8:
            outside = (raw < 0) | (raw >= len(self.table))
            mask = self.table[np.where(outside, 0, raw) if outside.any() else raw]
            mask[outside] = _UNCLAIMED
            mask[hidden & (mask == _UNCLAIMED)] = self.ignore_index
            unclaimed = (mask == _UNCLAIMED).any()
        else:
            counts = np.bincount(raw.ravel(), minlength=256)
            unclaimed = counts[self.table[:256] == _UNCLAIMED].any()
            mask = raw if self.identity and not unclaimed else self.table[:256].astype(self.dtype)[raw]
        if unclaimed:
            raise DataError(self._unclaimed(np.ma.MaskedArray(raw, hidden).compressed(), path))
        return mask.astype(self.dtype, copy=False)

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Number of pixels of each class, ignored pixels, and all pixels of a mask of class indices, HW: int64 (width +
        2,)."""
        counts = np.bincount(mask.ravel(), minlength=max(self.width, self.ignore_index + 1))
        return np.append(counts[: self.width], [counts[self.ignore_index], mask.size])

    def _unclaimed(self, raw: np.ndarray, path: str) -> str:
        values, counts = np.unique(raw, return_counts=True)
        outside = (values < 0) | (values >= len(self.table))
        keep = outside | (self.table[np.where(outside, 0, values)] == _UNCLAIMED)
        values, counts = values[keep], counts[keep]
        order = np.argsort(-counts, kind="stable")
        first = int(values[order[0]])
        if not (self.as_color or is_in_range(first)):
            return (
                f"{path}: values from {raw.min()} to {raw.max()} are not class indices; mask values are 0..65535; to "
                f"ignore {first} ({counts[order[0]]} pixels), write data.ignore_values: [{first}]"
            )
        listed = name_some(
            [f"{show_value(int(values[i]), as_color=self.as_color)} ({counts[i]} pixels)" for i in order], most=4
        )
        written = show_value(first, as_color=self.as_color).removeprefix("color ").removeprefix("value ")
        key = "color" if self.as_color else "value"
        if len(order) > 16 and self.as_color:
            hint = (
                "this many colors come from a JPEG or from smoothed edges: export the masks as PNG without antialiasing"
            )
        else:
            claim = f"{{name: .., {key}: {written}}}"
            hint = f"assign it to a class in data.classes, like {claim}, or write data.ignore_values: [{written}]"
        return f"{path}: no class claims {listed}; {hint}"


class LayerDecoder:
    """Turns mask files into layers, CHW uint8: 1 where a pixel belongs to the class, 0 where it does not, ignore_index
    (at most 255) where that is unknown.

    A sample has one file for each class (a missing file is an empty layer), or one file with a channel for each. In
    them the value of the class is 1 unless it has another, and 0 is not the class.
    """

    multilabel, binary, as_color = True, False, False

    def __init__(self, config: DataConfig):
        self.classes = config.classes
        self.ignore_index = config.ignore_index
        self.width = len(self.classes)
        self.dtype = np.dtype(np.uint8)
        self.decoders = [
            LabelDecoder(config.model_copy(update={"classes": [item.layer()], "multilabel": False}))
            for item in self.classes
        ]
        self.read_raw, self.read_as, self.palettes = self.decoders[0].read_raw, self.decoders[0].read_as, {}
        self.table = np.stack([decoder.table for decoder in self.decoders])

    def read(self, sample: Sample) -> np.ndarray:
        """The layers of a sample. Raises DataError for what is unreadable or unclaimed, with file and value."""
        files = sample.mask.split("\n")
        if len(files) == 1 and self.width > 1:
            raw = read_layers(files[0], self.width)
            files *= self.width
        else:
            there = {file: self.read_raw(file, as_color=False) for file in files if file}
            empty = np.zeros_like(next(iter(there.values())))
            raw = [there[file] if file else empty for file in files]
        if len({layer.shape for layer in raw}) > 1:
            sizes = ", ".join(f"{file} {layer.shape}" for file, layer in zip(files, raw, strict=True) if file)
            raise DataError(f"the masks of the classes of an image differ in height and width: {sizes}")
        named = zip(self.decoders, raw, files, self.classes, strict=True)
        return np.stack([decoder.decode(layer, f"{file} ({item.name})") for decoder, layer, file, item in named])

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Number of pixels of each class, mean number of ignored pixels per layer, and pixels per layer: int64 (width +
        2,)."""
        ignored = (mask == self.ignore_index).sum() // self.width
        return np.append((mask == 1).sum(axis=(1, 2)), [ignored, mask[0].size])


Decoder = LabelDecoder | LayerDecoder


def build_decoder(config: DataConfig) -> Decoder:
    """The decoder for the masks of this dataset."""
    return LayerDecoder(config) if config.multilabel else LabelDecoder(config)
