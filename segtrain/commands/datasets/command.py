"""List the public datasets that segtrain can read, or print the file that defines one."""

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Iterator

from segtrain.commands.datasets.http import show_decimal
from segtrain.config.section import suggest
from segtrain.errors import ConfigError
from segtrain.formats.dataset_info import About, Archive, Dataset, dataset_text, load_dataset, published


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("word", nargs="?", default="", help="a word in a name or title, or the name of one dataset")


def main(options: argparse.Namespace) -> None:
    """Print the datasets whose name or title holds `options.word`, or the YAML file of the one of that name."""
    word, width = options.word.lower(), shutil.get_terminal_size().columns
    if word in published():
        print(describe_dataset(word), end="")
        return
    known = {name: load_dataset(name) for name in published()}
    chosen = {name: item for name, item in known.items() if word in f"{name} {item.about.title}".lower()}
    if not chosen:
        raise ConfigError(f"datasets: no name or title contains '{options.word}'; {suggest(word, known)}")
    print("\n".join(overview(chosen, width=width)))


def describe_dataset(name: str) -> str:
    """The YAML file of a dataset, below comments that say how it is fetched and used."""
    ways = [f"get it:  python -m segtrain download {name} data/{name}"] if load_dataset(name).about.archives else []
    ways.append(
        f"use it:  data: {{format: {name}, root: data/{name}}}; keys that you write in data: override those below"
    )
    return "".join(f"# {line}\n" for line in ways) + "\n" + dataset_text(name)


def overview(datasets: dict[str, Dataset], *, width: int) -> Iterator[str]:
    """Lines: a row of facts for each dataset, its title, license and layout below; at most `width` characters where no
    address is longer."""
    rows = [("name", "classes", "images", "get it")]
    for name, item in datasets.items():
        rows.append((name, count_classes(item), show_counts(item.about.images), show_way(item.about)))
    names, classes, images, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    for row, about in zip(rows, [None, *(item.about for item in datasets.values())], strict=True):
        line = f"{row[0]:{names}}  {row[1]:>{classes}}  {row[2]:{images}}  {row[3]}"
        yield from wrap(line, width, rest="    ")
        if about:
            yield from wrap(f"{about.title}. License: {about.license}", width, first="    ", rest="    ")
            for line in about.layout:
                yield from wrap(line, width, first="    - ", rest="      ")
    yield ""
    yield from wrap("python -m segtrain datasets NAME prints the file that defines a dataset", width)


def wrap(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """The lines of a text, behind `first` and `rest`. Spaces inside and words like addresses are left as they are."""
    width = max(width, len(first) + 1, len(rest) + 1)
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, **options)


def count_classes(dataset: Dataset) -> str:
    """How many classes a dataset has where no further key is written."""
    labels = dataset.labels()
    return str(len(labels.classes)) if labels else "yours"


def show_counts(images: dict[str, int]) -> str:
    """train 367, val 101, test 233."""
    return ", ".join(f"{split} {count}" for split, count in images.items())


def show_way(about: About) -> str:
    """How a dataset is obtained, in two words."""
    if not about.archives:
        return "by hand"
    return f"download, {show_size(about.archives)}" if any(item.bytes for item in about.archives) else "download"


def show_size(archives: Iterable[Archive]) -> str:
    """The size of several archives together, as far as it is known."""
    sizes = [archive.bytes for archive in archives]
    known = show_decimal(sum(sizes))
    return known if all(sizes) else f"more than {known}" if any(sizes) else "size unknown"


def show_archive(archive: Archive) -> str:
    """Address, size, how it can be checked, and the folder below the root that it belongs into."""
    facts = [
        show_decimal(archive.bytes) if archive.bytes else "size unknown",
        archive.checksum.partition(":")[0] or "no known checksum",
        *([f"into {archive.folder}/"] if archive.folder else []),
    ]
    return f"{archive.url} ({', '.join(facts)})"
