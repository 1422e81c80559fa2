"""Folders of painted images, predicted; and what lies in a folder afterwards."""

from pathlib import Path

from segtrain.commands.predict.job import predict_files
from segtrain.commands.predict.writer import Report
from segtrain.inference.inputs import find_images
from segtrain.inference.predictor import Predictor
from tests.painted import painted


def run(folder: Path, output: Path, predictor: Predictor | None = None, **options) -> Report:
    """predict_files for all in a folder."""
    return predict_files(predictor or painted(), find_images([str(folder)], output=output), output, **options)


def names_in(folder: Path) -> list[str]:
    """The files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
