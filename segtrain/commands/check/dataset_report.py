"""Dataset report: all that is known once every file has been looked at, from which the findings are drawn."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segtrain.commands.check.examine import Record, as_written, examine
from segtrain.commands.check.finding import (
    INTO_EXPERIMENT,
    Change,
    Finding,
    Fix,
    Level,
    apply_fix,
    explicit,
    make_class,
    write_classes,
    write_lines,
)
from segtrain.commands.check.mask_kinds import find_band, find_same, take_band
from segtrain.commands.check.mask_values import Labeling, Proposal, Values, labeling_of, merge_values, propose_classes
from segtrain.commands.check.pool import examine_all
from segtrain.commands.check.source import MOST_LEFT_OUT, Source
from segtrain.config.data_schema import ClassConfig, DataConfig, are_colors
from segtrain.config.schema import Config
from segtrain.errors import ConfigError, count_of, name_some
from segtrain.files import split_window
from segtrain.formats.dataset_info import known_labels, published
from segtrain.training.build import place_loss

LISTED = 500  # samples that are named in a fix


@dataclass(frozen=True)
class DatasetReport:
    """The records of all samples and what follows from them.

    `data` has the classes of the experiment, for two folders those of the proposal; None where nothing is proposed.
    `values` are those of the masks as they are, `read` as the labeling reads them (colors or values). `counts` int64
    (N, classes + 2) are as Labeling.count has them: zeros where a mask was not read, or there are no classes.
    """

    source: Source
    records: list[Record]
    data: DataConfig | None
    values: Values | None
    read: Values | None
    proposal: Proposal | None
    labeling: Labeling | None
    counts: NDArray[np.int64]

    @property
    def config(self) -> Config | None:
        """The experiment; None for two folders."""
        return self.source.config

    @property
    def is_published(self) -> bool:
        """Whether this is a published dataset, with its own splits and its own classes."""
        return self.config is not None and self.config.data.format in published()

    @property
    def has_own_splits(self) -> bool:
        """Whether the files lie in folders of splits, or the dataset is published with its splits."""
        if self.config is None:
            return "all" not in self.source.splits
        data = self.config.data
        return data.folds is None and (
            self.is_published or (data.format == "folders" and isinstance(data.arguments.get("images"), dict))
        )

    @cached_property
    def has_windows(self) -> bool:
        """Whether some images were looked at in windows."""
        return any(split_window(record.sample.image)[1] is not None for record in self.records)

    @property
    def count_text(self) -> str:
        """`12 images`, or how many windows of how many images were looked at."""
        wholes = len({split_window(record.sample.image)[0] for record in self.records})
        windows = f"{count_of(len(self.records), 'window')} of " if self.has_windows else ""
        return f"{windows}{count_of(wholes, 'image')}"

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """The indices of the records of each split."""
        names = np.array([record.split for record in self.records])
        return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}

    @cached_property
    def masked(self) -> list[int]:
        """The indices of the records whose mask was read."""
        return self.where(lambda record: record.mask is not None)

    def where(self, wanted: Callable[[Record], Any]) -> list[int]:
        """The indices of the records for which this is true."""
        return [index for index, record in enumerate(self.records) if wanted(record)]

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """Pixels of each class, (N, classes)."""
        return self.counts[:, :-2]

    def holding(self, codes: Iterable[int]) -> list[int]:
        """The indices of the records whose masks have a pixel of one of these values, as the labeling reads them."""
        own = [None if r.mask is None else self.labeling.codes_of(r.mask) for r in self.records]
        return [index for index, held in enumerate(own) if held is not None and np.isin(held, list(codes)).any()]

    def images_of(self, indices: Iterable[int]) -> list[str]:
        """The image files of these records."""
        return [self.records[index].sample.image for index in indices]

    def masks_of(self, indices: Iterable[int]) -> list[str]:
        """The files of the masks of these records, one each."""
        return [self.records[index].sample.mask_file for index in indices]

    def finding(
        self,
        level: Level,
        title: str,
        explanation: str,
        fix: Fix | str | None = None,
        *,
        images: Sequence[int] = (),
        masks: Sequence[int] = (),
        files: Sequence[str] = (),
        marked: Iterable[int] = (),
    ) -> Finding:
        """A finding about the images or the masks of these records; lists their files unless others are given. A fix
        by its name alone takes the records out, and the explanation ends with what leave_out says of that."""
        records = [*images, *masks]
        files = files or [*self.images_of(images), *self.masks_of(masks)]
        if isinstance(fix, str):
            fix, advice = self.leave_out(fix, records)
            explanation = f"{explanation} {advice}".rstrip()
        return Finding(level, title, explanation, fix, files, records, frozenset(marked))

    def classes_fix(
        self, classes: Sequence[ClassConfig], ignore_values: Sequence[float | list[int]] = (), **keys: Any
    ) -> Fix:
        """The lines for these classes, with all that would not fit them any more: a `loss` that has no mode for their
        number, values to ignore, a band, a monitored class. `keys` are further ones of `data`."""
        own, data = {}, self.data
        changed = data is not None and (len(data.classes) == 1) != (len(classes) == 1)
        if self.config is not None:
            if data.ignore_values and not ignore_values:
                keys["ignore_values"] = []
            if data.mask_band is not None and are_colors(classes):
                keys["mask_band"] = None
            if self.config.train.monitor.partition("/")[2] not in ("", *(item.name for item in classes)):
                own["train"] = {"monitor": "miou"}
            changed = not self._loss_takes(classes)
        if changed:
            pixel_loss = "BCEWithLogitsLoss" if len(classes) == 1 or data.multilabel else "CrossEntropyLoss"
            own["loss"] = {pixel_loss: 1.0, "DiceLoss": 1.0}
        lines = [*write_classes(classes, ignore_values), *write_lines({"data": keys})[1:], *write_lines(own)]
        return Fix(INTO_EXPERIMENT, lines)

    def _loss_takes(self, classes: Sequence[ClassConfig]) -> bool:
        data = self.config.data.model_copy(update={"classes": [*classes]})
        try:
            place_loss(self.config.model_copy(update={"data": data}), torch.device("cpu"), statistics=None)
        except ConfigError:
            return False
        return True

    def with_new(self, codes: Sequence[int]) -> list[ClassConfig]:
        """The classes and one for each of these values (packed colors); a class that was alone has a background."""
        is_color, classes = self.labeling.as_color, explicit(self.data.classes)
        key = "color" if is_color else "value"
        if self.labeling.binary and 0 not in codes and 0 in self.read.codes:
            classes.insert(0, make_class("background", key, [as_written(0, as_color=is_color)]))
        for code in codes:
            name = f"class_{len(classes) + 1 if is_color else code}"
            if name in {item.name for item in classes}:
                name = f"class_{len(classes) + 1}"
            classes.append(make_class(name, key, [as_written(code, as_color=is_color)]))
        return classes

    def take_out(self, indices: Iterable[int]) -> Fix:
        """Names of samples for the user to take out of a list that segtrain does not change."""
        names = [self.records[index].sample.name for index in indices]
        return Fix("remove from the lists of the dataset", names[:LISTED])

    def leave_out(
        self, name: str, indices: Sequence[int], text: str = "This fix leaves them out."
    ) -> tuple[Fix | None, str]:
        """Take samples out of the dataset, and the `text` that says so: the fix `name` renames their files where
        folders are read as they are; otherwise their names are for the user to take out of a list. No fix for more
        than MOST_LEFT_OUT of the data: then something else is wrong."""
        if self.has_windows:
            return None, ""
        if len({*indices}) > max(1, MOST_LEFT_OUT * len(self.records)):
            share = f"{len({*indices}):,} of {len(self.records):,}"
            return None, f"They are {share}, too many to leave out; look for what they have in common."
        if self.config is not None and self.config.data.format != "folders":
            return self.take_out(indices), text
        samples = [self.records[index].sample for index in indices]
        files = (file for sample in samples for file in (sample.image, *sample.mask_files) if file)
        return apply_fix(name, map(Change, files)), text


def gather(source: Source) -> DatasetReport:
    """Look at all files of a source, and put together what was found."""
    data = source.config.data if source.config is not None else None
    records = examine_all(source.splits, partial(examine, data))
    masks = [record.mask for record in records if record.mask is not None]
    layered = data is not None and data.multilabel
    band = find_band(masks)
    chosen = [take_band(mask, band) for mask in masks] if band is not None else masks
    values = None if layered else merge_values(chosen)
    proposal = None
    if values is not None:
        same = find_same(chosen, values)
        proposal = propose_classes(values, known_labels(), same=same, mask_band=band)
    if data is None and proposal is not None and proposal.classes:
        data = DataConfig(
            root=".", classes=proposal.classes, ignore_values=proposal.ignore_values, mask_band=proposal.mask_band
        )
        masks = chosen
        if band is not None:
            records = [r if r.mask is None else r._replace(mask=take_band(r.mask, band)) for r in records]
    labeling = labeling_of(data) if data is not None else None
    counts = np.zeros((len(records), (0 if labeling is None else len(labeling.names)) + 2), np.int64)
    for row, record in zip(counts, records, strict=True):
        if labeling is not None and record.mask is not None:
            row[:] = labeling.count(record.mask)
    read = None if layered or labeling is None else merge_values(masks, is_color=labeling.as_color)
    return DatasetReport(source, records, data, values, read, proposal, labeling, counts)


def list_values(values: Values, rows: Iterable[int]) -> str:
    """`77 (3 pixels in 1 mask), ...`."""
    shown = [
        f"{as_written(int(values.codes[row]), as_color=values.is_color)} "
        f"({count_of(int(values.pixels[row]), 'pixel')} in {count_of(int(values.masks[row]), 'mask')})"
        for row in sorted(rows, key=lambda row: -values.pixels[row])
    ]
    return name_some(shown, most=8)
