"""Run lengths: masks as runs of pixels, which are counted down the first column, then down the second and so on.

Two ways to write them: `start length start length ..` as text, counted from 1, of Kaggle and Tianchi, and the counts of
COCO: lengths of pixels outside, inside, outside and so on.
"""

from collections.abc import Sequence

import numpy as np


def find_runs(mask: np.ndarray) -> np.ndarray:
    """Start, counted from 0, and length of each run of pixels that are not 0, int64 (N, 2), of a mask HW."""
    inside = np.zeros(mask.size + 2, bool)
    inside[1:-1] = mask.ravel(order="F") != 0
    runs = np.flatnonzero(inside[1:] != inside[:-1]).reshape(-1, 2)  # where a run begins, and one past its end
    runs[:, 1] -= runs[:, 0]
    return runs


def fill(pixels: np.ndarray, runs: np.ndarray, value: int) -> None:
    """Write `value` into the runs of `pixels`, an array in one dimension, column below column."""
    for start, length in runs.tolist():
        pixels[start : start + length] = value


def encode(mask: np.ndarray) -> str:
    """`start length ..` of the pixels of a mask (HW, any type) that are not 0; empty where all are 0."""
    runs = find_runs(mask)
    runs[:, 0] += 1
    return " ".join(map(str, runs.ravel().tolist()))


def decode(text: str, height: int, width: int) -> np.ndarray:
    """The mask (HW uint8: 1 in a run, 0 outside) of `start length ..`, in any order. Raises ValueError as parse_runs
    does."""
    pixels = np.zeros(height * width, np.uint8)
    fill(pixels, parse_runs(text, height, width), 1)
    return pixels.reshape((height, width), order="F")


def parse_runs(text: str, height: int, width: int) -> np.ndarray:
    """The runs, as find_runs has them, of `start length ..`, in any order.

    Raises ValueError, whose text says which run is wrong, for an odd count, a word that is not a number, a run that
    is empty or leaves the mask, and runs that overlap.
    """
    words = text.split()
    wrong = next((word for word in words if not (word.isascii() and word.isdecimal() and len(word) <= 4300)), None)
    if wrong is not None:
        raise ValueError(f"'{wrong[:40]}' is not a number; a run consists of a start and a length")
    if len(words) % 2:
        raise ValueError(f"has {len(words)} numbers; a run consists of a start and a length")
    runs = sorted(zip(map(int, words[::2]), map(int, words[1::2]), strict=True))
    end = 1
    for index, (start, length) in enumerate(runs):
        if start < 1 or length < 1:
            raise ValueError(
                f"the run {start} {length} is empty; starts are counted from 1, and lengths are at least 1"
            )
        if start < end:
            before = runs[index - 1]
            raise ValueError(f"the runs {before[0]} {before[1]} and {start} {length} overlap")
        end = start + length
        if end - 1 > height * width:
            raise ValueError(
                f"the run {start} {length} ends past the {height * width} pixels of the image, {width} x {height}"
            )
    return np.array(runs, np.int64).reshape(-1, 2) - np.array([1, 0])


def turn_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """Runs down columns, as find_runs has them, of runs that go along the rows of a mask of this size."""
    pixels = np.zeros(height * width, bool)
    fill(pixels, runs, True)
    return find_runs(pixels.reshape(height, width))


def find_patch_runs(patch: np.ndarray, left: int, top: int, height: int, width: int) -> np.ndarray:
    """The runs, as find_runs has them, of a mask of height x width that holds `patch` (HW), with its upper left pixel
    there, and 0 elsewhere. What of the patch lies outside of the mask is left out."""
    patch = patch[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    rows = np.zeros((patch.shape[0] + 1, patch.shape[1]), bool)  # no run goes on in the next column
    rows[:-1] = patch
    runs = find_runs(rows)
    columns, first = np.divmod(runs[:, 0], len(rows))
    runs[:, 0] = (max(left, 0) + columns) * height + max(top, 0) + first
    return runs


def runs_of_counts(counts: str | Sequence[int], height: int, width: int) -> np.ndarray:
    """The runs, as find_runs has them, of COCO's counts: a list of lengths or their compressed text.

    Raises ValueError for a text that is not of that kind and for lengths that do not add up to the image: pycocotools
    takes some of these and gives what lay in the memory.
    """
    lengths = np.array(_uncompressed(counts) if isinstance(counts, str) else counts)
    if lengths.ndim != 1 or lengths.dtype.kind != "i" or (lengths < 0).any() or (lengths > height * width).any():
        raise ValueError("its counts are not valid numbers of pixels")
    if lengths.sum() != height * width:
        raise ValueError(
            f"its counts add up to {lengths.sum()} pixels, but the image has {height * width}, {width} x {height}"
        )
    ends = lengths.cumsum()
    return np.stack([ends[1::2] - lengths[1::2], lengths[1::2]], axis=1)


def _uncompressed(text: str) -> list[int]:
    """Numbers of 5 bits a character, the lowest first, a sixth bit where more follow; from the fourth on, as the
    difference to the last but one (maskApi.c of the COCO API)."""
    numbers: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its compressed counts contain the invalid character {sign!r}")
        value |= (bits & 31) << shift
        shift += 5
        if shift > 60:
            raise ValueError("its compressed counts contain a number larger than any image")
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        numbers.append(value + numbers[-2] if len(numbers) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its compressed counts end in the middle of a number")
    return numbers
