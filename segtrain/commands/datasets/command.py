"""List the public data sets that can be read, or describe one."""

import argparse
import inspect
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from types import ModuleType

from segtrain.commands.datasets.fetch import show_archive, show_size
from segtrain.config.section import suggest
from segtrain.errors import ConfigError
from segtrain.formats import FORMATS, PROVIDED
from segtrain.formats.dataset_info import About, KnownClass, Labels


def published() -> dict[str, ModuleType]:
    """The formats that are a published data set each, by name."""
    return {name: module for name, module in sorted(FORMATS.items()) if module.ABOUT is not None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("word", nargs="?", default="", help="a word of the name or title, or the name of one")


def main(options: argparse.Namespace) -> None:
    """Print the data sets whose name or title holds `options.word`, or everything about the one of that name."""
    known, width = published(), shutil.get_terminal_size().columns
    word = options.word.lower()
    if word in known:
        print("\n".join(describe(word, known[word], width=width)))
        return
    chosen = {name: module for name, module in known.items() if word in f"{name} {module.ABOUT.title}".lower()}
    if not chosen:
        raise ConfigError(f"datasets: no name or title has '{options.word}'; {suggest(word, known)}")
    print("\n".join(overview(chosen, width=width)))


def overview(modules: dict[str, ModuleType], *, width: int) -> Iterator[str]:
    """Lines: a row of facts for each data set, its title, licence and layout below; at most `width` characters where no
    address is longer."""
    rows = [("name", "classes", "images", "get it")]
    for name, module in modules.items():
        rows.append((name, count_classes(module), show_counts(module.ABOUT.images), show_way(module.ABOUT)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row, about in zip(rows, [None, *(module.ABOUT for module in modules.values())], strict=True):
        name, classes, *rest = row
        cells = [name.ljust(widths[0]), classes.rjust(widths[1]), rest[0].ljust(widths[2]), rest[1]]
        yield from wrap("  ".join(cells), width, rest="    ")
        if about:
            yield from wrap(f"{about.title}. Licence: {about.licence}", width, first="    ", rest="    ")
            for line in about.layout:
                yield from wrap(line, width, first="    - ", rest="      ")
    yield ""
    yield from wrap("python -m segtrain datasets NAME tells everything about one", width)


def describe(name: str, module: ModuleType, *, width: int) -> Iterator[str]:
    """Lines: all that is known of a data set, at most `width` characters where no address is longer."""
    about, labels = module.ABOUT, module.labels({})
    own = [key for key in inspect.signature(module.read).parameters if key not in PROVIDED]
    parts = {
        "": [f"{name}: {about.title}"],
        "home": [about.home],
        "licence": [about.licence],
        "images": [show_counts(about.images)],
        "get it": list(ways(name, about)),
        "layout": ["below data.root:", *about.layout],
        "keys": [f"data.format: {name}" + (f", and its own (docs/config.md): {', '.join(own)}" if own else "")],
        "ignored": [show_ignored(labels)],
        "classes": class_rows(labels),
    }
    for title, lines in parts.items():
        for place, line in enumerate(lines):
            first = f"{title if place == 0 else '':9}" if title else ""
            yield from wrap(line, width, first=first, rest=" " * 11 if title else "")


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """The lines of a text, behind `first` and `rest`. Spaces inside and words like addresses are left as they are."""
    width = max(width, len(first) + 1, len(rest) + 1)
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, **options)


def count_classes(module: ModuleType) -> str:
    """How many classes a data set has, as its format gives them without further keys."""
    labels = module.labels({})
    return str(len(labels.classes)) if labels else "yours"


def show_counts(images: dict[str, int]) -> str:
    """train 367, val 101, test 233."""
    return ", ".join(f"{split} {count}" for split, count in images.items())


def show_way(about: About) -> str:
    """How a data set is had, in two words."""
    if not about.archives:
        return "by hand"
    return f"download, {show_size(about.archives)}" if any(item.bytes for item in about.archives) else "download"


def ways(name: str, about: About) -> Iterator[str]:
    """The command that fetches a data set with its archives, or what is to be done by hand."""
    if about.archives:
        yield f"python -m segtrain download {name} data/{name}"
    yield from (show_archive(archive) for archive in about.archives)
    if about.by_hand:
        yield f"{'then' if about.archives else 'by hand'}: {about.by_hand}"


def show_ignored(labels: Labels | None) -> str:
    """The values or colours that are neither trained nor scored."""
    ignored = labels.ignore_values if labels else ()
    values = [show_color(value) if isinstance(value, tuple) else str(value) for value in ignored]
    with_index = labels is None or any(item.values for item in labels.classes)  # the others have masks in RGB
    return ", ".join([*values, *(["data.ignore_index"] if with_index else [])]) or "nothing"


def show_color(color: Sequence[int]) -> str:
    """[128, 64, 0], as it is written in YAML."""
    return f"[{', '.join(map(str, color))}]"


def class_rows(labels: Labels | None) -> list[str]:
    """A row for each class: its index, its name, what it is in the masks, its colour where that is something else."""
    if labels is None:
        return ["yours, in data.classes"]
    first = int(len(labels.classes) == 1)  # a single class has the background at 0
    cells = [(item.name, in_masks(item), show_color(item.color)) for item in labels.classes]
    rows = [("index", "name", "in masks", "colour")]
    rows += [(str(place), *row) for place, row in enumerate(cells, first)]
    if all(row[1] == row[2] for row in cells):
        rows = [row[:3] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].rjust(widths[0]), *map(str.ljust, row[1:], widths[1:])]).rstrip() for row in rows]


def in_masks(item: KnownClass) -> str:
    """The values of a class, or its colours."""
    return ", ".join(map(str, item.values)) or " ".join(map(show_color, item.colors or [item.color]))


def build_datasets_table() -> str:
    """The data sets as a Markdown table, for the README."""
    rows = ["| `format` | data set | classes | images | licence | get it |", "|---|---|---|---|---|---|"]
    for name, module in published().items():
        about = module.ABOUT
        cells = [f"[{about.title}]({about.home})", count_classes(module), show_counts(about.images), about.licence]
        rows.append(
            f"| `{name}` | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} | {show_way(about)} |"
        )
    return "\n".join(rows) + "\n"
