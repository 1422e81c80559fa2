"""Samples are looked at by several processes, in order, and one that ends its process is told and not waited for."""

import os
import signal

import numpy as np
import pytest

from segtrain.commands.check.examine import Record
from segtrain.commands.check.pool import examine_all
from segtrain.formats.sample import Sample, SampleTable


def table(count, first=0):
    return SampleTable(Sample(f"{number}", f"{number}.png", "m") for number in range(first, first + count))


def remember(split, sample):
    return Record(split, sample, mask_error=str(os.getpid()))


def end_at_30(split, sample):
    if sample.name == "30":
        os.kill(os.getpid(), signal.SIGKILL)
    return Record(split, sample)


@pytest.mark.parametrize("workers", [1, 3])
def test_records_come_in_the_order_of_the_samples(workers):
    records = examine_all({"train": table(100), "val": table(17, 100)}, remember, workers=workers)
    assert [record.sample.name for record in records] == [f"{number}" for number in range(117)]
    assert [record.split for record in records] == ["train"] * 100 + ["val"] * 17
    processes = {record.mask_error for record in records}
    assert (str(os.getpid()) in processes) == (workers == 1)


def test_nothing_to_look_at():
    assert examine_all({}, remember) == []


def test_a_sample_that_ends_its_process_is_told():
    records = examine_all({"train": table(100)}, end_at_30, workers=2)
    assert [record.sample.name for record in records] == [f"{number}" for number in range(100)]
    broken = np.flatnonzero([record.image_error != "" for record in records])
    assert broken.tolist() == [30]
    reason = "the process that read it was killed, most likely for lack of memory"
    assert records[30].image_error == f"30.png: {reason}"
