"""Python interface: `import segtrain`, then train, load, evaluate or check, in a script, a thread or a notebook.

The functions do the same as the commands, with the same results; mistakes raise a SegtrainError instead of ending the
process.
"""

import argparse
import importlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pandas
from PIL import Image

from segtrain.checkpoint import restore_rng_state, rng_state
from segtrain.command import Stopped, forget, is_shared
from segtrain.config.rules import load_config
from segtrain.errors import ConfigError, DataError, SegtrainError, is_out_of_memory
from segtrain.images.in_memory import take_image
from segtrain.images.reading import read_image
from segtrain.inference.evaluation import IMAGES_FILE, NUMBERS_FILE
from segtrain.inference.options import add_infer_arguments, read_infer_options
from segtrain.inference.prediction import Prediction
from segtrain.inference.predictor import Predictor
from segtrain.log.record import RunRecord, read_record
from segtrain.training import train as training

PathLike = str | os.PathLike
_TRAINING = threading.Lock()


def train(*layers: PathLike | Mapping, resume: PathLike | None = None) -> RunRecord:
    """Train, as `python train.py` does, and return the record of the run: its folder, table and best score.

    It prints what train.py prints. A process runs one training at a time: a training that is started in a second thread
    waits. Random number generators and other state of the process are restored afterwards.

    Args:
        layers: experiment files, dicts like {"train": {"epochs": 5}}, and strings like "train.epochs=5". Files and
            dicts are merged in their order, then the strings. They are merged into config.yml of the current folder, or
            into the defaults if there is none. Relative paths start at the current folder.
        resume: a run or its folder to resume; its own config.yml is then used.

    Raises SegtrainError for what the user can fix: ConfigError, DataError, CheckpointError, TrainingError. An interrupt
    (Ctrl-C, or the stop button of a notebook) finishes the step, saves, and raises KeyboardInterrupt; SIGTERM does the
    same and raises SystemExit. Both need the main thread.
    """
    _require_one_process("train")
    run = None if resume is None else _path(resume)
    with _process_state():
        config = load_config(list(map(_layer, layers)), resume=run)
        training.check(config, resume=run)
        folder, _ = training.train(config, resume=run)
    return read_record(folder)


def load(*models: PathLike, **options: Any) -> "ImagePredictor":
    """Load a model, or several as an ensemble; its predictions are those of `predict.py`.

    Args:
        models: runs, run folders (their best.pt), checkpoints or exported files.
        options: the flags of predict.py: device="cuda:1", precision="bf16", tile=512, overlap=0.5, scales=[0.75, 1],
            flip=True, d4=True, vote=True, weights=[2, 1], threshold=0.4, batch_size=8, trust=True.

    Raises CheckpointError for what is not a model and ConfigError for an invalid option.
    """
    given = _parse("segtrain.load", add_infer_arguments, (), options)
    if not models:
        raise ConfigError("segtrain.load: give a model: a run, its folder, a checkpoint or an exported file")
    infer = read_infer_options(given)
    sources = map(_path, models)
    predictor = Predictor.load(
        *sources, device=given.device, precision=given.precision, options=infer, trust=given.trust
    )
    return ImagePredictor(predictor)


def evaluate(*models: PathLike, split: str = "val", **options: Any) -> "EvaluationResult":
    """Score a model on a split of its data, as `python -m segtrain evaluate` does, and print its report.

    Args:
        models: as for `load`; strings like "data.root=elsewhere" override the data section.
        split: val, test, train, or another split of the format.
        options: the flags of evaluate: those of `load`, and config=, against=, numbering=, partial=, tune_threshold=,
            wandb=, output=.

    Raises SegtrainError as the command does.
    """
    _require_one_process("evaluate")
    command = _command("evaluate", "command")
    given = _parse("segtrain.evaluate", command.add_arguments, map(_path, models), {"split": split, **options})
    folder = _command("evaluate", "evaluate").evaluate(given, command.read_options(given))
    return _read_evaluation(folder)


def check(*layers: PathLike | Mapping) -> pandas.DataFrame:
    """Find problems in the images and masks of an experiment, as `python -m segtrain check` does; errors come first.

    Args:
        layers: as for `train`.

    Returns a row for each finding: level (error, warning or note), title, explanation, fix (what to write in the
    experiment, or the flag of `check` that changes the files), files. Raises ConfigError for an invalid experiment.
    """
    source = _command("check", "source").from_experiment(list(map(_layer, layers)))
    found = _command("check", "command").find_all(_command("check", "dataset_report").gather(source))
    rows = [(item.level, item.title, item.explanation, _describe_fix(item.fix), list(item.files)) for item in found]
    return pandas.DataFrame(rows, columns=["level", "title", "explanation", "fix", "files"])


class Interrupted(KeyboardInterrupt):
    """A training was asked to stop and has saved its state."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows; see SegtrainError."""
        return [f"KeyboardInterrupt: {self}"]


