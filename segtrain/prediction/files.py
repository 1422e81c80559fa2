"""Predictions from files to files."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from segtrain.data.reading import read_image
from segtrain.data.sample import IMAGE_SUFFIXES, require_path
from segtrain.errors import DataError
from segtrain.visualize import colorize, flatten_layers, overlay, save_index_png, to_rgb

if TYPE_CHECKING:
    from segtrain.infer import Predictor


def find_images(inputs: Sequence[str], *, output: Path) -> dict[Path, Path]:
    """Image file -> path below the output folder, without suffix, of what is written for it.

    A folder is searched through, and its subfolders come again in the output; `output` itself is left out. Raises
    DataError for an input that gives no image, and for two images whose results would have one name.
    """
    found: dict[Path, Path] = {}
    for item in inputs:
        if any(sign in item for sign in "*?[") and not Path(item).exists():
            files = {path: Path(path.name) for path in map(Path, sorted(glob.glob(item, recursive=True)))}
        elif Path(item).is_dir():
            files = {path: path.relative_to(item) for path in sorted(Path(item).rglob("*"))}
        else:
            files = {require_path(Path(item), "images"): Path(Path(item).name)}
        images = {
            path: name.with_suffix("")
            for path, name in files.items()
            if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        }
        taken = {path: name for path, name in images.items() if output.resolve() not in path.resolve().parents}
        if images and not taken:
            raise DataError(f"{item}: its images lie in the output folder {output}; write -o another folder")
        if not taken:
            raise DataError(f"{item}: no images there; known suffixes: {' '.join(sorted(IMAGE_SUFFIXES))}")
        found |= taken
    owners: dict[Path, Path] = {}
    for path, name in found.items():
        if name in owners:
            clash = f"{owners[name]} and {path} would both be written to {output / name}.png"
            raise DataError(f"{clash}; predict them apart")
        owners[name] = path
    return found


def predict_files(predictor: "Predictor", images: dict[Path, Path], output: Path) -> None:
    """Write an index PNG (in multilabel a PNG of 0 and 255 for each class), a colour PNG and an overlay for each image,
    at its own size.

    An image that cannot be read does not keep the others from being predicted; all such are then raised as one
    DataError.
    """
    names, colors = predictor.task.names, predictor.task.colors
    broken: list[str] = []
    for path, name in tqdm(images.items(), desc="predicting", unit=" images", disable=None, leave=False):
        try:
            image = read_image(path, **predictor.task.image_options)
        except DataError as error:
            broken.append(str(error))
            continue
        prediction = predictor.predict(image)
        try:
            _write(image, prediction, output / name, colors, names)
        except OSError as error:
            raise DataError(f"{output / name}: cannot be written: {error.strerror}") from error
    print(f"{len(images) - len(broken)} images predicted, written to {output}")
    if broken:
        raise DataError("\n".join(broken))


def _write(
    image: np.ndarray,
    prediction: np.ndarray,
    stem: Path,
    colors: Sequence[tuple[int, int, int]],
    names: Sequence[str],
) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if prediction.ndim == 3:
        for place, (layer, name) in enumerate(zip(prediction, names, strict=True)):
            save_index_png(stem.with_name(f"{stem.name}_{place}_{name.replace('/', '_')}.png"), 255 * layer)
        prediction = flatten_layers(prediction)
    else:
        save_index_png(stem.with_name(f"{stem.name}.png"), prediction)
    picture = colorize(prediction, colors)
    Image.fromarray(picture).save(stem.with_name(f"{stem.name}_color.png"))
    Image.fromarray(overlay(to_rgb(image), picture)).save(stem.with_name(f"{stem.name}_overlay.png"))
