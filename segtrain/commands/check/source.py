"""Source: what is to be checked, the samples of an experiment or of two folders, and findings about files that have no
partner of the same name."""

import os
import shlex
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from glob import escape, iglob
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.commands.check.finding import Change, Finding, Fix, apply_fix, yaml_fix
from segtrain.config.data_schema import DataConfig
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.data.splits import read_splits
from segtrain.data.tiling import cut_image
from segtrain.errors import DataError, count_of
from segtrain.files import is_glob, quoted, split_window
from segtrain.formats import folders, keys_of, read_dataset
from segtrain.formats.sample import (
    IMAGE_SUFFIXES,
    SPLIT_NAMES,
    MaskSizeError,
    Sample,
    SampleTable,
    Splits,
    first_there,
    fixed_part,
    require_own_mask,
    split_by_fraction,
)
from segtrain.images.reading import image_size
from segtrain.images.windows import find_storage

Suffix = str | list[str]
LARGE_PX, TILE_PX = 2**25, 1024  # pixels of a TIFF from which on it is looked at in windows; their side
MOST_LEFT_OUT = 0.25  # of the data: where more would have to be taken out, something else is wrong
_TRIED = 50  # images whose names are compared with those of the masks


class Source(NamedTuple):
    """Samples by split, what was wrong already with finding them, and the experiment, or else the two `folders` as they
    were given and the `data` section that would find them. `arguments` are those of `check`."""

    title: str
    splits: Splits
    findings: list[Finding]
    arguments: Sequence[str]
    config: Config | None = None
    data: Mapping[str, Any] = {}
    folders: tuple[str, str] | None = None

    @property
    def command(self) -> str:
        """The command that checks this."""
        return f"python -m segtrain check {shlex.join(self.arguments)}".rstrip()


def from_experiment(layers: Sequence[str]) -> Source:
    """The samples of an experiment. Raises ConfigError for a configuration that is wrong."""
    config = load_config(layers)
    data = config.data
    title = f"{config.name}: {data.format} at {' and '.join(map(str, data.roots))}"
    notes: list[str] = []
    try:
        splits = without_unions(read_splits(data, seed=config.seed, notes=notes, thorough=True))
        findings = [Finding("warning", "Files may be read differently than you expect", note) for note in notes]
    except DataError as error:
        splits, findings = _salvage(data, config.seed)
        findings = findings or [Finding("error", "Training would stop here: the samples cannot be listed", str(error))]
    windows, found = cut_large(splits, data.tile)
    if windows is not splits and data.tile is None:
        advice = "Training would decode an entire image for each crop. With this line it decodes a window."
        title_large = f"TIFFs of more than {LARGE_PX >> 20} megapixels"
        findings.append(Finding("warning", title_large, advice, yaml_fix(data={"tile": TILE_PX})))
    return Source(title, windows, [*findings, *found], layers, config)


def from_folders(images: str, masks: str) -> Source:
    """The pairs of two folders or globs. Raises DataError where one is missing or empty."""
    patterns = [images, masks]
    for index, pattern in enumerate(patterns):
        if is_glob(pattern) and os.path.isdir(pattern):
            patterns[index] = f"{escape(pattern)}/**/*"  # brackets in the name of a folder
        elif is_glob(pattern) and any(map(os.path.isdir, iglob(pattern))):
            patterns[index] = f"{pattern.rstrip('/')}/*"  # `*/images` stands for all files in those folders
    root = Path(os.path.commonpath([Path(fixed_part(pattern)).absolute() for pattern in patterns]))
    shown = root if Path(images).is_absolute() else Path(os.path.relpath(root))
    below = [os.path.relpath(Path(pattern).absolute(), root) for pattern in patterns]
    samples, findings, told = pair_folders(shown, *below, as_globs=True)
    whole = split_by_folder(samples)
    splits, found = cut_large(whole)
    below = places = [told.pop("images", below[0]), told.pop("masks", below[1])]
    if "all" not in whole:
        heads = {split: samples[0].name.partition("/")[0] for split, samples in whole.items()}
        places = [{split: _of_split(pattern, head) for split, head in heads.items()} for pattern in below]
    return Source(
        f"{shlex.quote(images)} with {shlex.quote(masks)}",
        splits,
        [*findings, *found],
        ["--images", images, "--masks", masks],
        data={"root": str(shown), "images": places[0], "masks": places[1], **told}
        | ({} if splits is whole else {"tile": TILE_PX}),
        folders=(images, masks),
    )


