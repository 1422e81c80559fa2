"""What a prediction can be written as: the words of --save."""

import argparse

from segtrain.config.section import suggest

KINDS = {
    "index": "NAME.png: class indices, 16 bits above 256 classes; classes that overlap: NAME_0_CLASS.png .., 0 and 255",
    "color": "NAME_color.png: the colours of the classes, as a palette",
    "overlay": "NAME_overlay.jpg: the colours over the image, for looking at",
    "npz": "NAME.npz: probabilities (classes, height, width) in float16, and names",
    "prob8": "NAME_prob_0_CLASS.png ..: probability of each class, 255 is 1",
    "prob16": "NAME_prob_0_CLASS.png ..: the same, 65535 is 1",
    "geojson": "NAME.geojson: outlines in pixels, (0, 0) the top left corner, y down",
    "coco": "coco.json: outlines of all images as polygons",
    "coco-rle": "coco_rle.json: masks of all images as compressed runs, one for each class",
    "rle": "rle.csv: masks of all images as 'start length' pairs, from 1, down the columns",
}
DEFAULT = ("index", "color", "overlay")
WITH_PROBABILITIES = frozenset({"npz", "prob8", "prob16"})


def parse_kinds(text: str) -> tuple[str, ...]:
    """The words of --save, each once. Raises ArgumentTypeError for an unknown one, and for both kinds of probability
    PNG, which would have one name."""
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"'{kind}' is nothing to save; {suggest(kind, KINDS)}")
    if {"prob8", "prob16"} <= set(kinds):
        raise argparse.ArgumentTypeError("prob8 and prob16 have the same file names; take one of them")
    return kinds
