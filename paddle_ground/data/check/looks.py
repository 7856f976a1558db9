"""What an image looks like, in 264 bytes, and which of very many look the same.

Takes small grey pictures, gives fingerprints; takes fingerprints, gives pairs. A fingerprint is a 64-bit
perceptual hash (signs of the lowest DCT frequencies around their median; C. Zauner, "Implementation and
Benchmarking of Perceptual Image Hash Functions", 2010), which finds candidates fast, and the picture at
16 x 16 pixels, which confirms them. It forgives other compression, size and slight colour changes, not
crops. Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

LOOK_SIDE = 32
"""Side of the grey picture that a fingerprint is made of."""
LOOK_BYTES = 8 + 16 * 16

_FREQUENCIES = 8
_MAX_DISTANCE = 6  # Of 64 bits.
# Of 255, between the 16 x 16 pictures: one brighter on the whole, what remains on average and anywhere.
_MAX_BRIGHTER, _MAX_MEAN, _MAX_ANY = 16.0, 3.0, 20
_CHUNKS = _MAX_DISTANCE + 1
_BLOCK = 2048

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def _dct_rows() -> npt.NDArray[np.float64]:
    places = np.arange(LOOK_SIDE)
    rows: npt.NDArray[np.float64] = np.cos(
        np.pi / LOOK_SIDE * (places[None, :] + 0.5) * np.arange(_FREQUENCIES)[:, None]
    )
    return rows


_DCT = _dct_rows()
_BIT_COUNTS = np.array([bin(value).count("1") for value in range(1 << 16)], dtype=np.uint8)


def fingerprint(grey: Bytes) -> bytes:
    """Make a fingerprint.

    Args:
        grey: Shape (32, 32).

    Returns:
        LOOK_BYTES bytes: the hash, then the picture at 16 x 16.
    """
    frequencies = (_DCT @ grey.astype(np.float64) @ _DCT.T).ravel()
    # The first is the mean brightness; a flat picture has nothing above the median.
    bits = frequencies > np.median(frequencies[1:]) + 1e-6
    small = grey.reshape(16, 2, 16, 2).mean(axis=(1, 3)).astype(np.uint8)
    return bytes(np.packbits(bits)) + bytes(small)


def similar_pairs(looks: Bytes) -> Iterator[tuple[int, int]]:
    """Find images that look the same.

    Two hashes that differ in 6 bits agree wholly in one of 7 parts, so that only those with an equal
    part are compared: near linear in N. Each image is named once as the later one, with an earlier one.

    Args:
        looks: Shape (N, LOOK_BYTES).

    Yields:
        Places (earlier, later), ascending by the later one.
    """
    if len(looks) < 2:
        return
    hashes: Hashes = np.ascontiguousarray(looks[:, :8]).view(np.uint64).ravel()
    small = looks[:, 8:].astype(np.int16)
    earlier = np.full(len(looks), -1, dtype=np.int64)
    edges = np.linspace(0, 64, _CHUNKS + 1).astype(int)
    for start, end in pairwise(edges):
        parts = (hashes >> np.uint64(start)) & np.uint64((1 << int(end - start)) - 1)
        order = np.argsort(parts, kind="stable")
        borders = np.flatnonzero(np.diff(parts[order])) + 1
        for group in np.split(order, borders):
            if len(group) > 1:
                _compare(group, hashes, small, earlier)
    for later in np.flatnonzero(earlier >= 0):
        yield int(earlier[later]), int(later)


def _compare(group: Numbers, hashes: Hashes, small: npt.NDArray[np.int16], earlier: Numbers) -> None:
    """Compare all of a group with each other; note the first like one of each."""
    # In blocks: memory stays flat even where a hundred thousand images share a part.
    for start in range(0, len(group), _BLOCK):
        rows = group[start : start + _BLOCK]
        rows = rows[earlier[rows] < 0]
        for other_start in range(0, start + 1, _BLOCK):
            others = group[other_start : other_start + _BLOCK]
            distance = _bit_counts(hashes[rows][:, None] ^ hashes[others][None, :])
            candidates = (distance <= _MAX_DISTANCE) & (others[None, :] < rows[:, None])
            for place in np.flatnonzero(candidates.any(axis=1)):
                row, found = rows[place], others[candidates[place]]
                same = _same_picture(small[row], small[found])
                if earlier[row] < 0 and same.any():
                    earlier[row] = found[np.argmax(same)]


def _bit_counts(values: Hashes) -> npt.NDArray[np.uint8]:
    words = np.ascontiguousarray(values).view(np.uint16).reshape(*values.shape, 4)
    counts: npt.NDArray[np.uint8] = _BIT_COUNTS[words].sum(axis=-1, dtype=np.uint8)
    return counts


def _same_picture(one: npt.NDArray[np.int16], others: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    difference = (others - one).astype(np.float32)
    brighter = difference.mean(axis=1)
    rest = np.abs(difference - brighter[:, None])
    same: npt.NDArray[np.bool_] = (
        (np.abs(brighter) <= _MAX_BRIGHTER)
        & (rest.mean(axis=1) <= _MAX_MEAN)
        & (rest.max(axis=1) <= _MAX_ANY)
    )
    return same