def cut_large(splits: Splits, tile: int | None = None) -> tuple[Splits, list[Finding]]:
    """The samples, with images that are larger than `tile`, without it TIFFs of more than LARGE_PX, as windows, which
    are looked at in little memory: the same dict where there are none. And a finding for masks of another size, whose
    samples are left out; files that cannot be read are left to who reads them."""
    parts: dict[str, list[Sample]] = {}
    problems: list[str] = []
    for split, samples in splits.items():
        parts[split] = []
        for sample in samples:
            try:
                height, width = image_size(sample.image)
                large = height * width > LARGE_PX and not find_storage(sample.image, tile=TILE_PX).reason
                use = tile or (TILE_PX if large else max(height, width))
                parts[split] += [sample] if split_window(sample.image)[1] else cut_image(sample, height, width, use)
            except MaskSizeError as error:
                problems.append(str(error))
            except (DataError, OSError, ValueError):
                parts[split].append(sample)
    findings = []
    if problems:
        title = f"{count_of(len(problems), 'mask', 'is')} not the size of the image"
        advice = "Training stops here. A mask needs one pixel for each pixel of its image: export it on the same grid."
        findings.append(Finding("error", title, advice, files=problems))
    if not problems and all(len(parts[split]) == len(samples) for split, samples in splits.items()):
        return splits, []
    return {split: SampleTable(samples) for split, samples in parts.items()}, findings


def _of_split(pattern: str, head: str) -> str:
    """The folder, or glob, of a split whose name is the first part that a pattern leaves open."""
    fixed = Path(fixed_part(pattern))
    open_parts = Path(pattern).relative_to(fixed).parts
    path = Path(fixed, head, *(open_parts if open_parts[:1] == ("**",) else open_parts[1:]))
    return str(path.parent if path.name == "*" else path)  # a folder is all of its files


def without_unions(splits: Splits) -> Splits:
    """Train, val, and those of the others that share no image with them: a `trainval` is not a split of its own."""
    main = {split: splits[split] for split in ("train", "val") if splits.get(split)}
    taken = {sample.image for samples in main.values() for sample in samples}
    return main | {
        split: samples
        for split, samples in splits.items()
        if split not in main and len(samples) and not any(sample.image in taken for sample in samples)
    }


def _salvage(data: DataConfig, seed: int) -> tuple[Splits, list[Finding]]:
    """The samples that can be listed in spite of an error, and what was in the way."""
    splits: dict[str, list[Sample]] = {}
    findings: list[Finding] = []
    options = {key: value.default for key, value in keys_of(data.format, data.arguments).items()} | data.arguments
    provided = {"seed": seed, **data.provided}
    for root in data.roots:
        problems: list[str] = []
        try:
            if data.format == "folders":
                found = _salvage_folders(root, options | provided, findings)
            else:
                found = read_dataset(data.format, root, data.arguments, **provided, problems=problems)
        except DataError as error:
            findings.append(Finding("error", "Samples cannot be listed", str(error)))
            found = {}
        if problems:
            title = f"{count_of(len(problems), 'line')} of {root / options['file']} cannot be used"
            findings.append(Finding("error", title, "Correct the lines or remove them.", files=problems))
        for split, samples in found.items():
            splits.setdefault(split, []).extend(samples)
    renamed = {data.train_split: "train", data.val_split: "val"}
    return without_unions({renamed.get(key, key): SampleTable(samples) for key, samples in splits.items()}), findings


