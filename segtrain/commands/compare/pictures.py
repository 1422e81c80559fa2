"""Pictures of the images whose score changed most: what two models see in them, drawn by running both once more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from segtrain.commands.compare.pair import EntryPair
from segtrain.commands.compare.row import RunRow
from segtrain.config.schema import Config
from segtrain.data.dataset import RawSamples
from segtrain.data.labels import build_decoder
from segtrain.data.splits import read_splits
from segtrain.errors import CheckpointError, DataError, SegtrainError, first_fault, is_out_of_memory
from segtrain.inference.predictor import Predictor
from segtrain.inference.task import Task
from segtrain.page import picture_address
from segtrain.visualize import Color, colorize, darken, flatten_both, overlay, to_rgb

IMAGES = 8
PICTURE_SIDE_PX = 480  # the longer side of a picture
ONLY_COLORS: tuple[Color, Color] = (
    (42, 120, 214),
    (224, 103, 44),
)  # as --series-1 and -2: where one of the two alone is right


@dataclass(frozen=True)
class ChangedImage:
    """An image, by how much its score changed, and data addresses of its pictures behind what they show: of several
    seeds, what the first one sees."""

    name: str
    change: float
    pictures: list[tuple[str, str]]


def draw_changes(pair: EntryPair, *, trust: bool) -> tuple[list[ChangedImage], str]:
    """The images of a pair that changed most, the largest change first; where they cannot be drawn none, and the
    reason. `trust`: see load_network."""
    try:
        names = pair.most_changed(IMAGES)
        return (_draw_all(pair, names, trust=trust) if names else []), ""
    except SegtrainError as error:
        return [], str(error)
    except ValidationError as error:
        return [], f"{pair.first.rows[0].evaluation.folder}: {first_fault(error)}"
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return [], "not enough memory to run the models"


def _draw_all(pair: EntryPair, names: Sequence[str], *, trust: bool) -> list[ChangedImage]:
    info = pair.first.rows[0].evaluation.info
    config = Config.model_validate({"seed": info.seed, "data": info.data})
    samples = read_splits(config.data, seed=config.seed).get(info.split) or []
    numbers = {sample.name: index for index, sample in enumerate(samples)}
    if missing := [name for name in names if name not in numbers]:
        raise DataError(f"{missing[0]} is no longer in the {info.split} split of {config.data.roots[0]}")
    rows = pair.first.rows[0], pair.second.rows[0]
    models = [_load(row, trust=trust) for row in rows]
    task = Task.of(config)
    orders = [_order(model.task, task, row) for model, row in zip(models, rows, strict=True)]
    dataset = RawSamples(samples, build_decoder(config.data), image_options=task.image_options)
    drawn = []
    for name in names:
        image, mask = dataset.load(numbers[name])
        predictions = [_reorder(model.predict(image), order) for model, order in zip(models, orders, strict=True)]
        pictures = draw_change(to_rgb(image), mask, predictions, task, names=(rows[0].name, rows[1].name))
        drawn.append(ChangedImage(name, float(pair.changes[name]), pictures))
    return drawn


def _load(row: RunRow, *, trust: bool) -> Predictor:
    """What was evaluated: the run, where it is one, else the models as they were named."""
    info = row.evaluation.info
    if info.predictions is not None:
        raise CheckpointError(f"{row.name} scores the files in {info.predictions} without a model")
    sources = info.models if row.is_evaluation else [str(row.path)]
    return Predictor.load(*sources, options=info.options, trust=trust)


def _order(model: Task, task: Task, row: RunRow) -> list[int]:
    """The index of each of a model's classes in the task of the images."""
    if model.mode != task.mode or sorted(model.names) != sorted(task.names):
        raise CheckpointError(f"{row.name} has different classes")
    return [task.names.index(name) for name in model.names]


def _reorder(prediction: NDArray, order: Sequence[int]) -> NDArray:
    """HW class indices, or CHW layers, of a model in the order of another task."""
    return prediction[np.argsort(order)] if prediction.ndim == 3 else np.array(order)[prediction]


def draw_change(
    image: NDArray[np.uint8], mask: NDArray, predictions: Sequence[NDArray], task: Task, *, names: tuple[str, str]
) -> list[tuple[str, str]]:
    """The image, ground truth, both predictions, and where the second gains and loses, data addresses
    behind what they show.

    Args:
        image: HWC uint8 RGB.
        mask: HW class indices, or CHW layers, of `task`.
        predictions: two of the same.
        task: the classes and their colors.
        names: of the two models.
    """
    step = max(1, -(-max(image.shape) // PICTURE_SIDE_PX))  # rows left out: no index is invented
    image = np.ascontiguousarray(image[::step, ::step])
    both = [
        flatten_both(mask[..., ::step, ::step], prediction[..., ::step, ::step], ignore_index=task.ignore_index)
        for prediction in predictions
    ]

    def paint(indices: NDArray) -> str:
        colors = colorize(indices, task.colors, ignore_index=task.ignore_index)
        return picture_address(overlay(image, colors, ignored=indices == task.ignore_index))

    wrong_first, wrong_second = (wrong for _, _, wrong in both)
    change = darken(image)
    change[wrong_second & ~wrong_first] = ONLY_COLORS[0]
    change[wrong_first & ~wrong_second] = ONLY_COLORS[1]
    return [
        ("image", picture_address(image)),
        ("ground truth", paint(both[0][0])),
        (names[0], paint(both[0][1])),
        (names[1], paint(both[1][1])),
        ("change", picture_address(change)),
    ]
