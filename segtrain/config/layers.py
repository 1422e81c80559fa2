"""Layers: the base file, experiment files and `key.sub=value` arguments, merged into one tree."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segtrain.config.section import NamedSection, Section, _inside, _is_replaced, section_of
from segtrain.config.tree import Value, load_yaml, parse_yaml
from segtrain.errors import ConfigError

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
            below = {key: value for key, value in below.items() if key in kept}
    for key, value in layer.data.items():
        if key in below and value.data is None and getattr(section_of(_inside(annotation, key)), "shorthand", None):
            del below[key]  # `loss.DiceLoss=null` takes a term out of the sum
            continue
        if key in below and not _is_replaced(annotation, key):
            value = _merge(below[key], value, _inside(annotation, key))
        below[key] = value
    return Value(below, base.origin)


def _nested(base: Value | None, keys: Sequence[str], value: Value, annotation: Any) -> Value:
    """The layer that sets `keys` to `value` above `base`; a digit picks an item where the base is a list."""
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    inside = _inside(annotation, head)
    if base is not None and isinstance(base.data, list):
        if not head.isdigit() or int(head) >= len(base.data):
            raise ConfigError(f"{value.origin}: '{head}' is no item of a list of {len(base.data)}; items count from 0")
        items, place = list(base.data), int(head)
        items[place] = _merge(items[place], _nested(items[place], rest, value, inside), inside)
        return Value(items, base.origin)
    below = base.data.get(head) if base is not None and isinstance(base.data, dict) else None
    inner = _nested(below, rest, value, inside)
    if rest and below is not None and _is_replaced(annotation, head):
        inner = _merge(below, inner, inside)  # `loss.DiceLoss=0.3` sets one term of the sum
    return Value({head: inner}, value.origin)


def _apply_override(base: Value, argument: str, schema: type[Section]) -> Value:
    path, _, text = argument.partition("=")
    origin = f"command line: {argument}"
    keys = path.split(".")
    if not all(keys):
        raise ConfigError(f"{origin}: '{path}' is not a path of keys like train.epochs")
    return _merge(base, _nested(base, keys, parse_yaml(text, origin=origin), schema), schema)


_OVERRIDE = re.compile(r"^[A-Za-z_][\w.-]*=")


def load_tree(arguments: Sequence[str], schema: type[Section], *, base: Path | str | None = BASE_FILE) -> Value:
    """Merge the experiment files and then the `key.sub=value` arguments into the base file, in that order.

    Without a base (None) they are merged into the defaults. A file that is the base itself is not merged twice. Raises
    ConfigError for what is not YAML, not a mapping or not there.
    """
    overrides = [argument for argument in arguments if _OVERRIDE.match(argument)]
    files = [Path(argument) for argument in arguments if not _OVERRIDE.match(argument)]
    tree = load_yaml(base) if base is not None else Value({}, "the defaults")
    for file in files:
        if base is None or file.resolve() != Path(base).resolve():
            tree = _merge(tree, load_yaml(file), schema)
    for override in overrides:
        tree = _apply_override(tree, override, schema)
    return tree
