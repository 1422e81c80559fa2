"""The `data` section: where the images and masks are, and which mask values or colors mean which class.

A class is one value, several values, or colors. As soon as one class has only colors, masks are RGB and all classes
need a color. In binary segmentation value 0 (or black) is the background, index 0, and the one class is index 1.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from segtrain.config.section import MisplacedError, NamedSection, Replaced, Section, UserPath, suggest

ColorList = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
Index = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Ignored = float | ColorList
LARGEST_VALUE = (1 << 16) - 1
MOST_CLASSES = 4096  # scores count pairs of classes, 8 bytes each


def _texts(path: tuple, written: Any) -> Iterator[tuple[tuple, str]]:
    """The texts in a mapping, and the paths of keys to them."""
    if isinstance(written, dict):
        for key, value in written.items():
            yield from _texts((*path, key), value)
    elif isinstance(written, str):
        yield path, written


def _plain(value: float | list[int]) -> float | list[int]:
    """Whole numbers as integers, and nan as the one object that is equal to itself in lists."""
    if isinstance(value, list) or math.isinf(value):
        return value
    return math.nan if math.isnan(value) else int(value)


class ClassConfig(Section):
    """One class: its name, and what its pixels look like in the mask files."""

    shorthand: ClassVar[str] = "name"
    name: str
    """Name, as shown in tables and in Weights & Biases."""
    value: Index | None = None
    """Value of its pixels in the mask files. Without value, values and color it is the index of the class in the
    list."""
    values: list[Index] | None = None
    """Several values that all mean this class."""
    color: ColorList | None = None
    """RGB color, 0..255. With value or values it is only used for drawing; alone, it means that masks are RGB and that
    pixels of this color are the class."""
    colors: list[ColorList] | None = None
    """Several colors in RGB masks that all mean this class; color is then only used for drawing."""
    labels: list[str] | None = None
    """Names in annotation files (formats coco, cvat, labelme, rle) that mean this class. Default: its name."""

    @model_validator(mode="after")
    def _one_way(self) -> "ClassConfig":
        for first, second in (("value", "values"), ("value", "colors"), ("values", "colors")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise ValueError(f"{first} and {second} exclude each other; write only one of them")
        return self

    def layer(self) -> "ClassConfig":
        """The class as the only one of a mask of its own, where a color is for pictures."""
        return self.model_copy(update={"color": None})


def are_colors(classes: Sequence[ClassConfig]) -> bool:
    """Whether masks are read as RGB colors: a class has nothing else."""
    return any(item.colors or (item.color and item.value is None and item.values is None) for item in classes)


def pack_color(value: float | list[int]) -> float:
    """A color [r, g, b], 0..255 each, as one number; a number is one already."""
    return value[0] << 16 | value[1] << 8 | value[2] if isinstance(value, list) else value


def show_value(value: float, *, as_color: bool) -> str:
    """A mask value, or the color that was packed into one, as messages have it."""
    return f"color [{value >> 16}, {value >> 8 & 255}, {value & 255}]" if as_color else f"value {value}"


def is_in_range(value: float) -> bool:
    """Whether a mask value can be that of a class: 0..65535. Others can only be ignored."""
    return 0 <= value <= LARGEST_VALUE


def claim_values(
    classes: Sequence[ClassConfig], ignore_values: Sequence[Ignored], *, ignore_index: int
) -> dict[float, int]:
    """Mask value (or packed color) -> class index or ignore_index.

    Raises MisplacedError, with the path of keys inside the data section, where the classes contradict one another.
    """
    as_color, binary = are_colors(classes), len(classes) == 1
    ignored: dict[float, int] = {}  # value -> its index in the list
    for index, value in enumerate(ignore_values):
        if isinstance(value, list) != as_color:
            wanted = "colors [r, g, b], like the classes" if as_color else "values, like the classes"
            raise MisplacedError(("ignore_values", index), f"{value} has the wrong type; write {wanted}")
        ignored[pack_color(value)] = index
    claims = {value: ignore_index for value in ([] if as_color else [ignore_index]) + list(ignored)}
    owners: dict[int, str] = {}
    for index, item in enumerate(classes):
        for value in _values_of(item, index, as_color=as_color, binary=binary):
            if value in owners:
                shown = show_value(value, as_color=as_color)
                raise MisplacedError(("classes", index), f"'{item.name}' and '{owners[value]}' claim the same {shown}")
            if value in ignored:
                shown = show_value(value, as_color=as_color)
                raise MisplacedError(
                    ("ignore_values", ignored[value]),
                    f"{shown} belongs to class '{item.name}'",
                )
            owners[value] = item.name
            claims[value] = index + binary
    if binary and claims.setdefault(0, 0) != 0:
        raise MisplacedError(
            ("classes",),
            f"a single class always has value 0 as its background; to use 0 for '{classes[0].name}', write two classes",
        )
    return claims


def _values_of(item: ClassConfig, index: int, *, as_color: bool, binary: bool) -> list[int]:
    if as_color:
        if item.color is None and not item.colors:
            raise MisplacedError(("classes", index), f"'{item.name}' needs a color, like the other classes")
        return [pack_color(color) for color in item.colors or [item.color]]
    values = item.values or [index + binary if item.value is None else item.value]
    if max(values) > LARGEST_VALUE:
        raise MisplacedError(
            ("classes", index), f"value {max(values)} exceeds {LARGEST_VALUE}, the largest value in a mask"
        )
    return values


def choose_written(classes: Sequence[ClassConfig], *, multilabel: bool) -> list[int] | list[list[int]]:
    """Values, or colors [r, g, b], that mean the classes in masks which read_mask reads: the first where several mean
    one. A binary task has its background before its class; in multilabel each class has a mask of its own."""
    if multilabel:
        return [_values_of(item.layer(), 0, as_color=False, binary=True)[0] for item in classes]
    as_color, binary = are_colors(classes), len(classes) == 1
    values = [0] * binary + [
        _values_of(item, index, as_color=as_color, binary=binary)[0] for index, item in enumerate(classes)
    ]
    return [[value >> 16, value >> 8 & 255, value & 255] for value in values] if as_color else values


class CopyPasteConfig(Section):
    """Objects of another training sample are pasted: connected pixels of a class, each object with probability 1/2."""

    p: Share = 0.5
    """Share of the training samples onto which objects are pasted."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Names of the classes that are objects, like car and person."""


