"""Predictions of folders of painted images, and the files in a folder."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segtrain.commands.predict.job import predict_files
from segtrain.commands.predict.outputs import Wanted
from segtrain.commands.predict.writer import Report
from segtrain.inference.inputs import find_images
from segtrain.inference.predictor import Predictor
from tests.painted import painted


def run(source: Path, output: Path, predictor: Predictor | None = None, **options) -> Report:
    """predict_files for a file, or for all files in a folder."""
    return predict_files(predictor or painted(), find_images([str(source)], output=output), output, Wanted(**options))


def names_in(folder: Path) -> list[str]:
    """The files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """As on a disk where no file can be larger than `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
