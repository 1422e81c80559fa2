"""Source: what is to be checked, the samples of an experiment or of two folders."""

import os
import shlex
from collections.abc import Sequence
from glob import iglob
from pathlib import Path
from typing import Any, NamedTuple

from segtrain.commands.check.finding import Finding, count_of
from segtrain.commands.check.pairing import SPLIT_NAMES, Pairing, different_endings, pair_folders, split_by_folder
from segtrain.commands.check.yaml_lines import write_text
from segtrain.config.data_schema import DataConfig
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from segtrain.files import is_glob
from segtrain.formats import folders, keys_of, read_dataset
from segtrain.formats.sample import Sample, SampleTable, Splits, split_by_fraction


class Source(NamedTuple):
    """Samples by split, what was wrong already with finding them, and the experiment, or else the two `folders` as they
    were given and the lines of a `data` section that would find them. `arguments` are those of `check`."""

    title: str
    splits: Splits
    findings: list[Finding]
    arguments: Sequence[str]
    config: Config | None = None
    data_lines: Sequence[str] = ()
    folders: tuple[str, str] | None = None

    @property
    def in_folders(self) -> bool:
        """Whether all files of a folder are its samples, so that renaming one takes it out."""
        return self.config is None or self.config.data.format == "folders"

    @property
    def command(self) -> str:
        """The command that checks this."""
        return f"python -m segtrain check {shlex.join(self.arguments)}".rstrip()


def from_experiment(layers: Sequence[str]) -> Source:
    """The samples of an experiment. Raises ConfigError for a configuration that is wrong."""
    config = load_config(layers)
    data = config.data
    title = f"{config.name}: {data.format} at {' and '.join(map(str, data.roots))}"
    try:
        splits, findings = without_unions(read_splits(data, seed=config.seed)), []
    except DataError as error:
        splits, findings = _salvage(data, config.seed)
        findings = findings or [Finding("error", "Training would stop: the samples cannot be listed", str(error))]
    return Source(title, splits, findings, layers, config)


def from_folders(images: str, masks: str) -> Source:
    """The pairs of two folders or globs. Raises DataError where one is missing or empty."""
    patterns = [_files_in(pattern) for pattern in (images, masks)]
    root = Path(os.path.commonpath([_fixed_part(pattern).absolute() for pattern in patterns]))
    shown = root if Path(images).is_absolute() else Path(os.path.relpath(root))
    below = [os.path.relpath(Path(pattern).absolute(), root) for pattern in patterns]
    pairing = pair_folders(shown, *below)
    splits = split_by_folder(pairing.samples)
    return Source(
        f"{images} with {masks}",
        splits,
        pairing.findings,
        ["--images", images, "--masks", masks],
        data_lines=["data:", f"  root: {write_text(str(shown))}", *_folder_lines(pairing, below, splits)],
        folders=(images, masks),
    )


def _files_in(pattern: str) -> str:
    """A glob of files: `*/images` stands for all files in those folders."""
    return f"{pattern.rstrip('/')}/*" if is_glob(pattern) and any(map(os.path.isdir, iglob(pattern))) else pattern


def _first_open(pattern: str) -> int:
    """The index of the first part of a path that is a glob; the number of parts where none is."""
    parts = Path(pattern).parts
    return next((index for index, part in enumerate(parts) if is_glob(part)), len(parts))


def _fixed_part(pattern: str) -> Path:
    return Path(*Path(pattern).parts[: _first_open(pattern)])


def _folder_lines(pairing: Pairing, below: list[str], splits: Splits) -> list[str]:
    """The keys images and masks for these folders, by split where the first folders are splits, and the endings."""
    suffixes = {"image_suffix": pairing.image_suffix, "mask_suffix": pairing.mask_suffix}
    lines = [f"  {key}: {write_text(suffix)}" for key, suffix in suffixes.items() if suffix]
    if "all" in splits:
        return [f"  images: {write_text(below[0])}", f"  masks: {write_text(below[1])}", *lines]
    heads = {SPLIT_NAMES[sample.name.partition("/")[0]]: sample.name.partition("/")[0] for sample in pairing.samples}

    def of_split(pattern: str, head: str) -> str:
        parts, index = list(Path(pattern).parts), _first_open(pattern)
        parts[index : index + 1] = [head]
        return str(Path(*(parts[:-1] if parts[-1] == "*" else parts)))  # a folder is all of its files

    folders = [
        ", ".join(f"{split}: {write_text(of_split(pattern, heads[split]))}" for split in splits) for pattern in below
    ]
    return [f"  images: {{{folders[0]}}}", f"  masks: {{{folders[1]}}}", *lines]


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
    defaults = {key: value.default for key, value in keys_of(data.format, data.arguments).items()}
    provided = {"seed": seed, "classes": data.classes}
    for root in data.roots:
        problems: list[str] = []
        try:
            options = defaults | data.arguments
            if data.format == "folders" and not _has_alternatives(options):
                found = _salvage_folders(root, options | provided, findings)
            else:
                found = read_dataset(data.format, root, data.arguments, **provided, problems=problems)
        except DataError as error:
            findings.append(Finding("error", "Samples cannot be listed", str(error)))
            found = {}
        if problems:
            file = root / (defaults | data.arguments)["file"]
            title = f"{count_of(len(problems), 'line')} of {file} cannot be used"
            findings.append(Finding("error", title, "Correct the lines, or take them out.", files=problems))
        for split, samples in found.items():
            splits.setdefault(split, []).extend(samples)
    renamed = {data.train_split: "train", data.val_split: "val"}
    return without_unions({renamed.get(key, key): SampleTable(samples) for key, samples in splits.items()}), findings


def _has_alternatives(options: dict[str, Any]) -> bool:
    """Whether a path or an ending is a list, of which one is meant."""
    given = [options[key] for key in ("images", "masks", "image_suffix", "mask_suffix")]
    places = [item for value in given for item in (value.values() if isinstance(value, dict) else [value])]
    return any(isinstance(item, list) for item in places)


def _salvage_folders(root: Path, options: dict[str, Any], findings: list[Finding]) -> Splits:
    """The pairs of folders where some files have no partner."""
    images, masks = options["images"], options["masks"]
    suffixes = {key: options[key] for key in ("image_suffix", "mask_suffix")}
    by_split = isinstance(images, dict) and isinstance(masks, dict) and images.keys() == masks.keys()
    whole = isinstance(images, str) and isinstance(masks, str)
    if "{class}" in f"{masks}{suffixes['mask_suffix']}" or not (by_split or whole):
        return folders.read(root, **options)

    def pair(images: str, masks: str, what: str) -> SampleTable:
        pairing = pair_folders(root, images, masks, **suffixes, what=what)
        found = pairing.findings
        if pairing.image_suffix or pairing.mask_suffix:
            endings = (pairing.image_suffix + suffixes["image_suffix"], pairing.mask_suffix + suffixes["mask_suffix"])
            found = [different_endings(*endings), *found]
        findings.extend(finding for finding in found if finding not in findings)
        return pairing.samples

    if whole:
        return _cut(pair(images, masks, "data"), options)
    splits = {}
    for split in images:
        try:
            splits[split] = pair(images[split], masks[split], f"data ({split})")
        except DataError as error:
            findings.append(Finding("error", f"The {split} split cannot be listed", str(error)))
    return splits


def _cut(samples: SampleTable, options: dict[str, Any]) -> Splits:
    """Training and validation samples of a set that is not split."""
    if len(samples) < 2:
        return {"train": samples}
    return split_by_fraction(samples, options["val_fraction"] or 0.2, options["seed"])
