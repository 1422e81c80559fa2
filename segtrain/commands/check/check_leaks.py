"""Images that are there twice, or nearly so: within a split, and, worse, in two of them."""

import re
import shlex
from collections.abc import Sequence

import numpy as np

from segtrain.commands.check.class_lines import write_text
from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.duplicates import Pair, find_duplicates
from segtrain.commands.check.finding import Finding, Fix, are, count_of, leave_out, shell_fix, yaml_fix
from segtrain.commands.check.record import Record

FOLDS, FEWEST_FOLDS = 5, 3
SOME = 0.02  # share of the images that look like others from which on a split at random is a bad idea
_PATTERNS = (r"^.*(?=/)", r"^[^_]+(?=_)", r"^.*(?=[_-])", r"^[^\d]*\d+(?=\D)", r"^.*?(?=\d+$)")


def find_leaks(report: DatasetReport) -> list[Finding]:
    """Findings about all pairs of images that are alike."""
    records = report.records
    pairs = find_duplicates([record.image for record in records])
    across = [pair for pair in pairs if records[pair.first].split != records[pair.second].split]
    inside = [pair for pair in pairs if records[pair.first].split == records[pair.second].split]
    return [
        *_across(report, [pair for pair in across if pair.same], near=False),
        *_across(report, [pair for pair in across if not pair.same], near=True),
        *_contradicting(report, [pair for pair in inside if pair.exact]),
        *_twice(report, [pair for pair in inside if pair.same]),
        *_look_alikes(report, inside),
    ]


def _show(records: Sequence[Record], pair: Pair) -> str:
    return f"{records[pair.first].sample.image} and {records[pair.second].sample.image}"


def _across(report: DatasetReport, pairs: list[Pair], *, near: bool) -> list[Finding]:
    """Images of one split that are in another too: what is scored was learnt by heart."""
    records = report.records
    by_splits: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        by_splits.setdefault((records[pair.first].split, records[pair.second].split), []).append(pair)
    return [_between(report, *splits, found, near=near) for splits, found in by_splits.items()]


def _between(report: DatasetReport, first: str, second: str, pairs: list[Pair], *, near: bool) -> Finding:
    number = len({pair.second for pair in pairs})
    same = f"{are(number)} in {first} too"
    alike = f"{'looks' if number == 1 else 'look'} nearly like {'one' if number == 1 else 'images'} of {first}"
    pattern = find_pattern(report.records, pairs) if near else None
    fix, advice = _repair(report, pattern, sorted({pair.first for pair in pairs}), first)
    what = "Neighbouring frames, overlapping tiles or edited copies" if near else "Copies, some perhaps compressed anew"
    return Finding(
        "warning" if near else "error",
        f"{count_of(number, 'image')} of {second} {alike if near else same}",
        f"{what}: the score is of images that were as good as learnt by heart. {advice}",
        fix,
        tuple(_show(report.records, pair) for pair in pairs),
        tuple(dict.fromkeys(index for pair in pairs[:4] for index in (pair.first, pair.second))),
    )


def _repair(report: DatasetReport, pattern: tuple[str, int] | None, indices: list[int], split: str) -> tuple[Fix, str]:
    config = report.config
    if pattern is not None and (config is None or config.data.folds is None):
        return _grouped(*pattern), "The lines part the images anew; what begins with the same name stays together."
    samples = [report.records[index].sample for index in indices]
    return leave_out(samples, in_folders=report.in_folders), f"The lines take them out of {split}."


def find_pattern(records: Sequence[Record], pairs: Sequence[Pair]) -> tuple[str, int] | None:
    """A group_pattern by which both images of every pair are of one group, and the number of folds that there are
    groups for; None where there is no such pattern."""
    names = [record.sample.name for record in records]
    for pattern in _PATTERNS:
        expression = re.compile(pattern)
        found = [match[0] if (match := expression.search(name)) else None for name in names]
        groups = len(set(found))
        if None in found or groups < FEWEST_FOLDS or groups == len(found):
            continue
        if all(found[pair.first] == found[pair.second] for pair in pairs):
            return pattern, min(FOLDS, groups)
    return None


def _grouped(pattern: str, folds: int) -> Fix:
    return yaml_fix("data:", f"  folds: {folds}", f"  group_pattern: {write_text(pattern)}")


def _contradicting(report: DatasetReport, pairs: list[Pair]) -> list[Finding]:
    """The same pixels with different masks."""
    records = report.records
    wrong = [pair for pair in pairs if not _same_mask(records[pair.first], records[pair.second])]
    if not wrong:
        return []
    return [
        Finding(
            "warning",
            f"{count_of(len(wrong), 'image')} {are(len(wrong))} there twice with different masks",
            "One of the two masks is wrong. The lines leave the second of each out; look which one it should be.",
            leave_out([records[pair.second].sample for pair in wrong], in_folders=report.in_folders),
            tuple(_show(records, pair) for pair in wrong),
            tuple(index for pair in wrong[:3] for index in (pair.first, pair.second)),
        )
    ]


def _same_mask(first: Record, second: Record) -> bool:
    a, b = first.mask, second.mask
    return a is None or b is None or (np.array_equal(a.codes, b.codes) and np.array_equal(a.counts, b.counts))


def _twice(report: DatasetReport, pairs: list[Pair]) -> list[Finding]:
    """Copies within a split."""
    records = report.records
    pairs = [pair for pair in pairs if not pair.exact or _same_mask(records[pair.first], records[pair.second])]
    if not pairs:
        return []
    copies = list(dict.fromkeys(pair.second for pair in pairs))
    return [
        Finding(
            "warning",
            f"{count_of(len(copies), 'image')} {are(len(copies))} there twice or more",
            "Copies, some perhaps compressed anew: they count double in training and score, and a split at random puts "
            "them on both sides. The lines leave all but the first out.",
            leave_out([records[index].sample for index in copies], in_folders=report.in_folders),
            tuple(_show(records, pair) for pair in pairs),
            tuple(dict.fromkeys(index for pair in pairs[:3] for index in (pair.first, pair.second))),
        )
    ]


def _look_alikes(report: DatasetReport, pairs: list[Pair]) -> list[Finding]:
    """Neighbouring frames within a set that is not split yet, or that is split at random."""
    near = [pair for pair in pairs if not pair.same]
    records = report.records
    alike = {index for pair in near for index in (pair.first, pair.second)}
    at_random = report.folders is not None and "all" in report.splits
    if not at_random or len(alike) < max(4, SOME * len(records)):
        return []
    pattern = find_pattern(records, near)
    if pattern is not None:
        fix, advice = _grouped(*pattern), "The lines keep together what has the same beginning of the name."
    else:
        folders = " ".join(map(shlex.quote, report.folders))
        fix = shell_fix(f"python -m segtrain init {folders} -o experiments/mine.yml")
        advice = "The line makes a split that keeps them together."
    return [
        Finding(
            "note",
            f"{count_of(len(alike), 'image')} of {len(records):,} look nearly like another one",
            f"Neighbouring frames or overlapping tiles: a split at random would put them on both sides. {advice}",
            fix,
            tuple(_show(records, pair) for pair in near),
            tuple(dict.fromkeys(index for pair in near[:3] for index in (pair.first, pair.second))),
        )
    ]