def _salvage_folders(root: Path, options: dict[str, Any], findings: list[Finding]) -> Splits:
    """The pairs of folders where some files have no partner."""
    given = [options[key] for key in ("images", "masks")]
    images, masks = (value if isinstance(value, dict) else {"": value} for value in given)
    if "{class}" in f"{masks}{options['mask_suffix']}" or images.keys() != masks.keys():
        other = ("asked_splits", "split_table")  # of read_dataset
        return folders.read(root, **{key: value for key, value in options.items() if key not in other})
    suffixes = {key: options[key] for key in ("image_suffix", "mask_suffix", "mask_band")}
    splits, told = {}, {}
    for split in images:
        patterns = (first_there(root, place[split]) for place in (images, masks))
        try:
            samples, found, keys = pair_folders(
                root, *patterns, **suffixes, what=f"data ({split})" if split else "data"
            )
        except DataError as error:
            title = f"The {split} split cannot be listed" if split else "Samples cannot be listed"
            findings.append(Finding("error", title, str(error)))
            continue
        for key, value in keys.items():
            told[key] = told.get(key, {}) | {split: value} if split and key in ("images", "masks") else value
        findings += [finding for finding in found if finding not in findings]
        splits[split] = samples
    if told:
        title = "The names of images and masks have different endings"
        if "images" in told or "masks" in told:
            title = "Images and masks are in the same folder"
        explanation = (
            "Images and masks are paired by name. The lines below pair them; everything else was checked as if they "
            "were written."
        )
        findings.insert(0, Finding("error", title, explanation, yaml_fix(data=told)))
    if len(splits.get("", ())) < 2:
        return {split or "train": samples for split, samples in splits.items()}
    return split_by_fraction(splits[""], options["val_fraction"] or 0.2, options["seed"])


def pair_folders(
    root: Path,
    *patterns: str,
    image_suffix: Suffix = "",
    mask_suffix: Suffix = "",
    mask_band: int | None = None,
    what: str = "data",
    as_globs: bool = False,
) -> tuple[SampleTable, list[Finding], dict[str, Suffix]]:
    """What segtrain.formats.folders.pair would pair, images and masks, without those that it would refuse; what is
    wrong with the others; and the keys of data by which they pair, where they are others than the given ones.

    Where next to nothing pairs, endings of the names are looked for by which it would. Raises DataError where a folder
    is missing, or holds two images of one name, where images are their own masks, and as find_layout does.
    """
    given = {"images": patterns[0], "masks": patterns[1], "image_suffix": image_suffix, "mask_suffix": mask_suffix}
    layout = _find_own_layout(root, given, what=what, as_globs=as_globs, mask_band=mask_band)
    if layout is not None:
        patterns, image_suffix, mask_suffix = (layout["images"], layout["masks"]), *list(layout.values())[2:]
    kinds, suffixes = ("image", "mask"), (image_suffix, mask_suffix)
    found = _find_both(root, patterns, suffixes, what=what, mask_band=mask_band)
    names, mask_names = (sorted(files) for _, files in found)
    endings = ("", "")
    if layout is None and 2 * len({*names} & {*mask_names}) < len(names):
        endings = _find_endings(names, mask_names)
    images, masks = (
        {key.removesuffix(ending): f"{folder}/{file}" for key, file in files.items()}
        for (folder, files), ending in zip(found, endings, strict=True)
    )
    masks = folders.match_depths(images, masks, found[1][0])
    samples = SampleTable(Sample(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys()))
    for sample in samples if mask_band is None else ():
        require_own_mask(sample, what)
    alone = [
        *_find_alone("image", "mask", images, masks, where=found[1][0], movable=layout is None),
        *_find_alone("mask", "image", masks, images, where=found[0][0], movable=layout is None),
    ]
    if layout is not None:
        return samples, alone, {key: value for key, value in layout.items() if value != given[key]}
    told = {
        f"{kind}_suffix": ending + suffix
        for kind, ending, suffix in zip(kinds, endings, suffixes, strict=True)
        if isinstance(suffix, str) and ending + suffix and any(endings)
    }
    return samples, alone, told


