"""Formats: layouts of datasets on the disk, one module each; published datasets are YAML files in public/.

Each module in READERS has `read(root, *, seed, classes, ...) -> Splits`: the splits that are there. `seed` and
`classes` (the classes of the data section) are named by those that need them; all other arguments are keys of the
`data` section. Where masks are not image files, it has `read_mask(mask, *, as_color, ...) -> array`: HW integers of
`Sample.mask`; further arguments are keys of the `data` section.

A module is imported when its format is asked for, also to check a configuration: none imports torch, NumPy or any other
slow library at its top.
"""

import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from segtrain.formats.dataset_info import load_dataset, published
from segtrain.formats.sample import SPLIT_NAMES, Label, Splits

READERS = {
    "folders": "folders",
    "csv": "csv",
    "list": "list_file",
    "geotiff": "geotiff",
    "coco": "coco",
    "labelme": "labelme",
    "cvat": "cvat",
    "rle": "rle",
    "tar": "tar",
    "huggingface": "huggingface",
    # published datasets whose layout is in no table
    "camvid": "public.camvid",
    "sunrgbd": "public.sunrgbd",
    "voc_aug": "public.voc_aug",
}
# Published datasets whose masks hold something else than class values: the function of public/masks.py for them.
_MASKS = {
    "coco_stuff": "read_coco_stuff",
    "oxford_pet": "read_trimap",
    "sbu_shadow": "read_shadow",
    "voc_aug": "read_sbd",
}
_PROVIDED = (
    "root",
    "seed",
    "classes",
    "asked_splits",
    "mask_band",
    "problems",
    "notes",
    "thorough",
    "split_table",
)  # arguments of read that are no keys of their own

_BY_SPLIT = ("images", "masks", "files", "annotations", "panoptic")  # keys that may hold a path for each split


class Key(NamedTuple):
    """A key that a format adds to the `data` section."""

    annotation: Any
    default: Any


def format_names() -> list[str]:
    """What `data.format` may be."""
    return [*READERS, *(name for name in published() if name not in READERS)]


def load_reader(layout: str) -> ModuleType:
    """The module that reads a layout, one of READERS."""
    return importlib.import_module(f"segtrain.formats.{READERS[layout]}")


def _reader(name: str, written: Mapping[str, Any]) -> tuple[ModuleType, dict[str, Any]]:
    """The module that reads a format, and its arguments: the keys of a published dataset below the user's."""
    if name not in published():
        return load_reader(name), dict(written)
    dataset = load_dataset(name)
    words = {key: next(iter(options)) for key, options in dataset.choices.items()}
    words |= {key: value for key, value in written.items() if key in words and value is not None}
    data = dataset.data_for(words)
    layout = data.pop("format")
    own = {key: value for key, value in written.items() if key not in words}
    return load_reader(layout), words | data | own


def _taken(function: Callable, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key in inspect.signature(function).parameters}


def read_dataset(
    name: str,
    root: Path,
    written: Mapping[str, Any],
    *,
    seed: int = 0,
    classes: Sequence[Any] | None = None,
    asked_splits: Sequence[str] = (),
    mask_band: int | None = None,
    problems: list[str] | None = None,
    notes: list[str] | None = None,
    thorough: bool = False,
    split_table: Path | None = None,
) -> Splits:
    """The splits of a dataset below `root`, in the format `name`; `written` are further keys of the `data` section, in
    which other usual words for train, val and test mean these. `asked_splits` are names of splits that the user has
    written, `mask_band` the band of the masks with the values: an image may be its own mask then. `split_table` says
    which split each sample is in, instead of the format.

    Raises DataError for what is not there or contradicts itself. With a list of `problems`, a format that can (csv)
    appends to it what is wrong with a row, and leaves the row out, instead of raising for the first. A format (coco)
    appends to `notes`, a line each, what it read otherwise than a user may expect; with `thorough` it looks at every
    object instead of some.
    """
    reader, arguments = _reader(name, written)
    provided = {"seed": seed, "classes": classes, "asked_splits": asked_splits, "mask_band": mask_band}
    provided |= {"problems": problems, "notes": notes, "thorough": thorough}
    arguments = {key: _by_usual_split(value) if key in _BY_SPLIT else value for key, value in arguments.items()}
    splits = reader.read(root, **_taken(reader.read, arguments | provided))
    if split_table is None:
        return splits
    return importlib.import_module("segtrain.formats.split_table").split_by_table(splits, split_table)


def _by_usual_split(value: Any) -> Any:
    """{valid: folder} as {val: folder}, unless there is a val too."""
    if not isinstance(value, dict):
        return value
    usual = {split: SPLIT_NAMES.get(str(split).casefold(), split) for split in value}
    taken = Counter([*value, *usual.values()])
    return {
        usual[split] if split == usual[split] or taken[usual[split]] == 1 else split: path
        for split, path in value.items()
    }


def find_mask_reader(name: str, written: Mapping[str, Any]) -> Callable[..., Any] | None:
    """What turns Sample.mask into HW integers, called as `(mask, as_color=..)`; None where masks are image files."""
    reader, arguments = _reader(name, written)
    if name in _MASKS:
        read_mask = getattr(importlib.import_module("segtrain.formats.public.masks"), _MASKS[name])
    else:
        read_mask = getattr(reader, "read_mask", None)
    return read_mask and partial(read_mask, **_taken(read_mask, arguments))


def find_classes(name: str, data: Mapping[str, Any]) -> list[str]:
    """The names of the classes that the files of a dataset say themselves; none in most formats. Raises DataError
    for a dataset that is not there."""
    reader, arguments = _reader(name, data)
    find = getattr(reader, "find_classes", None)
    roots = data.get("root")
    root = roots[0] if isinstance(roots, list) and roots else roots
    return find(**_taken(find, arguments | {"root": Path(root)})) if find and isinstance(root, str) else []


def find_labels(name: str, data: Mapping[str, Any]) -> list[Label]:
    """The labels of the objects in annotation files; none in formats of masks. Raises DataError for a dataset that is
    not there."""
    reader, arguments = _reader(name, data)
    find = getattr(reader, "find_labels", None)
    return find(**_taken(find, arguments | {"root": Path(data["root"])})) if find else []


def find_ignored_raw(name: str) -> int | None:
    """The value of ignored pixels where annotations hold the names of classes, and masks their indices; else None."""
    reader, _ = _reader(name, {})
    return reader.polygons.IGNORED_RAW if hasattr(reader, "polygons") else None


def keys_of(name: str, written: Mapping[str, Any]) -> dict[str, Key]:
    """The keys that a format adds to the `data` section, as far as they depend on those that are written."""
    reader, _ = _reader(name, written)
    choices, below = {}, {}
    if name in published():
        dataset = load_dataset(name)
        choices, below = dataset.choices, dataset.data_for(written)
    keys = {
        key: Key(parameter.annotation, below.get(key, parameter.default))
        for key, parameter in inspect.signature(reader.read).parameters.items()
        if key not in _PROVIDED
    }
    return keys | {key: Key(Literal[tuple(words)] | None, next(iter(words))) for key, words in choices.items()}
