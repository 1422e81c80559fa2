"""Page: check.html, one file to look at, with nothing from outside, its small pictures (images beside overlays), and
what the terminal shows of it."""

import math
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segtrain.command import colored
from segtrain.commands.check.check_classes import suggest_weights
from segtrain.commands.check.check_images import find_crops
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import MaskRecord, examine_mask, read_shown, split_colors
from segtrain.commands.check.finding import LEVELS, Finding, write_lines
from segtrain.commands.check.fixes import pick_pixels
from segtrain.commands.check.mask_values import IGNORED, UNCLAIMED, Labeling, show_share
from segtrain.errors import DataError, count_of
from segtrain.memory import count_cores
from segtrain.page import picture_address, write_html
from segtrain.visualize import ERROR_COLOR, default_colors, overlay, to_rgb

SAMPLES, OFFENDERS = 12, 6
_LOWEST = -4  # 10 to this power, 0.01 %, is the left end of the strip on which the shares of a class are marked
UNMARKED: frozenset[int] = frozenset()
SIDE_PX = 300
_MARK_PX = 13  # how large a single marked pixel is drawn
WIDTH = (60, 116)  # characters
FILES, FIX_LINES = 3, 16  # shown of each finding; the page has all
_COLORS = {"error": 31, "warning": 33, "note": 36}
_INDENT = " " * 9


def write_page(path: Path, report: DatasetReport, findings: Sequence[Finding], *, proposal: Sequence[str]) -> None:
    """Write the page; `proposal` are the lines of an experiment where there is none yet.

    Raises DataError where the file cannot be written.
    """
    samples = choose_samples(report, SAMPLES)
    wanted = [(index, finding.marked) for finding in findings for index in finding.records[:OFFENDERS]]
    pictures = draw_samples(report, [*wanted, *((index, UNMARKED) for index in samples)])
    title, numbers = describe_set(report)
    write_html(
        path,
        Path(__file__).with_name("page.html.jinja"),
        _describe_classes(report),
        report=report,
        title=title,
        numbers=numbers,
        findings=findings,
        worst=min((finding.level for finding in findings), key=LEVELS.index, default="good"),
        levels=count_levels(findings),
        proposal=proposal,
        samples=samples,
        pictures=pictures,
        drawn=lambda indices, marked=UNMARKED: [index for index in indices if (index, marked) in pictures],
        unmarked=UNMARKED,
        sizes=Counter((r.image.width, r.image.height) for r in report.records if r.image is not None).most_common(),
        crops=[] if report.config is None else [*find_crops(report.config.transforms.train).values()],
        offenders=OFFENDERS,
        show_share=show_share,
        position=_find_position,
    )


def _find_position(share: float) -> float:
    """Where a share lies on a strip, in percent: logarithmic, 0.01 % at the left end and below, 100 % at the right."""
    return 100 * (1 - max(_LOWEST, math.log10(share)) / _LOWEST)


def _describe_classes(report: DatasetReport) -> Mapping[str, Any]:
    """The table of the classes: the share of the pixels in each split, and the number of masks that have each."""
    labeling, pixels = report.labeling, report.class_pixels
    if labeling is None or not pixels.any():
        return {"classes": []}
    splits = {split: indices for split, indices in report.splits.items() if report.counts[indices].any()}
    sums = [pixels[indices].sum(axis=0) for indices in splits.values()]
    areas = [_labeled_pixels(report, indices) for indices in splits.values()]
    shares = np.array([counts / max(area, 1) for counts, area in zip(sums, areas, strict=True)]).T  # (classes, splits)
    suggested = suggest_weights(report)
    return {
        "classes": [
            {"name": name, "color": color, "shares": row.tolist(), "masks": int(masks)}
            for name, color, row, masks in zip(
                labeling.names, labeling.colors, shares, (pixels > 0).sum(axis=0), strict=True
            )
        ],
        "splits": list(splits),
        "weights": None if suggested is None else suggested[1],
        "ignored": 1 - sum(areas) / max(sum(r.mask.height * r.mask.width for r in report.records if r.mask), 1),
    }


