"""Text files with an image and a mask a line, one file a split: what many tools write."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrain.errors import DataError
from segtrain.formats.dataset_info import Labels
from segtrain.formats.lists import listed_samples, read_pairs
from segtrain.formats.sample import Sample, SampleTable, Splits, require_layout, split_by_fraction

ABOUT = None


def labels(arguments: Mapping[str, Any]) -> Labels | None:
    """The user's own."""
    return None


def read(
    root: Path,
    *,
    files: dict[str, str] | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
) -> Splits:
    """Read lists with an image and a mask a line, parted by a tab, a comma or spaces (paths that hold spaces need one
    of the others).

    `files` is the list of each split; without it they are train.txt, val.txt and, where it is there, test.txt. The
    lists lie below `root`, and the paths in them are relative to `root` or absolute. Where no list is for validation,
    `val_fraction` of the training list is held out. Raises DataError with list and line for a line that is no pair, a
    file that is not there and an image that is listed twice.
    """
    if files is None:
        needed = ["train"] if val_fraction is not None else ["train", "val"]
        names = {split: f"{split}.txt" for split in ("train", "val", "test")}
        files = {split: name for split, name in names.items() if split in needed or (root / name).exists()}
        require_layout(root, [files["train"]])
    splits = {split: _read_list(root, root / name, f"data.files.{split}") for split, name in files.items()}
    if val_fraction is None:
        return splits
    if "train" not in splits or "val" in splits:
        raise DataError(
            f"data.val_fraction: {val_fraction} of a list train is held out where there is no list val; "
            f"the lists are: {', '.join(files)}"
        )
    return splits | split_by_fraction(splits["train"], val_fraction, seed)


def _read_list(root: Path, path: Path, what: str) -> SampleTable:
    pairs = read_pairs(path, what)
    return listed_samples(
        path,
        (
            (
                line,
                Sample(
                    os.path.splitext(image)[0],
                    os.path.normpath(os.path.join(root, image)),
                    os.path.normpath(os.path.join(root, mask)),
                ),
            )
            for line, (image, mask) in pairs
        ),
    )
