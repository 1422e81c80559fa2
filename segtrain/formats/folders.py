"""Folders of images and folders of masks, paired by the names of their files."""

import json
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from glob import iglob
from os.path import normpath
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from segtrain.errors import DataError, name_some
from segtrain.files import is_glob, quoted
from segtrain.formats.one_folder import MaskKind, find_kinds, list_globs
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
    require_own_mask,
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
    mask_band: int | None = None,
) -> Splits:
    """Pair images with masks that have the same path below their folder, whatever the file types. If one of the two
    trees has an additional level of folders, files are paired by name, provided that the name is unique.

    `images` and `masks` are folders or globs below `root`: one for each split (train, val, test or any other name), or
    one for the entire dataset; of a list, the first that exists is used. `val_fraction` of the entire dataset (0.2 by
    default), or of train if there is no val, is held out for validation; names in which the regular expression
    `val_groups` matches the same text stay together. `image_suffix` and `mask_suffix` are endings in which the names
    differ (`_mask` if a.jpg belongs to a_mask.png), or lists of such endings; names may also start differently if globs
    say so (img_* and mask_*). Masks may be in the same folder as their images: files that are masks are not read as
    images. With `data.multilabel`, `{class}` in `masks` or `mask_suffix` stands for the name of each class; with
    `missing_masks: empty`, an image without the mask of a class does not contain it. With `missing_splits: skip`,
    splits without images are left out. Raises DataError if a file has no counterpart or a split is empty.
    """
    folders = _find_folders(root, images, masks, skip_missing=missing_splits == "skip")
    options: dict[str, Any] = {"image_suffix": image_suffix, "mask_suffix": mask_suffix, "mask_band": mask_band}
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
    signs = Path(pattern).relative_to(fixed_part(pattern)).parts
    folder, listed = list_files(root, pattern, what)
    anchored = bool(signs) and "**" not in signs
    suffixes = [suffix] if isinstance(suffix, str) else suffix
    found: dict[str, str] = {}
    for name in listed:
        key = os.path.splitext(name)[0]
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
            raise DataError(f"{what}: {first} and {second} have the same name; remove or rename one of them")
        found[key] = name
    return folder, found


def list_files(root: Path, pattern: str, what: str) -> tuple[str, Iterator[str]]:
    """A folder, and the image files of it, with its subfolders, or of a glob, by their paths below it."""
    fixed = fixed_part(pattern)
    folder, signs = str(require_path(root / fixed, what)), Path(pattern).relative_to(fixed).parts
    below = iglob(str(Path(*signs)), root_dir=folder, recursive=True) if signs else _walk(folder)
    return folder, _image_files(folder, below, what)


def _image_files(folder: str, names: Iterator[str], what: str) -> Iterator[str]:
    for name in _listed(names, what):
        if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
            if "\t" in name or "\n" in name:
                raise DataError(f"{what}: {f'{folder}/{name}'!a} has a tab or a line break in its name; rename it")
            yield name


def _listed(names: Iterator[str], what: str) -> Iterator[str]:
    try:
        yield from names
    except OSError as error:
        raise DataError(f"{what}: {error.filename} cannot be listed: {error.strerror}") from error


def without_masks(
    images: tuple[str, dict[str, str]], masks: Sequence[tuple[str, dict[str, str]]], *, mask_band: int | None = None
) -> dict[str, str]:
    """The image files that are not masks too, from what find_files gives; all where none is left and `mask_band` says
    which band of an image is its mask."""
    folder, files = images
    if not any(
        f"{one}/".startswith(f"{other}/") for mask, _ in masks for one, other in ((folder, mask), (mask, folder))
    ):
        return files
    taken = {f"{mask_folder}/{file}" for mask_folder, found in masks for file in found.values()}
    left = {key: file for key, file in files.items() if f"{folder}/{file}" not in taken}
    return left if left or mask_band is None else files


def match_beginnings(
    images: dict[str, str], masks: dict[str, str], image_pattern: str, mask_pattern: str
) -> dict[str, str]:
    """The mask files by the keys of their images where the globs begin with other texts, like img_* and mask_*, or end
    in other names, like */image.png and */mask.png, unless some have the same name as it is."""
    first, second = (
        re.split(r"[*?[]", Path(pattern).stem)[0] if is_glob(pattern) else ""
        for pattern in (image_pattern, mask_pattern)
    )
    if first == second or images.keys() & masks.keys():
        return masks
    parts = ((key.rpartition("/"), file) for key, file in masks.items())
    return {f"{head}{slash}{first}{name.removeprefix(second)}": file for (head, slash, name), file in parts}


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
                f"{folder}: is {masks[other]} the mask of {images[key]}? several files have this name; put the masks "
                f"into the same folders as the images"
            )
    image_of = {other: key for key, other in found}
    return {image_of.get(key, key): file for key, file in masks.items()}


