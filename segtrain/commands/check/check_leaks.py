"""Leak checks: images that occur twice, or nearly so, within a split or, worse, in two of them."""

import re
import shlex
from collections.abc import Iterator, Sequence

import numpy as np

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.duplicates import Pair, find_duplicates
from segtrain.commands.check.finding import Finding, Fix, Level, are, count_of, shell_fix, yaml_fix
from segtrain.commands.check.record import Record
from segtrain.commands.check.yaml_lines import write_text

FOLDS, FEWEST_FOLDS = 5, 3
SOME = 0.02  # share of the images that look like others from which on a split at random is a bad idea
_PATTERNS = (r"^.*(?=/)", r"^[^_]+(?=_)", r"^.*(?=[_-])", r"^[^\d]*\d+(?=\D)", r"^.*?(?=\d+$)")


def find_leaks(report: DatasetReport) -> Iterator[Finding]:
    """Findings about all pairs of images that are alike."""
    records = report.records
    inside: list[Pair] = []
    across: dict[tuple[bool, str, str], list[Pair]] = {}
    for pair in find_duplicates([record.image for record in records]):
        first, second = records[pair.first].split, records[pair.second].split
        if first == second:
            inside.append(pair)
        else:
            across.setdefault((not pair.same, first, second), []).append(pair)
    contradicting, copies = [], []
    for pair in inside:
        if pair.same:
            same = not pair.exact or _same_mask(records[pair.first], records[pair.second])
            (copies if same else contradicting).append(pair)
    for near, *splits in sorted(across):
        yield _between(report, *splits, across[near, *splits], near=near)
    if contradicting:
        yield _describe_contradicting(report, contradicting)
    if copies:
        yield _describe_copies(report, copies)
    yield from _find_look_alikes(report, [pair for pair in inside if not pair.same])


def _about_pairs(
    report: DatasetReport, level: Level, title: str, explanation: str, fix: Fix, pairs: Sequence[Pair]
) -> Finding:
    images = [report.images_of([pair.first, pair.second]) for pair in pairs]
    shown = dict.fromkeys(index for pair in pairs[:4] for index in (pair.first, pair.second))
    return Finding(level, title, explanation, fix, [" and ".join(pair) for pair in images], list(shown))


def _between(report: DatasetReport, first: str, second: str, pairs: list[Pair], *, near: bool) -> Finding:
    """Images of one split that are in another too: what is scored was memorised."""
    number = len({pair.second for pair in pairs})
    if near:
        alike = f"{'looks' if number == 1 else 'look'} nearly like {'one' if number == 1 else 'images'} of {first}"
        what = "Neighbouring frames, overlapping tiles or edited copies"
    else:
        alike, what = f"{are(number)} in {first} too", "Copies, some perhaps compressed anew"
    pattern = find_pattern(report.records, pairs) if near else None
    if pattern is not None and (report.config is None or report.config.data.folds is None):
        fix = _grouped(*pattern)
        advice = "The lines split the images anew; images whose names begin alike stay together."
    else:
        name = "set-aside-near-leaks" if near else "set-aside-leaks"
        fix = report.leave_out(name, sorted({pair.first for pair in pairs}))
        advice = f"This fix takes them out of {first}."
    title = f"{count_of(number, 'image')} of {second} {alike}"
    explanation = f"{what}: the score is that of images that were all but memorised. {advice}"
    return _about_pairs(report, "warning" if near else "error", title, explanation, fix, pairs)


def find_pattern(records: Sequence[Record], pairs: Sequence[Pair]) -> tuple[str, int] | None:
    """A group_pattern by which both images of every pair are of one group, and the number of folds that there are
    groups for; None where no pattern does."""
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


def _describe_contradicting(report: DatasetReport, pairs: list[Pair]) -> Finding:
    """The same pixels with different masks."""
    title = f"{count_of(len(pairs), 'image')} {'occurs' if len(pairs) == 1 else 'occur'} twice with different masks"
    explanation = (
        "One of the two masks is wrong. This fix leaves the second of each out; check first which one it should be."
    )
    fix = report.leave_out("set-aside-contradicting", [pair.second for pair in pairs])
    return _about_pairs(report, "warning", title, explanation, fix, pairs)


def _same_mask(first: Record, second: Record) -> bool:
    a, b = first.mask, second.mask
    return a is None or b is None or (np.array_equal(a.codes, b.codes) and np.array_equal(a.counts, b.counts))


def _describe_copies(report: DatasetReport, pairs: list[Pair]) -> Finding:
    """Copies within a split."""
    copies = sorted({pair.second for pair in pairs})
    title = f"{count_of(len(copies), 'image')} {'occurs' if len(copies) == 1 else 'occur'} twice or more"
    explanation = (
        "Copies, some perhaps compressed anew: they count double in training and score, and a split at random puts "
        "them on both sides. This fix leaves all but the first out."
    )
    return _about_pairs(report, "warning", title, explanation, report.leave_out("set-aside-copies", copies), pairs)


def _find_look_alikes(report: DatasetReport, pairs: list[Pair]) -> Iterator[Finding]:
    """Neighbouring frames within a set that is not split yet, or that is split at random."""
    alike = {index for pair in pairs for index in (pair.first, pair.second)}
    folders = report.source.folders
    if folders is None or "all" not in report.splits or len(alike) < max(4, SOME * len(report.records)):
        return
    pattern = find_pattern(report.records, pairs)
    if pattern is not None:
        fix, advice = _grouped(*pattern), "The lines keep images together whose names begin alike."
    else:
        fix = shell_fix(f"python -m segtrain init {shlex.join(folders)} -o experiments/mine.yml")
        advice = "The line makes a split that keeps them together."
    title = f"{count_of(len(alike), 'image')} of {len(report.records):,} look nearly like another one"
    explanation = f"Neighbouring frames or overlapping tiles: a split at random would put them on both sides. {advice}"
    yield _about_pairs(report, "note", title, explanation, fix, pairs)
