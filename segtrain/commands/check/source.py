"""What is to be checked: the samples of an experiment, or of two folders."""

import os
from collections.abc import Sequence
from glob import iglob
from pathlib import Path
from typing import NamedTuple

from segtrain import formats
from segtrain.commands.check.class_lines import write_text
from segtrain.commands.check.finding import Finding, count_of
from segtrain.commands.check.pairing import SPLIT_NAMES, Pairing, different_endings, pair_folders, split_by_folder
from segtrain.config.data_schema import DataConfig
from segtrain.config.rules import load_config
from segtrain.config.schema import Config
from segtrain.data.splits import read_splits
from segtrain.errors import DataError
from segtrain.files import is_glob
from segtrain.formats import folders, keys_of
from segtrain.formats.sample import Sample, SampleTable, Splits, split_by_fraction


class Subject(NamedTuple):
    """Samples by split, what was wrong already with finding them, and the experiment, or else the two `folders` as they
    were given and the lines of a `data` section that would find them."""

    title: str
    splits: Splits
    findings: list[Finding]
    config: Config | None = None
    data_lines: tuple[str, ...] = ()
    folders: tuple[str, str] | None = None

    @property
    def in_folders(self) -> bool:
        """Whether all files of a folder are its samples, so that renaming one takes it out."""
        return self.config is None or self.config.data.format == "folders"


def from_experiment(layers: Sequence[str]) -> Subject:
    """The samples of an experiment. Raises ConfigError for a configuration that is wrong."""
    config = load_config(layers)
    data = config.data
    title = f"{config.name}: {data.format} at {' and '.join(map(str, data.roots))}"
    try:
        return Subject(title, without_unions(read_splits(data, seed=config.seed)), [], config)
    except DataError as error:
        splits, findings = _salvage(data, config.seed)
        first = Finding("error", "Training would stop: the samples cannot be listed", str(error))
        return Subject(title, splits, findings or [first], config)


def from_folders(images: str, masks: str) -> Subject:
    """The pairs of two folders or globs. Raises DataError where one is missing or empty."""
    given = (images, masks)
    images, masks = (_files_in(pattern) for pattern in (images, masks))
    fixed = [_fixed_part(pattern) for pattern in (images, masks)]
    root = Path(os.path.commonpath([path.absolute() for path in fixed]))
    shown = Path(os.path.relpath(root)) if not Path(images).is_absolute() else root
    below = [os.path.relpath(Path(pattern).absolute(), root) for pattern in (images, masks)]
    pairing = pair_folders(shown, *below)
    splits = split_by_folder(pairing.samples)
    lines = ["data:", f"  root: {write_text(str(shown))}", *_folder_lines(pairing, below, splits)]
    for key in ("image_suffix", "mask_suffix"):
        if getattr(pairing, key):
            lines.append(f"  {key}: {write_text(getattr(pairing, key))}")
    return Subject(" with ".join(given), splits, pairing.findings, data_lines=tuple(lines), folders=given)


def _files_in(pattern: str) -> str:
    """A glob of files: `*/images` stands for all files in those folders."""
    is_glob = _fixed_part(pattern) != Path(pattern)
    return f"{pattern.rstrip('/')}/*" if is_glob and any(map(os.path.isdir, iglob(pattern))) else pattern


def _fixed_part(pattern: str) -> Path:
    parts = Path(pattern).parts
    wild = next((place for place, part in enumerate(parts) if is_glob(part)), len(parts))
    return Path(*parts[:wild])


def _folder_lines(pairing: Pairing, below: list[str], splits: Splits) -> list[str]:
    """The keys images and masks for these folders, by split where the first folders are splits."""
    if "all" in splits:
        return [f"  images: {write_text(below[0])}", f"  masks: {write_text(below[1])}"]
    heads = {sample.name.partition("/")[0]: split for split, samples in splits.items() for sample in samples}
    names = {split: next(head for head in heads if SPLIT_NAMES[head] == split) for split in splits}

    def of_split(pattern: str, head: str) -> str:
        parts = list(Path(pattern).parts)
        wild = next((place for place, part in enumerate(parts) if is_glob(part)), None)
        if wild is None:
            return f"{pattern}/{head}"
        parts[wild] = head
        return str(Path(*(parts[:-1] if parts[-1] == "*" else parts)))  # a folder is all of its files

    return [
        f"  {key}: {{{', '.join(f'{split}: {write_text(of_split(pattern, head))}' for split, head in names.items())}}}"
        for key, pattern in zip(("images", "masks"), below, strict=True)
    ]


