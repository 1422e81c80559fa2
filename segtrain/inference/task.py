"""Task of a model: the images that it accepts and the classes that it distinguishes. Every export contains it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segtrain.config.data_schema import LARGEST_VALUE, MOST_CLASSES, choose_written
from segtrain.config.schema import Config
from segtrain.errors import CheckpointError
from segtrain.visualize import Color, default_colors

BACKGROUND_COLOR = (60, 60, 60)
UNNAMED = "class_"  # and a number: the classes of a network that does not name them

Byte = Annotated[int, Field(ge=0, le=255)]
MaskValue = Annotated[int, Field(ge=0, le=LARGEST_VALUE)]
Probability = Annotated[float, Field(ge=0, le=1, strict=True)]


class Task(BaseModel):
    """What inference needs to know in addition to the network.

    `names` are the rows of the confusion matrix and the values of an index PNG: in a binary task the background is
    first. In multilabel they are the layers. `colors` has one for each of `picture_names`. `transforms` is
    transforms.val of the experiment. `thresholds` are the minimum probabilities of the classes: one in a binary task,
    one for each class in multilabel, none in multiclass, where the largest probability wins. `mask_values` are the
    values or RGB colors that the masks of the dataset have for each of `names`, in multilabel the value in the mask of
    the class; None if the model does not know them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["binary", "multiclass", "multilabel"]
    names: list[str] = Field(min_length=1, max_length=MOST_CLASSES)
    colors: list[tuple[Byte, Byte, Byte]]
    ignore_index: int = 255
    channels: int = Field(3, ge=1, le=4096)
    scale: float | None = None
    bands: list[int] | None = None
    transforms: list[str | dict[str, Any]] = Field(default_factory=list)
    thresholds: list[Probability] = Field(default_factory=list)
    mask_values: list[MaskValue] | list[tuple[Byte, Byte, Byte]] | None = None

    @model_validator(mode="after")
    def _counts_agree(self) -> "Task":
        if len(self.colors) != len(self.picture_names):
            raise ValueError(f"has {len(self.colors)} colors for {len(self.picture_names)} names")
        if len(self.thresholds) != (0 if self.mode == "multiclass" else self.outputs):
            raise ValueError(
                f"has {len(self.thresholds)} thresholds for {self.outputs} probabilities in mode {self.mode}"
            )
        if self.mask_values is not None and len(self.mask_values) != len(self.names):
            raise ValueError(f"has {len(self.mask_values)} mask values for {len(self.names)} names")
        return self

    @classmethod
    def of(cls, config: Config) -> "Task":
        """The task of an experiment, with its colors, or well separated ones if it has none, and thresholds of 0.5."""
        data = config.data
        separated = default_colors(len(data.classes))
        colors = [item.color or color for item, color in zip(data.classes, separated, strict=True)]
        return cls(
            mode=data.mode,
            names=data.class_names,
            colors=colors if data.mode == "multiclass" else [BACKGROUND_COLOR, *colors],
            ignore_index=data.ignore_index,
            channels=data.channels,
            scale=data.scale,
            bands=data.bands,
            transforms=config.transforms.val,
            thresholds=[] if data.mode == "multiclass" else [0.5] * len(data.classes),
            mask_values=choose_written(data.classes, multilabel=data.multilabel),
        )

    @property
    def outputs(self) -> int:
        """Probabilities per pixel: one in a binary task, that of its foreground, otherwise one for each name."""
        return 1 if self.mode == "binary" else len(self.names)

    @property
    def name_colors(self) -> list[Color]:
        """The color of each of `names`; in multilabel, `colors` starts with that of no class."""
        return self.colors[-len(self.names) :]

    @property
    def picture_names(self) -> list[str]:
        """Names of the indices in pictures; if classes overlap, 0 is none of them."""
        return ["none", *self.names] if self.mode == "multilabel" else self.names

    @property
    def image_options(self) -> dict[str, Any]:
        """How read_image is to read the images."""
        given = {"channels": self.channels, "scale": self.scale, "bands": self.bands}
        return {key: value for key, value in given.items() if value is not None}

    @property
    def is_unnamed(self) -> bool:
        """Whether the network has no class names; in a binary task the background is known."""
        return all(
            name == f"{UNNAMED}{index}" for index, name in enumerate(self.names) if index or name != "background"
        )

    def difference(self, other: "Task") -> tuple[str, str] | None:
        """The first difference that prevents two tasks from being scored together: the other's and this one's, each
        like "classes sky, road". None if both accept the same images and have the same classes, or the same number
        without names."""
        for what, key in (("mode", "mode"), ("classes", "names"), ("image channels", "image_options")):
            theirs, ours = getattr(other, key), getattr(self, key)
            unnamed = key == "names" and len(theirs) == len(ours) and (self.is_unnamed or other.is_unnamed)
            if theirs != ours and not unnamed:
                shown = [", ".join(value) if isinstance(value, list) else value for value in (theirs, ours)]
                return f"{what} {shown[0]}", f"{what} {shown[1]}"
        return None

    def with_thresholds(self, thresholds: list[float]) -> "Task":
        """The same task with other thresholds. Raises CheckpointError if their number is wrong."""
        try:
            return Task.model_validate({**self.model_dump(), "thresholds": thresholds})
        except ValidationError as error:
            wanted = (
                f"{len(self.thresholds)} between 0 and 1"
                if self.thresholds
                else ("none, because the largest probability wins")
            )
            raise CheckpointError(
                f"thresholds {thresholds}: this model has mode {self.mode} and needs {wanted}"
            ) from error
