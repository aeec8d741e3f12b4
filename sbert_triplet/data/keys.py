"""Choices as functions of numbers: the same for every caller, whatever ran before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORD = 0xFFFFFFFFFFFFFFFF


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014, doi 10.1145/2714064.2660195)."""
    values = values + GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    well: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return well


def keys(rows: IntArray, *salt: int) -> NDArray[np.uint64]:
    """(n,) 64-bit keys of row numbers under a salt (seed, epoch, purpose), uniform for all practical ends."""
    state = np.zeros(1, dtype=np.uint64)
    for part in salt:
        state = mixed(state ^ np.uint64(part & _WORD))
    return mixed(rows.astype(np.uint64) ^ mixed(state))


def uniforms(rows: IntArray, *salt: int) -> NDArray[np.float64]:
    """(n,) numbers in [0, 1) made of ``keys``."""
    return (keys(rows, *salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53
