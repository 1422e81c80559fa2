"""Masks of classes that may overlap: a layer for each class."""

import numpy as np

from segtrain.config.data_schema import DataConfig
from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats.sample import Sample
from segtrain.images.reading import read_layers, read_mask


class LayerDecoder:
    """Turns mask files into layers, CHW uint8: 1 where a pixel is the class, 0 where it is not, ignore_index (of 255
    at most) where it is not known.

    A sample has a file for each class, whose missing ones are empty layers, or one file with a channel for each. In
    them the class's value is 1 unless it says another, and 0 is not the class.
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
        self.read_raw = read_mask
        self.table = np.stack([decoder.table for decoder in self.decoders])

    def read(self, sample: Sample) -> np.ndarray:
        """The layers of a sample. Raises DataError for what is unreadable or unclaimed, with file and value."""
        files = sample.mask_files
        if len(files) == 1 and self.width > 1:
            raw = read_layers(files[0], self.width)
            files *= self.width
        else:
            there = {file: read_mask(file, as_color=False) for file in files if file}
            empty = np.zeros_like(next(iter(there.values())))
            raw = [there[file] if file else empty for file in files]
        if len({layer.shape for layer in raw}) > 1:
            sizes = ", ".join(f"{file} {layer.shape}" for file, layer in zip(files, raw, strict=True) if file)
            raise DataError(f"the masks of the classes of one image differ in height and width: {sizes}")
        named = zip(self.decoders, raw, files, self.classes, strict=True)
        return np.stack([decoder.decode(layer, f"{file} ({item.name})") for decoder, layer, file, item in named])

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Pixels of each class, then the mean number of ignored ones in a layer, then all of a layer: int64
        (width + 2,)."""
        ignored = (mask == self.ignore_index).sum() // self.width
        return np.append((mask == 1).sum(axis=(1, 2)), [ignored, mask[0].size])


def build_decoder(config: DataConfig) -> LabelDecoder | LayerDecoder:
    """What reads the masks of this data set."""
    return LayerDecoder(config) if config.multilabel else LabelDecoder(config)
