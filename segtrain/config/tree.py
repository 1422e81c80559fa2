"""YAML files as trees that remember where every value was written.

The dialect is YAML 1.2's core schema, which says what people mean: `1e-3` is a number, `on`, `off`, `yes`, `no` and
`12:30` are strings, and a key written twice is a mistake instead of a silent choice.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from segtrain.errors import ConfigError
from segtrain.files import require_regular


@dataclass(frozen=True)
class Value:
    """One value of the configuration and the place it comes from.

    `data` is a dict of Values, a list of Values, or a scalar; `origin` is "file:line" or the command-line argument.
    """

    data: Any
    origin: str

    def plain(self) -> Any:
        """The value without its origins."""
        if isinstance(self.data, dict):
            return {key: value.plain() for key, value in self.data.items()}
        if isinstance(self.data, list):
            return [value.plain() for value in self.data]
        return self.data

    def origin_of(self, path: tuple) -> str:
        """Where the value at `path` was written, or the nearest enclosing value where it was not written at all."""
        value = self
        for key in path:
            if (isinstance(value.data, dict) and key in value.data) or (
                isinstance(value.data, list) and isinstance(key, int) and key < len(value.data)
            ):
                value = value.data[key]
            else:
                break
        return value.origin


MOST_VALUES = 100_000  # in one file
LONGEST_NUMBER = 32  # signs of a whole number


class _Resolver(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}  # noqa: RUF012  (PyYAML's own class-level table, replaced on purpose)


_FLOAT = r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
for _tag, _pattern in (
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)"),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)"),
    ("tag:yaml.org,2002:int", r"(?:[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+)"),
    ("tag:yaml.org,2002:float", rf"(?:{_FLOAT})"),
):
    _Resolver.add_implicit_resolver(_tag, re.compile(rf"^{_pattern}$"), None)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _Resolver.yaml_implicit_resolvers


class _LayerDumper(_Dumper):
    """Writes what Python has for a value of YAML, too: paths, mappings, numbers and arrays of NumPy and torch."""

    def represent_other(self, value: Any) -> yaml.Node:
        if isinstance(value, os.PathLike):
            return self.represent_str(os.fspath(value))
        if isinstance(value, Mapping):
            return self.represent_dict(dict(value))
        if hasattr(value, "tolist"):
            return self.represent_data(value.tolist())
        raise ConfigError(f"{value!r} is not a number, a string, a list or a dict")


_LayerDumper.add_multi_representer(object, _LayerDumper.represent_other)


def dump_yaml(plain: Any, *, width: float = 120, **options: Any) -> str:
    """YAML text that `parse_yaml` reads as the same values: a string that looks like a number to it is quoted. Further
    options are those of yaml.dump."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, **options)


# No name, path or label holds them, and some steer terminals; half of a surrogate pair is not a character, but the
# bytes of file names that are not UTF-8 are kept as 0xDC80 .. 0xDCFF.
_UNFIT = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udc7f\udd00-\udfff]")


def flatten(plain: Any, path: str = "") -> dict[str, Any]:
    """The values in plain mappings by the keys to them: {"train.epochs": 5, ..}. A list is one value."""
    if not isinstance(plain, dict) or (path and not plain):
        return {path: plain}
    return {
        name: each
        for key, value in plain.items()
        for name, each in flatten(value, f"{path}.{key}" if path else str(key)).items()
    }


def _scalar(text: str, tag: str, origin: str) -> Any:
    if unfit := _UNFIT.search(text):
        raise ConfigError(f"{origin}: contains the character {unfit[0]!r}, which is not allowed in a value; remove it")
    if tag.endswith(":int") and len(text) > LONGEST_NUMBER:
        raise ConfigError(f"{origin}: an integer of {len(text):,} digits is too large")
    try:
        return _convert(text, tag)
    except ValueError as error:  # a tag that was written, like !!int abc
        raise ConfigError(f"{origin}: not valid YAML: {error}") from error


