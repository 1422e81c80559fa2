"""Leak checks: images that are the same, or nearly so, found by perceptual hashes and thumbnails, within a split
or, worse, in two of them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segtrain.commands.check.dataset_report import DatasetReport
from segtrain.commands.check.examine import ImageRecord, Record
from segtrain.commands.check.finding import Finding, Fix, Level, yaml_fix
from segtrain.errors import count_of

FOLDS, FEWEST_FOLDS = 5, 3
SOME = 0.02  # share of the images that look like others from which on a split at random is a bad idea
_PATTERNS = (r"^.*(?=/)", r"^[^_]+(?=_)", r"^.*(?=[_-])", r"^[^\d]*\d+(?=\D)", r"^.*?(?=\d+$)")


# Measured on CamVid, 468 frames of three drives. Copies (JPEG of quality 20 to 90, half and double size, another
# aspect ratio, brightness -40 % to +20 %, contrast, gamma, blur, noise) differ from their original in at most 8 bits of
# the hash, frames of different drives in at least 10. The correlation of thumbnails is 0.987 and more for the copies,
# and at most 0.877 between drives; half of the frames a second apart have 0.82 to 0.92, more where the car waits.
HASH_DISTANCE = 8
ALIKE = 0.98
SAME = 0.9985  # what is compressed or resized has 0.9998 and more; frames 1/15 s apart 0.998 and less
# In a set of look-alikes (X-rays) a pair must also differ this much less than two of its images usually do.
TYPICAL_ALIKE, TYPICAL_SAME = 0.06, 0.004
_PAIRS_SAMPLED = 4096
MOST_PER_IMAGE = 50  # where all images look alike, each is paired with the next so many
_CHUNK = 1 << 16  # pairs of thumbnails that are compared at once


class Pair(NamedTuple):
    """Two images, by their indices, first < second. `exact`: the same pixels; `same`: the same picture, compressed or
    resized; else nearly the same, like neighboring frames."""

    first: int
    second: int
    exact: bool
    same: bool


def find_duplicates(images: Sequence[ImageRecord | None]) -> list[Pair]:
    """All pairs of images that are the same or nearly so, in order. Of images with the same pixels each is paired with
    the first alone. Flat images are compared by their pixels only."""
    first_of: dict[bytes, int] = {}
    pairs = []
    for index, image in enumerate(images):
        if image is None:
            continue
        first = first_of.setdefault(image.digest, index)
        if first != index:
            pairs.append(Pair(first, index, True, True))
    indices = np.array([p for p in first_of.values() if not images[p].is_flat], np.int64)
    if len(indices) > 1:
        hashes = np.array([images[index].hash for index in indices], np.uint64)
        thumbnails = np.stack([np.frombuffer(images[index].thumbnail, np.uint8) for index in indices])
        for first, second, same in find_near(hashes, thumbnails):
            low, high = sorted((int(indices[first]), int(indices[second])))
            pairs.append(Pair(low, high, False, same))
    return sorted(pairs)


def group_duplicates(records: Sequence[Record]) -> NDArray[np.int64]:
    """A group 0, 1, .. for each record, (N,): images that are the same or nearly so, directly or through others, share
    theirs."""
    pairs = find_duplicates([record.image for record in records])
    size = len(records)
    ends = np.array([(pair.first, pair.second) for pair in pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def find_near(hashes: NDArray[np.uint64], thumbnails: NDArray[np.uint8]) -> list[tuple[int, int, bool]]:
    """Pairs of images whose hashes differ in at most HASH_DISTANCE bits and whose thumbnails, (n, pixels), correlate by
    ALIKE or more, and whether by SAME or more; by clearly more than two images of the set usually do, in both cases."""
    first, second = find_close_hashes(hashes)
    a, b = np.random.default_rng(0).integers(0, len(thumbnails), (2, _PAIRS_SAMPLED))
    usual = np.quantile(1 - correlate(thumbnails[a[a != b]], thumbnails[b[a != b]]), 0.75)
    alike, same = min(1 - ALIKE, TYPICAL_ALIKE * usual), min(1 - SAME, TYPICAL_SAME * usual)
    found = []
    for start in range(0, len(first), _CHUNK):
        a, b = first[start : start + _CHUNK], second[start : start + _CHUNK]
        differences = 1 - correlate(thumbnails[a], thumbnails[b])
        chosen = np.flatnonzero(differences <= alike)
        found += [(int(a[row]), int(b[row]), bool(differences[row] <= same)) for row in chosen]
    return found


def correlate(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pearson's correlation of each row with the row of the other array: (n,), 0 where a row is flat."""
    a, b = (rows.astype(np.float32) - rows.mean(axis=1, keepdims=True, dtype=np.float32) for rows in (first, second))
    norm = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.divide(np.einsum("ij,ij->i", a, b), norm, out=np.zeros_like(norm), where=norm > 0)


