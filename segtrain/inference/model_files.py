"""Model files: which paths are runs, checkpoints or exported files, told by their names alone."""

import glob
from collections.abc import Sequence
from pathlib import Path

from segtrain.errors import DataError
from segtrain.files import is_glob

SUFFIXES = {
    ".pt": "checkpoint",
    ".onnx": "onnx",
    ".torchscript": "torchscript",
    ".pt2": "exported-program",
    ".xml": "openvino",
    ".tflite": "tflite",
}
# A file in a folder that makes the folder a model.
MARKERS = {
    "best.pt": "run",
    "last.pt": "run",
    "config.yml": "run",
    "saved_model.pb": "savedmodel",
    "model.safetensors": "hub",
}
# Exported files that are programs: whoever loads one runs what its author wrote.
PROGRAMS = {"torchscript": "TorchScript", "exported-program": "torch.export", "savedmodel": "TensorFlow SavedModel"}


def find_kind(path: Path) -> str | None:
    """What kind of model a path is by its name or by what the folder holds; None for anything else."""
    if path.is_dir():
        return next((kind for name, kind in MARKERS.items() if (path / name).exists()), None)
    return SUFFIXES.get(path.suffix.lower())


def split_models(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The models at the head of a command line, and what follows them.

    The first argument is a model whatever it looks like, so that a wrong one is explained by what reads it; globs are
    expanded. Raises DataError where nothing follows the models.
    """
    models: list[Path] = []
    rest = list(arguments)
    while rest:
        item, found = rest[0], [Path(rest[0])]
        if is_glob(item) and not Path(item).exists():
            found = [Path(path) for path in sorted(glob.glob(item))] or found
        if models and not all(find_kind(path) for path in found):
            break
        models += found
        rest.pop(0)
    if not rest:
        raise DataError(f"no images after the model {models[-1]}; give folders, files or globs")
    return models, rest
