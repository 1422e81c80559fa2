"""Folders of images and folders of masks, paired by the names of their files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from glob import iglob
from pathlib import Path
from typing import Any, Literal

from segtrain.errors import DataError, name_some
from segtrain.files import is_glob
from segtrain.formats.dataset_info import Labels
from segtrain.formats.sample import (
    IMAGE_SUFFIXES,
    Sample,
    SampleTable,
    Splits,
    require_nearby_layout,
    require_path,
    split_by_fraction,
)

ABOUT = None


def labels(arguments: Mapping[str, Any]) -> Labels | None:
    """The user's own."""
    return None


def read(
    root: Path,
    *,
    images: str | dict[str, str] = {"train": "train/images", "val": "val/images"},  # noqa: B006 (never changed)
    masks: str | dict[str, str] = {"train": "train/masks", "val": "val/masks"},  # noqa: B006
    image_suffix: str = "",
    mask_suffix: str = "",
    missing_masks: Literal["error", "empty"] = "error",
    val_fraction: float = 0.2,
    classes: Sequence[Any] = (),
    seed: int = 0,
) -> Splits:
    """Pair images with masks of the same path below their folder, whatever the file types.

    `images` and `masks` are a folder or a glob below `root` for each split (train, val, test or any other name), or one
    of each for the whole set, of which `val_fraction` is then held out for validation. `image_suffix` and
    `mask_suffix` are endings of the names that differ (`_mask` where a.jpg has a_mask.png). With `data.multilabel`,
    `{class}` in `masks` or `mask_suffix` stands for the name of each class, whose masks lie there; with `missing_masks:
    empty`, an image without the mask of a class does not show it. Raises DataError where a file has no partner or a
    split is empty.
    """
    written = [*images.values(), *masks.values()] if isinstance(images, dict) else [images]
    require_nearby_layout(root, sorted({str(Path(*_fixed(text))) for text in written if "{class}" not in text}))
    suffixes = {"image_suffix": image_suffix, "mask_suffix": mask_suffix}

    def pair_all(images: str, masks: str, what: str) -> SampleTable:
        if "{class}" not in masks + mask_suffix:
            return pair(root, images, masks, what=what, **suffixes)
        names = [item.name for item in classes]
        return _pair_layers(root, images, masks, names, empty=missing_masks == "empty", what=what, **suffixes)

    if isinstance(images, str) and isinstance(masks, str):
        return split_by_fraction(pair_all(images, masks, "data"), val_fraction, seed)
    if not isinstance(images, dict) or not isinstance(masks, dict) or images.keys() != masks.keys():
        raise DataError("data.images, data.masks: write a folder for each, or {train: folder, val: folder} for each")
    return {split: pair_all(images[split], masks[split], f"data ({split})") for split in images}


def _is_wild(part: str) -> bool:
    return is_glob(part)


def _fixed(pattern: str) -> tuple[str, ...]:
    """The folders that a pattern begins with, up to the first sign that stands for something else."""
    parts = Path(pattern).parts
    return parts[: next((place for place, part in enumerate(parts) if _is_wild(part)), len(parts))]


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


def find_files(root: Path, pattern: str, suffix: str, what: str) -> tuple[str, dict[str, str]]:
    """The image files of a folder (with its subfolders) or a glob, below the folder that is returned first, by what
    pairs them: their path without suffixes below the folder, or those parts of it that the glob leaves open (so that
    */images/* and */masks/* pair)."""
    fixed = _fixed(pattern)
    folder, signs = str(require_path(root.joinpath(*fixed), what)), Path(pattern).parts[len(fixed) :]
    below = iglob(str(Path(*signs)), root_dir=folder, recursive=True) if signs else _walk(folder)
    anchored = bool(signs) and "**" not in signs
    found: dict[str, str] = {}
    for name in _listed(below, what):
        key, dot = os.path.splitext(name)
        if dot.lower() not in IMAGE_SUFFIXES:
            continue
        if anchored:
            names = key.split(os.sep)
            open_parts = [name for name, sign in zip(names[:-1], signs[:-1], strict=True) if _is_wild(sign)]
            key = "/".join([*open_parts, names[-1]])
        if not key.endswith(suffix):
            continue
        key = key.removesuffix(suffix)
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


def pair(
    root: Path, images: str, masks: str, *, image_suffix: str = "", mask_suffix: str = "", what: str = "data"
) -> SampleTable:
    """Images and masks of the same name below two folders, or globs, below `root`, in the order of their names.

    Raises DataError, beginning with `what`, where a file has no partner or there is none.
    """
    image_folder, image_files = find_files(root, images, image_suffix, f"{what}.images")
    mask_folder, mask_files = find_files(root, masks, mask_suffix, f"{what}.masks")
    if not image_files:
        raise DataError(f"{what}: no images in {root / images}; known suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}")
    alone = sorted(f"{image_folder}/{file}" for key, file in image_files.items() if key not in mask_files)
    if alone:
        raise DataError(
            f"{what}: {len(alone)} of {len(image_files)} images have no mask in {root / masks}: {name_some(alone)}"
        )
    alone = sorted(f"{mask_folder}/{file}" for key, file in mask_files.items() if key not in image_files)
    if alone:
        raise DataError(
            f"{what}: {len(alone)} of {len(mask_files)} masks have no image in {root / images}: {name_some(alone)}"
        )
    return SampleTable(
        Sample(key, f"{image_folder}/{image_files[key]}", f"{mask_folder}/{mask_files[key]}")
        for key in sorted(image_files)
    )


def _pair_layers(
    root: Path,
    images: str,
    masks: str,
    classes: Sequence[str],
    *,
    empty: bool,
    image_suffix: str,
    mask_suffix: str,
    what: str,
) -> SampleTable:
    """As pair, with a mask for each class: Sample.mask holds their paths, one a line."""
    image_folder, image_files = find_files(root, images, image_suffix, f"{what}.images")
    layers = []
    for name in classes:
        if _is_wild(name):
            raise DataError(f"data.classes: '{name}' has a sign of globs, * ? or [, and cannot stand for {{class}}")
        pattern, suffix = masks.replace("{class}", name), mask_suffix.replace("{class}", name)
        folder, files = find_files(root, pattern, suffix, f"{what}.masks")
        layers.append({key: f"{folder}/{file}" for key, file in files.items()})
        alone = sorted(f"{image_folder}/{file}" for key, file in image_files.items() if key not in files)
        if alone and not empty:
            raise DataError(
                f"{what}: {len(alone)} of {len(image_files)} images have no mask of '{name}' in {root / pattern}: "
                f"{name_some(alone)}; if they do not show it, write data.missing_masks: empty"
            )
        alone = sorted(f"{folder}/{file}" for key, file in files.items() if key not in image_files)
        if alone:
            raise DataError(
                f"{what}: {len(alone)} of {len(files)} masks have no image in {root / images}: {name_some(alone)}"
            )
    bare = sorted(
        f"{image_folder}/{file}" for key, file in image_files.items() if not any(key in layer for layer in layers)
    )
    if bare:
        raise DataError(
            f"{what}: {len(bare)} of {len(image_files)} images have no mask of any class: {name_some(bare)}"
        )
    return SampleTable(
        Sample(key, f"{image_folder}/{image_files[key]}", "\n".join(layer.get(key, "") for layer in layers))
        for key in sorted(image_files)
    )