def _convert(text: str, tag: str) -> Any:
    kind = tag.rsplit(":", 1)[-1]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        digits = text.replace("_", "")
        return int(digits, 0) if digits.lower().startswith(("0o", "0x")) else int(digits)
    if kind == "float":
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").lower())
    return text


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def _substitute(text: str, origin: str) -> str:
    def value_of(match: re.Match) -> str:
        name, default = match.groups()
        if name in os.environ:
            return os.environ[name]
        if default is None:
            raise ConfigError(f"{origin}: environment variable {name} is not set; set it or write ${{{name}:-default}}")
        return default

    return _VARIABLE.sub(value_of, text)


def _build(node: yaml.Node, source: str, origin: str, loader: yaml.SafeLoader, numbers: Iterator[int]) -> Value:
    """The value of a node. `numbers` counts values: each alias is a copy of what it stands for."""

    def place(inner: yaml.Node) -> str:
        return f"{source}:{inner.start_mark.line + 1}" if source else origin

    if next(numbers) > MOST_VALUES:
        raise ConfigError(f"{origin}: contains more than {MOST_VALUES:,} values; is an anchor repeated within itself?")
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                wrong = _build(key_node, source, place(key_node), loader, numbers).plain()
                raise ConfigError(f"{place(key_node)}: a key must be a string, not {wrong!r}")
            key = _scalar(key_node.value, key_node.tag, place(key_node))  # as it is written: only values take variables
            if not isinstance(key, (str, int, float)):
                raise ConfigError(f"{place(key_node)}: a key must be a string, not {key!r}")
            if str(key) in entries:
                raise ConfigError(f"{place(key_node)}: duplicate key '{key}' (first in {entries[str(key)].origin})")
            entries[str(key)] = _build(value_node, source, place(key_node), loader, numbers)
        return Value(entries, origin)
    if isinstance(node, yaml.SequenceNode):
        return Value([_build(item, source, place(item), loader, numbers) for item in node.value], origin)
    if "${" not in node.value:
        return Value(_scalar(node.value, node.tag, origin), origin)
    text = _substitute(node.value, origin)
    tag = loader.resolve(yaml.ScalarNode, text, (True, False)) if node.style is None else "str"  # None: not quoted
    return Value(_scalar(text, tag, origin), origin)


def parse_yaml(text: str, *, source: str = "", origin: str = "") -> Value:
    """Parse YAML text; values say `source:line` as their origin, or `origin` where there is no file."""
    try:
        loader = _Resolver(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        place = f"{source}:{text.count(chr(10), 0, error.position) + 1}" if source else origin
        raise ConfigError(f"{place}: not valid YAML: the character {chr(error.character)!r} is not allowed") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if source and mark else source or origin
        raise ConfigError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    start = f"{source}:1" if source else origin
    try:
        return _build(node, source, start, loader, count(1)) if node is not None else Value(None, start)
    except RecursionError as error:
        raise ConfigError(f"{start}: not valid YAML: an anchor contains itself, or the nesting is too deep") from error


def read_mapping(layer: Mapping, *, origin: str) -> Value:
    """A layer that is given as a dict, as if it were written in a file. Raises ConfigError for a value that YAML does
    not have."""
    try:
        return parse_yaml(yaml.dump(dict(layer), Dumper=_LayerDumper, allow_unicode=True), origin=origin)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {str(error).removeprefix(f'{origin}: ')}") from error


def load_yaml(path: Path | str) -> Value:
    """Read a YAML file whose top level is a mapping; an empty file is an empty mapping."""
    require_regular(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    value = parse_yaml(text, source=str(path))
    if value.data is None:
        return replace(value, data={})
    if not isinstance(value.data, dict):
        raise ConfigError(
            f"{path}:1: an experiment is a mapping of keys to values, but this file contains {value.plain()!r}"
        )
    return value
