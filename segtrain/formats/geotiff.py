"""Folders of GeoTIFFs: images of any number of bands and type, and masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from segtrain.files import is_glob
from segtrain.formats import folders
from segtrain.formats.sample import Splits

TIFF = "**/*.[tT][iI][fF]*"  # the folder with its subfolders, as folders has it


def read(
    root: Path,
    *,
    images: str | dict[str, str] = "images",
    masks: str | dict[str, str] = "masks",
    image_suffix: str = "",
    mask_suffix: str = "",
    missing_masks: Literal["error", "empty"] = "error",
    val_fraction: float = 0.2,
    classes: Sequence[Any] = (),
    seed: int = 0,
    mask_band: int | None = None,
) -> Splits:
    """Pair TIFFs that have the same path below two folders; other files in them (previews, world files, overviews) are
    ignored. The keys are those of format folders.

    Images may have any number of bands (`data.channels`, `data.bands`) of 8 or 16 bits or floats (`data.scale` then
    says which value means white). Masks have one band of integers, which may be stored as floats. Raises DataError if a
    file has no counterpart or a split is empty.
    """
    return folders.read(
        root,
        images=_only_tiff(images),
        masks=_only_tiff(masks),
        image_suffix=image_suffix,
        mask_suffix=mask_suffix,
        missing_masks=missing_masks,
        val_fraction=val_fraction,
        classes=classes,
        seed=seed,
        mask_band=mask_band,
    )


def _only_tiff(folder: str | dict[str, str]) -> str | dict[str, str]:
    if isinstance(folder, dict):
        return {split: _only_tiff(of_split) for split, of_split in folder.items()}
    return folder if is_glob(folder) else f"{folder}/{TIFF}"