def _labeled_pixels(report: DatasetReport, indices: NDArray[np.int64]) -> int:
    """The pixels of these records that are some class's, or could be where classes overlap: what shares are of."""
    if not report.labeling.multilabel:
        return int(report.class_pixels[indices].sum())
    masks = [report.records[index].mask for index in indices]
    return sum(m.height * m.width for m in masks if m is not None) - int(report.counts[indices, IGNORED].sum())


def draw_samples(
    report: DatasetReport, wanted: Iterable[tuple[int, frozenset[int]]]
) -> dict[tuple[int, frozenset[int]], str]:
    """Data addresses of JPEGs by (index of the record, marked values): the image beside its overlay. What cannot be
    read is left out."""
    wanted = list(dict.fromkeys(wanted))
    with ThreadPoolExecutor(count_cores()) as pool:
        drawn = pool.map(lambda item: _draw(report, *item), wanted)
        return {item: address for item, address in zip(wanted, drawn, strict=True) if address}


def _draw(report: DatasetReport, index: int, marked: frozenset[int]) -> str:
    sample, data = report.records[index].sample, report.data
    panels = []
    with suppress(DataError, MemoryError):
        _, image = read_shown(data, sample)
        image = np.ascontiguousarray(to_rgb(np.nan_to_num(image, posinf=0, neginf=0)))
        panels.append(cv2.resize(image, _reduced(image.shape), interpolation=cv2.INTER_AREA))
    with suppress(DataError, MemoryError):
        mask, planes = examine_mask(data, sample)
        painted, known = paint(planes, mask, report.labeling, marked=marked)
        if panels and report.records[index].is_pair:
            height, width = panels[0].shape[:2]
            painted, known = (pick_pixels(array, height, width) for array in (painted, known))
            painted = overlay(panels[0], painted, ignored=~known)
            if marked:
                painted[_grow(np.isin(planes, list(marked)), height, width)] = ERROR_COLOR
        else:
            width, height = _reduced(painted.shape)
            painted = pick_pixels(painted, height, width)
        panels.append(painted)
    if not panels:
        return ""
    height = max(panel.shape[0] for panel in panels)
    padded = [np.pad(panel, ((0, height - panel.shape[0]), (0, 0), (0, 0)), constant_values=128) for panel in panels]
    return picture_address(np.concatenate(padded, axis=1))


