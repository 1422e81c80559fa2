"""The mechanism of the configuration: layers, overrides, origins and mistakes. What there is to configure is in
experiment.py."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from segtrain.config.tree import Value, load_yaml, parse_yaml
from segtrain.errors import ConfigError

BASE_FILE = "config.yml"


class Section(BaseModel):
    """A part of the configuration whose keys are all declared."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=False)
    shorthand: ClassVar[str | None] = None
    """Key that a single value stands for where it is written instead of the mapping."""


class NamedSection(Section):
    """A part that names one thing of a library; its undeclared keys are the arguments of that thing."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)
    selector: ClassVar[str] = "name"
    forgotten: ClassVar[frozenset[str]] = frozenset()  # declared keys that mean nothing beside another name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the named thing, as they were written."""
        return dict(self.model_extra or {})


UserPath = Annotated[Path, AfterValidator(Path.expanduser)]  # ~ is expanded: in key=~/x the shell does not


@dataclass(frozen=True)
class Replaced:
    """Marks a field (in Annotated) whose mapping replaces that of the layer below as a whole, and is not merged with
    it."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: the path of keys to it and what to write instead."""

    path: tuple
    message: str


class MisplacedError(ValueError):
    """Raised by a validator about a key further inside what it validates, so that the message names its line."""

    def __init__(self, path: tuple, message: str):
        super().__init__(message)
        self.path = path


def suggest(word: str, known: Iterable[str]) -> str:
    """A short phrase that names the closest known word, or the known words where none is close."""
    known = sorted(known)
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{by_lower[close[0]]}'?"
    return f"known: {', '.join(known)}" if known and len(known) <= 40 else f"none of {len(known)} known names is close"


def alternatives(annotation: Any) -> list[Any]:
    """The types that a union is made of, without the limits that Annotated adds; a plain type is its only one."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [inner for item in get_args(annotation) for inner in alternatives(item)]
    return [annotation]


def section_of(annotation: Any) -> type[Section] | None:
    """The section among the alternatives of a type, if there is one."""
    found = (item for item in alternatives(annotation) if isinstance(item, type) and issubclass(item, Section))
    return next(found, None)


def _inside(annotation: Any, key: Any) -> Any:
    """The type of what stands at `key` in a section, list or mapping of this type; Any where it is not declared."""
    section = section_of(annotation)
    if section is not None:
        field = section.model_fields.get(key)
        return field.annotation if field else Any
    container = next((item for item in alternatives(annotation) if get_origin(item) in (list, dict)), None)
    return get_args(container)[-1] if container else Any


def _is_replaced(annotation: Any, key: str) -> bool:
    section = section_of(annotation)
    field = section.model_fields.get(key) if section else None
    return field is not None and any(isinstance(mark, Replaced) for mark in field.metadata)


_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null", Any: "anything"}


def describe_type(annotation: Any, *, plural: str = "") -> str:
    """A type in words: `whole number or auto`, `list of numbers`."""
    words = []
    for item in alternatives(annotation):
        origin = get_origin(item)
        if origin is Literal:
            words += [str(value) for value in get_args(item)]
        elif origin is list:
            words.append(f"list{plural} of {describe_type(get_args(item)[0], plural='s')}")
        elif origin is dict and get_args(item)[1] is not Any and not section_of(get_args(item)[1]):
            words.append(f"mapping{plural} to {describe_type(get_args(item)[1], plural='s')}")
        elif origin is dict or section_of(item):
            words.append(f"mapping{plural}")
        elif item is Path:
            words.append(f"path{plural}")
        else:
            words.append(_WORDS[item] + plural * (item in (int, float, str)))
    return " or ".join(dict.fromkeys(words))


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
    "string_pattern": "expected letters, digits and _ - . alone",
    "string": "expected a word",
    "path": "expected a path",
    "list": "expected a list [..]",
    "dict": "expected a mapping of keys to values",
    "model": "expected a mapping of keys to values",
}


def _describe(error: dict, schema: type[Section], plain: Any) -> Mistake:
    path, kind, given = tuple(error["loc"]), error["type"], error.get("input")
    annotation: Any = schema
    for place, key in enumerate(path):
        if len([item for item in alternatives(annotation) if item is not NoneType]) > 1:
            # pydantic has an error for each alternative and goes on with its name: one line about the value is enough
            return Mistake(path[:place], f"expected {describe_type(annotation)}, not {_shown(plain, path[:place])}")
        annotation = _inside(annotation, key)
    if kind == "extra_forbidden":
        return Mistake(path, f"unknown key; {suggest(str(path[-1]), _keys_at(schema, path[:-1]))}")
    if kind == "missing":
        return Mistake(path, "is missing; it has no default")
    if kind == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = suggest(str(given), allowed)
        hint = f"; {near}" if near.startswith("did") else ""  # else it would list the words again
        return Mistake(path, f"{given!r} is none of {', '.join(allowed)}{hint}")
    if kind == "value_error":
        cause = error["ctx"]["error"]
        return Mistake((*path, *getattr(cause, "path", ())), str(cause))
    section = section_of(annotation)
    if kind == "model_type" and section is not None and section.shorthand is not None:
        return Mistake(path, f"expected its {section.shorthand} alone or a mapping, not {given!r}")
    expected = next((text for word, text in _EXPECTED.items() if kind.startswith(word)), None)
    if expected:
        return Mistake(path, f"{expected}, not {given!r}")
    reason = re.sub("^(Input|List) should", "should", error["msg"]).split(" after validation")[0]
    return Mistake(path, f"{reason}, not {given!r}")


def _shown(plain: Any, path: tuple) -> str:
    for key in path:
        plain = plain[key]
    return repr(plain)


def _keys_at(schema: type[Section], path: tuple) -> list[str]:
    """The declared keys of the section at `path`."""
    annotation: Any = schema
    for key in path:
        annotation = _inside(annotation, key)
    section = section_of(annotation)
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
        mistakes += [_describe(item, schema, plain) for item in error.errors()]
    found = {mistake.path for mistake in mistakes}
    for rule in rules:
        mistakes += [mistake for mistake in rule(plain) if mistake.path not in found]
    if mistakes or config is None:
        raise ConfigError(render_mistakes(tree, mistakes))
    return config
