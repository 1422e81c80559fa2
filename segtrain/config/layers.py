"""Layers: the base file, experiment files, dicts and `key.sub=value` arguments, merged into one tree."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from segtrain import formats
from segtrain.config.libraries import takes_encoder
from segtrain.config.schema import ModelConfig
from segtrain.config.section import NamedSection, Section, _is_replaced, alternatives, annotation_inside, section_of
from segtrain.config.tree import Value, load_yaml, parse_yaml, read_mapping
from segtrain.errors import ConfigError
from segtrain.formats.dataset_info import load_dataset, published

BASE_FILE = "config.yml"


def _expand(value: Value, section: type[Section] | None) -> Value:
    """The mapping that a single value stands for."""
    if section is None or section.shorthand is None or value.data is None or isinstance(value.data, (dict, list)):
        return value
    return Value({section.shorthand: value}, value.origin)


def _merge(base: Value, layer: Value, annotation: Any) -> Value:
    section = section_of(annotation)
    if isinstance(layer.data, dict):
        base = _expand(base, section)
    elif isinstance(base.data, dict):
        layer = _expand(layer, section)
    if not (isinstance(base.data, dict) and isinstance(layer.data, dict)):
        return layer
    below = dict(base.data)
    if section is not None and issubclass(section, NamedSection):
        chosen = layer.data.get(section.selector)
        if chosen is not None and section.selector in below and chosen.data != below[section.selector].data:
            kept = section.model_fields.keys() - section.forgotten
            if section is ModelConfig and not takes_encoder(chosen.data):
                kept -= {"encoder_name", "encoder_weights"}
            below = {key: value for key, value in below.items() if key in kept}
    for key, value in layer.data.items():
        inside = annotation_inside(annotation, key)
        if key in below and value.data is None and NoneType not in alternatives(inside):
            del below[key]  # `loss.DiceLoss=null` takes a term out of the sum, `optimizer.betas=null` an argument
            continue
        if key in below and not _is_replaced(annotation, key):
            value = _merge(below[key], value, inside)
        below[key] = value
    return Value(below, base.origin)


def _nested(base: Value | None, keys: Sequence[str], value: Value, annotation: Any) -> Value:
    """The layer that sets `keys` to `value` above `base`; a digit picks an item where the base is a list."""
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    inside = annotation_inside(annotation, head)
    if base is not None and isinstance(base.data, list):
        if not head.isdigit() or int(head) >= len(base.data):
            raise ConfigError(
                f"{value.origin}: there is no item '{head}' in this list of {len(base.data)}; items are numbered from 0"
            )
        items, index = list(base.data), int(head)
        items[index] = _merge(items[index], _nested(items[index], rest, value, inside), inside)
        return Value(items, base.origin)
    below = base.data.get(head) if base is not None and isinstance(base.data, dict) else None
    inner = _nested(below, rest, value, inside)
    if rest and below is not None and _is_replaced(annotation, head):
        inner = _merge(below, inner, inside)  # `loss.DiceLoss=0.3` sets one term of the sum
    return Value({head: inner}, value.origin)


def split_key(path: str) -> list[str]:
    """The keys of `optimizer.lr`, one below the other; an empty one where the path is none."""
    keys = path.split(".")
    named = next((index for index, key in enumerate(keys) if key[:1].isupper()), 0)
    if keys[0] == "loss" and named > 1:  # loss.my_losses.EdgeLoss.coef: the dots up to the class are those of its path
        keys[1 : named + 1] = [".".join(keys[1 : named + 1])]
    return keys


def _read_override(argument: str) -> tuple[list[str], Value]:
    path, _, text = argument.partition("=")
    origin = f"command line: {argument}"
    keys = split_key(path)
    if not all(keys):
        raise ConfigError(f"{origin}: '{path}' is not a key like train.epochs")
    if not text.strip():
        raise ConfigError(f"{origin}: is empty; is a variable unset? {path}=null removes a key")
    # To YAML a # behind a blank would begin a comment.
    return keys, _as_typed(parse_yaml(text.replace("#", STAND_IN), origin=origin))


SELECTORS = ("name", "format")
STAND_IN = "\ue000"  # of the characters for private use


def _as_typed(value: Value) -> Value:
    """A value of the command line, in which # is no more than a character, and Python's None is null."""
    if isinstance(value.data, dict):
        entries = {key.replace(STAND_IN, "#"): _as_typed(item) for key, item in value.data.items()}
        return Value(entries, value.origin)
    if isinstance(value.data, list):
        return Value([_as_typed(item) for item in value.data], value.origin)
    if not isinstance(value.data, str):
        return value
    return Value(None if value.data == "None" else value.data.replace(STAND_IN, "#"), value.origin)


