"""Folders of images and folders of masks, paired by the names of their files."""

import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from glob import iglob
from pathlib import Path
from typing import Any, Literal

from segtrain.errors import DataError, name_some
from segtrain.files import is_glob
from segtrain.formats.sample import (
    IMAGE_SUFFIXES,
    PathsBySplit,
    Sample,
    SampleTable,
    Splits,
    first_there,
    fixed_part,
    hold_out,
    require_nearby_layout,
    require_path,
)


def read(
    root: Path,
    *,
    images: PathsBySplit = {"train": "train/images", "val": "val/images"},  # noqa: B006 (never changed)
    masks: PathsBySplit = {"train": "train/masks", "val": "val/masks"},  # noqa: B006
    image_suffix: str | list[str] = "",
    mask_suffix: str | list[str] = "",
    missing_masks: Literal["error", "empty"] = "error",
    missing_splits: Literal["error", "skip"] = "error",
    val_fraction: float | None = None,
    val_groups: str | None = None,
    classes: Sequence[Any] = (),
    seed: int = 0,
) -> Splits:
    """Pair images with masks of the same path below their folder, whatever the file types; where one of both lies a
    folder deeper than the other, by their name, if no others have it.

    `images` and `masks` are a folder or a glob below `root` for each split (train, val, test or any other name), or one
    of each for the whole set; of a list of them the first that is there is taken. `val_fraction` of the whole set (0.2
    by default), or of train where there is no val, is held out for validation; names in which the regular expression
    `val_groups` finds the same text stay together. `image_suffix` and `mask_suffix` are endings of the names that
    differ (`_mask` where a.jpg has a_mask.png), or lists of such endings. With `data.multilabel`, `{class}` in `masks`
    or `mask_suffix` stands for the name of each class, whose masks lie there; with `missing_masks: empty`, an image
    without the mask of a class does not show it. With `missing_splits: skip`, splits without images are left out.
    Raises DataError where a file has no partner or a split is empty.
    """
    folders = _find_folders(root, images, masks, skip_missing=missing_splits == "skip")
    options = {"image_suffix": image_suffix, "mask_suffix": mask_suffix}
    if "{class}" in f"{list(folders.values())}{mask_suffix}":
        options |= {"classes": [item.name for item in classes], "missing_empty": missing_masks == "empty"}
    splits: Splits = {}
    for split, both in folders.items():
        table = pair(root, *both, what=f"data ({split})" if split else "data", **options)
        splits[split] = _grouped(table, val_groups) if val_groups else table
    return hold_out(splits, val_fraction, seed)


def _find_folders(
    root: Path, images: PathsBySplit, masks: PathsBySplit, *, skip_missing: bool
) -> dict[str, tuple[str, str]]:
    """The folders, or globs, of the images and masks of each split; the split is "" where there is one of each."""
    images, masks = (paths if isinstance(paths, dict) else {"": paths} for paths in (images, masks))
    if images.keys() != masks.keys():
        raise DataError("data.images, data.masks: write a folder for each, or {train: folder, val: folder} for each")
    first = next(iter(images))
    needed = [first] if skip_missing else list(images)
    require_nearby_layout(root, [paths[split] for paths in (images, masks) for split in needed])
    found = {split: (first_there(root, images[split]), first_there(root, masks[split])) for split in images}
    if skip_missing:
        there = {split: both for split, both in found.items() if _holds_files(root / both[0])}
        return there or {first: found[first]}
    return found


def _grouped(table: SampleTable, pattern: str) -> SampleTable:
    matches = ((sample, re.search(pattern, sample.name)) for sample in table)
    return SampleTable(sample._replace(group=match[0]) if match else sample for sample, match in matches)


def _holds_files(folder: Path) -> bool:
    """Whether a folder is there and not empty; a glob counts as one that is."""
    return is_glob(str(folder)) or (folder.is_dir() and any(folder.iterdir()))


def _walk(folder: str, below: str = "") -> Iterator[str]:
    """Paths of the files below a folder, hidden ones left out; nothing is kept but one folder's entries."""
    deeper = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                yield below + entry.name
            elif not (entry.is_symlink() and os.path.realpath(folder).startswith(os.path.realpath(entry.path))):
                deeper.append(entry.name)  # a link to a folder around it would never end
    for name in deeper:
        yield from _walk(f"{folder}/{name}", f"{below}{name}/")


