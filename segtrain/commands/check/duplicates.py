"""Images that are the same, or nearly so, found without comparing each with each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segtrain.commands.check.record import ImageFacts, Record

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
_BANDS = ((0, 13), (13, 13), (26, 13), (39, 13), (52, 12))  # first bit and number of bits
_MOST_PER_BUCKET, _MOST_PER_IMAGE = 128, 50
_CHUNK = 1 << 20
_ONES = np.array([bin(value).count("1") for value in range(1 << 16)], np.uint8)


class Pair(NamedTuple):
    """Two images, by their places, first < second. `exact`: the same pixels; `same`: the same picture, compressed or
    resized; else nearly the same, like neighbouring frames."""

    first: int
    second: int
    exact: bool
    same: bool


def find_duplicates(images: Sequence[ImageFacts | None]) -> list[Pair]:
    """All pairs of images that are the same or nearly so, in order. Of images with the same pixels each is paired with
    the first alone. Flat images are compared by their pixels only."""
    first_of: dict[bytes, int] = {}
    pairs = []
    for place, image in enumerate(images):
        if image is None:
            continue
        first = first_of.setdefault(image.digest, place)
        if first != place:
            pairs.append(Pair(first, place, True, True))
    places = np.array([p for p in first_of.values() if not images[p].is_flat], np.int64)
    if len(places) > 1:
        hashes = np.array([images[place].hash for place in places], np.uint64)
        thumbnails = np.stack([np.frombuffer(images[place].thumbnail, np.uint8) for place in places])
        for first, second, same in find_near(hashes, thumbnails):
            low, high = sorted((int(places[first]), int(places[second])))
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
    """Pairs of places whose hashes differ in at most HASH_DISTANCE bits and whose thumbnails, (n, pixels), correlate by
    ALIKE or more, and whether by SAME or more; by clearly more than two images of the set usually do, in both cases."""
    first, second = find_close_hashes(hashes)
    usual = _usual_difference(thumbnails)
    alike, same = min(1 - ALIKE, TYPICAL_ALIKE * usual), min(1 - SAME, TYPICAL_SAME * usual)
    found = []
    for start in range(0, len(first), _CHUNK // 16):
        a, b = first[start : start + _CHUNK // 16], second[start : start + _CHUNK // 16]
        differences = 1 - correlate(thumbnails[a], thumbnails[b])
        chosen = np.flatnonzero(differences <= alike)
        found += [(int(a[row]), int(b[row]), bool(differences[row] <= same)) for row in chosen]
    return found


def _usual_difference(thumbnails: NDArray[np.uint8]) -> float:
    """1 - correlation, which three of four pairs of images do not exceed."""
    a, b = np.random.default_rng(0).integers(0, len(thumbnails), (2, _PAIRS_SAMPLED))
    a, b = a[a != b], b[a != b]
    return float(np.quantile(1 - correlate(thumbnails[a], thumbnails[b]), 0.75))


def correlate(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pearson's correlation of each row with that of the same place: (n,), 0 where a row is flat."""
    a, b = (rows.astype(np.float32) - rows.mean(axis=1, keepdims=True, dtype=np.float32) for rows in (first, second))
    norm = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.divide(np.einsum("ij,ij->i", a, b), norm, out=np.zeros_like(norm), where=norm > 0)


def find_close_hashes(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places first < second of all hashes that differ in at most HASH_DISTANCE bits.

    Multi-index hashing (Norouzi, Punjani, Fleet: Fast search in Hamming space with multi-index hashing, 2012): of five
    bands of the 64 bits, one at least differs in a single bit or none, so only hashes in such buckets are compared.
    100,000 random ones take 7 s. Where all images look alike, a hash is compared with the next 128 of a bucket, and the
    search ends at 50 pairs an image.
    """
    probes = [(0, band) for band in _BANDS] + [(1 << bit, band) for band in _BANDS for bit in range(band[1])]
    tables = {band: _table(hashes, *band) for band in _BANDS}
    found, number = [np.zeros(0, np.int64)], 0
    for flip, band in probes:
        keys, order, ordered, rank = tables[band]
        low = np.searchsorted(ordered, keys ^ flip, side="left")
        high = np.searchsorted(ordered, keys ^ flip, side="right")
        low = np.maximum(low, rank + 1) if flip == 0 else low
        for a, b in _expand(low, np.clip(high - low, 0, _MOST_PER_BUCKET), order):
            close = _ONES[(hashes[a] ^ hashes[b]).view(np.uint16).reshape(-1, 4)].sum(axis=1) <= HASH_DISTANCE
            a, b = a[close], b[close]
            found.append(np.unique(np.minimum(a, b) * len(hashes) + np.maximum(a, b)))
            number += len(found[-1])
        if number > _MOST_PER_IMAGE * len(hashes):
            break
    codes = np.unique(np.concatenate(found))
    return codes // max(len(hashes), 1), codes % max(len(hashes), 1)


def _table(hashes: NDArray[np.uint64], shift: int, width: int) -> tuple[NDArray, ...]:
    """The keys of a band, the places by rising key, their keys, and the rank of each place."""
    keys = ((hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)
    order = np.argsort(keys, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return keys, order, keys[order], rank


def _expand(low: NDArray[np.int64], lengths: NDArray[np.int64], order: NDArray[np.int64]):
    """Pairs (a, b) of each place with the `lengths` ones behind `low` in `order`, in chunks."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(low):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK)))
        chosen = lengths[start:stop]
        a = np.repeat(np.arange(start, start + len(chosen)), chosen)
        if len(a):
            offset = np.arange(len(a)) - np.repeat(np.cumsum(chosen) - chosen, chosen)
            yield a, order[np.repeat(low[start:stop], chosen) + offset]
        start = stop
