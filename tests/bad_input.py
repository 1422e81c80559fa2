"""What the tests of bad input share."""

import re
from pathlib import Path

from tests.conftest import SMALL

ONE_EPOCH = [*SMALL, "train.epochs=1"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_one_line(text: str, pattern: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert re.fullmatch(pattern, text.removesuffix("\n")), text
    assert "Traceback" not in text


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])