def find_files(root: Path, pattern: str, suffix: str | list[str], what: str) -> tuple[str, dict[str, str]]:
    """The image files of a folder (with its subfolders) or a glob, below the folder that is returned first, by what
    pairs them: their path below the folder without suffixes, or those parts of it that the glob leaves open (so that
    */images/* and */masks/* pair)."""
    fixed = fixed_part(pattern)
    folder, signs = str(require_path(root / fixed, what)), Path(pattern).relative_to(fixed).parts
    below = iglob(str(Path(*signs)), root_dir=folder, recursive=True) if signs else _walk(folder)
    anchored = bool(signs) and "**" not in signs
    suffixes = [suffix] if isinstance(suffix, str) else suffix
    found: dict[str, str] = {}
    for name in _listed(below, what):
        key, dot = os.path.splitext(name)
        if dot.lower() not in IMAGE_SUFFIXES:
            continue
        if "\t" in name or "\n" in name:
            raise DataError(f"{what}: {f'{folder}/{name}'!a} has a tab or a line break in its name; rename it")
        if anchored:
            names = key.split(os.sep)
            open_parts = [name for name, sign in zip(names[:-1], signs[:-1], strict=True) if is_glob(sign)]
            key = "/".join([*open_parts, names[-1]])
        ending = next((ending for ending in suffixes if key.endswith(ending)), None)
        if ending is None:
            continue
        key = key.removesuffix(ending)
        if key in found:
            first, second = sorted((f"{folder}/{found[key]}", f"{folder}/{name}"))
            raise DataError(
                f"{what}: {first} and {second} have the same name; which one is meant? remove or rename one"
            )
        found[key] = name
    return folder, found


def _listed(names: Iterator[str], what: str) -> Iterator[str]:
    try:
        yield from names
    except OSError as error:
        raise DataError(f"{what}: {error.filename} cannot be listed: {error.strerror}") from error


def match_depths(images: dict[str, str], masks: dict[str, str], folder: str) -> dict[str, str]:
    """The mask files by the keys of their images: those that have none take that of an image whose path differs by one
    folder more, or less. Raises DataError, which names the `folder` of the masks, where others have the same name."""
    alone, others = images.keys() - masks.keys(), masks.keys() - images.keys()
    found = {(key, other) for key in alone for other in _shallower(key) if other in others}
    found |= {(key, other) for other in others for key in _shallower(other) if key in alone}
    if not found:
        return masks
    counts = [Counter(key.rpartition("/")[2] for key in keys) for keys in (images, masks)]
    for key, other in sorted(found):
        if max(count[key.rpartition("/")[2]] for count in counts) > 1:
            raise DataError(
                f"{folder}: is {masks[other]} the mask of {images[key]}? others have this name too; put the masks into "
                "the same folders as the images"
            )
    image_of = {other: key for key, other in found}
    return {image_of.get(key, key): file for key, file in masks.items()}


def _shallower(key: str) -> set[str]:
    """A path with each of its folders left out."""
    parts = key.split("/")
    return {"/".join(parts[:index] + parts[index + 1 :]) for index in range(len(parts) - 1)}


def pair(
    root: Path,
    images: str,
    masks: str,
    *,
    image_suffix: str | list[str] = "",
    mask_suffix: str | list[str] = "",
    classes: Sequence[str] = (),
    missing_empty: bool = False,
    what: str = "data",
) -> SampleTable:
    """Images and masks of the same path below two folders, or globs, below `root`, in the order of their paths. One of
    both may lie a folder deeper than the other, if no others have its name.

    With the names of `classes` there is a mask for each, which `{class}` in `masks` and `mask_suffix` stands for, and
    Sample.mask holds their paths, one a line; with `missing_empty` some may be missing, but not all. Raises DataError,
    beginning with `what`, where a file has no partner or there is none.
    """
    image_folder, image_files = find_files(root, images, image_suffix, f"{what}.images")
    if not image_files:
        raise DataError(f"{what}: no images in {root / images}; known suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}")
    endings = [mask_suffix] if isinstance(mask_suffix, str) else mask_suffix
    hint = "; if they do not show it, write data.missing_masks: empty" if classes else ""
    layers = []
    for name in classes or [""]:
        if is_glob(name):
            raise DataError(f"data.classes: '{name}' has a sign of globs, * ? or [, and cannot stand for {{class}}")
        pattern, own_endings = masks.replace("{class}", name), [ending.replace("{class}", name) for ending in endings]
        folder, files = find_files(root, pattern, own_endings, f"{what}.masks")
        if not files and not missing_empty:
            ending = f" whose names end in {' or '.join(own_endings)}" if any(own_endings) else ""
            raise DataError(f"{what}: no masks in {root / pattern}{ending}")
        files = match_depths(image_files, files, folder)
        if not missing_empty:
            of_class = f" of '{name}'" if name else ""
            text = f"{what}: %s have no mask{of_class} in {root / pattern}: %s{hint}"
            _refuse_alone("images", image_folder, image_files, files, text)
        _refuse_alone("masks", folder, files, image_files, f"{what}: %s have no image in {root / images}: %s")
        layers.append({key: f"{folder}/{file}" for key, file in files.items()})
    any_layer = {key: "" for layer in layers for key in layer}
    _refuse_alone("images", image_folder, image_files, any_layer, f"{what}: %s have no mask of any class: %s")
    return SampleTable(
        Sample(key, f"{image_folder}/{image_files[key]}", "\n".join(layer.get(key, "") for layer in layers))
        for key in sorted(image_files)
    )


def _refuse_alone(kind: str, folder: str, files: dict[str, str], partners: Container[str], text: str) -> None:
    """Raises DataError for files without a partner: `text` with how many, and which."""
    alone = sorted(f"{folder}/{file}" for key, file in files.items() if key not in partners)
    if alone:
        raise DataError(text % (f"{len(alone)} of {len(files)} {kind}", name_some(alone)))
