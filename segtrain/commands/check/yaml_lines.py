"""YAML lines: parts of an experiment as a user would write them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from segtrain.config.data_schema import ClassConfig
from segtrain.config.tree import dump_yaml


def write_flow(value: Any) -> str:
    """Any plain value as YAML on one line."""
    text = dump_yaml(value, width=math.inf, default_flow_style=True).removesuffix("\n").removesuffix("\n...")
    return json.dumps(value) if "\n" in text else text  # which is YAML, too, with line ends escaped


def write_lines(sections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sections of an experiment: a line for each key, and for each item of a list of names or mappings."""
    lines = []
    for section, keys in sections.items():
        lines.append(f"{section}:")
        for key, value in keys.items():
            if isinstance(value, list) and value and isinstance(value[0], (str, dict)):
                alone = [isinstance(item, dict) and len(item) == 1 for item in value]  # Name: {..}, without braces
                texts = [write_flow(item)[one : -one or None] for item, one in zip(value, alone, strict=True)]
                lines += [f"  {key}:", *(f"    - {text}" for text in texts)]
            else:
                lines.append(f"  {key}: {write_flow(value)}")
    return lines


def write_classes(
    classes: Sequence[ClassConfig], ignore_values: Sequence[int | list[int]] = (), *, comments: Mapping[str, str] = {}
) -> list[str]:
    """The lines of a data section with these classes; `comments` are by the class's name."""
    items = [item.model_dump(exclude_none=True) for item in classes]
    data = {"classes": [item if len(item) > 1 else item["name"] for item in items]}
    lines = write_lines({"data": data | ({"ignore_values": list(ignore_values)} if ignore_values else {})})
    width = max(map(len, lines[2 : 2 + len(items)]))
    for row, item in enumerate(classes, start=2):
        if item.name in comments:
            lines[row] = f"{lines[row]:{width}}   # {comments[item.name]}"
    return lines