def _names_in(keys: list[str], value: Value) -> Iterator[tuple[list[str], Value]]:
    """What in an override chooses the thing that a section is about."""
    if any(key.isdigit() for key in keys):
        return  # an item of a list
    if keys[-1] in SELECTORS:
        yield keys, value
    elif isinstance(value.data, dict):
        yield from (([*keys, name], value.data[name]) for name in SELECTORS if name in value.data)


OVERRIDE = re.compile(r"^[A-Za-z_][\w.-]*=")  # what is key.sub=value, and not a file


def load_tree(
    arguments: Sequence[str | Mapping], schema: type[Section], *, base: Path | str | None = BASE_FILE
) -> Value:
    """Merge the experiment files and the dicts, and then the `key.sub=value` arguments, into the base file.

    Without a base (None) they are merged into the defaults. A file that is the base itself is not merged twice. Raises
    ConfigError for what is not YAML, not a mapping or not there.
    """
    tree = load_yaml(base) if base is not None else Value({}, "the defaults")
    overrides = []
    for number, argument in enumerate(arguments, start=1):
        if isinstance(argument, Mapping):
            tree = _merge(tree, read_mapping(argument, origin=f"argument {number}"), schema)
        elif OVERRIDE.match(argument):
            overrides.append(argument)
        elif base is None or Path(argument).resolve() != Path(base).resolve():
            tree = _merge(tree, load_yaml(Path(argument)), schema)
    return apply_overrides(tree, overrides, schema)


def apply_overrides(tree: Value, overrides: Sequence[str], schema: type[Section]) -> Value:
    """Merge `key.sub=value` arguments into a tree. All of them are one layer: names, which drop the arguments of
    another one, act before the arguments."""
    typed = [_read_override(override) for override in overrides]
    for keys, value in [*(name for each in typed for name in _names_in(*each)), *typed]:
        tree = _merge(tree, _nested(tree, keys, value, schema), schema)
    return tree


def add_published(tree: Value) -> Value:
    """Merge the classes of a public dataset, and its values that mean ignore, below those of the section `data`.

    Its other keys are merged where it is read, by segtrain.formats. What is merged is said to come from where the
    format was named. Where annotations hold the names of classes, each class without a value has its index as value.
    """
    data = tree.data.get("data") if isinstance(tree.data, dict) else None
    if data is None or not isinstance(data.data, dict):
        return tree
    named = data.data.get("format", Value("folders", data.origin))
    if not isinstance(named.data, str) or named.data not in formats.format_names():
        return tree
    keys = dict(data.data)
    if named.data in published() and _is_absent(keys, "classes"):
        below = load_dataset(named.data).data_for({key: value.plain() for key, value in keys.items()})
        for key in ("classes", "ignore_values"):
            if key in below and _is_absent(keys, key):
                keys[key] = _at(below[key], named.origin)
    if _is_absent(keys, "classes") and (
        names := formats.find_classes(named.data, {key: value.plain() for key, value in keys.items()})
    ):
        keys["classes"] = _at(names, named.origin)
    ignored = formats.find_ignored_raw(named.data)
    by_name = ignored is not None and not _is_absent(keys, "classes") and isinstance(keys["classes"].data, list)
    if by_name and _holds_names(keys):
        keys["classes"] = _with_values(keys["classes"])
        written = [] if _is_absent(keys, "ignore_values") else keys["ignore_values"].data
        if isinstance(written, list) and ignored not in [value.data for value in written]:
            keys["ignore_values"] = Value([*written, Value(ignored, named.origin)], named.origin)
    return Value(tree.data | {"data": Value(keys, data.origin)}, tree.origin)


def _is_absent(keys: dict[str, Value], key: str) -> bool:
    return key not in keys or keys[key].data is None


def _holds_names(keys: dict[str, Value]) -> bool:
    """Whether classes and the rest of `data` fit annotations that hold names; the rules say so where they do not."""
    multilabel = not _is_absent(keys, "multilabel") and keys["multilabel"].data is True
    items = [item.data for item in keys["classes"].data if isinstance(item.data, dict)]
    return not multilabel and all(_is_absent(item, "colors") for item in items)


def _at(plain: Any, origin: str) -> Value:
    """A value without origins as one that comes from `origin`."""
    if isinstance(plain, dict):
        return Value({key: _at(value, origin) for key, value in plain.items()}, origin)
    return Value([_at(item, origin) for item in plain] if isinstance(plain, list) else plain, origin)


def _with_values(classes: Value) -> Value:
    items = []
    for value, item in enumerate(classes.data, start=int(len(classes.data) == 1)):
        item = Value({"name": item}, item.origin) if isinstance(item.data, str) else item
        if isinstance(item.data, dict) and all(_is_absent(item.data, key) for key in ("value", "values")):
            item = Value({**item.data, "value": Value(value, item.origin)}, item.origin)
        items.append(item)
    return Value(items, classes.origin)
