"""Tianchi: buildings in aerial images, as runs of pixels in a table."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from segtrain.errors import DataError
from segtrain.formats.lists import read_lines, require_distinct
from segtrain.formats.sample import IMAGE_SUFFIXES, Sample, SampleTable, Splits, require_layout, split_by_fraction

if TYPE_CHECKING:
    import numpy as np


def read(root: Path, *, images: str, file: str, val_fraction: float, seed: int = 0) -> Splits:
    """The images in the folder `images` with the masks in `file`, a line each: the file's name, a tab or a comma, and
    runs of pixels as `start length start length ..`, counted from 1 down the columns. No runs, or NaN, is a mask
    without buildings. A first line whose name is no image's is taken for a header.

    `val_fraction` of the images is held out for validation, chosen by name and seed. Raises DataError for a name
    without an image, an image without a line, and a name that is there twice.
    """
    require_layout(root, [images, file])
    folder, table = root / images, root / file
    rows = [(line, *_split(text)) for line, text in read_lines(table)]
    if os.path.splitext(rows[0][1])[1].lower() not in IMAGE_SUFFIXES:
        del rows[0]
    require_distinct(table, ((line, name) for line, name, _ in rows))
    there = {name for name in os.listdir(folder) if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES}
    for line, name, _ in rows:
        if name not in there:
            raise DataError(f"{table}:{line}: image {folder}/{name} does not exist")
    without = sorted(there - {name for _, name, _ in rows})
    if without:
        raise DataError(
            f"{table}: {len(without)} of the {len(there)} images in {folder} have no line, {without[0]} for one; an "
            "image without buildings has a line with its name alone"
        )
    samples = SampleTable(
        Sample(os.path.splitext(name)[0], f"{folder}/{name}", f"{table}\t{line}\t{folder}/{name}\t{runs}")
        for line, name, runs in rows
    )
    return split_by_fraction(samples, val_fraction, seed)


def _split(text: str) -> tuple[str, str]:
    name, _, runs = text.partition("\t" if "\t" in text else ",")
    runs = runs.strip().strip('"')
    return name.strip().strip('"'), "" if runs.lower() == "nan" else runs


def read_mask(mask: str, *, as_color: bool) -> "np.ndarray":
    """HW uint8 of the size of the image: 1 building, 0 none. Raises DataError, with file and line, for broken runs and
    where colours are asked for."""
    from segtrain.images import rle
    from segtrain.images.reading import image_size

    table, line, image, runs = mask.split("\t", 3)
    if as_color:
        raise DataError(f"{table}: holds no colours; write a value beside the color: {{name: building, value: 1, ..}}")
    try:
        return rle.decode(runs, *image_size(image))
    except ValueError as error:
        raise DataError(f"{table}:{line}: {os.path.basename(image)}: {error}") from error
