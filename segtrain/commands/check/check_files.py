"""File checks: files that cannot be read, and masks that do not lie on their images."""

import os
from collections.abc import Iterator
from functools import partial
from itertools import product

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import Record
from segtrain.commands.check.finding import Change, Finding, apply_fix, yaml_fix
from segtrain.commands.check.fixes import pick_pixels
from segtrain.errors import count_of
from segtrain.images.bands import ON_ITS_SIDE, upright

TOO_LARGE = "exceeds limit of"  # in what Pillow says of more than 179 million pixels
CLEARLY = 1.2  # by so much the edges of a mask follow one orientation better: 97 % of CamVid's, turned four ways, do


def find_one_folder(report: DatasetReport) -> Iterator[Finding]:
    """One folder that was given for images and for masks; the names of the files have told them apart."""
    folders = report.source.folders
    if folders is not None and os.path.realpath(folders[0]) == os.path.realpath(folders[1]):
        advice = (
            "Training stops here until these lines distinguish them; everything else was checked as if they "
            "were written."
        )
        fix = yaml_fix(data=report.source.data)
        yield Finding("error", "Images and masks are in the same folder", advice, fix)


def find_unreadable(report: DatasetReport) -> Iterator[Finding]:
    """Files that are missing, truncated, or not images."""
    large = report.where(lambda r: TOO_LARGE in r.image_error + r.mask_error)
    if large:
        reasons = [reason for r in (report.records[i] for i in large) for reason in (r.image_error, r.mask_error)]
        title = f"{count_of(len(large), 'pair', 'is')} too large to be read"
        advice = "Training stops here. Save them as tiled TIFFs, which data.tile: 1024 reads in windows."
        yield report.finding("error", title, advice, images=large, files=[r for r in reasons if TOO_LARGE in r])
    broken = report.where(lambda r: (r.image_error or r.mask_error) and TOO_LARGE not in r.image_error + r.mask_error)
    if not broken:
        return
    found = [report.records[index] for index in broken]
    reasons = [reason for r in found for reason in dict.fromkeys((r.image_error, r.mask_error)) if reason]
    yield report.finding(
        "error",
        f"{count_of(len(reasons), 'file')} cannot be read",
        "Training stops here; the reason follows each name. Export or copy them again.",
        "set-aside-unreadable",
        images=broken,
        files=reasons,
    )


def find_not_turned(report: DatasetReport) -> Iterator[Finding]:
    """Masks that do not lie as EXIF, or a TIFF's tag, turns their images or themselves, and those where that cannot be
    told."""
    turned = report.where(lambda r: r.image and r.mask and r.orientation != 1)
    for of_image, unsure in product((True, False), (False, True)):
        indices = [
            index
            for index in turned
            for record in [report.records[index]]
            if (record.image.orientation != 1) == of_image and _mask_is_stored(record) is (None if unsure else True)
        ]
        if indices:
            yield _describe_not_turned(report, indices, of_image=of_image, unsure=unsure)


def _describe_not_turned(report: DatasetReport, indices: list[int], *, of_image: bool, unsure: bool) -> Finding:
    records = [report.records[index] for index in indices]
    if all(record.has_mask_files for record in records):
        files = {file: r.orientation for r in records for file in r.sample.mask_files if file}
        # nothing tells masks that were turned already, but what was kept of them
        files = {file: how for file, how in files.items() if not (unsure and os.path.exists(f"{file}.aside"))}
        changes = [Change(file, partial(upright, orientation=how)) for file, how in files.items()]
        fix = apply_fix("turn-unsure-masks" if unsure else "turn-masks", changes)
        advice = "This fix rotates the masks."
    else:
        fix, advice = report.take_out(indices), "Annotate them upright or leave them out."
    mask = "perhaps not their masks" if unsure else "their masks are not"
    title = f"{count_of(len(indices), 'image', 'is')} rotated by EXIF, {mask}"
    reason = (
        "The camera stored them rotated and recorded their orientation in the file. segtrain and every viewer rotate "
        "them, but their masks were drawn on the stored pixels."
    )
    if not of_image:
        title = f"{count_of(len(indices), 'mask', 'is')} {'perhaps ' if unsure else ''}not rotated as EXIF says"
        reason = "The files record an orientation, which viewers apply. Training reads masks as they are stored."
    if unsure:
        reason = "Size and edges match either way. Look at them in check.html; only if they do not match:"
    level, marks = ("warning" if unsure else "error"), {"images" if of_image else "masks": indices}
    return report.finding(level, title, f"{reason} {advice}", fix, **marks)


