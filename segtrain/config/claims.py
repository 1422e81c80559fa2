"""Claims: which mask values, or colours, mean which class.

A class is one value, several, or colours. Where one class has nothing but colours, masks are RGB, and all classes
need one. In binary segmentation value 0 (or black) is the background, index 0, and the one class is index 1.
"""

from collections.abc import Sequence
from typing import Any

from segtrain.config.section import MisplacedError

LARGEST_VALUE = (1 << 16) - 1


def are_colors(classes: Sequence[Any]) -> bool:
    """Whether masks are read as RGB colours: a class has nothing else."""
    return any(item.colors or (item.color and item.value is None and item.values is None) for item in classes)


def pack_color(value: int | list[int]) -> int:
    """A colour [r, g, b], 0..255 each, as one number; a number is one already."""
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def show_value(value: int, *, as_color: bool) -> str:
    """A mask value, or the colour that was packed into one, as messages have it."""
    return f"colour [{value >> 16}, {value >> 8 & 255}, {value & 255}]" if as_color else f"value {value}"


def claim_values(
    classes: Sequence[Any], ignore_values: Sequence[int | list[int]], *, ignore_index: int
) -> dict[int, int]:
    """Mask value (or packed colour) -> class index or ignore_index.

    Raises MisplacedError, with the path of keys inside the data section, where the classes contradict one another.
    """
    as_color, binary = are_colors(classes), len(classes) == 1
    ignored: dict[int, int] = {}  # value -> its index in the list
    for index, value in enumerate(ignore_values):
        if isinstance(value, list) != as_color:
            wanted = (
                "colours [r, g, b], as the classes are" if as_color else "values, as the classes have no bare color"
            )
            raise MisplacedError(("ignore_values", index), f"{value} is of the wrong kind; write {wanted}")
        ignored[pack_color(value)] = index
    claims = {value: ignore_index for value in ([] if as_color else [ignore_index]) + list(ignored)}
    owners: dict[int, str] = {}
    for index, item in enumerate(classes):
        for value in _values_of(item, index, as_color=as_color, binary=binary):
            if value in owners:
                shown = show_value(value, as_color=as_color)
                raise MisplacedError(("classes", index), f"'{item.name}' and '{owners[value]}' claim the same {shown}")
            if value in ignored:
                shown = show_value(value, as_color=as_color)
                raise MisplacedError(("ignore_values", ignored[value]), f"{shown} is that of class '{item.name}'")
            owners[value] = item.name
            claims[value] = index + binary
    if binary and claims.setdefault(0, 0) != 0:
        raise MisplacedError(
            ("classes",),
            f"value 0 is the background of a single class; to make 0 '{classes[0].name}', write two classes",
        )
    return claims


def _values_of(item: Any, index: int, *, as_color: bool, binary: bool) -> list[int]:
    if as_color:
        if item.color is None and not item.colors:
            raise MisplacedError(("classes", index), f"'{item.name}' needs a color, as the other classes have")
        return [pack_color(color) for color in item.colors or [item.color]]
    values = item.values or [index + binary if item.value is None else item.value]
    if max(values) > LARGEST_VALUE:
        raise MisplacedError(
            ("classes", index), f"value {max(values)} is past {LARGEST_VALUE}, the largest that a mask may hold"
        )
    return values
