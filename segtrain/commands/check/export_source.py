"""Source of an export: its samples, its classes with their names in the export, and notes about both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.exports import find_export
from segtrain.commands.check.finding import write_classes
from segtrain.commands.check.mask_values import show_share
from segtrain.commands.check.source import Source, from_folders
from segtrain.config.data_schema import ClassConfig
from segtrain.config.layers import add_published
from segtrain.config.mistakes import validate
from segtrain.config.rules import library_mistakes
from segtrain.config.schema import Config
from segtrain.config.tree import dump_yaml, parse_yaml
from segtrain.errors import DataError, count_of, name_some
from segtrain.formats import find_ignored_raw, find_labels, read_dataset
from segtrain.formats.polygons import fold_name
from segtrain.formats.sample import Label, OneSampleError, SampleTable, Splits

_IGNORED = frozenset({"ignore", "ignored", "void"})
_FEW_OUTSIDE = 0.02  # a smaller share of pixels outside all objects is hardly a class


class ExportSource(NamedTuple):
    """A source; its classes as in an experiment, empty if only the masks show them; the number of objects of each
    class, by name; and notes about the export."""

    source: Source
    classes: Sequence[ClassConfig] = ()
    objects: Mapping[str, int] = {}
    notes: Sequence[str] = ()


def from_export(path: Path, images: Path | None = None) -> ExportSource:
    """The samples of an export, and an experiment with its classes; for `images` see find_export. Raises DataError if
    it is not an export, or is inconsistent."""
    export = find_export(path, images)
    if export.folders is not None:
        return ExportSource(from_folders(*export.folders), notes=export.notes)
    notes, classes, objects, data = [*export.notes], [*export.classes], {}, dict(export.data)
    by_name = bool(data) and find_ignored_raw(data["format"]) is not None
    if by_name:
        labels = find_labels(data["format"], data)
        if lines := [label for label in labels if label.lines]:
            data["lines"] = "skip"
            listed = name_some([f"{label.name} ({label.lines})" for label in lines])
            notes.append(f"lines and points do not cover an area and are left out: {listed}")
        classes, objects, own, told = choose_classes(path, labels)
        data, notes = data | own, notes + told
    for item in classes:
        if item.name.encode("utf-8", "replace").decode() != item.name:
            raise DataError(
                f"{path}: the class name {item.name!a} is not in UTF-8; save the file that contains it as UTF-8"
            )
    config = _make_config(classes, data) if classes else None
    read: list[str] = []
    provided = {} if config is None else config.data.provided
    splits = export.splits
    if splits is None:
        keys = {key: value for key, value in data.items() if key not in ("format", "root")}
        try:
            splits = read_dataset(data["format"], Path(data["root"]), keys, notes=read, **provided)
        except OneSampleError as error:
            text = "has 1 image, but another one is needed for validation; label at least one more"
            raise DataError(f"{path}: {text}") from error
    source = Source(
        f"{export.title} at {path}",
        _pooled(splits, has_val=export.has_val),
        [],
        (),
        config,
        {key: value for key, value in data.items() if key != "classes"},
        None if config else (str(path), str(path)),
    )
    return ExportSource(source, classes, objects, [*notes, *read])


def _pooled(splits: Splits, *, has_val: bool) -> Splits:
    """The splits, with one split `all` instead of a random train and val."""
    if has_val or "all" in splits:
        return splits
    pool = SampleTable(sample for split in ("train", "val") for sample in splits.get(split, ()))
    return {"all": pool} | {split: table for split, table in splits.items() if split not in ("train", "val")}


def _make_config(classes: Sequence[ClassConfig], data: Mapping[str, Any]) -> Config:
    items = [item.model_dump(exclude_none=True) for item in classes]
    loss = {"BCEWithLogitsLoss" if len(classes) == 1 else "CrossEntropyLoss": 1.0}
    section = {"format": "csv", "root": ".", **data, "classes": items}
    tree = add_published(parse_yaml(dump_yaml({"data": section, "loss": loss})))
    return validate(tree, Config, rules=[library_mistakes])


def choose_classes(
    path: Path, labels: Sequence[Label]
) -> tuple[list[ClassConfig], dict[str, int], dict[str, Any], list[str]]:
    """The classes for these labels, the number of objects of each class, further keys of `data`, and notes.

    Labels that differ only in case or spaces are one class. Labels without objects are left out. `background` is the
    class of pixels outside all objects; labels like `ignore` are not a class. Raises DataError if no label has an
    object.
    """
    joined: dict[str, list[Label]] = {}
    for label in labels:
        joined.setdefault(fold_name(label.name), []).append(label)
    used = {key: [item for item in own if item.objects] for key, own in joined.items()}
    unused = [own[0].name for key, own in joined.items() if not used[key] and not own[0].lines]
    used = {key: own for key, own in used.items() if own}
    keys, notes = {}, []
    if unused and used:
        notes.append(f"labels without objects are left out: {name_some(unused, most=6)}")
    for key in _IGNORED & used.keys():
        keys["other_labels"] = "ignore"
        notes.append(f"objects labeled {used[key][0].name} are ignored; see data.other_labels")
        del used[key]
    if not used.keys() - {"background"}:
        raise DataError(f"{path}: has no objects with an area, so there is nothing to learn; is the labeling finished?")
    for own in used.values():
        if len(own) > 1:
            names = " and ".join(repr(item.name) for item in own)
            notes.append(f"the labels {names} differ only in case or spaces, so they are one class")
    background = used.pop("background", None)
    classes = [_make_class("background", background or [])] if background or len(used) > 1 else []
    classes += [_make_class("", own) for own in used.values()]
    every = [background or [], *used.values()] if classes[0].name == "background" else [*used.values()]
    counts = {item.name: sum(label.objects for label in own) for item, own in zip(classes, every, strict=True)}
    return classes, counts, keys, notes


def _make_class(name: str, labels: Sequence[Label]) -> ClassConfig:
    """A class for these labels, named after the first of them unless a name is given."""
    own = [label.name for label in labels]
    first = own[0].strip() if own else name
    name = name or (f"class_{first}" if first.isdecimal() else first)
    color = next((list(label.color) for label in labels if label.color), None)
    return ClassConfig(name=name, color=color, labels=own if own and own != [name] else None)


def describe_classes(report: DatasetReport, found: ExportSource) -> tuple[list[str], list[str]]:
    """The lines for the classes in the data section, with the objects and pixels of each class, and notes. If objects
    cover every pixel, there is no background."""
    pixels, names = report.class_pixels, report.labeling.names
    comments, total = {}, max(int(pixels.sum()), 1)
    for name, column in zip(names, pixels.T, strict=True):
        objects = [f"{count_of(found.objects[name], 'object')}"] if found.objects.get(name) else []
        share = f"{show_share(column.sum() / total)} of the pixels"
        comments[name] = ", ".join([*objects, share, f"in {int((column > 0).sum())} of {len(pixels)} masks"])
    lines = write_classes(found.classes, comments=comments)[1:]
    if not found.objects or "background" not in names:
        return lines, []
    outside = int(pixels[:, names.index("background")].sum())
    if not outside and len(names) > 2:
        labeled = [item for item in found.classes if item.name != "background"]
        return ["  unlabeled: ignore", *write_classes(labeled, comments=comments)[1:]], []
    if outside >= _FEW_OUTSIDE * total:
        return lines, []
    share = f"only {show_share(outside / total)} of the pixels are outside all objects"
    advice = "if everything is labeled, remove background from classes and write unlabeled: ignore"
    return lines, [f"{share}: {advice}"]
