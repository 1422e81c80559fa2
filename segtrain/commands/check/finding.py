"""Findings: what is wrong with a dataset, and what to do about it, in lines of YAML as a user would write them."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from segtrain.config.data_schema import ClassConfig
from segtrain.config.tree import dump_yaml

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
INTO_EXPERIMENT = "write in the experiment"


class Change(NamedTuple):
    """A file to be taken out of the dataset, or to be replaced: `edit` makes the new pixels (HW or HWC) from the old
    ones, and `suffix` is that of the new file where it is another type."""

    file: str
    edit: Callable[[Any], Any] | None = None
    suffix: str = ""


@dataclass(frozen=True)
class Fix:
    """What to do about a finding: `lines`, and in `label` where they go. With a `name`, one of FIXES, the line is the
    command that makes the `changes`."""

    label: str
    lines: Sequence[str] = ()
    name: str = ""
    changes: Sequence[Change] = ()

    def lines_for(self, command: str) -> Sequence[str]:
        """The lines to be shown; `command` is the check that found what is to be fixed."""
        return [f"{command} --apply {self.name}"] if self.name else self.lines


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (error: training stops or learns the wrong thing; warning: the result is likely worse) or
    worth knowing (note), and the one thing to do about it.

    `files` are those concerned, the worst first; `records` are the indices of the records to look at, and `marked` the
    mask values (packed colors) to be shown in them.
    """

    level: Level
    title: str
    explanation: str
    fix: Fix | None = None
    files: Sequence[str] = ()
    records: Sequence[int] = ()
    marked: frozenset[int] = frozenset()


def yaml_fix(**sections: Mapping[str, Any]) -> Fix:
    """Sections of an experiment."""
    return Fix(INTO_EXPERIMENT, write_lines(sections))


def explicit(classes: Sequence[ClassConfig]) -> list[ClassConfig]:
    """Classes with their values written out, so that one more or less moves none."""
    return [
        item
        if item.values or item.value is not None or item.colors or item.color
        else item.model_copy(update={"value": index + (len(classes) == 1)})
        for index, item in enumerate(classes)
    ]


def make_class(name: str, key: str, found: Sequence[Any]) -> ClassConfig:
    """A class of one value or color, or of several; `key` is "value" or "color"."""
    return ClassConfig(name=name, **({key: found[0]} if len(found) == 1 else {f"{key}s": found}))


def apply_fix(name: str, changes: Iterable[Change]) -> Fix:
    """What `check --apply NAME` does; a file that is named twice is changed once."""
    return Fix("run", name=name, changes=list({change.file: change for change in changes}.values()))


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
