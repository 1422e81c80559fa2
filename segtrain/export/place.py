"""An export is there whole or not at all, whether it is a file, several, or a folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segtrain.errors import ConfigError
from segtrain.export.options import ExportError
from segtrain.model_files import SUFFIXES, find_kind


def choose_path(given: Path | None, default: Path, target: str) -> Path:
    """Where to write: `given`, or in it under the default's name where it is a folder and a file is to be written.

    Raises ConfigError for a name that predict.py would not know, and for a folder that holds something else.
    """
    path = given or default
    suffix = next((suffix for suffix, kind in SUFFIXES.items() if kind == target), None)
    if suffix is not None:
        path = path / default.name if path.is_dir() else path
        if path.suffix.lower() != suffix:
            raise ConfigError(f"-o {path}: a model of --to {target} ends in {suffix}, by which predict.py knows it")
    elif path.exists() and find_kind(path) != target and (path.is_file() or any(path.iterdir())):
        raise ConfigError(f"-o {path}: is there and no model of --to {target}; name a new folder")
    return path


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A path of the same name in a folder of its own beside `path`, for `put_in_place`; gone behind the block. Raises
    ExportError where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            yield Path(folder) / path.name
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from error


def put_in_place(draft: Path, path: Path) -> None:
    """Move all that lies beside a draft to where it belongs. The draft itself comes last: where it is there, all is."""
    for item in sorted(draft.parent.iterdir(), key=lambda item: item == draft):
        target = path.with_name(item.name)
        if target.is_dir():
            target.rename(draft.parent / f".old.{target.name}")
        item.replace(target)
