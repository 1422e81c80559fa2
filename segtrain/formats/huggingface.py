"""Hugging Face datasets: a table with a column of images and a column of masks. https://huggingface.co/docs/datasets.

The library `datasets` fetches it, and keeps it on the disk as tables of Arrow, which are mapped into memory: rows are
read in any order, and nothing is read that is not asked for.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segtrain.command import require_libraries
from segtrain.errors import DataError, reason_of
from segtrain.files import open_arrow
from segtrain.formats.sample import SPLIT_NAMES, Sample, SampleTable, Splits, hold_out

MASK_COLUMNS = ("mask", "annotation", "label", "labels", "segmentation", "segmentation_mask", "target", "ground_truth")


def read(
    root: Path,
    *,
    subset: str | None = None,
    revision: str | None = None,
    image_column: str | None = None,
    mask_column: str | None = None,
    classes_column: str | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
) -> Splits:
    """Read a dataset of the Hugging Face hub or from disk: `root` is its name, like `scene_parse_150` or `owner/name`,
    a folder of parquet or arrow files, or a folder that `save_to_disk` wrote.

    `subset` and `revision` select one if there are several. `image_column` and `mask_column` are columns of images; by
    default the one called image, or the first, and the one called mask, annotation or label, or the only other one.
    Masks are images of class values. Without data.classes, the class names come from the features of `classes_column`,
    by default a column with a list of labels. The splits are those of the dataset; `val_fraction` of train (0.2 by
    default, if the dataset has no other split) is held out for validation. Raises DataError if the dataset does not
    exist or lacks these columns, and for a row without an image or a mask.
    """
    splits: Splits = {}
    for name, table in _load(root, subset, revision).items():
        image, mask = _find_columns(root, table.features, image_column, mask_column)
        split = SPLIT_NAMES.get(name.casefold(), name)
        splits[split] = SampleTable(_samples(f"{root}: {name}", table, image, mask))
    if list(splits) == ["train"]:
        splits = {"": splits["train"]}
    return hold_out(splits, val_fraction, seed)


def find_classes(
    root: Path, *, subset: str | None = None, revision: str | None = None, classes_column: str | None = None
) -> list[str]:
    """The names of the classes that the features of a dataset have; none where no column lists labels."""
    features = next(iter(_load(root, subset, revision).values())).features
    if classes_column is not None and classes_column not in features:
        raise DataError(f"data.classes_column: {root} has no column {classes_column}; it has: {', '.join(features)}")
    for name in [classes_column] if classes_column is not None else features:
        feature, listed = features[name], False
        while hasattr(feature, "feature"):  # a list, or a list of lists, of labels
            feature, listed = feature.feature, True
        if hasattr(feature, "names") and (listed or classes_column is not None):
            return list(feature.names)
    return []


def _load(root: Path, subset: str | None, revision: str | None) -> Mapping[str, Any]:
    """datasets.Dataset of each split. Raises DataError for whatever the library says."""
    require_libraries("data.format huggingface", "huggingface", ["datasets"])
    import datasets

    datasets.disable_progress_bars()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            if any((root / name).is_file() for name in ("dataset_dict.json", "state.json")):
                found = datasets.load_from_disk(str(root))
            else:
                found = datasets.load_dataset(str(root), subset, revision=revision)
    except Exception as error:  # of the hub, of the network, of pyarrow, of the library
        where = (
            "is not a local folder, and as a dataset of the Hugging Face hub it"
            if not root.exists()
            else "is a folder that"
        )
        raise DataError(f"data.root: {root} {where} cannot be loaded: {reason_of(error)}") from error
    return found if isinstance(found, dict) else {"train": found}


def _find_columns(root: Path, features: Mapping[str, Any], image: str | None, mask: str | None) -> tuple[str, str]:
    pictures = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    for key, chosen in (("image", image), ("mask", mask)):
        if chosen is not None and chosen not in pictures:
            raise DataError(
                f"data.{key}_column: {root} has no image column {chosen}; it has: {', '.join(pictures) or 'none'}; "
                f"other columns: {', '.join(name for name in features if name not in pictures) or 'none'}"
            )
    others = [name for name in pictures if name not in (image, mask)]
    mask = mask or next((name for name in MASK_COLUMNS if name in others), None)
    others = [name for name in others if name != mask]
    image = image or ("image" if "image" in others else next(iter(others), None))
    others = [name for name in others if name != image]
    mask = mask or (others[0] if len(others) == 1 else None)
    if image is None or mask is None:
        raise DataError(
            f"data.root: {root} has these image columns: {', '.join(pictures) or 'none'}; write data.image_column "
            f"and data.mask_column"
        )
    return image, mask


def _samples(title: str, table: Any, image: str, mask: str) -> Iterator[Sample]:
    """The rows of the files of Arrow that a datasets.Dataset consists of."""
    digits, number = len(str(max(table.num_rows - 1, 0))), 0
    for file in table.cache_files:
        path = file["filename"]
        for row, (image_path, mask_path) in enumerate(zip(*_outside(path, image, mask), strict=True)):
            named = [
                f"{path}!{row}/{column}" if outside is None else outside
                for column, outside in ((image, image_path), (mask, mask_path))
            ]
            if "" in named:
                raise DataError(f"{title}, row {number}: has no {(image, mask)[named.index('')]}")
            yield Sample(f"{number:0{digits}}", *named)
            number += 1


def _outside(path: str, *columns: str) -> Iterator[Sequence[str | None]]:
    """For each of the columns: None in rows that hold the bytes of an image, the path of the image where it is a file
    of its own, empty where there is neither."""
    import pyarrow.compute

    table = open_arrow(path)
    for column in columns:
        has_bytes = pyarrow.compute.is_valid(pyarrow.compute.struct_field(table[column], "bytes")).to_pylist()
        paths = pyarrow.compute.struct_field(table[column], "path").to_pylist()
        yield [None if held else path or "" for held, path in zip(has_bytes, paths, strict=True)]
