"""Manifest of a prediction: what became of each image."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segtrain.commands.predict.outputs import MANIFEST, MANIFEST_COLUMNS
from segtrain.errors import DataError
from segtrain.files import write_whole

UNFINISHED = "the prediction was ended before this image was done"


class Manifest:
    """A row for each image: its path, width and height in pixels, its files below the output folder, separated by
    semicolons, the error where it was skipped, and `share_CLASS`: the share of the pixels that each class has.

    Rows may be added from any thread; they are written in the order of `images`, others behind them. The table is that
    of one prediction: files of earlier ones in the folder are not in it.
    """

    def __init__(self, folder: Path, names: Sequence[str], images: Iterable[Path]):
        self._path = folder / MANIFEST
        self._header = [*MANIFEST_COLUMNS, *(f"share_{name}" for name in names)]
        self._rows: dict[str, list[dict[str, Any]]] = {str(image): [] for image in images}

    def add(
        self, image: Path, size: tuple[int, int], files: Sequence[str], shares: Iterable[float], *, error: str = ""
    ) -> None:
        """Add an image of this size, (height, width), that was predicted, or a video, at least in part."""
        values = [str(image), size[1], size[0], ";".join(files), error, *(f"{share:.6g}" for share in shares)]
        self._rows.setdefault(str(image), []).append(dict(zip(self._header, values, strict=True)))

    def add_failure(self, image: Path, error: str) -> None:
        """Add an image that was skipped."""
        self._rows.setdefault(str(image), []).append({"image": str(image), "error": error})

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the table at the start of the block, for the case that the process is killed, and at its end. Raises
        DataError where that cannot be done."""
        self._write(missing=UNFINISHED)
        try:
            yield
        except BaseException:
            with suppress(DataError):
                self._write(missing=UNFINISHED)
            raise
        self._write()

    def _write(self, *, missing: str = "") -> None:
        """Write the table; images without a row have the error `missing`, or none."""
        text = io.StringIO()
        table = csv.DictWriter(text, self._header, lineterminator="\n")
        table.writeheader()
        for image, rows in self._rows.items():
            table.writerows(rows or ([{"image": image, "error": missing}] if missing else []))
        write_whole(self._path, text.getvalue())