class MixConfig(Section):
    """Mixing: after transforms.train, part of another training sample is pasted onto a sample, image and mask alike.
    Each sample is mixed in at most one way."""

    CutMix: Share = 0.0
    """Share of the training samples onto which a rectangle of half the area is pasted."""
    ClassMix: Share = 0.0
    """Share of the training samples onto which the pixels of half of the other sample's classes are pasted."""
    CopyPaste: CopyPasteConfig | None = None
    """Pastes objects: {p: 0.5, classes: [car, person]}."""

    @field_validator("CopyPaste", mode="before")
    @classmethod
    def _says_what_objects_are(cls, term: Any) -> Any:
        if term is not None and not isinstance(term, dict):
            raise ValueError(f"expected {{p: 0.5, classes: [car, person]}} with your object classes, not {term!r}")
        return term

    @model_validator(mode="after")
    def _one_way_at_most(self) -> "MixConfig":
        total = math.fsum([self.CutMix, self.ClassMix, self.CopyPaste.p if self.CopyPaste else 0.0])
        if total > 1:
            raise ValueError(
                f"the shares add up to {total:g}, but must be at most 1: a sample is mixed in only one way"
            )
        return self


class DataConfig(NamedSection):
    """What to train on. Other keys than these are arguments of the format, listed in docs/reference/config.md."""

    selector: ClassVar[str] = "format"
    forgotten: ClassVar[frozenset[str]] = frozenset({"classes", "ignore_values"})  # another format is another dataset
    format: str = "folders"
    """How the files are organized: folders, csv, list, coco, cvat, labelme, rle, geotiff, tar, huggingface, or the name
    of a public dataset; `python -m segtrain datasets` lists those."""
    root: UserPath | Annotated[list[UserPath], Field(min_length=1)]
    """Folder of the dataset, relative to the working directory. Several folders of the same format are read as a list,
    one after another."""
    classes: Annotated[list[ClassConfig], Field(max_length=MOST_CLASSES)] | None = None
    """The classes in the order of their indices; their number is the number of the model's outputs. A single class
    means binary segmentation: mask value 0 is the background. Public datasets define their classes."""
    ignore_index: Annotated[int, Field(ge=0, le=LARGEST_VALUE)] = 255
    """Mask value of pixels that are neither trained on nor scored; padding is filled with it too."""
    ignore_values: list[Ignored] | None = None
    """Additional values or colors in the mask files to ignore, even those that no class can have, like -9999 or .nan.
    What a TIFF declares as nodata is ignored anyway, unless a class has that value."""
    mask_band: Annotated[int, Field(ge=1)] | None = None
    """Band of the mask files that contains the values, counted from 1 (1: red, 4: alpha). Default: masks have one
    band."""
    multilabel: bool = False
    """Classes may overlap: every class has its own mask (one file each, or one channel of a file), in which its value
    (1 by default) means the class and 0 means not."""
    train_split: str = "train"
    """Split of the format to train on: trainval, for example, where a format has it."""
    val_split: str = "val"
    """Split of the format that every evaluation scores, and that chooses best.pt. No image may be in both splits,
    except that the training split itself may be scored, which only shows whether the model can memorize it."""
    split_table: UserPath | None = None
    """CSV that assigns each sample to a split, whatever the format says. Columns: name (of the sample, as in `check`
    and `predictions`), split and, for samples that belong together, group. `init` writes one."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Cross-validation: the training split and the validation split, if there is one, are merged and divided into this
    many folds, with the classes distributed evenly. The test split stays as it is."""
    fold: Annotated[int, Field(ge=0)] = 0
    """The fold to validate on; training uses the others."""
    group_pattern: str | None = None
    """Regular expression applied to the names of samples when folds are made: samples with the same first group (or the
    same match, without a group) stay in one fold, like those of a patient or a drive."""
    balance: Share = 0.0
    """Share of the training samples that are drawn for a class, all classes equally often: an image that contains the
    class and, where transforms.train has a RandomCrop, a crop that contains it. 0: every image once per epoch."""
    mix: Annotated[MixConfig | None, Replaced()] = None
    """Pastes part of another training sample onto a share of the samples: {ClassMix: 0.5}; see
    docs/explanation/what-helps.md."""
    tile: Annotated[int, Field(ge=64)] | None = None
    """Side, in pixels, of the windows into which larger images are cut, like orthophotos of 20,000 pixels. Each window
    is a sample, and of a tiled TIFF only the tiles that it touches are decoded. See docs/how-to/large-rasters.md."""
    statistics: Annotated[int, Field(ge=1)] | None = None
    """Number of masks of a split, spread evenly over it, that are read before the training to count classes and find
    invalid values; null reads all. data.balance then chooses images from these alone."""
    cache: Literal["ram", "folder"] | None = None
    """ram: decode every image once per computer and keep it in memory. folder: copy every file to data.cache_folder
    when it is first read, and read it from there."""
    cache_folder: UserPath | None = None
    """Folder on a fast disk for data.cache: folder; it may be deleted between runs. Default: .cache/files in
    runs_dir."""
    channels: Annotated[int, Field(ge=1, le=4096)] = 3
    """Channels of the images and inputs of the model: 1 reads grayscale, 3 reads RGB; any other number must match the
    files."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Value in the image files that means white, for images that are not 8-bit: 65535, 4095, 10000, 1.0. Some
    transforms (blur, noise, brightness) clip values outside 0..scale."""
    bands: list[Annotated[int, Field(ge=1)]] | None = None
    """Bands of the image files to use as channels, counted from 1, in this order. Default: all."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = 8
    """Images in a training batch. auto: as many as fit in the memory of the device with a margin and leave at least
    four batches in an epoch; the run's config.yml records the number."""
    eval_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Images in an evaluation batch, if they have the same size. Default: batch_size."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Processes that read and augment images. auto: two on a computer that trains on its CPU, otherwise the number of
    cores, at most 8. The number does not affect the results."""

    @field_validator("group_pattern")
    @classmethod
    def _is_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is not a valid regular expression: {error}") from error
        return pattern

    @field_validator("ignore_values")
    @classmethod
    def _whole_numbers(cls, values: list[Ignored] | None) -> list[Ignored] | None:
        for value in values or []:
            if isinstance(value, float) and math.isfinite(value) and value != int(value):
                raise ValueError(f"mask values are integers, not {value}")
        return values and [_plain(value) for value in values]

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
            raise ValueError("is empty; list at least one class")
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"class names must be unique; repeated: {', '.join(twice)}")
        return classes

    @model_validator(mode="after")
    def _classes_agree(self) -> "DataConfig":
        if self.classes is None:
            return self  # the rules say so, unless the format is unknown too
        count, ignored = len(self.classes), self.ignore_values or []
        if self.multilabel and not count < self.ignore_index <= 255:
            raise MisplacedError(
                ("ignore_index",),
                f"{self.ignore_index} must be above {count}, the number of classes, and at most 255",
            )
        if self.ignore_index < max(count, 2):
            raise MisplacedError(
                ("ignore_index",),
                f"{self.ignore_index} is a class index; choose {max(count, 2)} or more, like 255",
            )
        if self.mask_band is not None and are_colors(self.classes):
            raise MisplacedError(
                ("mask_band",), "a single mask band contains values, but the classes have colors; write value instead"
            )
        if not self.multilabel:
            for path, text in _texts((), self.arguments):
                if "{class}" in text:
                    raise MisplacedError(path, "one mask for each {class} needs data.multilabel: true")
            claim_values(self.classes, ignored, ignore_index=self.ignore_index)
            return self
        for index, item in enumerate(self.classes):
            if item.colors:
                raise MisplacedError(
                    ("classes", index), "colors have no effect when each class has its own mask; write a value"
                )
            try:
                claim_values([item.layer()], ignored, ignore_index=self.ignore_index)
            except MisplacedError as error:
                path = ("classes", index) if error.path[0] == "classes" else error.path
                raise MisplacedError(path, str(error)) from error
        return self

    @model_validator(mode="after")
    def _objects_are_classes(self) -> "DataConfig":
        known = [item.name for item in self.classes or []]
        objects = self.mix.CopyPaste.classes if known and self.mix and self.mix.CopyPaste else []
        for index, name in enumerate(objects):
            if name not in known:
                path = ("mix", "CopyPaste", "classes", index)
                raise MisplacedError(path, f"no class '{name}'; {suggest(name, known)}")
        return self

    @model_validator(mode="after")
    def _numbers_agree(self) -> "DataConfig":
        if self.folds is None and self.fold:
            raise MisplacedError(("fold",), "needs data.folds; for the column fold of a table, write val_fold")
        if self.folds is not None and self.fold >= self.folds:
            raise MisplacedError(("fold",), f"{self.fold} is too large; the {self.folds} folds are numbered from 0")
        if self.cache_folder is not None and self.cache != "folder":
            raise MisplacedError(("cache_folder",), "needs data.cache: folder")
        if self.bands is not None and len(self.bands) != self.channels:
            raise MisplacedError(
                ("bands",), f"lists {len(self.bands)} bands, but data.channels is {self.channels}; change one of them"
            )
        return self

    @property
    def roots(self) -> list[Path]:
        """The folders of the dataset."""
        return self.root if isinstance(self.root, list) else [self.root]

    @property
    def images_at_once(self) -> int:
        """Images in an evaluation batch; 4 where no training has found a number for batch_size: auto."""
        return self.eval_batch_size or (4 if self.batch_size == "auto" else self.batch_size)

    @property
    def provided(self) -> dict[str, Any]:
        """What read_dataset is told beside the keys of the format."""
        asked = (self.train_split, self.val_split)
        own = {"mask_band": self.mask_band, "split_table": self.split_table}
        return {"classes": self.classes, "asked_splits": asked, **own}

    @property
    def image_options(self) -> dict[str, Any]:
        """How read_image is to read the images of this dataset."""
        given = {"channels": self.channels, "scale": self.scale, "bands": self.bands}
        return {key: value for key, value in given.items() if value is not None}

    @property
    def mode(self) -> str:
        """binary for one class, multiclass for more, multilabel where they overlap: the word that losses know."""
        if self.multilabel:
            return "multilabel"
        return "binary" if len(self.classes) == 1 else "multiclass"

    @property
    def class_names(self) -> list[str]:
        """The names in the order of the confusion matrix: a binary task has its background first."""
        names = [item.name for item in self.classes]
        return ["background", *names] if self.mode == "binary" else names
