"""What the tests of published datasets share: drawing their files, and what the readers make of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtrain.config.data_schema import DataConfig
from segtrain.data.labels import LabelDecoder
from segtrain.errors import DataError
from segtrain.formats.sample import SampleTable


def draw(path: Path, values: list | np.ndarray, palette: list[tuple[int, int, int]] | None = None) -> None:
    """Save a gray (HW), RGB (HWC) or, with `palette`, indexed picture; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(values, np.uint8))
    if palette is not None:
        picture.putpalette([channel for color in palette for channel in color])
    picture.save(path)


def draw_image(path: Path, values: list) -> None:
    """An RGB picture of the size of a mask."""
    draw(path, np.full((*np.shape(values), 3), 90))


def touch(root: Path, *names: str) -> None:
    """Empty files, for readers that open none."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def decode(config: DataConfig, samples: SampleTable) -> dict[str, list]:
    """name -> class indices of every pixel."""
    decoder = LabelDecoder(config)
    return {sample.name: decoder.read(sample).tolist() for sample in samples}


def names(splits: dict[str, SampleTable]) -> dict[str, list[str]]:
    return {split: [sample.name for sample in samples] for split, samples in splits.items()}


def files(root: Path, samples: SampleTable) -> list[tuple[str, str]]:
    """(image, mask) below root."""
    return [tuple(path.removeprefix(f"{root}/") for path in (sample.image, sample.mask)) for sample in samples]


def pairs(root: Path, splits: dict[str, SampleTable]) -> dict[str, dict[str, tuple[str, ...]]]:
    """split -> {name: (image, mask)}, paths below root."""
    return {
        split: {s.name: tuple(path.removeprefix(f"{root}/") for path in (s.image, s.mask)) for s in samples}
        for split, samples in splits.items()
    }


def error_of(read, root: Path, *arguments, **keywords) -> str:
    """The message that reading gives, with R for the root."""
    with pytest.raises(DataError) as error:
        read(root, *arguments, **keywords)
    return str(error.value).replace(str(root), "R")
