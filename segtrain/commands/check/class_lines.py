"""Classes as the lines of YAML that a user would write."""

import re
from collections.abc import Mapping, Sequence

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


def write_color(code: int) -> str:
    """A packed colour as [r, g, b]."""
    return f"[{code >> 16}, {code >> 8 & 255}, {code & 255}]"


def write_code(code: int, *, as_color: bool) -> str:
    """A mask value, or a packed colour."""
    return write_color(code) if as_color else str(code)


def write_class(item: ClassConfig) -> str:
    """One class: its name alone, or a mapping."""
    keys = {key: getattr(item, key) for key in ("value", "values", "color", "colors")}
    given = "".join(f", {key}: {value}" for key, value in keys.items() if value is not None)
    return f"{{name: {write_text(item.name)}{given}}}" if given else write_text(item.name)


def write_classes(
    classes: Sequence[ClassConfig],
    *,
    ignore_values: Sequence[object] = (),
    comments: Mapping[str, str] = {},
) -> list[str]:
    """The lines of a data section with these classes; `comments` are by the class's name."""
    items = [f"    - {write_class(item)}" for item in classes]
    width = max(map(len, items), default=0)
    lines = ["data:", "  classes:"]
    for item, line in zip(classes, items, strict=True):
        comment = comments.get(item.name)
        lines.append(f"{line:{width}}   # {comment}" if comment else line)
    return [*lines, *([f"  ignore_values: {list(ignore_values)}"] if ignore_values else [])]
