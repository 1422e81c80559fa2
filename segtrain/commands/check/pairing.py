"""Pairing: images and masks of the same name, and findings about those that have no partner."""

import shlex
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from segtrain.commands.check.finding import Finding, are, count_of, set_aside, shell_fix, yaml_fix
from segtrain.commands.check.yaml_lines import write_text
from segtrain.errors import DataError
from segtrain.formats import folders
from segtrain.formats.sample import IMAGE_SUFFIXES, Sample, SampleTable, Splits

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLIT_NAMES |= {"test": "test", "testing": "test"}
_TRIED = 50  # images whose names are compared with those of the masks


class Pairing(NamedTuple):
    """Pairs below two folders, what is wrong with the others, and the endings by which names differ."""

    samples: SampleTable
    findings: list[Finding]
    image_suffix: str = ""
    mask_suffix: str = ""


def pair_folders(
    root: Path, images: str, masks: str, *, image_suffix: str = "", mask_suffix: str = "", what: str = "data"
) -> Pairing:
    """What segtrain.formats.folders.pair would pair, without those that it would refuse.

    Where next to nothing pairs, endings of the names are looked for by which it would. Raises DataError where a folder
    is missing, or holds two images of one name.
    """
    image_folder, image_files = folders.find_files(root, images, image_suffix, f"{what}.images")
    mask_folder, mask_files = folders.find_files(root, masks, mask_suffix, f"{what}.masks")
    for found, pattern, kind in ((image_files, images, "images"), (mask_files, masks, "masks")):
        if not found:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{what}: no {kind} in {root / pattern}; known suffixes: {known}")
    endings = ("", "")
    if 2 * len(image_files.keys() & mask_files.keys()) < len(image_files):
        endings = _find_endings(sorted(image_files), sorted(mask_files))
        image_files = {key.removesuffix(endings[0]): file for key, file in image_files.items()}
        mask_files = {key.removesuffix(endings[1]): file for key, file in mask_files.items()}
    pairs = sorted(image_files.keys() & mask_files.keys())
    samples = SampleTable(
        Sample(key, f"{image_folder}/{image_files[key]}", f"{mask_folder}/{mask_files[key]}") for key in pairs
    )
    found = [
        _alone(kind, other, alone, total=len(here), where=where)
        for kind, other, here, there, folder, where in (
            ("image", "mask", image_files, mask_files, image_folder, mask_folder),
            ("mask", "image", mask_files, image_files, mask_folder, image_folder),
        )
        if (alone := sorted(f"{folder}/{file}" for key, file in here.items() if key not in there))
    ]
    return Pairing(samples, found, *endings)


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


def different_endings(image_ending: str, mask_ending: str) -> Finding:
    """Names that pair once their endings are told."""
    endings = {"image_suffix": image_ending, "mask_suffix": mask_ending}
    return Finding(
        "error",
        "The names of images and masks have different endings",
        "Images and masks are paired by name. They pair once the endings are told; the rest was looked at like that.",
        yaml_fix("data:", *(f"  {key}: {write_text(ending)}" for key, ending in endings.items() if ending)),
    )


def _alone(kind: str, other: str, files: list[str], *, total: int, where: str) -> Finding:
    """Files without a partner."""
    number = len(files)
    if number == total:
        folders = [shlex.quote(str(folder)) for folder in (Path(files[0]).parent, where)]
        fix = shell_fix(f"ls {folders[0]} | head -3; ls {folders[1]} | head -3   # how do the names differ?")
        advice = "Add what is missing, or rename the files."
    else:
        fix = set_aside("set-aside-unpaired", files)
        advice = "Add what is missing; the line takes the files out of the data set instead."
    return Finding(
        "error",
        f"{number:,} of {count_of(total, kind)} {'has' if number == 1 else 'have'} no {other}",
        f"Nothing of the same name {are(number)} in {where}. {advice}",
        fix,
        files,
    )


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
