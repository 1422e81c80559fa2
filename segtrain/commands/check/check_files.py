"""File checks: files that cannot be read, and masks that do not lie on their images."""

import math
import os
from collections.abc import Iterator

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.finding import Finding, Level, apply_fix, are, count_of, take_out
from segtrain.commands.check.fixes import resize, turn
from segtrain.commands.check.record import Record

CLEARLY = 1.2  # by so much the edges of a mask follow one orientation better: 97 % of CamVid's, turned four ways, do


def find_unreadable(report: DatasetReport) -> Iterator[Finding]:
    """Files that are missing, truncated, or not images."""
    broken = [index for index, r in enumerate(report.records) if r.image_error or r.mask_error]
    if not broken:
        return
    errors = [(report.records[index].image_error, report.records[index].mask_error) for index in broken]
    reasons = [reason for pair in errors for reason in pair if reason]
    yield Finding(
        "error",
        f"{count_of(len(reasons), 'file')} cannot be read",
        "Training stops there; the reason follows each name. Repair them at their source; this fix leaves them out "
        "instead, images with their masks.",
        report.leave_out("set-aside-unreadable", broken),
        reasons,
        broken,
    )


def find_not_turned(report: DatasetReport) -> Iterator[Finding]:
    """Images that EXIF turns while their masks are as the camera stored them, and those where that cannot be told."""
    turned = [index for index, r in enumerate(report.records) if r.image and r.mask and r.image.orientation != 1]
    wrong = [index for index in turned if _mask_is_stored(report.records[index])]
    unsure = [index for index in turned if _mask_is_stored(report.records[index]) is None]
    if wrong:
        explanation = (
            "The camera stored them lying and wrote into the file how to hold them. segtrain and every viewer turn "
            "them; their masks were drawn on what is stored."
        )
        yield _not_turned(report, "error", wrong, "turn-masks", "and the mask is not", explanation)
    if unsure:
        explanation = (
            "The size fits both ways and so do the edges. Look at them in check.html; only if they do not fit:"
        )
        yield _not_turned(report, "warning", unsure, "turn-unsure-masks", "and perhaps not the mask", explanation)


def _not_turned(
    report: DatasetReport, level: Level, indices: list[int], fix_name: str, title: str, explanation: str
) -> Finding:
    records = [report.records[index] for index in indices]
    if all(record.has_mask_files for record in records):
        files = {file: r.image.orientation for r in records for file in r.sample.mask_files if file}
        if fix_name == "turn-unsure-masks":  # nothing tells those that were turned already, but what was kept of them
            files = {file: orientation for file, orientation in files.items() if not os.path.exists(f"{file}.aside")}
        fix = apply_fix(fix_name, [turn(file, orientation) for file, orientation in files.items()])
        explanation = f"{explanation} This fix turns the masks."
    else:
        fix = take_out([record.sample.name for record in records])
        explanation = f"{explanation} Annotate them upright, or leave them out."
    title = f"{count_of(len(indices), 'image')} {are(len(indices))} turned by EXIF {title}"
    return Finding(level, title, explanation, fix, report.images_of(indices), indices)


def _mask_is_stored(record: Record) -> bool | None:
    """Whether a mask lies on its image as it is stored, and not as EXIF turns it; None where that is not known."""
    image, mask, fit = record.image, record.mask, record.fit
    turned = (image.height, image.width) == (mask.height, mask.width)
    sides = (image.width, image.height) if image.orientation >= 5 else (image.height, image.width)
    stored = sides == (mask.height, mask.width)
    if turned != stored:
        return stored
    if not turned:
        return False  # a mask of another size altogether
    if fit is None or math.isnan(fit.stored) or math.isnan(fit.turned):
        return None
    if fit.stored > CLEARLY * fit.turned:
        return True
    return False if fit.turned > CLEARLY * fit.stored else None


def find_other_sizes(report: DatasetReport) -> Iterator[Finding]:
    """Masks whose size differs from that of their images, for another reason than EXIF."""
    scaled, other = [], []
    for index, r in enumerate(report.records):
        if r.image and r.mask and not r.is_pair and not (r.image.orientation != 1 and _mask_is_stored(r)):
            (scaled if _is_scaled(r) and r.has_mask_files else other).append(index)
    if scaled:
        records = [report.records[index] for index in scaled]
        changes = [resize(file, r.image.height, r.image.width) for r in records for file in r.sample.mask_files if file]
        yield Finding(
            "error",
            f"{count_of(len(scaled), 'mask')} {are(len(scaled))} smaller or larger than the image",
            "They have the image's proportions, so they were exported at another size. Best export them again; "
            "this fix resizes them, each pixel to the value of the nearest one.",
            apply_fix("resize-masks", changes),
            [_sizes(report.records[index]) for index in scaled],
            scaled,
        )
    if other:
        yield Finding(
            "error",
            f"{count_of(len(other), 'mask')} {are(len(other))} not of the size of the image",
            "The proportions differ too: a mask of another image, turned, or cut. Find the right masks; this fix "
            "leaves the pairs out instead.",
            report.leave_out("set-aside-other-size", other),
            [_sizes(report.records[index]) for index in other],
            other,
        )


def _is_scaled(record: Record) -> bool:
    """Whether a mask is its image at another scale, to a pixel."""
    image, mask = record.image, record.mask
    scale = max(mask.height, mask.width) / max(image.height, image.width)
    return abs(image.height * scale - mask.height) <= 1 and abs(image.width * scale - mask.width) <= 1


def _sizes(record: Record) -> str:
    image, mask = record.image, record.mask
    return f"{record.sample.mask_file}: {mask.width} x {mask.height}, its image {image.width} x {image.height}"


def find_flat_images(report: DatasetReport) -> Iterator[Finding]:
    """Images that are one colour all over."""
    flat = [index for index, r in enumerate(report.records) if r.image is not None and r.image.is_flat]
    if not flat:
        return
    yield Finding(
        "warning",
        f"{count_of(len(flat), 'image')} {are(len(flat))} a single colour",
        "Nothing can be learnt from them: an export that failed, or tiles outside of what was recorded. This fix "
        "leaves them out.",
        report.leave_out("set-aside-flat", flat),
        report.images_of(flat),
        flat,
    )