def _shallower(key: str) -> set[str]:
    """A path with each of its folders left out."""
    parts = key.split("/")
    return {"/".join(parts[:index] + parts[index + 1 :]) for index in range(len(parts) - 1)}


def pair(root: Path, images: str, masks: str, *, what: str = "data", **options: Any) -> SampleTable:
    """Images and masks of the same path below two folders, or globs, below `root`, in the order of their paths. One of
    both may lie a folder deeper than the other, if no others have its name.

    `options` are `image_suffix` and `mask_suffix`, each an ending or several, `mask_band` as data has it, `classes` and
    `missing_empty`. With the names of `classes` there is a mask for each, which `{class}` in `masks` and `mask_suffix`
    stands for, and Sample.mask holds their paths, one a line; with `missing_empty` some may be missing, but not all.
    Raises DataError, beginning with `what`, where a file has no partner, or is its own, or there is none.
    """
    try:
        return _pair(root, images, masks, what=what, **options)
    except DataError as error:
        if options.get("classes"):
            raise
        suffixes = {key: options.get(key, "") for key in ("image_suffix", "mask_suffix")}
        layout = find_layout(root, images, masks, what=what, **suffixes)
        given = {"images": images, "masks": masks, **suffixes}
        if layout in (None, given):
            raise
        changed = {key: value for key, value in layout.items() if value != given[key]}
        folder, advice = root / fixed_part(images), _write_keys(changed, what)
        raise DataError(f"{what}: images and masks are in the same folder, {folder}; write {advice}") from error


def _write_keys(layout: dict[str, Any], what: str) -> str:
    """Keys of the data section as YAML has them, in one line; `what` names the split."""
    split = what.removeprefix("data").strip(" ()")
    names = {key: f"data.{key}.{split}" if split and key in ("images", "masks") else f"data.{key}" for key in layout}
    return ", ".join(
        f"{names[key]}: {json.dumps(value) if isinstance(value, list) else repr(value)}"
        for key, value in layout.items()
        if value
    )


def find_layout(
    root: Path,
    images: str,
    masks: str,
    *,
    image_suffix: str | list[str] = "",
    mask_suffix: str | list[str] = "",
    what: str = "data",
    as_globs: bool = False,
) -> dict[str, str | list[str]] | None:
    """The keys of data (images, masks and the suffixes) by which images and masks in one folder pair, told by their
    names; None where they do not lie in one folder, or the names tell nothing.

    Raises DataError where they pair in several ways, with what to write for each, or with what to give to `check`
    (`as_globs`), and where the names of the same files tell nothing.
    """
    found, suffixes = [], (image_suffix, mask_suffix)
    for kind, pattern, suffix in zip(("images", "masks"), (images, masks), suffixes, strict=True):
        folder, listed = list_files(root, pattern, f"{what}.{kind}")
        endings = (suffix,) if isinstance(suffix, str) else tuple(suffix)
        found.append([f"{folder}/{name}" for name in listed if os.path.splitext(name)[0].endswith(endings)])
    if not {os.path.dirname(file) for file in found[0]} & {os.path.dirname(file) for file in found[1]}:
        return None
    top = os.path.commonpath([root / fixed_part(pattern) for pattern in (images, masks)]) or "."
    kinds = find_kinds(*([file.removeprefix(f"{top}/") for file in files] for files in found))
    if not kinds and set(found[0]) == set(found[1]):
        raise DataError(
            f"{what}: images and masks are the same files in {top}, and their names do not distinguish them; give a "
            f"glob for each, like 'img_*' and 'mask_*' or '*/images/*' and '*/masks/*', or write data.mask_band if "
            f"one band of the images is the mask"
        )
    below = os.path.relpath(top, root)
    layouts = [_choose_layout(root, kind, (images, masks), below, alone=len(kinds) == 1) for kind in kinds]
    if len(layouts) > 1:
        like = " or ".join(f"{image} with {kind.pairs[image]}" for kind in kinds for image in [min(kind.pairs)])
        if as_globs:
            places = [[quote(str(root / layout[key])) for key in ("images", "masks")] for layout in layouts]
            advice = f"give the images and masks as {', or '.join(map(' '.join, places))}"
        else:
            advice = f"write {', or '.join(_write_keys(layout, what) for layout in layouts)}"
        raise DataError(f"{what}: the files in {top} can be paired in several ways: {like}; {advice}")
    return layouts[0] if layouts else None


