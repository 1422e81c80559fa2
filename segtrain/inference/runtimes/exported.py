"""Exported forms: the note that each carries, and how one serves as a Network."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from torch import Tensor
from torch.nn import functional

from segtrain.errors import CheckpointError, ConfigError, SegtrainError, first_fault, is_out_of_memory, reason_of
from segtrain.inference.description import check_transforms
from segtrain.inference.task import Task

KEY = "segtrain"
INPUT = "images"


class Note(BaseModel):
    """What an exported form says about itself, as JSON under KEY.

    `output` is what the graph gives for images (N, C, H, W) of 0..255, uint8, or float32 where task.scale is set:

    - probabilities: (N, task.outputs, H, W) float32.
    - labels: (N, H, W) uint8 class indices (int32 from 257 classes on): the most probable one, or 1 where a single
      class reaches its threshold. In multilabel (N, task.outputs, H, W) uint8 of 0 and 1.

    `precision` is what its weights are in. `input_size` (H, W) and `batch_size` are given where the graph takes only
    that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    task: Task
    output: Literal["probabilities", "labels"]
    precision: Literal["fp32", "fp16", "int8"]
    input_size: tuple[PositiveInt, PositiveInt] | None = None
    batch_size: PositiveInt | None = None

    def metadata(self) -> dict[str, str]:
        """The note, and for others the names and RGB colors of what comes out, as JSON each.

        There is one of each for every channel: for a single class it is that class, without its background. Where
        indices come out instead of channels, names[i] is the index i: background and class for a single one.
        """
        indices = self.output == "labels" and self.task.mode != "multilabel"
        count = len(self.task.names) if indices else self.task.outputs
        names, colors = json.dumps(self.task.picture_names[-count:]), json.dumps(self.task.colors[-count:])
        return {KEY: self.model_dump_json(), "names": names, "colors": colors}


def read_note(text: str | bytes | None, path: Path, precision: str | None) -> Note:
    """The note in an exported file.

    Raises CheckpointError where there is none (None or empty), it is damaged, or it names transforms that
    albumentations does not have; ConfigError where another precision is asked for than the file was exported in.
    """
    if not text:
        raise CheckpointError(
            f"{path}: was not exported by segtrain: its metadata has no '{KEY}'; export one with python -m segtrain "
            f"export RUN"
        )
    try:
        note = Note.model_validate_json(text)
    except ValidationError as error:
        raise CheckpointError(f"{path}: its metadata '{KEY}' is damaged: {first_fault(error)}") from error
    check_transforms(note.task.transforms, path)
    if precision not in (None, "auto", note.precision):
        raise ConfigError(f"--precision {precision}: {path} was exported in {note.precision}; remove --precision")
    return note


class ExportedNetwork:
    """An exported form as a Network. Labels become probabilities of 0 and 1, with thresholds of one half: what is
    averaged over scales, flips, tiles or models is then the share of their votes.

    Args:
        note: what the form says about itself.
        device: where `run` takes images and gives its result.
        run: images (N, C, H, W) to what the graph gives, as Note says.
        path: of the form, for errors.
    """

    def __init__(self, note: Note, device: torch.device, run: Callable[[Tensor], Tensor], path: Path):
        self.gives_labels = note.output == "labels"
        halves = [0.5] * len(note.task.thresholds)
        self.task = note.task.with_thresholds(halves) if self.gives_labels else note.task
        self.note = note
        self.path = path
        self.device = device
        self.input_size = note.input_size
        self.batch_size = note.batch_size
        self.run = run

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """See Network. Raises CheckpointError where the form fails, or gives something else than its note says."""
        try:
            given = self.run(images.to(self.device))
            self._require_noted(given, images)
            if not self.gives_labels:
                return given
            if self.task.mode == "multiclass":
                return functional.one_hot(given.long(), self.task.outputs).movedim(-1, 1).float()
        except Exception as error:  # every runtime has classes of its own
            if isinstance(error, SegtrainError) or is_out_of_memory(error):
                raise
            what = _show(images.shape, images.dtype)
            # What TorchScript and OpenVINO say before their last line is where they were.
            raise CheckpointError(f"{self.path}: fails on images {what}: {reason_of(error, line=-1)}") from error
        return (given if self.task.mode == "multilabel" else given[:, None]).float()

    def _require_noted(self, given: Tensor, images: Tensor) -> None:
        outputs, (number, _, *size) = self.task.outputs, images.shape
        flat = self.gives_labels and self.task.mode != "multilabel"
        shape = (number, *size) if flat else (number, outputs, *size)
        integer = torch.uint8 if outputs <= 256 else torch.int32
        dtype = integer if self.gives_labels else torch.float32
        if tuple(given.shape) != shape or given.dtype != dtype:
            raise CheckpointError(
                f"{self.path}: returns {_show(given.shape, given.dtype)} for images "
                f"{_show(images.shape, images.dtype)}, but its metadata '{KEY}' says {_show(shape, dtype)}"
            )


def _show(shape: Sequence[int], dtype: torch.dtype) -> str:
    return f"{' x '.join(map(str, shape))} {str(dtype).removeprefix('torch.')}"


@contextmanager
def explained_damage(path: Path, kind: str, *, line: int = 0) -> Iterator[None]:
    """Raise CheckpointError for whatever a runtime raises while it loads what is not of the `kind`, or is damaged.
    `line` of its words gives the reason."""
    try:
        yield
    except Exception as error:  # every runtime has classes of its own
        if isinstance(error, SegtrainError) or is_out_of_memory(error):
            raise
        reason = reason_of(error, line=line)
        raise CheckpointError(f"{path}: is not {kind} or is damaged: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of torch's exporters and loaders that users cannot act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated")
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        warnings.filterwarnings("ignore", message="The given buffer is not writable")  # of torch.export, up to 2.11
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield
