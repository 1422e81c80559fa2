"""Pairing: images and masks of the same name, and findings about those that have no partner."""

import os
import shlex
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from segtrain.commands.check.finding import Change, Finding, apply_fix, count_of, shell_fix, yaml_fix
from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.sample import IMAGE_SUFFIXES, Sample, SampleTable, Splits

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLIT_NAMES |= {"test": "test", "testing": "test"}
Suffix = str | list[str]
_TRIED = 50  # images whose names are compared with those of the masks


class Pairing(NamedTuple):
    """Pairs below two folders, what is wrong with the others, and the endings by which names differ, as the keys
    image_suffix and mask_suffix have them."""

    samples: SampleTable
    findings: list[Finding]
    endings: dict[str, str]


def pair_folders(
    root: Path, *patterns: str, image_suffix: Suffix = "", mask_suffix: Suffix = "", what: str = "data"
) -> Pairing:
    """What segtrain.formats.folders.pair would pair, images and masks, without those that it would refuse.

    Where next to nothing pairs, endings of the names are looked for by which it would. Raises DataError where a folder
    is missing, or holds two images of one name.
    """
    kinds, suffixes, found = ("image", "mask"), (image_suffix, mask_suffix), []
    for kind, pattern, suffix in zip(kinds, patterns, suffixes, strict=True):
        folder, files = folders.find_files(root, pattern, suffix, f"{what}.{kind}s")
        if not files:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{what}: no {kind}s in {root / pattern}; known suffixes: {known}")
        found.append((folder, files))
    names, mask_names = (sorted(files) for _, files in found)
    endings = ("", "")
    if 2 * len({*names} & {*mask_names}) < len(names):
        endings = _find_endings(names, mask_names)
    images, masks = (
        {key.removesuffix(ending): f"{folder}/{file}" for key, file in files.items()}
        for (folder, files), ending in zip(found, endings, strict=True)
    )
    samples = SampleTable(Sample(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys()))
    alone = [
        *_find_alone("image", "mask", images, masks, where=found[1][0]),
        *_find_alone("mask", "image", masks, images, where=found[0][0]),
    ]
    told = {
        f"{kind}_suffix": ending + suffix
        for kind, ending, suffix in zip(kinds, endings, suffixes, strict=True)
        if isinstance(suffix, str) and ending + suffix and any(endings)
    }
    return Pairing(samples, alone, told)


def _find_endings(images: Sequence[str], masks: Sequence[str]) -> tuple[str, str]:
    """The endings of image names and mask names without which most of them are the same; empty where none are found."""
    votes: Counter[tuple[str, str]] = Counter()
    for image in images[:: max(1, len(images) // _TRIED)]:
        index = bisect_left(masks, image)
        for mask in masks[max(0, index - 1) : index + 1]:
            common = next((i for i, (a, b) in enumerate(zip(image, mask, strict=False)) if a != b), len(image))
            common = min(common, len(mask))
            if common < min(
                len(image), len(mask)
            ):  # _leftImg8bit and _label have an l in common, which belongs to no name
                common = max((image.rfind(sign, 0, common) for sign in "_-. "), default=common)
            if common > image.rfind("/") + 1:
                votes[image[common:], mask[common:]] += 1
    for (image_ending, mask_ending), _ in votes.most_common(3):
        keys = {key.removesuffix(image_ending) for key in images if key.endswith(image_ending)}
        if sum(key.endswith(mask_ending) and key.removesuffix(mask_ending) in keys for key in masks) * 2 > len(images):
            return image_ending, mask_ending
    return "", ""


def different_endings(endings: dict[str, str]) -> Finding:
    """Names that pair once their endings are told."""
    return Finding(
        "error",
        "The names of images and masks have different endings",
        "Images and masks are paired by name. They pair once the endings are told; the rest was looked at like that.",
        yaml_fix(data=endings),
    )


def _find_alone(kind: str, other: str, here: dict[str, str], there: dict[str, str], *, where: str) -> Iterator[Finding]:
    """Files without a partner in the folder `where`; all are by name."""
    files = sorted(here[key] for key in here.keys() - there.keys())
    if not files:
        return
    if len(files) == len(here):
        quoted = [shlex.quote(folder) for folder in (os.path.dirname(files[0]), where)]
        fix = shell_fix(f"ls {quoted[0]} | head -3; ls {quoted[1]} | head -3   # how do the names differ?")
        advice = "Add what is missing, or rename the files."
    else:
        fix = apply_fix("set-aside-unpaired", map(Change, files))
        advice = "Add what is missing; the line takes the files out of the data set instead."
    has, are = ("has", "is") if len(files) == 1 else ("have", "are")
    title = f"{len(files):,} of {count_of(len(here), kind)} {has} no {other}"
    yield Finding("error", title, f"Nothing of the same name {are} in {where}. {advice}", fix, files)


def split_by_folder(samples: SampleTable) -> Splits:
    """Splits by the first folder of each name, where all of them are names of splits; otherwise one split of all."""
    heads = [sample.name.partition("/")[0] for sample in samples]
    if not all(head in SPLIT_NAMES and "/" in sample.name for head, sample in zip(heads, samples, strict=True)):
        return {"all": samples}
    return {
        split: samples.take(index for index, head in enumerate(heads) if SPLIT_NAMES[head] == split)
        for split in ("train", "val", "test")
        if split in map(SPLIT_NAMES.get, heads)
    }
