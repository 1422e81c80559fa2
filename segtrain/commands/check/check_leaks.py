"""Leak checks: images that occur twice, or nearly so, within a split or, worse, in two of them."""

import re
import shlex
from collections.abc import Iterator, Sequence

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.duplicates import Pair, find_duplicates
from segtrain.commands.check.examine import Record
from segtrain.commands.check.finding import Finding, Fix, Level, count_of, yaml_fix

FOLDS, FEWEST_FOLDS = 5, 3
SOME = 0.02  # share of the images that look like others from which on a split at random is a bad idea
_PATTERNS = (r"^.*(?=/)", r"^[^_]+(?=_)", r"^.*(?=[_-])", r"^[^\d]*\d+(?=\D)", r"^.*?(?=\d+$)")


def find_leaks(report: DatasetReport) -> Iterator[Finding]:
    """Findings about all pairs of images that are alike."""
    records = report.records
    inside: dict[str, list[Pair]] = {"alike": [], "contradicting": [], "copies": []}
    across: dict[tuple[bool, str, str], list[Pair]] = {}
    for pair in find_duplicates([record.image for record in records]):
        first, second = records[pair.first], records[pair.second]
        if first.split != second.split:
            across.setdefault((not pair.same, first.split, second.split), []).append(pair)
        elif pair.same:
            held = [(r.mask.codes.tolist(), r.mask.counts.tolist()) for r in (first, second) if r.mask]
            differ = pair.exact and len(held) == 2 and held[0] != held[1]
            inside["contradicting" if differ else "copies"].append(pair)
        else:
            inside["alike"].append(pair)
    for near, *splits in sorted(across):
        yield _between(report, *splits, across[near, *splits], near=near)
    if pairs := inside["contradicting"]:
        title = f"{count_of(len(pairs), 'image', 'occurs')} twice with different masks"
        explanation = (
            "One of the two masks is wrong. This fix leaves the second of each out; check first which one it should be."
        )
        fix = report.leave_out("set-aside-contradicting", [pair.second for pair in pairs])
        yield _about_pairs(report, "warning", title, explanation, fix, pairs)
    if pairs := inside["copies"]:
        copies = sorted({pair.second for pair in pairs})
        title = f"{count_of(len(copies), 'image', 'occurs')} twice or more"
        explanation = (
            "Copies, some perhaps compressed anew: they count double in training and score, and a split at random puts "
            "them on both sides. This fix leaves all but the first out."
        )
        fix = report.leave_out("set-aside-copies", copies)
        yield _about_pairs(report, "warning", title, explanation, fix, pairs)
    yield from _find_look_alikes(report, inside["alike"])


def _about_pairs(
    report: DatasetReport, level: Level, title: str, explanation: str, fix: Fix, pairs: Sequence[Pair]
) -> Finding:
    images = [report.images_of([pair.first, pair.second]) for pair in pairs]
    shown = dict.fromkeys(index for pair in pairs[:4] for index in (pair.first, pair.second))
    return Finding(level, title, explanation, fix, [" and ".join(pair) for pair in images], list(shown))


def _between(report: DatasetReport, first: str, second: str, pairs: list[Pair], *, near: bool) -> Finding:
    """Images of one split that are in another too: what is scored was memorised."""
    number = len({pair.second for pair in pairs})
    pattern = find_pattern(report.records, pairs) if near else None
    if pattern is not None and (report.config is None or report.config.data.folds is None):
        fix = yaml_fix(data=pattern)
        advice = "The lines split the images anew; images whose names begin alike stay together."
    else:
        name = "set-aside-near-leaks" if near else "set-aside-leaks"
        fix = report.leave_out(name, sorted({pair.first for pair in pairs}))
        advice = f"This fix takes them out of {first}."
    if near:
        level, what = "warning", "Neighbouring frames, overlapping tiles or edited copies"
        alike = f"{'looks' if number == 1 else 'look'} nearly like {'one' if number == 1 else 'images'} of {first}"
    else:
        level, what = "error", "Copies, some perhaps compressed anew"
        alike = f"{'is' if number == 1 else 'are'} in {first} too"
    title = f"{count_of(number, 'image')} of {second} {alike}"
    explanation = f"{what}: the score is that of images that were all but memorised. {advice}"
    return _about_pairs(report, level, title, explanation, fix, pairs)


def find_pattern(records: Sequence[Record], pairs: Sequence[Pair]) -> dict[str, int | str] | None:
    """A group_pattern by which both images of every pair are of one group, and the number of folds that there are
    groups for, as `data` has them; None where no pattern does."""
    names = [record.sample.name for record in records]
    for pattern in _PATTERNS:
        found = [match and match[0] for match in (re.search(pattern, name) for name in names)]
        groups = len(set(found))
        if None in found or groups < FEWEST_FOLDS or groups == len(found):
            continue
        if all(found[pair.first] == found[pair.second] for pair in pairs):
            return {"folds": min(FOLDS, groups), "group_pattern": pattern}
    return None


def _find_look_alikes(report: DatasetReport, pairs: list[Pair]) -> Iterator[Finding]:
    """Neighbouring frames within a set that is not split yet, or that is split at random."""
    alike = {index for pair in pairs for index in (pair.first, pair.second)}
    folders = report.source.folders
    if folders is None or "all" not in report.splits or len(alike) < max(4, SOME * len(report.records)):
        return
    pattern = find_pattern(report.records, pairs)
    if pattern is not None:
        fix, advice = yaml_fix(data=pattern), "The lines keep images together whose names begin alike."
    else:
        fix = Fix("run", [f"python -m segtrain init {shlex.join(folders)} -o experiments/mine.yml"])
        advice = "The line makes a split that keeps them together."
    title = f"{count_of(len(alike), 'image')} of {len(report.records):,} look nearly like another one"
    explanation = f"Neighbouring frames or overlapping tiles: a split at random would put them on both sides. {advice}"
    yield _about_pairs(report, "note", title, explanation, fix, pairs)
