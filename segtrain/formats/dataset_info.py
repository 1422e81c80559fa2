"""What a format knows about the data set whose layout it reads."""

from typing import NamedTuple

Color = tuple[int, int, int]


class KnownClass(NamedTuple):
    """A class of a published data set: its name, its published RGB colour, and what it is in the mask files.

    `values` are its mask values. Without values masks are RGB, and its pixels have one of `colors`, or `color` alone.
    `labels` are its names in annotation files that hold names (coco, labelme), where they are not `name`.
    """

    name: str
    color: Color
    values: tuple[int, ...] = ()
    colors: tuple[Color, ...] = ()
    labels: tuple[str, ...] = ()


class Labels(NamedTuple):
    """The classes of a data set in the order of their indices, and the mask values or colours that are ignored."""

    classes: tuple[KnownClass, ...]
    ignore_values: tuple[int | Color, ...] = ()


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
    """What `python -m segtrain datasets` says of a data set."""

    title: str
    layout: tuple[str, ...]
    """Paths below data.root, as published."""
    images: dict[str, int]
    """Split -> number of images, as published."""
    licence: str
    home: str
    """Address of the page that publishes it."""
    archives: tuple[Archive, ...] = ()
    """What `download` fetches; empty where an account or a form is asked for."""
    by_hand: str = ""
    """What to do where it cannot be fetched, or what is left to do afterwards."""