def paint(
    planes: NDArray, mask: MaskRecord, labeling: Labeling | None, *, marked: frozenset[int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A mask (HW codes) in the colors of its classes, HWC uint8, and where it is not ignored, HW. What nothing claims
    has the color of errors; without classes every value has a color of its own."""
    codes, index = np.unique(planes, return_inverse=True)
    index = index.reshape(planes.shape)
    read = None if labeling is None else labeling.codes_of(mask)
    if read is None:
        colors = split_colors(codes) if mask.is_color else default_colors(len(codes))
        return np.array(colors, np.uint8)[index], np.ones(planes.shape, bool)
    claims = dict(zip(mask.codes.tolist(), labeling.indices_of(read).tolist(), strict=True))
    which = np.array([UNCLAIMED if code in marked else claims.get(code, UNCLAIMED) for code in codes.tolist()])
    colors = np.array([*labeling.colors, ERROR_COLOR, (0, 0, 0)], np.uint8)
    shown = which != IGNORED
    if labeling.binary or labeling.multilabel:  # the background is shown as it is
        shown &= which != (0 if labeling.binary else UNCLAIMED)
    return colors[which][index], shown[index]


def _reduced(shape: Sequence[int]) -> tuple[int, int]:
    """Width and height of a picture whose longer side is SIDE_PX at most."""
    scale = min(1.0, SIDE_PX / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _grow(chosen: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The chosen pixels of a mask in a picture of height x width; a few are drawn large enough to be seen."""
    shrunk = cv2.resize(chosen.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
    size = _MARK_PX if shrunk.mean() < 0.001 else 1
    return cv2.dilate(shrunk.astype(np.uint8), np.ones((size, size), np.uint8)) > 0


def choose_samples(report: DatasetReport, count: int) -> list[int]:
    """Indices of records that show the set: one for each class, the rarest first and where it is large beside others,
    then more in even steps."""
    pixels = report.class_pixels * (report.class_pixels > 0).sum(axis=1, keepdims=True)
    pairs = [index for index, record in enumerate(report.records) if record.is_pair]
    if not pairs:
        return []
    chosen: dict[int, None] = {}
    for label in np.argsort(report.class_pixels.sum(axis=0)):
        best = pairs[int(pixels[pairs, label].argmax())]
        if len(chosen) < count * 2 // 3 and pixels[best, label]:
            chosen[best] = None
    rest = [index for index in pairs if index not in chosen]
    number = min(count - len(chosen), len(rest))
    return sorted([*chosen, *(rest[index * len(rest) // number] for index in range(number))])


def describe_set(report: DatasetReport) -> list[str]:
    """What was looked at, in two lines."""
    splits = ", ".join(f"{split} {len(samples):,}" for split, samples in report.source.splits.items() if split != "all")
    images = [record.image for record in report.records if record.image is not None]
    sizes = Counter((image.width, image.height) for image in images)
    kinds = Counter((image.file_type, image.channels, image.dtype) for image in images)
    parts = [count_of(len(report.records), "pair") + (f" ({splits})" if splits else "")]
    if report.has_windows:
        parts = [report.count_text + (f" ({splits})" if splits else "")]
    for (width, height), _ in sizes.most_common(1):
        more = f" and {count_of(len(sizes) - 1, 'other size')}" if len(sizes) > 1 else ""
        parts.append(f"{width} x {height}{more}")
    for (file_type, channels, dtype), _ in kinds.most_common(2):
        parts.append(f"{file_type} with {count_of(channels, 'channel')} of {dtype}")
    return [report.source.title, ", ".join(parts)]


def count_levels(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 note`, or that there is nothing."""
    counts = Counter(finding.level for finding in findings)
    return ", ".join(count_of(counts[level], level) for level in LEVELS if counts[level]) or "no problems found"


def write_report(findings: Sequence[Finding], command: str, page: Path) -> list[str]:
    """The lines of the table: level, what was found, and what to do about it; without findings, one line. `command` is
    the check that made them."""
    width = max(WIDTH[0], min(WIDTH[1], shutil.get_terminal_size((100, 24)).columns))
    lines = ["", f"{'level':9}finding and what to do", "-" * width] if findings else []
    for finding in findings:
        level = f"{finding.level:9}"
        if sys.stdout.isatty():
            level = colored(level, _COLORS[finding.level])
        lines.append(f"{level}{finding.title}")
        lines += textwrap.wrap(
            finding.explanation, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False
        )
        lines += [f"{_INDENT}{file}" for file in finding.files[:FILES]]
        if len(finding.files) > FILES:
            lines.append(f"{_INDENT}and {len(finding.files) - FILES:,} more")
        if finding.fix is not None:
            fix = finding.fix.lines_for(command)
            lines += [f"{_INDENT}{finding.fix.label}:", *(f"{_INDENT}  {line}" for line in fix[:FIX_LINES])]
            if len(fix) > FIX_LINES:
                lines.append(f"{_INDENT}  ... {len(fix) - FIX_LINES} more lines in {page}")
        lines.append("-" * width)
    return [*lines, f"{count_levels(findings)}; details and images: {page}"]


def write_proposal(report: DatasetReport) -> list[str]:
    """The lines of an experiment for two folders; none where there is one already, or the masks have no classes."""
    proposal = report.proposal
    if report.config is not None or proposal is None or not proposal.classes:
        return []
    lines = ["name: mine", *write_lines({"data": report.source.data}), *proposal.lines[1:]]  # both begin with data:
    return [*lines, *(["loss: {BCEWithLogitsLoss: 1.0, DiceLoss: 1.0}"] if proposal.kind == "binary" else [])]
