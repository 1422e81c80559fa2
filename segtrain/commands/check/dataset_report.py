"""Dataset report: all that is known once every file has been looked at, from which the findings are drawn."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.finding import Fix, set_aside, take_out
from segtrain.commands.check.mask_values import Labelling, Values, label, labelling_of, merge_values
from segtrain.commands.check.propose import Proposal, propose_classes
from segtrain.commands.check.record import Record
from segtrain.commands.check.source import Source
from segtrain.config.schema import Config
from segtrain.formats.dataset_info import known_labels


@dataclass(frozen=True)
class DatasetReport:
    """The records of all samples and what follows from them.

    `values` are those of the masks as they are, `read` as the labelling reads them (colours or values). `counts` int64
    (N, classes + 2) are as Labelling.count has them: zeros where a mask was not read, or there are no classes.
    """

    source: Source
    records: list[Record]
    values: Values | None
    read: Values | None
    proposal: Proposal | None
    labelling: Labelling | None
    counts: NDArray[np.int64]

    @property
    def config(self) -> Config | None:
        """The experiment; None for two folders."""
        return self.source.config

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """The indices of the records of each split."""
        names = np.array([record.split for record in self.records])
        return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """Pixels of each class, (N, classes)."""
        return self.counts[:, :-2]

    def holding(self, codes: Iterable[int]) -> list[int]:
        """The indices of the records whose masks have a pixel of one of these values, as the labelling reads them."""
        wanted = np.array(sorted(codes), np.int64)
        found = []
        for index, record in enumerate(self.records):
            own = None if record.mask is None or self.labelling is None else self.labelling.codes_of(record.mask)
            if own is not None and np.isin(own, wanted).any():
                found.append(index)
        return found

    def images_of(self, indices: Iterable[int]) -> list[str]:
        """The image files of these records."""
        return [self.records[index].sample.image for index in indices]

    def masks_of(self, indices: Iterable[int]) -> list[str]:
        """The files of the masks of these records, one each."""
        return [self.records[index].sample.mask_file for index in indices]

    def leave_out(self, name: str, indices: Iterable[int]) -> Fix:
        """Take samples out of the data set: the fix `name` renames their files where folders are read as they are;
        otherwise their names are for the user to take out of a list."""
        samples = [self.records[index].sample for index in indices]
        if not self.source.in_folders:
            return take_out([sample.name for sample in samples])
        return set_aside(name, (file for sample in samples for file in (sample.image, *sample.mask_files) if file))


def gather(source: Source, records: list[Record]) -> DatasetReport:
    """Put together what was found in the files of a source."""
    config = source.config
    masks = [record.mask for record in records if record.mask is not None]
    layered = config is not None and config.data.multilabel
    values = None if layered else merge_values(masks)
    proposal = None if values is None else propose_classes(values, known_labels())
    if config is not None:
        labelling = labelling_of(config.data)
    else:
        labelling = label(proposal.classes, proposal.ignore_values) if proposal and proposal.classes else None
    counts = np.zeros((len(records), (0 if labelling is None else len(labelling.names)) + 2), np.int64)
    if labelling is not None:
        for row, record in zip(counts, records, strict=True):
            if record.mask is not None:
                row[:] = labelling.count(record.mask)
    read = None if layered or labelling is None else merge_values(masks, is_color=labelling.as_color)
    return DatasetReport(source, records, values, read, proposal, labelling, counts)