def _find_endings(images: Sequence[str], masks: Sequence[str]) -> tuple[str, str]:
    """The endings of image names and mask names without which most of them are the same; empty where none are found."""
    votes: Counter[tuple[str, str]] = Counter()
    for image in images[:: max(1, len(images) // _TRIED)]:
        index = bisect_left(masks, image)
        for mask in masks[max(0, index - 1) : index + 1]:
            common = len(os.path.commonprefix([image, mask]))  # noqa: RUF071 (in characters)
            # _leftImg8bit and _label have an l in common, which belongs to no name
            if common < min(len(image), len(mask)):
                common = max((image.rfind(sign, 0, common) for sign in "_-. "), default=common)
            if common > image.rfind("/") + 1:
                votes[image[common:], mask[common:]] += 1
    for (image_ending, mask_ending), _ in votes.most_common(3):
        keys = {key.removesuffix(image_ending) for key in images if key.endswith(image_ending)}
        if sum(key.endswith(mask_ending) and key.removesuffix(mask_ending) in keys for key in masks) * 2 > len(images):
            return image_ending, mask_ending
    return "", ""


def _find_both(
    root: Path, patterns: Sequence[str], suffixes: Sequence[Suffix], *, what: str, mask_band: int | None
) -> list[tuple[str, dict[str, str]]]:
    """The folder and the files, by what pairs them, of the images and of the masks."""
    found = []
    for kind, pattern, suffix in zip(("image", "mask"), patterns, suffixes, strict=True):
        folder, files = folders.find_files(root, pattern, suffix, f"{what}.{kind}s")
        if not files:
            known = " ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{what}: no {kind}s in {quoted(root / pattern)}; known suffixes: {known}")
        found.append((folder, files))
    images = folders.without_masks(found[0], found[1:], mask_band=mask_band)
    masks = folders.match_beginnings(images, found[1][1], *patterns)
    return [(found[0][0], images), (found[1][0], masks)]


def _find_own_layout(
    root: Path, given: dict[str, Suffix], *, what: str, as_globs: bool, mask_band: int | None
) -> dict[str, Suffix] | None:
    """The keys by which images and masks in one folder pair, as folders.find_layout has them, also where they are the
    `given` ones; None where those pair all files of other folders, and where an image may be its own mask."""
    try:
        folders.pair(root, **given, what=what, mask_band=mask_band)
    except DataError:
        return folders.find_layout(root, **given, what=what, as_globs=as_globs)
    return None


def _find_alone(
    kind: str, other: str, here: dict[str, str], there: dict[str, str], *, where: str, movable: bool
) -> Iterator[Finding]:
    """Files without a partner in the folder `where`; all are by name. Those that are not `movable` stay where they are:
    where images and masks lie in one folder, the name may be all that is wrong."""
    files = sorted(here[key] for key in here.keys() - there.keys())
    if not files:
        return
    if len(files) == len(here):
        quoted = [shlex.quote(folder) for folder in (os.path.dirname(files[0]), where)]
        fix = Fix("run", [f"ls {quoted[0]} | head -3; ls {quoted[1]} | head -3   # how do the names differ?"])
        advice = "Add the missing files or rename them."
    elif not movable or len(files) > max(1, MOST_LEFT_OUT * len(here)):
        fix, advice = None, "Add the missing files, rename them, or move these to another folder."
    else:
        fix = apply_fix("set-aside-unpaired", map(Change, files))
        advice = "Add the missing files; the command below removes these files from the dataset instead."
    has = "has" if len(files) == 1 else "have"
    title = f"{len(files):,} of {count_of(len(here), kind)} {has} no {other}"
    if kind == "image":
        advice += " The mask of an image without objects is background everywhere."
    yield Finding("error", title, f"No file with a matching name is in {where}. {advice}", fix, files)


def split_by_folder(samples: SampleTable) -> Splits:
    """Splits by the first folder of each name, where all of them are names of splits; otherwise one split of all."""
    heads = [SPLIT_NAMES.get(sample.name.rpartition("/")[0].partition("/")[0]) for sample in samples]
    if None in heads:
        return {"all": samples}
    return {
        split: samples.take(index for index, head in enumerate(heads) if head == split)
        for split in ("train", "val", "test")
        if split in heads
    }
