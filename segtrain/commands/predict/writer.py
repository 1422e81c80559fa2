"""Writer of predictions: the files of each image, the tables of all images, and the report."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segtrain.commands.predict.outputs import MANIFEST, MANIFEST_COLUMNS, WITH_PROBABILITIES
from segtrain.commands.predict.ranking import Ranking
from segtrain.commands.predict.result import Result, file_name_of, write_files
from segtrain.commands.predict.tables import Table
from segtrain.distributed import from_first, join_lists, rank
from segtrain.errors import DataError, count_of, name_some
from segtrain.files import TooLongName, write_whole
from segtrain.inference.task import Task
from segtrain.inference.uncertainty import Uncertainty

UNFINISHED = "the prediction was stopped before this image was finished"


@dataclass
class Report:
    """How many images and video frames were predicted, a line for each that was not, and notes about what may be
    unexpected."""

    images: int = 0
    frames: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Exit status: 0 if all were predicted, 1 if some were, 2 if none was."""
        return (1 if self.images or self.frames else 2) if self.failures else 0

    def summary(self, output: Path, seconds: float) -> str:
        """A line about what was predicted in that time."""
        counts = [(self.images, "image"), (self.frames, "frame")]
        done = " and ".join(count_of(count, what) for count, what in counts if count) or "no images"
        count = self.images + self.frames
        slow = 0 < count < seconds / 10  # large rasters
        speed = f"{seconds / count:.0f} s per image" if slow else f"{count / max(seconds, 1e-9):.1f} images/s"
        return f"{done} predicted, written to {output} ({speed})"


Written = list[Any]  # for each table, what it takes from an image, or None


class Manifest:
    """A row for each image: its path, its width and height in pixels, its files below the output folder, separated by
    semicolons, the error if it was skipped, the share of the pixels of each class, `share_CLASS`, and, if wanted, the
    entropy and margin of uncertainty.Uncertainty.

    Rows may be added from any thread. They are written in the order of `images`, followed by those of other images. The
    table lists the files of one prediction, not those of earlier predictions in the folder.
    """

    def __init__(self, folder: Path, names: Sequence[str], images: Iterable[Path], *, with_uncertainty: bool = False):
        self._path = folder / MANIFEST
        self._header = [*MANIFEST_COLUMNS, *(f"share_{name}" for name in names)]
        self._header += ["entropy", "margin"] if with_uncertainty else []
        self.rows: dict[str, list[dict[str, Any]]] = {str(image): [] for image in images}

    def add(
        self,
        image: Path,
        size: tuple[int, int],
        files: Sequence[str],
        shares: Iterable[float],
        *,
        uncertainty: Uncertainty | None = None,
        error: str = "",
    ) -> None:
        """Add an image or a video of this size, (height, width), that was predicted, at least partly."""
        measured = [] if uncertainty is None else [uncertainty.entropy, uncertainty.margin]
        numbers = [f"{number:.6g}" for number in (*shares, *measured)]
        values = [str(image), size[1], size[0], ";".join(files), error, *numbers]
        self.rows.setdefault(str(image), []).append(dict(zip(self._header, values, strict=False)))

    def add_failure(self, image: Path, error: str) -> None:
        """Add an image that was skipped."""
        self.rows.setdefault(str(image), []).append({"image": str(image), "error": error})

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the table at the start of the block, in case the process is killed, and at its end. Raises DataError if
        it cannot be written."""
        self._write(missing=UNFINISHED)
        try:
            yield
        except BaseException:
            with suppress(DataError):
                self._write(missing=UNFINISHED)
            raise
        self._write()

    def _write(self, *, missing: str = "") -> None:
        """Write the table. Images without a row get one with the error `missing`, if that is not empty."""
        text = io.StringIO()
        table = csv.DictWriter(text, self._header, lineterminator="\n")
        table.writeheader()
        for image, rows in self.rows.items():
            table.writerows(rows or ([{"image": image, "error": missing}] if missing else []))
        write_whole(self._path, text.getvalue())


class Writer:
    """Writes `kinds` (outputs.KINDS) of each image below `output`, and `tables` of all images, in the context of
    `writing`. The manifest has a row for each of `paths`. `files` are the outputs of single images that are known in
    advance; a note lists the outputs that exist already."""

    def __init__(
        self,
        task: Task,
        paths: Iterable[Path],
        output: Path,
        *,
        kinds: Sequence[str],
        tables: Sequence[Table],
        files: Iterable[str],
        with_uncertainty: bool = False,
    ):
        self.task = task
        self.output = output
        self.kinds = kinds
        self.with_probabilities = not WITH_PROBABILITIES.isdisjoint(kinds)
        self.with_uncertainty = with_uncertainty
        self.report = Report()
        self._held: list[Written] = []
        self.manifest = Manifest(output, task.names, paths, with_uncertainty=with_uncertainty)
        self._tables = tables
        names = (*files, *(name for table in tables for name in table.files))
        if replaced := [name for name in names if os.path.isfile(output / name)]:  # unlike is_file, takes any length
            what = "file" if len(replaced) == 1 else "files"
            self.report.notes.append(f"{output}: replaced {len(replaced)} earlier {what}: {name_some(replaced)}")

    def handle(self, result: Result) -> Written | DataError:
        """Write the files of an image and add them to the manifest. May be called from any thread. Returns an error if
        a file name is too long; raises DataError if a file cannot be written for another reason."""
        try:
            files = write_files(result, self.kinds, self.output)
        except TooLongName as error:
            return error
        self.manifest.add(result.path, result.size, files, result.shares, uncertainty=result.uncertainty)
        return [table.take(result) for table in self._tables]

    def add_large(
        self,
        path: Path,
        name: Path,
        size: tuple[int, int],
        files: Sequence[str],
        shares: Iterable[float],
        *,
        uncertainty: Uncertainty | None,
    ) -> None:
        """Add an image that was written in rows. It is too large for all tables except the ranking."""
        self.manifest.add(path, size, files, shares, uncertainty=uncertainty)
        row = (file_name_of(path, name), uncertainty, None)
        self.add(path, [row if isinstance(table, Ranking) else None for table in self._tables])

    def add(self, path: Path, written: Written | DataError) -> bool:
        """Add what `handle` returned for an image to the tables, or its error to the report. Returns whether the image
        was predicted."""
        if isinstance(written, DataError):
            self.report.failures.append(str(written))
            self.manifest.add_failure(path, str(written))
            return False
        if rank():
            self._held.append(written)
        else:
            self._fill(written)
        return True

    def _fill(self, written: Written) -> None:
        for table, taken in zip(self._tables, written, strict=True):
            if taken is not None:
                table.add(taken)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write the tables at the end of the block. Raises DataError if one cannot be written. After an error only the
        manifest is written, which lists the files that exist. Of several processes, the first one writes the tables;
        the others send it their rows."""
        with ExitStack() as stack:
            for table in () if rank() else (self.manifest, *self._tables):
                stack.enter_context(table.writing())
            from_first(lambda: None)  # the folder has a manifest now, and may have images
            yield
            for held, rows, report in join_lists([(self._held, self.manifest.rows, self.report)])[1:]:
                for written in held:
                    self._fill(written)
                self.manifest.rows |= {image: found for image, found in rows.items() if found}
                self.report.images += report.images
                self.report.frames += report.frames
                self.report.failures += report.failures
                self.report.notes += [note for note in report.notes if note not in self.report.notes]
