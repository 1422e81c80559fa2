"""Tables of a prediction: files with the results of all images."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from segtrain.commands.predict.coco import CocoFile, polygon_annotations, run_annotations
from segtrain.commands.predict.cvat import CvatTable
from segtrain.commands.predict.labelstudio import LabelStudioFile
from segtrain.commands.predict.outputs import Wanted
from segtrain.commands.predict.ranking import Ranking
from segtrain.commands.predict.result import Result
from segtrain.commands.predict.submission import Sheet, Submission
from segtrain.inference.task import Task


class Table(Protocol):
    """One or more files with the results of all images, written in the context of `writing`. `files` are their names
    below the output folder."""

    files: Sequence[str]

    def take(self, result: Result) -> Any:
        """What `add` needs from an image. Called from any thread."""
        ...

    def add(self, taken: Any) -> None:
        """Add what `take` returned."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Raises DataError if a file cannot be written."""
        ...


def build_tables(task: Task, output: Path, wanted: Wanted, *, sheet: Sheet | None = None) -> list[Table]:
    """The wanted tables. `sheet` is the table of run lengths, if there is one. Raises DataError for names that a table
    cannot contain."""
    builders = {
        "coco": partial(CocoFile, output / "coco.json", task, polygon_annotations),
        "coco-rle": partial(CocoFile, output / "coco_rle.json", task, run_annotations),
        "cvat": partial(CvatTable, output, task),
        "labelstudio": partial(LabelStudioFile, output, task, model=wanted.model, prefix=wanted.image_url),
    }
    tables: list[Table] = [] if sheet is None else [Submission(output / "rle.csv", sheet)]
    tables += [build() for kind, build in builders.items() if kind in (wanted.kinds or ())]
    return [*tables, Ranking(output)] if wanted.ranked else tables
