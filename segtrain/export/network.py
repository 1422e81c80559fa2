"""What exported forms say about themselves, and how they serve as networks."""

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from torch import Tensor
from torch.nn import functional

from segtrain.errors import CheckpointError, ConfigError
from segtrain.export.options import ExportOptions
from segtrain.task import Task

KEY = "segtrain"
FORMAT = 1


class Note(BaseModel):
    """What an exported form says about itself, as JSON under KEY.

    `output` is what the graph gives (see Graph). `input_size` (H, W) and `batch_size` are given where the graph takes
    only that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    task: Task
    output: Literal["probabilities", "labels"]
    input_size: tuple[PositiveInt, PositiveInt] | None = None
    batch_size: PositiveInt | None = None

    @classmethod
    def of(cls, task: Task, options: ExportOptions, *, batch_size: int | None = None) -> "Note":
        """The note of an export."""
        output = "labels" if options.labels else "probabilities"
        return cls(task=task, output=output, input_size=options.size, batch_size=batch_size)

    def metadata(self) -> dict[str, str]:
        """The note, and for others the names and RGB colours of the indices in pictures, as JSON each."""
        names, colors = json.dumps(self.task.picture_names), json.dumps(self.task.colors)
        return {KEY: self.model_dump_json(), "names": names, "colors": colors}


def read_note(text: str | bytes | None, path: Path) -> Note:
    """The note in an exported file. Raises CheckpointError where there is none (None or empty), or it is damaged."""
    if not text:
        raise CheckpointError(
            f"{path}: was not exported by segtrain: its metadata has no '{KEY}'; write one with "
            "python -m segtrain export RUN"
        )
    try:
        return Note.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CheckpointError(f"{path}: its metadata '{KEY}' is damaged: {where}: {first['msg']}") from error


class ExportedNetwork:
    """An exported form as a Network. Labels become probabilities of 0 and 1, with thresholds of one half.

    Args:
        note: what the form says about itself.
        device: where `run` takes images and gives its result.
        run: images (N, C, H, W) to what the graph gives, as Graph says.
    """

    def __init__(self, note: Note, device: torch.device, run: Callable[[Tensor], Tensor]):
        labels = note.output == "labels"
        self.task = note.task.with_thresholds([0.5] * len(note.task.thresholds)) if labels else note.task
        self.note = note
        self.device = device
        self.input_size = note.input_size
        self.batch_size = note.batch_size
        self.run = run

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """See Network."""
        given = self.run(images.to(self.device))
        if self.note.output == "probabilities":
            return given
        if self.task.mode == "multiclass":
            return functional.one_hot(given.long(), self.task.outputs).movedim(-1, 1).float()
        return (given if self.task.mode == "multilabel" else given[:, None]).float()


def require_libraries(what: str, extra: str, modules: Sequence[str]) -> None:
    """Import modules of an extra of segtrain. Raises ConfigError, with the command that installs them, where one is
    not there."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f'{what} needs {name}: pip install "segtrain[{extra}]"') from error


def refuse_precision(path: Path, precision: str | None) -> None:
    """Raises ConfigError where half precision is asked of a form, which computes as it was written."""
    if precision not in (None, "auto", "fp32"):
        raise ConfigError(
            f"--precision {precision}: {path} computes as it was exported; leave --precision out, or export with --fp16"
        )
