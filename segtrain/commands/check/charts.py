"""The charts of the page, as HTML and inline SVG."""

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from segtrain.commands.check.check_classes import suggest_weights
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.labelling import IGNORED
from segtrain.commands.check.propose import show_share

SPLIT_COLORS = ("var(--split-1)", "var(--split-2)", "var(--split-3)", "var(--split-4)")
_WIDTH, _LEFT = 300, 8  # of a strip on which the shares of a class are marked, in its own units
_LOWEST = -4  # 10 to this power is the left end of a strip
_LISTED_SIZES = 8


def escape(text: object) -> str:
    """Text for HTML, in and outside of attributes."""
    return html.escape(str(text), quote=True)


def _position(share: float) -> float:
    """Where a share lies on a strip: logarithmic, 0.01 % at the left end and below, 100 % at the right one."""
    exponent = max(_LOWEST, math.log10(share)) if share > 0 else _LOWEST
    return _LEFT + (_WIDTH - 2 * _LEFT) * (1 - exponent / _LOWEST)


def draw_classes(report: DatasetReport) -> str:
    """A table of the classes: the share of the pixels in each split as dots on a logarithmic strip, and in numbers."""
    labelling = report.labelling
    if labelling is None or not report.class_pixels.any():
        return ""
    splits = {split: indices for split, indices in report.splits.items() if report.counts[indices].any()}
    suggested = suggest_weights(report)
    weights = None if suggested is None else suggested[1]
    shares = {}
    for split, indices in splits.items():
        sums = report.class_pixels[indices].sum(axis=0)
        shares[split] = sums / max(int(sums.sum()), 1)
    total = report.class_pixels.sum(axis=0)
    masks = (report.class_pixels > 0).sum(axis=0)
    rows = []
    for index, name in enumerate(labelling.names):
        cells = [f"<td>{_swatch(labelling.colors[index])}{escape(name)}</td>"]
        cells.append(f'<td class="strip">{_strip([shares[split][index] for split in splits])}</td>')
        cells += [f'<td class="number">{show_share(shares[split][index])}</td>' for split in splits]
        cells.append(f'<td class="number">{masks[index]:,}</td>')
        if weights is not None:
            cells.append(f'<td class="number">{weights[index]:.2f}</td>')
        rows.append(f"<tr{' class=absent' if not total[index] else ''}>{''.join(cells)}</tr>")
    heads = "".join(f'<th class="number">{_dot(index)}{escape(split)}</th>' for index, split in enumerate(splits))
    weight = '<th class="number">weight</th>' if weights is not None else ""
    head = f'<tr><th>class</th><th class="strip">{_axis()}</th>{heads}<th class="number">masks</th>{weight}</tr>'
    ignored = report.counts[:, IGNORED].sum() / max(int(report.counts.sum()), 1)
    note = f"Shares of the pixels that have a class; {show_share(ignored)} of all pixels are ignored."
    note += " The weights are those of class_weights: enet." if weights is not None else ""
    table = f'<table class="classes"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div><p class="quiet">{note}</p>'


def _swatch(color: Sequence[int]) -> str:
    return f'<span class="swatch" style="background:rgb({",".join(map(str, color))})"></span>'


def _dot(index: int) -> str:
    return f'<span class="dot" style="background:{SPLIT_COLORS[index % len(SPLIT_COLORS)]}"></span>'


def _strip(shares: Sequence[float]) -> str:
    """Dots at the shares of each split, joined by a line."""
    positions = [_position(share) for share in shares]
    grid = "".join(
        f'<line x1="{_position(10.0**power):.1f}" x2="{_position(10.0**power):.1f}" y1="0" y2="20" class="grid"/>'
        for power in range(_LOWEST, 1)
    )
    stem = f'<line x1="{_LEFT}" x2="{max(positions):.1f}" y1="10" y2="10" class="stem"/>'
    dots = "".join(
        f'<circle cx="{position:.1f}" cy="10" r="5" style="fill:{SPLIT_COLORS[index % len(SPLIT_COLORS)]}"/>'
        for index, (position, share) in enumerate(zip(positions, shares, strict=True))
        if share > 0
    )
    return f'<svg viewBox="0 0 {_WIDTH} 20" role="img" aria-label="share of the pixels">{grid}{stem}{dots}</svg>'