def find_close_hashes(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices first < second of hashes that differ in at most HASH_DISTANCE bits, int64 (pairs,) each; for every
    first, the next MOST_PER_IMAGE at most.

    Each is compared with each: with bits written as -1 and 1, the product of two hashes is 64 less twice the number of
    bits that differ. 100,000 hashes take about a minute; reading their images takes an hour.
    """
    signs = 2 * np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32) - 1
    found = [np.zeros((2, 0), np.int64)]
    rows_at_once = max(1, (1 << 22) // max(len(hashes), 1))
    for start in range(0, len(hashes), rows_at_once):
        products = signs[start : start + rows_at_once] @ signs[start:].T
        row, column = np.nonzero(products >= 64 - 2 * HASH_DISTANCE)
        row, column = row[column > row], column[column > row]
        rank = np.arange(len(row)) - np.searchsorted(row, row)  # of each pair among those of its row
        found.append(start + np.stack([row, column])[:, rank < MOST_PER_IMAGE])
    first, second = np.concatenate(found, axis=1)
    return first, second


def find_leaks(report: DatasetReport) -> Iterator[Finding]:
    """Findings about all pairs of images that are alike."""
    records = report.records
    inside: dict[str, list[Pair]] = {"alike": [], "contradicting": [], "copies": []}
    across: dict[tuple[bool, str, str], list[Pair]] = {}
    pairs = find_duplicates([record.image for record in records])
    if report.has_windows:  # of water, or without data, which look alike anywhere
        pairs = [pair for pair in pairs if pair.exact and not records[pair.first].image.is_flat]
    for pair in pairs:
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
        seconds = [pair.second for pair in pairs]
        fix, advice = report.leave_out(
            "set-aside-contradicting",
            seconds,
            "This fix leaves out the second of each; check first which one is wrong.",
        )
        yield _about_pairs(report, "warning", title, f"One of the two masks is wrong. {advice}", fix, pairs)
    if pairs := inside["copies"]:
        copies = sorted({pair.second for pair in pairs})
        title = f"{count_of(len(copies), 'image', 'occurs')} twice or more"
        explanation = (
            "They are copies, some perhaps recompressed: they count twice in training and score, and a random split "
            "puts them on both sides. "
        )
        fix, advice = report.leave_out("set-aside-copies", copies, "This fix leaves out all but the first.")
        explanation += advice
        if report.is_published:
            explanation = "They are copies within a published split: keep them, or scores are no longer comparable."
            fix = None
        yield _about_pairs(report, "note" if report.is_published else "warning", title, explanation, fix, pairs)
    yield from _find_look_alikes(report, inside["alike"])


def _about_pairs(
    report: DatasetReport, level: Level, title: str, explanation: str, fix: Fix | None, pairs: Sequence[Pair]
) -> Finding:
    images = [report.images_of([pair.first, pair.second]) for pair in pairs]
    shown = dict.fromkeys(index for pair in pairs[:4] for index in (pair.first, pair.second))
    return Finding(level, title, explanation, fix, [" and ".join(pair) for pair in images], list(shown))


def _between(report: DatasetReport, first: str, second: str, pairs: list[Pair], *, near: bool) -> Finding:
    """Images of one split that are in another too: what is scored was memorized."""
    number = len({pair.second for pair in pairs})
    if report.has_own_splits:
        alike = "look almost like" if near else "are copies of"
        alike = alike if number != 1 else "looks almost like" if near else "is a copy of"
        title = f"{count_of(number, 'image')} of {second} {alike} {'one' if number == 1 else 'images'} of {first}"
        explanation = "If the split is the published one, keep it, or scores are no longer comparable. If it is "
        explanation += "your own, the score is on images that were almost memorized: split by scene."
        level = "note" if near or report.is_published else "error"
        return _about_pairs(report, level, title, explanation, None, pairs)
    pattern = find_pattern(report.records, pairs) if near else None
    if pattern is not None and (report.config is None or report.config.data.folds is None):
        fix = yaml_fix(data=pattern)
        advice = "The lines below split the images again; images whose names start alike stay together."
    else:
        name = "set-aside-near-leaks" if near else "set-aside-leaks"
        seen = sorted({pair.first for pair in pairs})
        fix, advice = report.leave_out(name, seen, f"This fix removes them from {first}.")
    if near:
        level, what = "warning", "They are neighboring frames, overlapping tiles or edited copies"
        alike = f"{'looks' if number == 1 else 'look'} almost like {'one' if number == 1 else 'images'} of {first}"
    else:
        level, what = "error", "They are copies, some perhaps recompressed"
        alike = f"{'is' if number == 1 else 'are'} in {first} too"
    title = f"{count_of(number, 'image')} of {second} {alike}"
    explanation = f"{what}: the score is on images that were almost memorized. {advice}"
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
    """Neighboring frames within a set that is not split yet, or that is split at random."""
    alike = {index for pair in pairs for index in (pair.first, pair.second)}
    folders = report.source.folders
    if folders is None or "all" not in report.splits or len(alike) < max(4, SOME * len(report.records)):
        return
    pattern = find_pattern(report.records, pairs)
    if pattern is not None:
        fix, advice = yaml_fix(data=pattern), "The lines below keep images together whose names start alike."
    else:
        fix = Fix("run", [f"python -m segtrain init {shlex.join(folders)} -o experiments/mine.yml"])
        advice = "The command below makes a split that keeps them together."
    title = f"{count_of(len(alike), 'image')} of {len(report.records):,} look almost like another one"
    explanation = (
        f"They are neighboring frames or overlapping tiles: a random split would put them on both sides. {advice}"
    )
    yield _about_pairs(report, "note", title, explanation, fix, pairs)
