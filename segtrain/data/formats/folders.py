"""Folders of images and folders of masks, paired by the names of their files."""

from collections.abc import Iterable
from pathlib import Path

from segtrain.data.sample import IMAGE_SUFFIXES, Sample, Splits, require_path, split_by_fraction
from segtrain.errors import DataError

CLASSES = None
IGNORE_VALUES = ()


def read(
    root: Path,
    *,
    images: str | dict[str, str] = {"train": "train/images", "val": "val/images"},  # noqa: B006 (never changed)
    masks: str | dict[str, str] = {"train": "train/masks", "val": "val/masks"},  # noqa: B006
    image_suffix: str = "",
    mask_suffix: str = "",
    val_fraction: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Pair images with masks of the same path below their folder, whatever the file types.

    `images` and `masks` are a folder or a glob below `root` for each split, or one of each for the whole set, of which
    `val_fraction` is then held out for validation. `image_suffix` and `mask_suffix` are endings of the names that
    differ (`_mask` where a.jpg has a_mask.png). Raises DataError where a file has no partner or a split is empty.
    """
    require_path(root, "data.root")
    if isinstance(images, str) and isinstance(masks, str):
        return split_by_fraction(_pair(root, images, masks, image_suffix, mask_suffix, "data"), val_fraction, seed)
    if (
        not isinstance(images, dict)
        or not isinstance(masks, dict)
        or images.keys() != masks.keys()
        or "train" not in images
    ):
        raise DataError("data.images, data.masks: write a folder for each, or {train: folder, val: folder} for each")
    return {
        split: _pair(root, images[split], masks[split], image_suffix, mask_suffix, f"data ({split})")
        for split in images
    }


def _is_wild(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def _files(root: Path, pattern: str, suffix: str, what: str) -> dict[str, Path]:
    """The image files of a folder (with its subfolders) or a glob, by what pairs them: their path without suffixes
    below the folder, or those parts of it that the glob leaves open (so that */images/* and */masks/* pair)."""
    parts = Path(pattern).parts
    fixed = next((place for place, part in enumerate(parts) if _is_wild(part)), len(parts))
    folder, signs = require_path(root.joinpath(*parts[:fixed]), what), parts[fixed:]
    below: Iterable[Path] = folder.glob(str(Path(*signs))) if signs else folder.rglob("*")
    found: dict[str, Path] = {}
    for path in sorted(below):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        names = path.relative_to(folder).with_suffix("").parts
        if signs and "**" not in signs:
            names = (*(name for name, sign in zip(names[:-1], signs[:-1], strict=True) if _is_wild(sign)), names[-1])
        key = "/".join(names)
        if not key.endswith(suffix):
            continue
        key = key.removesuffix(suffix)
        if key in found:
            raise DataError(
                f"{what}: {found[key]} and {path} have the same name; which one is meant? remove or rename one"
            )
        found[key] = path
    return found


def _named(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _pair(root: Path, images: str, masks: str, image_suffix: str, mask_suffix: str, what: str) -> list[Sample]:
    image_files = _files(root, images, image_suffix, f"{what}.images")
    mask_files = _files(root, masks, mask_suffix, f"{what}.masks")
    if not image_files:
        raise DataError(f"{what}: no images in {root / images}; known suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}")
    alone = [path for key, path in image_files.items() if key not in mask_files]
    if alone:
        raise DataError(
            f"{what}: {len(alone)} of {len(image_files)} images have no mask in {root / masks}: {_named(alone)}"
        )
    alone = [path for key, path in mask_files.items() if key not in image_files]
    if alone:
        raise DataError(
            f"{what}: {len(alone)} of {len(mask_files)} masks have no image in {root / images}: {_named(alone)}"
        )
    return [Sample(key, str(path), str(mask_files[key])) for key, path in image_files.items()]