def _axis() -> str:
    labels = {-4: "0.01 %", -3: "0.1 %", -2: "1 %", -1: "10 %", 0: "100 %"}
    anchors = {-4: "start", 0: "end"}
    texts = "".join(
        f'<text x="{_position(10.0**power) + (-_LEFT if power == _LOWEST else _LEFT if power == 0 else 0):.1f}" y="14" '
        f'text-anchor="{anchors.get(power, "middle")}">{text}</text>'
        for power, text in labels.items()
    )
    return f'<svg viewBox="0 0 {_WIDTH} 20" role="img" aria-label="share of the pixels, logarithmic">{texts}</svg>'


def draw_legend(report: DatasetReport) -> str:
    """Swatches and names of the classes that occur."""
    labelling = report.labelling
    if labelling is None:
        return ""
    there = report.class_pixels.sum(axis=0) > 0
    items = [
        f"<span>{_swatch(color)}{escape(name)}</span>"
        for index, (name, color) in enumerate(zip(labelling.names, labelling.colors, strict=True))
        if there[index] and not (labelling.binary and index == 0)
    ]
    return f'<p class="legend">{"".join(items)}</p>'


def draw_sizes(report: DatasetReport, crop: tuple[int, int] | None) -> str:
    """The sizes of the images: a sentence where they have one, else a chart of width against height, and a table."""
    images = [record.image for record in report.records if record.image is not None]
    sizes = Counter((image.width, image.height) for image in images)
    if not sizes:
        return ""
    if len(sizes) == 1:
        (width, height), count = next(iter(sizes.items()))
        return f"<p>All {count:,} images are {width} x {height} pixels.</p>" + _crop_line(crop)
    rows = "".join(
        f'<tr><td class="number">{width} x {height}</td><td class="number">{count:,}</td></tr>'
        for (width, height), count in sizes.most_common(_LISTED_SIZES)
    )
    more = f'<p class="quiet">and {len(sizes) - _LISTED_SIZES:,} other sizes</p>' if len(sizes) > _LISTED_SIZES else ""
    head = '<tr><th class="number">size</th><th class="number">images</th></tr>'
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return f'<div class="beside">{_scatter(sizes, crop)}<div>{table}{more}{_crop_line(crop)}</div></div>'


def _crop_line(crop: tuple[int, int] | None) -> str:
    return "" if crop is None else f"<p>Training crops are {crop[1]} x {crop[0]}.</p>"


def _scatter(sizes: Mapping[tuple[int, int], int], crop: tuple[int, int] | None) -> str:
    side, margin = 320, 44
    largest = max(max(size) for size in sizes)
    step = 10 ** math.floor(math.log10(largest))
    step = next(step * factor for factor in (0.1, 0.2, 0.5, 1, 2, 5) if largest / (step * factor) <= 5)
    end = math.ceil(largest / step) * step
    scale = (side - margin - 26) / end
    most = max(sizes.values())

    def x(width: float) -> float:
        return margin + width * scale

    def y(height: float) -> float:
        return side - margin - height * scale

    marks = []
    for tick in np.arange(0, end + step / 2, step):
        marks.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{y(0):.1f}" y2="{y(end):.1f}"/>')
        marks.append(f'<line class="grid" y1="{y(tick):.1f}" y2="{y(tick):.1f}" x1="{x(0):.1f}" x2="{x(end):.1f}"/>')
        marks.append(f'<text x="{x(tick):.1f}" y="{y(0) + 16:.1f}" text-anchor="middle">{tick:g}</text>')
        marks.append(f'<text x="{x(0) - 6:.1f}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for (width, height), count in sorted(sizes.items(), key=lambda item: -item[1])[:2000]:
        radius = 3 + 9 * math.sqrt(count / most)
        marks.append(f'<circle class="size" cx="{x(width):.1f}" cy="{y(height):.1f}" r="{radius:.1f}"/>')
    if crop is not None:
        corner = f'x="{x(0):.1f}" y="{y(crop[0]):.1f}" width="{crop[1] * scale:.1f}" height="{crop[0] * scale:.1f}"'
        marks.append(f'<rect class="crop" {corner}/>')
    marks.append(f'<text x="{x(end):.1f}" y="{side - 8}" text-anchor="end">width in pixels</text>')
    marks.append(f'<text x="{x(0) - 6:.1f}" y="{y(end) - 12:.1f}" text-anchor="end">height</text>')
    head = f'<svg class="sizes" viewBox="0 0 {side} {side}" role="img" aria-label="sizes of the images">'
    return f"{head}{''.join(marks)}</svg>"
