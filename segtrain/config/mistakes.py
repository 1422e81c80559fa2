"""Mistakes: validation of a tree against the schema, every mistake with its file and line."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import getitem
from types import NoneType
from typing import Any, TypeVar

from pydantic import ValidationError

from segtrain.config.section import (
    Mistake,
    Section,
    alternatives,
    annotation_inside,
    describe_expected,
    section_of,
    suggest,
)
from segtrain.config.tree import Value
from segtrain.errors import ConfigError

_EXPECTED = {
    "int": "expected an integer",
    "float": "expected a number",
    "bool": "expected true or false",
    "string_pattern": "expected only letters, digits and _ - .",
    "string": "expected a string",
    "path": "expected a path",
    "list": "expected a list [..]",
    "dict": "expected a mapping of keys to values",
    "model": "expected a mapping of keys to values",
}


def _describe(error: dict, schema: type[Section], plain: Any) -> Mistake:
    path, kind, given = tuple(error["loc"]), error["type"], error.get("input")
    annotation: Any = schema
    for depth, key in enumerate(path):
        if len([item for item in alternatives(annotation) if item is not NoneType]) > 1:
            # pydantic has an error for each alternative and goes on with its name: one line about the value is enough
            written = reduce(getitem, path[:depth], plain)
            return Mistake(path[:depth], f"expected {describe_expected(annotation)}, not {written!r}")
        annotation = annotation_inside(annotation, key)
    if kind == "extra_forbidden":
        return Mistake(path, f"unknown key; {suggest(str(path[-1]), _keys_at(schema, path[:-1]))}")
    if kind == "missing":
        return Mistake(path, "is missing; it has no default")
    if kind == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = suggest(str(given), allowed)
        hint = f"; {near}" if near.startswith("did") else ""  # else it would list the words again
        return Mistake(path, f"{given!r} is not one of {', '.join(allowed)}{hint}")
    if kind == "value_error":
        cause = error["ctx"]["error"]
        return Mistake((*path, *getattr(cause, "path", ())), str(cause))
    section = section_of(annotation)
    if kind == "model_type" and section is not None and section.shorthand is not None:
        return Mistake(path, f"expected just its {section.shorthand} or a mapping, not {given!r}")
    expected = next((text for word, text in _EXPECTED.items() if kind.startswith(word)), None)
    if expected:
        return Mistake(path, f"{expected}, not {given!r}")
    reason = re.sub("^(Input|List) should", "should", error["msg"]).split(" after validation")[0]
    return Mistake(path, f"{reason}, not {given!r}")


def _keys_at(schema: type[Section], path: tuple) -> list[str]:
    """The declared keys of the section at `path`."""
    annotation: Any = schema
    for key in path:
        annotation = annotation_inside(annotation, key)
    section = section_of(annotation)
    return list(section.model_fields) if section else []


def render_mistakes(tree: Value, mistakes: Iterable[Mistake]) -> list[str]:
    """One line a mistake: where it was written, the path of keys, and what to write instead."""
    lines = []
    for mistake in mistakes:
        dotted = ".".join(str(key) for key in mistake.path)
        origin = tree.origin_of(mistake.path)
        lines.append(f"{origin}: {dotted}: {mistake.message}" if dotted else f"{origin}: {mistake.message}")
    lines = list(dict.fromkeys(lines))
    return lines[:100] + [f"and {len(lines) - 100:,} more"] * (len(lines) > 100)


Schema = TypeVar("Schema", bound=Section)


Rule = Callable[[dict[str, Any]], Iterable[Mistake]]


def find_mistakes(
    tree: Value, schema: type[Schema], *, rules: Sequence[Rule] = ()
) -> tuple[Schema | None, list[Mistake]]:
    """The schema's object, where the schema takes the tree, and all mistakes.

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
    return config, mistakes


def validate(tree: Value, schema: type[Schema], *, rules: Sequence[Rule] = ()) -> Schema:
    """Turn a tree into the schema's object; all mistakes are raised together as one ConfigError, a line each."""
    config, mistakes = find_mistakes(tree, schema, rules=rules)
    if mistakes or config is None:
        raise ConfigError(*render_mistakes(tree, mistakes))
    return config
