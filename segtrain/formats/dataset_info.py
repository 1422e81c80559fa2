"""Published datasets: a YAML file each, which holds the layout in the grammar of `data:` and what is known of the set.

`public/NAME.yml` has three sections:

- `about`: title, home, license, images of each split, layout, archives and what is to be done by hand;
- `data`: what is merged below the user's `data:` when `data.format: NAME` is written;
- `choices`: keys that the dataset adds to `data`. Each has words, the first of which is the default, and each word
  what it changes in `data`.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from segtrain.visualize import Color

PUBLIC = Path(__file__).with_name("public")


class KnownClass(NamedTuple):
    """A class of a published dataset: its name, its RGB color, and what it is in the mask files.

    `values` are its mask values. Without values masks are RGB, and its pixels have one of `colors`, or `color` alone.
    """

    name: str
    color: "Color"
    values: tuple[int, ...] = ()
    colors: "tuple[Color, ...]" = ()


class Labels(NamedTuple):
    """The classes of a dataset in the order of their indices, and the mask values or colors that are ignored."""

    classes: tuple[KnownClass, ...]
    ignore_values: "tuple[int | Color, ...]" = ()


class Archive(NamedTuple):
    """A file to be downloaded and, where it is an archive, unpacked."""

    url: str
    checksum: str = ""
    """`md5:..`, `sha1:..` or `sha256:..` as its publisher or a library that fetches it has it; empty: none is known."""
    bytes: int = 0
    """Its size, for the estimate; 0: not known."""
    folder: str = ""
    """Folder below the root that it is unpacked into, or saved in."""


class About(NamedTuple):
    """What is known of a dataset beside its layout."""

    title: str
    layout: tuple[str, ...]
    """Paths below data.root, as published."""
    images: dict[str, int]
    """Split -> number of images, as published."""
    license: str
    home: str
    """Address of the page that publishes it."""
    archives: tuple[Archive, ...] = ()
    """What `download` fetches; empty where an account or a form is asked for."""
    by_hand: str = ""
    """What to do where it cannot be fetched, or what is left to do afterwards."""


class Dataset(NamedTuple):
    """A published dataset."""

    about: About
    data: dict[str, Any]
    choices: dict[str, dict[str, dict[str, Any]]]

    def data_for(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of this set for the words that the user has chosen; where a word is unknown, for the default."""
        data = dict(self.data)
        for key, options in self.choices.items():
            chosen = written.get(key)
            data |= options[chosen if isinstance(chosen, str) and chosen in options else next(iter(options))]
        step = data.pop("add_to_values", 0)
        if step:
            data["classes"] = [{**item, "value": item["value"] + step} for item in data["classes"]]
        return data

    def labels(self, written: Mapping[str, Any] = {}) -> Labels | None:
        """The classes for the words that the user has chosen; None where the user names the classes."""
        data = self.data_for(written)
        if "classes" not in data:
            return None
        classes = [
            KnownClass(
                item["name"],
                tuple(item["color"]),
                tuple(item.get("values", [item["value"]] if "value" in item else [])),
                tuple(map(tuple, item.get("colors", []))),
            )
            for item in data["classes"]
        ]
        ignored = data.get("ignore_values", [])
        return Labels(tuple(classes), tuple(tuple(item) if isinstance(item, list) else item for item in ignored))


@cache
def published() -> tuple[str, ...]:
    """The names of the published datasets."""
    return tuple(sorted(path.stem for path in PUBLIC.glob("*.yml")))


@cache
def load_dataset(name: str) -> Dataset:
    """The published dataset of this name; it is not to be changed."""
    content = yaml.load(dataset_text(name), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    about = content["about"]
    about["layout"] = tuple(about["layout"])
    about["archives"] = tuple(Archive(**item) for item in about.get("archives", ()))
    return Dataset(About(**about), {"format": "folders"} | content["data"], content.get("choices", {}))


def dataset_text(name: str) -> str:
    """The YAML file of the published dataset of this name."""
    return (PUBLIC / f"{name}.yml").read_text(encoding="utf-8")


def known_labels() -> dict[str, Labels]:
    """The labels of every published dataset that has classes of its own, and of each of its choices."""
    found = {}
    for name in published():
        dataset = load_dataset(name)
        found[name] = dataset.labels()
        for key, options in dataset.choices.items():
            found |= {f"{name} ({key}: {word})": dataset.labels({key: word}) for word in options}
    return {name: labels for name, labels in found.items() if labels is not None}
