"""Output of an evaluation: its folder and the files in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.evaluate.pictures import draw_calibration, draw_panel, draw_sheet
from segtrain.commands.evaluate.report import Estimate, build_evaluation_csv, build_images_csv
from segtrain.commands.evaluate.scores import WORST_IMAGES, Scores
from segtrain.distributed import rank
from segtrain.errors import DataError
from segtrain.files import explained_write, make_numbered_folder, replacing, write_whole
from segtrain.inference.evaluation import IMAGES_FILE, INFO_FILE, NUMBERS_FILE, EvaluationInfo
from segtrain.inference.model_files import find_kind
from segtrain.inference.task import Task
from segtrain.plots import plot_confusion

TEXT_FILE = "evaluation.txt"
SHEET_FILE, CONFUSION_FILE, CALIBRATION_FILE = "worst.png", "confusion.png", "calibration.png"


@contextmanager
def output_folder(asked: Path | None, source: Path, split: str) -> Iterator[Path | None]:
    """Make the folder to write to, before the work begins, so that a wrong one fails first.

    Without `asked` it is the next of evaluation-SPLIT-1, -2, .. in the run folder: nothing is overwritten. For an
    exported model it lies beside the model, with the model's name in front. In a folder that was asked for, an earlier
    evaluation is replaced, but no file of the same name from elsewhere, like those of a run folder. A folder that is
    still empty after a failure is removed. Only the first of several processes has one. Raises DataError.
    """
    if rank():
        yield None
        return
    kind, name = find_kind(source), f"evaluation-{split}"
    beside = source.with_name(name if kind == "checkpoint" else f"{source.name}-{name}")
    made = [] if asked is None else [path for path in (asked, *asked.parents) if not path.exists()]
    try:
        if asked is None:
            folder = make_numbered_folder(source / name if kind == "run" else beside)
            made = [folder]
        else:
            folder = asked
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{asked or source}: cannot create a folder there: {error.strerror}; choose another with -o"
        ) from error
    if asked is not None and not (folder / NUMBERS_FILE).exists():
        for name in (TEXT_FILE, IMAGES_FILE, SHEET_FILE, CONFUSION_FILE, CALIBRATION_FILE):
            if (folder / name).exists():
                raise DataError(
                    f"{folder}: contains a {name} that was not written by an evaluation; choose another folder with -o"
                )
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # something was written
            for path in made:
                path.rmdir()
        raise


def write_evaluation(
    folder: Path, text: str, info: EvaluationInfo, scores: Scores, values: dict[str, Estimate], task: Task
) -> list[NDArray[np.uint8]]:
    """Write the files of an evaluation; return the panels of the worst images, HWC uint8 RGB. Raises DataError."""
    worst = scores.worst[:WORST_IMAGES]
    panels = [draw_panel(shown, task) for shown in worst]
    write_whole(folder / TEXT_FILE, text + "\n")
    write_whole(folder / INFO_FILE, json.dumps(info.model_dump(), indent=1) + "\n")
    write_whole(folder / NUMBERS_FILE, build_evaluation_csv(values))
    write_whole(folder / IMAGES_FILE, build_images_csv(scores, task.names))
    pictures = {
        SHEET_FILE: partial(draw_sheet, worst, panels),
        CONFUSION_FILE: partial(plot_confusion, scores.matrix, task.names),
    }
    if scores.calibration is None:
        (folder / CALIBRATION_FILE).unlink(missing_ok=True)  # that of the evaluation that this one replaces
    else:
        pictures[CALIBRATION_FILE] = partial(draw_calibration, scores.calibration, task)
    for name, draw in pictures.items():
        with explained_write(folder / name), replacing(folder / name) as temporary:
            draw(temporary)
    return panels
