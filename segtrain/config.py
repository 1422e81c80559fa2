"""The mechanism of the configuration: layers, overrides, origins and mistakes. What there is to configure is in
experiment.py."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from segtrain.errors import ConfigError
from segtrain.yamltree import Value, load_yaml, parse_yaml

BASE_FILE = "config.yml"


class Section(BaseModel):
    """A part of the configuration whose keys are all declared."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=False)


class NamedSection(Section):
    """A part that names one thing of a library; its undeclared keys are the arguments of that thing."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)
    selector: ClassVar[str] = "name"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the named thing, as they were written."""
        return dict(self.model_extra or {})


@dataclass(frozen=True)
class Replaced:
    """Marks a field (in Annotated) whose mapping replaces that of the layer below as a whole, and is not merged with
    it."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: the path of keys to it and what to write instead."""

    path: tuple
    message: str


def suggest(word: str, known: Iterable[str]) -> str:
    """A short phrase that names the closest known word, or the known words where none is close."""
    known = sorted(known)
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{by_lower[close[0]]}'?"
    return f"known: {', '.join(known)}" if known and len(known) <= 40 else f"none of {len(known)} known names is close"


def _section_of(annotation: Any) -> type[Section] | None:
    candidates = (annotation, *get_args(annotation))
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, Section)), None)


def _merge(base: Value, layer: Value, section: type[Section] | None) -> Value:
    if not (isinstance(base.data, dict) and isinstance(layer.data, dict)):
        return layer
    below = dict(base.data)
    if section is not None and issubclass(section, NamedSection):
        chosen = layer.data.get(section.selector)
        if chosen is not None and section.selector in below and chosen.data != below[section.selector].data:
            below = {key: value for key, value in below.items() if key in section.model_fields}
    for key, value in layer.data.items():
        field = section.model_fields.get(key) if section is not None else None
        replaced = field is not None and any(isinstance(mark, Replaced) for mark in field.metadata)
        if key in below and not replaced:
            value = _merge(below[key], value, _section_of(field.annotation) if field else None)
        below[key] = value
    return Value(below, base.origin)


def _nested(base: Value | None, keys: Sequence[str], value: Value, section: type[Section] | None) -> Value:
    """The layer that sets `keys` to `value` above `base`; a digit picks an item where the base is a list."""
    if not keys:
        return value
    head, rest = keys[0], keys[1:]
    if base is not None and isinstance(base.data, list):
        if not head.isdigit() or int(head) >= len(base.data):
            raise ConfigError(f"{value.origin}: '{head}' is no item of a list of {len(base.data)}; items count from 0")
        items, place = list(base.data), int(head)
        layer = _nested(items[place], rest, value, None)
        items[place] = _merge(items[place], layer, None)
        return Value(items, base.origin)
    field = section.model_fields.get(head) if section is not None else None
    below = base.data.get(head) if base is not None and isinstance(base.data, dict) else None
    inner = _nested(below, rest, value, _section_of(field.annotation) if field else None)
    if rest and below is not None and field and any(isinstance(mark, Replaced) for mark in field.metadata):
        inner = _merge(below, inner, None)  # `loss.DiceLoss=0.3` sets one term of the sum
    return Value({head: inner}, value.origin)


def _apply_override(base: Value, argument: str, schema: type[Section]) -> Value:
    path, _, text = argument.partition("=")
    origin = f"command line: {argument}"
    keys = path.split(".")
    if not all(keys):
        raise ConfigError(f"{origin}: '{path}' is not a path of keys like train.epochs")
    return _merge(base, _nested(base, keys, parse_yaml(text, origin=origin), schema), schema)


_OVERRIDE = re.compile(r"^[A-Za-z_][\w.-]*=")


def load_tree(arguments: Sequence[str], schema: type[Section], *, base: Path | str = BASE_FILE) -> Value:
    """Lay the base file, the experiment files and the `key.sub=value` arguments over one another, in that order.

    A file that is the base itself is not laid twice. Raises ConfigError for what is not YAML, not a mapping or not
    there.
    """
    overrides = [argument for argument in arguments if _OVERRIDE.match(argument)]
    files = [Path(argument) for argument in arguments if not _OVERRIDE.match(argument)]
    tree = load_yaml(base)
    for file in files:
        if file.resolve() != Path(base).resolve():
            tree = _merge(tree, load_yaml(file), schema)
    for override in overrides:
        tree = _apply_override(tree, override, schema)
    return tree


_EXPECTED = {
    "int": "expected a whole number",
    "float": "expected a number",
    "bool": "expected true or false",
    "string": "expected a word",
    "path": "expected a path",
    "list": "expected a list [..]",
    "dict": "expected a mapping of keys to values",
    "model": "expected a mapping of keys to values",
}


def _describe(error: dict, schema: type[BaseModel]) -> Mistake:
    path, kind, given = tuple(error["loc"]), error["type"], error.get("input")
    if kind == "extra_forbidden":
        return Mistake(path, f"unknown key; {suggest(str(path[-1]), _keys_at(schema, path[:-1]))}")
    if kind == "missing":
        return Mistake(path, "is missing; it has no default")
    if kind == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return Mistake(path, f"{given!r} is none of {', '.join(allowed)}; {suggest(str(given), allowed)}")
    if kind == "value_error":
        return Mistake(path, str(error["ctx"]["error"]))
    expected = next((text for word, text in _EXPECTED.items() if kind.startswith(word)), None)
    if expected:
        return Mistake(path, f"{expected}, not {given!r}")
    return Mistake(path, f"{error['msg'].replace('Input should', 'should')}, not {given!r}")


def _keys_at(schema: type[BaseModel], path: tuple) -> list[str]:
    """The declared keys of the section at `path`."""
    section: type[BaseModel] | None = schema
    for key in path:
        field = section.model_fields.get(key) if section else None
        section = _section_of(field.annotation) if field else None
    return list(section.model_fields) if section else []


def render_mistakes(tree: Value, mistakes: Iterable[Mistake]) -> str:
    """One line a mistake: where it was written, the path of keys, and what to write instead."""
    lines = []
    for mistake in mistakes:
        dotted = ".".join(str(key) for key in mistake.path)
        place = tree.origin_of(mistake.path)
        lines.append(f"{place}: {dotted}: {mistake.message}" if dotted else f"{place}: {mistake.message}")
    return "\n".join(dict.fromkeys(lines))


Schema = TypeVar("Schema", bound=Section)
Rule = Callable[[dict[str, Any]], Iterable[Mistake]]


def validate(tree: Value, schema: type[Schema], *, rules: Sequence[Rule] = ()) -> Schema:
    """Turn a tree into the schema's object; all mistakes are raised together as one ConfigError, a line each.

    `rules` look at the plain tree, whatever the schema says of it, and yield what else is wrong (names and arguments of
    the libraries): so that someone with two mistakes learns of both at once.
    """
    plain = tree.plain()
    mistakes: list[Mistake] = []
    config = None
    try:
        config = schema.model_validate(plain)
    except ValidationError as error:
        mistakes += [_describe(item, schema) for item in error.errors()]
    found = {mistake.path for mistake in mistakes}
    for rule in rules:
        mistakes += [mistake for mistake in rule(plain) if mistake.path not in found]
    if mistakes or config is None:
        raise ConfigError(render_mistakes(tree, mistakes))
    return config
