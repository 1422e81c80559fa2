"""YAML lines: parts of an experiment as a user would write them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from segtrain.config.data_schema import ClassConfig

_PLAIN = re.compile(r"(\.{0,2}/)?[^\W\d][\w./ -]*(?<! )|\.\.?")
_MEANS_ELSE = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def write_text(text: str) -> str:
    """A text as YAML: bare where nothing else could be read in it, otherwise in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _MEANS_ELSE:
        return text
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    escaped = "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text.replace("\\", "\\\\"))
    return '"' + escaped.replace('"', '\\"') + '"'


def write_flow(value: Any) -> str:
    """Any plain value on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{write_text(str(key))}: {write_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(write_flow, value))}]"
    if isinstance(value, str):
        return write_text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def write_class(item: ClassConfig) -> str:
    """One class: its name alone, or a mapping."""
    keys = {key: getattr(item, key) for key in ("value", "values", "color", "colors")}
    given = {key: value for key, value in keys.items() if value is not None}
    return write_flow({"name": item.name} | given if given else item.name)


def write_classes(
    classes: Sequence[ClassConfig], ignore_values: Sequence[object] = (), *, comments: Mapping[str, str] = {}
) -> list[str]:
    """The lines of a data section with these classes; `comments` are by the class's name."""
    items = [f"    - {write_class(item)}" for item in classes]
    width = max(map(len, items), default=0)
    lines = ["data:", "  classes:"]
    for item, line in zip(classes, items, strict=True):
        comment = comments.get(item.name)
        lines.append(f"{line:{width}}   # {comment}" if comment else line)
    return [*lines, f"  ignore_values: {list(ignore_values)}"] if ignore_values else lines


def write_transforms(items: Sequence[str | Mapping[str, Any]]) -> list[str]:
    """The lines of transforms.train."""
    texts = [write_flow(item) if isinstance(item, str) else write_flow(item)[1:-1] for item in items]
    return ["transforms:", "  train:", *(f"    - {text}" for text in texts)]
