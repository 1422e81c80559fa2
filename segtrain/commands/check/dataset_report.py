"""All that is known once every file has been looked at: what the findings are drawn from."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segtrain.commands.check.labelling import Labelling, labelling_from, labelling_of
from segtrain.commands.check.propose import Proposal, propose_classes
from segtrain.commands.check.record import Record
from segtrain.commands.check.source import Subject
from segtrain.commands.check.values import Values, merge_values
from segtrain.config.schema import Config
from segtrain.formats.dataset_info import known_labels


@dataclass(frozen=True)
class Evidence:
    """The records of all samples and what follows from them.

    `values` are those of the masks as they are, `read` as the labelling reads them (colours or values). `counts` int64
    (N, classes + 2) are as Labelling.count has them: zeros where a mask was not read, or there are no classes.
    """

    records: list[Record]
    config: Config | None
    in_folders: bool
    folders: tuple[str, str] | None
    values: Values | None
    read: Values | None
    proposal: Proposal | None
    labelling: Labelling | None
    counts: NDArray[np.int64]

    @cached_property
    def splits(self) -> dict[str, NDArray[np.int64]]:
        """The places of the records of each split."""
        names = np.array([record.split for record in self.records])
        return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}

    def holding(self, codes: Iterable[int]) -> list[int]:
        """The places of the records whose masks have a pixel of one of these values, as the labelling reads them."""
        wanted = np.array(sorted(codes), np.int64)
        found = []
        for place, record in enumerate(self.records):
            own = None if record.mask is None or self.labelling is None else self.labelling.codes_of(record.mask)
            if own is not None and np.isin(own, wanted).any():
                found.append(place)
        return found

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """Pixels of each class, (N, classes)."""
        return self.counts[:, :-2]


def gather(subject: Subject, records: list[Record]) -> Evidence:
    """Put together what was found in the files of a subject."""
    config = subject.config
    masks = [record.mask for record in records if record.mask is not None]
    layered = config is not None and config.data.multilabel
    values = None if layered else merge_values(masks)
    proposal = None if values is None else propose_classes(values, known_labels())
    if config is not None:
        labelling = labelling_of(config.data)
    else:
        labelling = None if proposal is None else labelling_from(proposal)
    width = 0 if labelling is None else len(labelling.names)
    counts = np.zeros((len(records), width + 2), np.int64)
    if labelling is not None:
        for row, record in zip(counts, records, strict=True):
            if record.mask is not None:
                row[:] = labelling.count(record.mask)
    read = None if layered or labelling is None else merge_values(masks, is_color=labelling.as_color)
    return Evidence(records, config, subject.in_folders, subject.folders, values, read, proposal, labelling, counts)
