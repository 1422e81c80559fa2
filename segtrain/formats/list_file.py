"""Lists: text files with an image and a mask a line, or a name a line, one file a split."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from segtrain.errors import DataError
from segtrain.formats.lists import listed_samples, read_names, read_pairs, slashed
from segtrain.formats.sample import (
    Paths,
    PathsBySplit,
    Sample,
    SampleTable,
    Splits,
    first_there,
    hold_out,
    require_nearby_layout,
    require_path,
)


def read(
    root: Path,
    *,
    files: dict[str, str | list[str]] | None = None,
    images: PathsBySplit | None = None,
    masks: PathsBySplit | None = None,
    missing_splits: Literal["error", "skip"] = "error",
    val_fraction: float | None = None,
    seed: int = 0,
    mask_band: int | None = None,
) -> Splits:
    """Read lists with an image and a mask per line, separated by a tab, a comma or spaces (for paths that contain
    spaces, use a tab or a comma). With `images` and `masks`, read lists with a name per line, which is its first word.

    `files` is the list of each split; the default is train.txt, val.txt and, if it exists, test.txt. The lists are
    below `root`, and the paths in them are relative to `root` or absolute. `images` and `masks` are paths below `root`
    in which `{name}` stands for the name, like `JPEGImages/{name}.jpg`: one for all splits or one for each. Of a list
    of paths, the first whose folder exists is used. With `missing_splits: skip`, splits whose list does not exist are
    left out. If there is no list for validation, `val_fraction` of the training list is held out. Raises DataError with
    list and line for a line that is not a pair, a missing file, an image that is listed twice, and an image that is its
    own mask without a `mask_band`.
    """
    if (images is None) != (masks is None):
        raise DataError(
            "data.images, data.masks: write both, like JPEGImages/{name}.jpg and masks/{name}.png, or neither"
        )
    if files is None:
        needed = ["train"] if val_fraction is not None else ["train", "val"]
        names = {split: f"{split}.txt" for split in ("train", "val", "test")}
        files = {split: name for split, name in names.items() if split in needed or (root / name).exists()}
    if not files:
        raise DataError("data.files: is empty; write {train: train.txt, val: val.txt}")
    paths = _find_lists(root, files, images, masks, skip_missing=missing_splits == "skip")
    splits: Splits = {}
    for split, path in paths.items():
        require_path(path, f"data.files.{split}")
        if images is None or masks is None:
            splits[split] = read_pair_list(root, path, mask_band=mask_band)
        else:
            found = [first_there(root, _of_split(paths, split)) for paths in (images, masks)]
            splits[split] = read_name_list(root, path, *found, mask_band=mask_band)
    if val_fraction is None:
        return splits
    if "train" not in splits or "val" in splits:
        raise DataError(
            f"data.val_fraction: {val_fraction} cannot be held out: that needs a list train and no list val, but the "
            f"lists are: {', '.join(files)}; write null to hold nothing out"
        )
    return hold_out(splits, val_fraction, seed)


def _find_lists(
    root: Path, files: Mapping[str, Paths], *folders: PathsBySplit | None, skip_missing: bool
) -> dict[str, Path]:
    """The list of each split. Raises DataError where root is beside the folder that has the first of them."""
    first = next(iter(files))
    require_nearby_layout(root, [*(_of_split(paths, first) for paths in folders if paths is not None), files[first]])
    paths = {split: root / first_there(root, names) for split, names in files.items()}
    if skip_missing:
        return {split: path for split, path in paths.items() if path.exists()} or {first: paths[first]}
    return paths


def _of_split(paths: PathsBySplit, split: str) -> Paths:
    if not isinstance(paths, dict):
        return paths
    if split not in paths:
        raise DataError(f"data.images, data.masks: have no path for split {split} of data.files")
    return paths[split]


def read_pair_list(root: Path, path: Path, *, mask_band: int | None = None) -> SampleTable:
    """The samples of a list with an image and a mask a line, in its order."""
    rows = []
    for line, pair in read_pairs(path):
        image, mask = (slashed(root, file) for file in pair)
        image, name = os.path.normpath(os.path.join(root, image)), os.path.splitext(image)[0]
        rows.append((line, Sample(name, image, os.path.normpath(os.path.join(root, mask)))))
    return listed_samples(path, rows, mask_band=mask_band)


def read_name_list(root: Path, path: Path, images: str, masks: str, *, mask_band: int | None = None) -> SampleTable:
    """The samples of a list with a name a line, in its order; `{name}` stands for it in the two patterns."""
    rows = []
    for line, written in read_names(path):
        image, mask = (slashed(root, pattern.replace("{name}", written)) for pattern in (images, masks))
        rows.append((line, Sample(written.replace("\\", "/"), f"{root}/{image}", f"{root}/{mask}")))
    return listed_samples(path, rows, mask_band=mask_band)