def _mask_is_stored(record: Record) -> bool | None:
    """Whether a mask lies on its image as that is stored, and not as EXIF turns it, or has to be turned by an EXIF of
    its own; None where that is not known."""
    image, mask = record.image, record.mask
    sides = (image.width, image.height) if record.orientation in ON_ITS_SIDE else (image.height, image.width)
    stored = sides == (mask.height, mask.width)
    if record.is_pair != stored:
        return stored
    if not stored:
        return False  # a mask of another size altogether
    if record.fit > CLEARLY:
        return True
    return False if record.fit < 1 / CLEARLY else None


def find_other_sizes(report: DatasetReport) -> Iterator[Finding]:
    """Masks whose size differs from that of their images, for another reason than EXIF."""
    wrong = report.where(
        lambda r: r.image and r.mask and not r.is_pair and not (r.orientation != 1 and _mask_is_stored(r))
    )
    scaled = [index for index in wrong if _is_scaled(report.records[index])]
    if scaled:
        changes = [
            Change(file, partial(pick_pixels, height=r.image.height, width=r.image.width))
            for r in (report.records[index] for index in scaled)
            for file in filter(None, r.sample.mask_files)
        ]
        yield report.finding(
            "error",
            f"{count_of(len(scaled), 'mask', 'is')} smaller or larger than the image",
            "They have the proportions of the image, so they were exported at another size. Exporting them again is "
            "best; this fix resizes them with nearest-neighbor interpolation.",
            apply_fix("resize-masks", changes),
            masks=scaled,
            files=_list_sizes(report, scaled),
        )
    if other := [index for index in wrong if index not in scaled]:
        yield report.finding(
            "error",
            f"{count_of(len(other), 'mask', 'is')} not the size of the image",
            "The proportions differ too: masks of other images, rotated, or cropped. Find the correct masks.",
            "set-aside-other-size",
            masks=other,
            files=_list_sizes(report, other),
        )


def _is_scaled(record: Record) -> bool:
    """Whether a mask is a file that can be resized, and its image at another scale, to a pixel."""
    image, mask = record.image, record.mask
    scale = max(mask.height, mask.width) / max(image.height, image.width)
    same = abs(image.height * scale - mask.height) <= 1 and abs(image.width * scale - mask.width) <= 1
    return same and record.has_mask_files


def _list_sizes(report: DatasetReport, indices: list[int]) -> list[str]:
    return [
        f"{r.sample.mask_file}: {r.mask.width} x {r.mask.height}, but its image is {r.image.width} x {r.image.height}"
        for r in (report.records[index] for index in indices)
    ]


def find_elsewhere(report: DatasetReport) -> Iterator[Finding]:
    """Masks whose georeference lays them elsewhere on the earth than their images."""
    if apart := report.where(lambda r: r.apart):
        yield report.finding(
            "error",
            f"{count_of(len(apart), 'mask', 'is')} elsewhere on the map than the image",
            "Image and mask have the same size, but their georeferences say that they show different places. Find "
            "the correct masks, or create them again on the grid of the images; if only the georeference is wrong, "
            "remove it.",
            masks=apart,
            files=[report.records[index].apart for index in apart],
        )


def find_flat_images(report: DatasetReport) -> Iterator[Finding]:
    """Images that are one color all over."""
    if flat := report.where(lambda r: r.image and r.image.is_flat):
        title = f"{count_of(len(flat), 'image', 'is')} a single color"
        explanation = (
            "Nothing can be learned from them. An export may have failed, or they are tiles outside the recorded area."
        )
        yield report.finding("warning", title, explanation, "set-aside-flat", images=flat)