@dataclass(frozen=True, repr=False, eq=False)
class ImagePredictor:
    """Models that accept any image; returned by `load`. Can be used from several threads."""

    predictor: Predictor

    def predict(self, image: PathLike | Image.Image | np.ndarray) -> Prediction:
        """Predict one image, at its own size.

        Args:
            image: a file, a Pillow image, or an array HWC (or HW, grayscale) uint8, RGB; for a model with data.scale,
                an array of any numeric type with the values of the image files.

        Raises DataError for what is not an image, has other channels or values than the model expects, or needs more
        memory than is available.
        """
        options = self.predictor.task.image_options
        is_file = isinstance(image, PathLike)
        pixels = read_image(Path(image), **options) if is_file else take_image(image, **options)
        try:
            return Prediction(self.predictor, pixels)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            height, width = pixels.shape[:2]
            raise DataError(
                f"{width} x {height} pixels need more memory than is available; load the model with tile=512"
            ) from error

    @property
    def names(self) -> list[str]:
        """The classes, in the order of their indices."""
        return self.predictor.task.names

    def __repr__(self) -> str:
        count = len(self.predictor.networks)
        which = f"{count} models as one" if count > 1 else "a model"
        return f"<predictor of {which} on {self.predictor.device}: {', '.join(self.names)}>"


@dataclass(frozen=True, repr=False, eq=False)
class EvaluationResult:
    """An evaluation that was written to `folder`.

    `table`: every score by its name, with the columns value, low and high (its interval, or nan). `images`: the scores
    of each image by its name, worst first.
    """

    folder: Path
    table: pandas.DataFrame
    images: pandas.DataFrame

    @property
    def scores(self) -> dict[str, float]:
        """The scores without their intervals: miou, iou/<class>, ..."""
        return self.table["value"].to_dict()

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<{self.folder}: miou {self.scores['miou']:.4f} on {len(self.images)} images>"


def _read_evaluation(folder: Path) -> EvaluationResult:
    # Names of classes and images stay as they are, NA and 007 too.
    options = {"index_col": "name", "dtype": {"name": str}, "keep_default_na": False, "na_values": [""]}
    files = [folder / name for name in (NUMBERS_FILE, IMAGES_FILE)]
    return EvaluationResult(folder, *(pandas.read_csv(file, **options) for file in files))


@contextmanager
def _process_state() -> Iterator[None]:
    """Restore what a training changes in the process; only one training at a time may hold it. Objects that an expected
    error refers to and a notebook would keep, such as a model or reading processes, are released."""
    if not _TRAINING.acquire(blocking=False):
        print("waiting for the training in another thread to end")
        _TRAINING.acquire()
    try:
        generators = random.getstate(), np.random.get_state(), rng_state()
        threads, data_folder = cv2.getNumThreads(), os.environ.get("WANDB_DATA_DIR")
        try:
            yield
        except (SegtrainError, KeyboardInterrupt) as error:
            forget(error)
            raise
        except Stopped as stopped:
            forget(stopped)
            if stopped.exit_code == 128 + signal.SIGINT:
                raise Interrupted(f"{stopped}, or segtrain.train(resume=..)") from None
            raise SystemExit(stopped.exit_code) from None
        finally:
            random.setstate(generators[0])
            np.random.set_state(generators[1])
            restore_rng_state(generators[2])
            cv2.setNumThreads(threads)
            if data_folder is None:
                os.environ.pop("WANDB_DATA_DIR", None)
    finally:
        _TRAINING.release()


def _require_one_process(name: str) -> None:
    if is_shared():
        raise ConfigError(f"segtrain.{name} runs in one process; for several, use torchrun -m segtrain {name} ..")


def _command(name: str, module: str) -> ModuleType:
    """A module of a command, whose folder may have been deleted."""
    try:
        return importlib.import_module(f"segtrain.commands.{name}.{module}")
    except ModuleNotFoundError as error:
        if error.name != f"segtrain.commands.{name}":
            raise
        raise ConfigError(f"segtrain.{name} needs the folder segtrain/commands/{name}, which does not exist") from error


class _Flags(argparse.ArgumentParser):
    """The flags of a command, given as keyword arguments."""

    def error(self, message: str) -> None:
        raise ConfigError(f"{self.prog}: {message}; help({self.prog}) lists the options")


def _parse(
    prog: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    positional: Iterable[str],
    options: Mapping[str, Any],
) -> argparse.Namespace:
    parser = _Flags(prog=prog, add_help=False, allow_abbrev=False)
    add_arguments(parser)
    flags = [_flag(name, value) for name, value in options.items() if value is not None and value is not False]
    values = list(positional)
    return parser.parse_args([*flags, *(["--", *values] if values else [])])


def _flag(name: str, value: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return flag
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = ",".join(map(str, value))
    return f"{flag}={os.fspath(value) if isinstance(value, os.PathLike) else value}"


def _path(value: Any) -> str:
    if not isinstance(value, PathLike):
        raise ConfigError(f"expected a run or a path, not {value!r}")
    return os.fspath(value)


def _layer(value: Any) -> str | Mapping:
    if not isinstance(value, PathLike | Mapping):
        raise ConfigError(f"expected a path, a string like 'train.epochs=5' or a dict, not {value!r}")
    return value if isinstance(value, Mapping) else os.fspath(value)


def _describe_fix(fix: Any) -> str:
    if fix is None:
        return ""
    return f"--apply {fix.name}" if fix.name else "\n".join(fix.lines)
