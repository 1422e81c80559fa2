"""Reference of the configuration, made from its sections:
`python -m tools.config_reference > docs/reference/config.md`."""

import inspect
from collections.abc import Iterator
from typing import Any

from segtrain.config.data_schema import ClassConfig
from segtrain.config.log_tune_schema import TuneRange
from segtrain.config.schema import Config, LossTerm
from segtrain.config.section import NamedSection, Section, describe_type, section_of
from segtrain.formats import READERS, format_names, keys_of, load_reader
from segtrain.formats.dataset_info import load_dataset, published

INTRODUCTION = """# Every key of the configuration

`python -m tools.config_reference > docs/reference/config.md` makes this page, and a test compares it with the code. How
files and values are merged: [experiments](../how-to/experiments.md).
"""


def build_reference() -> str:
    """Markdown: a table of keys for each section, then the arguments of the data formats."""
    parts = [INTRODUCTION, *_tables("", Config)]
    parts += [_table("data.classes[]", ClassConfig), _table("loss.NAME", LossTerm)]
    parts += [_table("tune.ranges.KEY", TuneRange)]
    parts += [_format_table(name) for name in format_names()]
    return "\n".join(parts)


def _tables(path: str, section: type[Section]) -> Iterator[str]:
    yield _table(path, section)
    for key, field in section.model_fields.items():
        nested = section_of(field.annotation)
        if nested is not None:
            yield from _tables(f"{path}.{key}".lstrip("."), nested)


def _table(path: str, section: type[Section]) -> str:
    title = f"## {path}" if path else "## The top level"
    rows = [f"{title}\n", f"{_one_line(section.__doc__)}\n", "| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in section.model_fields.items():
        if section_of(field.annotation):
            default = "section"
        elif field.is_required():
            default = "none, must be given"
        else:
            default = f"`{_default(field.get_default(call_default_factory=True))}`"
        rows.append(f"| `{key}` | {describe_type(field.annotation)} | {default} | {_one_line(field.description)} |")
    if issubclass(section, NamedSection):
        rows.append("| any other | | | an argument of the chosen class or format |")
    return "\n".join(rows) + "\n"


def _format_table(name: str) -> str:
    text = _one_line(inspect.getdoc(load_reader(name).read)) if name in READERS else ""
    if name in published():
        file = f"segtrain/formats/public/{name}.yml"
        text = f"{load_dataset(name).about.title}. Its layout and classes are in {file}. {text}".strip()
    rows = [f"## data, with format: {name}\n", f"{text}\n", "| key | type | default |", "|---|---|---|"]
    for key, (annotation, default) in keys_of(name, {}).items():
        rows.append(f"| `{key}` | {describe_type(annotation)} | `{_default(default)}` |")
    return "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    """A value as it is written in YAML."""
    if isinstance(value, LossTerm):
        value = value.coef
    if isinstance(value, list):
        return f"[{', '.join(map(_default, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_default(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return value or '""'
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    print(build_reference(), end="")