def _choose_layout(
    root: Path, kind: MaskKind, given: tuple[str, str], below: str, *, alone: bool
) -> dict[str, str | list[str]]:
    """The keys that read the pairs of a kind and no others: the `given` images and masks with its endings, if they do,
    or else globs."""
    suffixes: dict[str, str | list[str]] = {"image_suffix": "", "mask_suffix": ""}
    if kind.by == "ending":
        suffixes = {"image_suffix": kind.image, "mask_suffix": kind.masks[0] if len(kind.masks) == 1 else [*kind.masks]}
    globs = [[str(Path(below, glob)) for glob in of_kind] for of_kind in list_globs(kind)]
    tried = [[given[0], *globs[0]], [given[1], *globs[1]] if alone or not globs[1] else globs[1]]
    layouts = [{"images": image, "masks": mask, **suffixes} for image in tried[0] for mask in tried[1]]
    top = root / below
    wanted = {normpath(f"{top}/{image}"): normpath(f"{top}/{mask}") for image, mask in kind.pairs.items()}
    for layout in layouts:
        with suppress(DataError):
            if {normpath(sample.image): normpath(sample.mask) for sample in _pair(root, **layout)} == wanted:
                return layout
    return layouts[0] if kind.by == "ending" else layouts[-1]


def _pair(
    root: Path,
    images: str,
    masks: str,
    *,
    image_suffix: str | list[str] = "",
    mask_suffix: str | list[str] = "",
    classes: Sequence[str] = (),
    missing_empty: bool = False,
    mask_band: int | None = None,
    what: str = "data",
) -> SampleTable:
    image_folder, image_files = find_files(root, images, image_suffix, f"{what}.images")
    if not image_files:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{what}: no images in {quoted(root / images)}; known suffixes: {known}")
    endings = [mask_suffix] if isinstance(mask_suffix, str) else mask_suffix
    hint = "; if these images do not contain the class, write data.missing_masks: empty" if classes else ""
    found = []
    for name in classes or [""]:
        if is_glob(name):
            raise DataError(f"data.classes: '{name}' contains a wildcard (* ? or [) and cannot stand for {{class}}")
        pattern, own_endings = masks.replace("{class}", name), [ending.replace("{class}", name) for ending in endings]
        found.append((name, root / pattern, *find_files(root, pattern, own_endings, f"{what}.masks")))
        if not found[-1][-1] and not missing_empty:
            ending = f" whose names end in {' or '.join(own_endings)}" if any(own_endings) else ""
            raise DataError(f"{what}: no masks in {quoted(root / pattern)}{ending}")
    image_files = without_masks((image_folder, image_files), [layer[2:] for layer in found], mask_band=mask_band)
    layers = []
    for name, path, folder, files in found:
        files = match_beginnings(image_files, files, images, str(path))
        files = match_depths(image_files, files, folder)
        if not missing_empty:
            of_class = f" of '{name}'" if name else ""
            text = f"{what}: %s have no mask{of_class} in {quoted(path)}: %s{hint}"
            _refuse_alone("images", image_folder, image_files, files, text)
        _refuse_alone("masks", folder, files, image_files, f"{what}: %s have no image in {quoted(root / images)}: %s")
        layers.append({key: f"{folder}/{file}" for key, file in files.items()})
    any_layer = {key: "" for layer in layers for key in layer}
    _refuse_alone("images", image_folder, image_files, any_layer, f"{what}: %s have no mask of any class: %s")
    table = SampleTable(
        Sample(key, f"{image_folder}/{image_files[key]}", "\n".join(layer.get(key, "") for layer in layers))
        for key in sorted(image_files)
    )
    for sample in table if mask_band is None else ():
        require_own_mask(sample, what)
    return table


def _refuse_alone(kind: str, folder: str, files: dict[str, str], partners: Container[str], text: str) -> None:
    """Raises DataError for files without a partner: `text` with how many, and which."""
    alone = sorted(f"{folder}/{file}" for key, file in files.items() if key not in partners)
    if alone:
        raise DataError(text % (f"{len(alone)} of {len(files)} {kind}", name_some(alone)))
