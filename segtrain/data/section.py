"""The `data` section: where the images and masks lie, and what the masks mean."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from segtrain.config import MisplacedError, NamedSection, Section, UserPath
from segtrain.data.claims import LARGEST_VALUE, claim_values
from segtrain.data.formats import FORMATS

Color = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
Index = Annotated[int, Field(ge=0)]


class ClassConfig(Section):
    """One class: its name, and how its pixels look in the mask files."""

    shorthand: ClassVar[str] = "name"
    name: str
    """Name, as it appears in tables and in Weights & Biases."""
    value: Index | None = None
    """Value of its pixels in the mask file. Without value, values and color it is the class's place in the list."""
    values: list[Index] | None = None
    """Several values that all mean this class."""
    color: Color | None = None
    """RGB colour, 0..255. With value or values it is for pictures only; alone, masks are RGB and pixels of this
    colour are the class."""

    @model_validator(mode="after")
    def _one_way(self) -> "ClassConfig":
        if self.value is not None and self.values is not None:
            raise ValueError("value and values exclude one another; write one of them")
        return self


class DataConfig(NamedSection):
    """What to train on. Keys beside the declared ones are the arguments of the format (docs/config.md lists them)."""

    selector: ClassVar[str] = "format"
    forgotten: ClassVar[frozenset[str]] = frozenset({"classes", "ignore_values"})  # another format is another data set
    format: str = "folders"
    """How the files lie on the disk: folders, csv or camvid."""
    root: UserPath
    """Folder of the data set; relative paths start in the working directory."""
    classes: list[ClassConfig] | None = None
    """The classes in the order of their indices; their number is the number of the model's outputs. One class alone is
    binary segmentation: mask value 0 is background. May be left out where the format knows its classes (camvid)."""
    ignore_index: Annotated[int, Field(ge=0, le=LARGEST_VALUE)] = 255
    """Mask value of pixels that are neither trained nor scored; also what padding is filled with."""
    ignore_values: list[Index | Color] | None = None
    """Further values or colours in the mask files that mean: ignore."""
    channels: Annotated[int, Field(ge=1)] = 3
    """Channels of the images and inputs of the model: 1 reads grey, 3 reads RGB, any other number must be in the
    files."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Images in a training batch."""
    eval_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images in an evaluation batch, where they have the same size. Default: batch_size."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read and augment images; auto: two on a computer that trains on its CPU, else the cores, at most
    8. The number changes nothing in the results."""

    @field_validator("classes", mode="before")
    @classmethod
    def _bare_names(cls, classes: Any) -> Any:
        return (
            [{"name": item} if isinstance(item, str) else item for item in classes]
            if isinstance(classes, list)
            else classes
        )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[ClassConfig] | None) -> list[ClassConfig] | None:
        names = [item.name for item in classes or []]
        if classes == []:
            raise ValueError("is empty; name at least one class")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"class names must differ: {', '.join(twice)}")
        return classes

    @model_validator(mode="after")
    def _known_classes(self) -> "DataConfig":
        reader = FORMATS.get(self.format)
        if reader is None:
            return self  # the rules name it, with a suggestion
        if self.classes is None:
            if reader.CLASSES is None:
                raise MisplacedError(
                    ("classes",),
                    f"is missing; format {self.format} cannot know them: write classes: [first, second, ..]",
                )
            self.classes = [
                ClassConfig(name=name, value=value, color=list(color)) for value, name, color in reader.CLASSES
            ]
            self.ignore_values = list(reader.IGNORE_VALUES) if self.ignore_values is None else self.ignore_values
        if self.ignore_index < max(len(self.classes), 2):
            raise MisplacedError(
                ("ignore_index",),
                f"{self.ignore_index} is a class's index; take one from {max(len(self.classes), 2)} on, like 255",
            )
        claim_values(self.classes, self.ignore_values or [], ignore_index=self.ignore_index)
        return self

    @property
    def mode(self) -> str:
        """binary for one class, multiclass for more: the word that losses know it by."""
        return "binary" if len(self.classes) == 1 else "multiclass"

    @property
    def class_names(self) -> list[str]:
        """The names in the order of the confusion matrix: a binary task has its background first."""
        names = [item.name for item in self.classes]
        return ["background", *names] if self.mode == "binary" else names
