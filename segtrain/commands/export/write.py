"""Writing exports: as a whole, whether they are a file, several, or a folder, and over nothing but earlier ones."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from segtrain.errors import ConfigError
from segtrain.files import explained_write, workshop

# How a Note or HubNote begins, in a file of its own or within another; XML has other signs for its quotes.
OWN = re.compile(rb'task(?:"|&quot;):\s*\{\s*(?:"|&quot;)mode')
FOLDER_NOTES = {
    "hub": "segtrain.json",
    "savedmodel": "assets.extra/segtrain.json",
    "space": "model.onnx",
    "triton": "1/model.onnx",
}


def choose_path(given: Path | None, default: Path, target: str) -> Path:
    """Where to write: `given`, or in it under the default's name where it is a folder and a file is to be written.

    Raises ConfigError for a name that predict.py would not know, and where something lies that segtrain did not write.
    """
    path = given or default
    if target in FOLDER_NOTES:
        if os.path.lexists(path) and not path.is_dir():
            raise ConfigError(f"{path}: exists and is not a folder; choose a new one with -o")
        if path.is_dir() and any(path.iterdir()) and not _holds_note(path / FOLDER_NOTES[target]):
            raise ConfigError(f"{path}: is a folder with other files; choose a new one with -o")
        return path
    path = path / default.name if path.is_dir() else path
    if path.suffix.lower() != default.suffix:
        raise ConfigError(
            f"-o {path}: a model of --to {target} must end in {default.suffix}, by which predict.py recognizes it"
        )
    own = _holds_note(path)
    for file in (path, path.with_suffix(".bin")) if target == "openvino" else (path,):
        if file.is_dir():
            raise ConfigError(f"{file}: is a folder; choose another file with -o")
        if os.path.lexists(file) and not own:
            raise ConfigError(f"{file}: exists and was not written by segtrain; choose another file with -o")
    return path


def _holds_note(path: Path) -> bool:
    return path.is_file() and OWN.search(path.read_bytes()) is not None


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A path in a folder of its own on the disk of `path`, for `move_into`; the folder is deleted after the block.
    Raises DataError where nothing can be written."""
    name = path.resolve().name  # of "." too
    beside = path if path.is_dir() else path.parent  # a folder that is there may be a disk of its own
    with explained_write(path):
        beside.mkdir(parents=True, exist_ok=True)
        stack = ExitStack()
        folder = stack.enter_context(workshop(Path(name), beside=beside))
    with stack:
        yield folder / name


def move_into(draft: Path, path: Path) -> None:
    """Move a draft, and all that lies beside it, to where it belongs.

    What tells that a form is there comes last: the note of a folder, or the draft itself. Of a folder that is there
    already the files of the draft are replaced, and others stay.
    """
    if draft.is_dir() and path.is_dir():
        files = [file for file in draft.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: (file.name in ("segtrain.json", "model.onnx"), file)):
            (path / file.relative_to(draft)).parent.mkdir(parents=True, exist_ok=True)
            file.replace(path / file.relative_to(draft))
        return
    for item in sorted(draft.parent.iterdir(), key=lambda item: item == draft):
        item.replace(path.with_name(item.name) if item != draft else path)


def keep_changed(draft: Path, path: Path, model: str) -> None:
    """Take out of a draft what lies in the folder already with another content, but for its `model`: people change what
    lies around a model."""
    for file in sorted(draft.rglob("*")):
        name = file.relative_to(draft)
        there = path / name
        if file.is_file() and name != Path(model) and there.exists() and there.read_bytes() != file.read_bytes():
            file.unlink()
            print(f"{there}: differs from what would be written and is kept; delete it to have it written again")