def without_unions(splits: Splits) -> Splits:
    """Train, val, and those of the others that share no image with them: a `trainval` is no split of its own."""
    main = {split: splits[split] for split in ("train", "val") if splits.get(split)}
    taken = {sample.image for samples in main.values() for sample in samples}
    others = {split: samples for split, samples in splits.items() if split not in main and len(samples)}
    return main | {
        split: samples for split, samples in others.items() if not any(sample.image in taken for sample in samples)
    }


def _salvage(data: DataConfig, seed: int) -> tuple[Splits, list[Finding]]:
    """The samples that can be listed in spite of an error, and what was in the way."""
    splits: dict[str, list[Sample]] = {}
    findings: list[Finding] = []
    for root in data.roots:
        options = {key: value.default for key, value in keys_of(data.format, data.arguments).items()} | data.arguments
        options |= {"classes": data.classes, "val_fraction": options.get("val_fraction") or 0.2}
        try:
            if data.format == "folders" and not _has_alternatives(options):
                found = _salvage_folders(root, options, seed, findings)
            elif data.format == "csv":
                found = _salvage_table(root, options, seed, findings)
            else:
                found = formats.read_dataset(data.format, root, data.arguments, seed=seed, classes=data.classes)
        except DataError as error:
            findings.append(Finding("error", "Samples cannot be listed", str(error)))
            continue
        for split, samples in found.items():
            splits.setdefault(split, []).extend(samples)
    renamed = {data.train_split: "train", data.val_split: "val"}
    return without_unions({renamed.get(key, key): SampleTable(samples) for key, samples in splits.items()}), findings


def _has_alternatives(options: dict) -> bool:
    """Whether a path or an ending is a list, of which one is meant."""
    places = [*(options[key] for key in ("images", "masks", "image_suffix", "mask_suffix"))]
    return any(
        isinstance(item, list) for place in places for item in (place.values() if isinstance(place, dict) else [place])
    )


def _salvage_folders(root: Path, options: dict, seed: int, findings: list[Finding]) -> Splits:
    images, masks = options["images"], options["masks"]
    if "{class}" in f"{masks}{options['mask_suffix']}":
        return folders.read(root, seed=seed, **options)

    def pair(images: str, masks: str, what: str) -> SampleTable:
        suffixes = {key: options[key] for key in ("image_suffix", "mask_suffix")}
        pairing = pair_folders(root, images, masks, **suffixes, what=what)
        if pairing.image_suffix or pairing.mask_suffix:
            endings = (options["image_suffix"], options["mask_suffix"])
            told = (pairing.image_suffix + endings[0], pairing.mask_suffix + endings[1])
            findings.append(different_endings(*told))
        findings.extend(pairing.findings)
        return pairing.samples

    if isinstance(images, str) and isinstance(masks, str):
        samples = pair(images, masks, "data")
        return split_by_fraction(samples, options["val_fraction"], seed) if len(samples) > 1 else {"train": samples}
    if not isinstance(images, dict) or not isinstance(masks, dict) or images.keys() != masks.keys():
        return folders.read(root, images=images, masks=masks)  # it says what is wrong
    splits = {}
    for split in images:
        try:
            splits[split] = pair(images[split], masks[split], f"data ({split})")
        except DataError as error:
            findings.append(Finding("error", f"The {split} split cannot be listed", str(error)))
    return splits


def _salvage_table(root: Path, options: dict, seed: int, findings: list[Finding]) -> Splits:
    """The rows of a table whose files are there."""
    import pandas

    path = root / options["file"]
    try:
        table = pandas.read_csv(path, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a CSV file: {error}") from error
    table.columns = [str(column).strip() for column in table.columns]
    if not {"image", "mask"} <= set(table.columns):
        raise DataError(f"{path}: needs the columns image and mask; it has: {', '.join(table.columns)}")
    missing, samples, words = [], [], []
    for line, row in enumerate(table.to_dict("records"), start=2):
        files = [str(path.parent / str(row[column])) for column in ("image", "mask")]
        gone = [file for file in files if not os.path.isfile(file)]
        missing += [f"{path}:{line}: {file}" for file in gone]
        if not gone:
            samples.append(Sample(Path(str(row["image"])).with_suffix("").as_posix(), *files))
            words.append(str(row.get("split", "")).strip())
    if missing:
        title = f"{count_of(len(missing), 'file')} in {path} {'does' if len(missing) == 1 else 'do'} not exist"
        explanation = "Paths are relative to the table. Correct the lines, or take them out."
        findings.append(Finding("error", title, explanation, files=tuple(missing)))
    if "split" in table.columns:
        return {
            word: SampleTable(s for s, w in zip(samples, words, strict=True) if w == word)
            for word in dict.fromkeys(words)
        }
    return (
        split_by_fraction(samples, options["val_fraction"], seed)
        if len(samples) > 1
        else {"train": SampleTable(samples)}
    )
