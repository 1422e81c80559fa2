"""Tables, names and times as a console shows them."""

import math
from collections.abc import Sequence

LINE_WIDTH = 100  # characters of a line


def show_duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`, `5 days`; nothing for nan."""
    if math.isnan(seconds):
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def shorten_middle(text: str, most: int) -> str:
    """At most so many characters: the beginning and the end, which tell names apart."""
    if len(text) <= most:
        return text
    end = (most - 2) // 2
    return f"{text[: most - 2 - end]}..{text[len(text) - end :]}"


def format_columns(lines: Sequence[Sequence[str]]) -> str:
    """A table of LINE_WIDTH characters at most, with a rule below its first line. The first column is to the left and
    gives way to the others, of which each has an even share of the line at most."""
    most = (LINE_WIDTH - 20) // max(len(lines[0]) - 1, 1) - 2
    cut = [[line[0], *(shorten_middle(cell, max(most, 18)) for cell in line[1:])] for line in lines]
    widths = [max(map(len, column)) for column in zip(*(line[1:] for line in cut), strict=True)]
    first = min(max(len(line[0]) for line in cut), LINE_WIDTH - sum(widths) - 2 * len(widths))
    text = [
        "  ".join([shorten_middle(line[0], first).ljust(first), *map(str.rjust, line[1:], widths)]).rstrip()
        for line in cut
    ]
    return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])
