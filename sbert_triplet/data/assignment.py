"""Which group of rows goes to train, dev or test, by the hash of its name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.errors import DataError

TRAIN, DEV, TEST = 0, 1, 2
PART_NAMES = ("train", "dev", "test")

GIANT = 0.1
"""A group with a greater share of the rows than this, or than a held-out split is to get, trains."""


@dataclass(frozen=True)
class Shares:
    """Shares of the rows for dev and test, and the most rows each may hold."""

    dev: float
    test: float
    max_dev: int | None = None
    max_test: int | None = None

    def wanted(self) -> tuple[tuple[int, float, int | None], ...]:
        """(part, share, cap) of the held-out parts with a share above 0, test first."""
        parts = ((TEST, self.test, self.max_test), (DEV, self.dev, self.max_dev))
        return tuple(part for part in parts if part[1] > 0)


@dataclass(frozen=True)
class Groups:
    """G groups of rows that stay whole.

    ``units``: (G,) hashes of their names in [0, 1). ``sizes``: (G,) rows. ``one`` and ``many``:
    what a group is called. ``classes``: (G,) for labelled text, whose classes are stratified.
    """

    units: FloatArray
    sizes: IntArray
    one: str
    many: str
    classes: IntArray | None = None

    def __len__(self) -> int:
        return len(self.units)

    def by_unit(self, members: NDArray[np.bool_]) -> IntArray:
        """Positions of the members, lowest hash first."""
        positions = np.flatnonzero(members)
        ordered: IntArray = positions[np.argsort(self.units[positions], kind="stable")]
        return ordered


def hash_units(names: Iterable[str], seed: int) -> FloatArray:
    """Numbers in [0, 1), one for each name: keyed BLAKE2b, a function of the name and the seed alone."""
    key = str(seed).encode()
    digests = b"".join(
        hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
        for name in names
    )
    top_bits = np.frombuffer(digests, dtype="<u8") >> np.uint64(11)
    return top_bits.astype(np.float64) / 2.0**53


def assign(groups: Groups, shares: Shares) -> tuple[IntArray, list[str]]:
    """(G,) the part of each group, and notes on every departure from the plain hash.

    A hash below ``test`` is test, the next ``dev`` is dev. A held-out part that would get less
    than half or more than twice its share of the rows takes from train or gives to it the groups
    whose hashes lie nearest. Raises DataError where there are too few groups.
    """
    wanted, total = shares.wanted(), int(groups.sizes.sum())
    if len(groups) <= len(wanted):
        raise DataError(_too_few(groups, total, [PART_NAMES[part] for part, _, _ in wanted]))
    drawn = _by_hash(groups.units, shares)
    parts = drawn if groups.classes is None else _stratify(drawn, groups.classes, shares)
    movable, notes = _movable(groups, shares)
    parts[~movable] = TRAIN
    room = min(len(groups) - len(wanted), 1 + int(np.count_nonzero(movable)) - len(wanted))
    for part, share, _ in wanted:
        notes += _shrink(parts, part, groups, most=2 * share * total, room=room)
    _keep_some_train(parts, groups)
    reachable = int(groups.sizes[movable].sum()) / (shares.dev + shares.test)
    for part, share, _ in wanted:
        notes += _grow(parts, part, groups, movable, least=share * min(total / 2, reachable))
    for part, _, cap in wanted:
        notes += _trim(parts, part, groups, cap)
    return parts, notes


def _too_few(groups: Groups, rows: int, held_out: list[str]) -> str:
    what = f"{rows:,} rows hold only {len(groups)} different {groups.many}"
    if rows == 1:
        what = "There is only 1 row"
    elif len(groups) == 1:
        what = f"{rows:,} rows hold only 1 {groups.one} (are they copies of each other?)"
    splits = " and ".join(["train", *held_out[::-1]])
    return (
        f"{what}, and every {groups.one} stays in one split: too few for {splits}. "
        "Add rows, hold out fewer splits (evaluate.dev or evaluate.test: 0), or give files of your own "
        "as data.dev and data.test."
    )


def _by_hash(units: FloatArray, shares: Shares) -> IntArray:
    parts = np.full(len(units), TRAIN, dtype=np.int64)
    parts[units < shares.dev + shares.test] = DEV
    parts[units < shares.test] = TEST
    return parts


def _stratify(drawn: IntArray, classes: IntArray, shares: Shares) -> IntArray:
    """What was drawn, held within bounds in every class as its texts come in.

    After n texts of a class a held-out part has three quarters to four thirds of its share of n,
    at least one text from share x n = 1 on; the first text trains. A text's part depends only on
    the texts of its class before it, so rows that are added move nothing.
    """
    limits = {part: share for part, share, _ in shares.wanted()}
    train_share = 1 - shares.dev - shares.test
    counts = [[0, 0, 0] for _ in range(int(classes.max()) + 1)]
    parts = np.empty(len(drawn), dtype=np.int64)
    for position, (kind, choice) in enumerate(zip(classes.tolist(), drawn.tolist(), strict=True)):
        count = counts[kind]
        number, part = 1 + sum(count), choice
        if part != TRAIN and count[part] >= max(1, math.ceil(4 / 3 * limits[part] * number)):
            part = TRAIN
        if part == TRAIN:
            for held_out, share in limits.items():
                if count[held_out] < max(int(share * number >= 1), int(3 / 4 * share * number)):
                    part = held_out
                    break
        if count[TRAIN] < max(1, int(3 / 4 * train_share * number)):
            part = TRAIN
        count[part] += 1
        parts[position] = part
    return parts


def _movable(groups: Groups, shares: Shares) -> tuple[NDArray[np.bool_], list[str]]:
    """(G,) groups that may be held out: no giants, and not the first text of a class, while enough remain."""
    wanted, sizes = shares.wanted(), groups.sizes
    limit = max(GIANT, min(share for _, share, _ in wanted)) * sizes.sum()
    movable = ~((sizes > limit) & (sizes > 2 * sizes.mean()))
    if np.count_nonzero(movable) < len(wanted):
        movable = np.ones(len(sizes), dtype=bool)
    notes = [
        f"One {groups.one} holds {sizes[giant]:,} of {sizes.sum():,} rows; it stays in train as a whole."
        for giant in np.flatnonzero(~movable)
    ]
    if groups.classes is not None:
        later = np.ones(len(sizes), dtype=bool)
        later[np.unique(groups.classes, return_index=True)[1]] = False
        if np.count_nonzero(movable & later) >= len(wanted):
            movable = movable & later
    return movable, notes


def _shrink(parts: IntArray, part: int, groups: Groups, most: float, room: int) -> list[str]:
    """Gives to train, in place, what is over ``most`` rows or ``room`` groups, highest hashes first."""
    members = groups.by_unit(parts == part)
    rows = np.cumsum(groups.sizes[members])
    over = rows > most
    over[:1] = False
    over[room:] = True
    if not over.any():
        return []
    parts[members[over]] = TRAIN
    return [
        f"Chance gave {PART_NAMES[part]} {rows[-1]:,} rows, more than twice its share; "
        f"{groups.sizes[members[over]].sum():,} went back to train. With so few {groups.many}, rows added "
        "later may move some."
    ]


def _keep_some_train(parts: IntArray, groups: Groups) -> None:
    """Gives to train, in place, a group of the part with the most groups where train has none."""
    if not (parts == TRAIN).any():
        largest = int(np.argmax(np.bincount(parts, minlength=3)))
        parts[groups.by_unit(parts == largest)[-1]] = TRAIN


def _grow(parts: IntArray, part: int, groups: Groups, movable: NDArray[np.bool_], least: float) -> list[str]:
    """Takes from train, in place, until the part holds ``least`` rows, lowest hashes first."""
    have = int(groups.sizes[parts == part].sum())
    if have > 0 and have >= least:
        return []
    spare = groups.by_unit((parts == TRAIN) & movable)
    empty_later = int(part == TEST and not (parts == DEV).any())
    train_needs = int(len(spare) == np.count_nonzero(parts == TRAIN))
    spare = spare[: max(int(have == 0), len(spare) - empty_later - train_needs)]
    if not len(spare):
        return []
    taken = spare[: 1 + np.searchsorted(have + np.cumsum(groups.sizes[spare]), least)]
    parts[taken] = part
    return [
        f"Chance gave {PART_NAMES[part]} {have:,} rows, less than half its share; "
        f"{groups.sizes[taken].sum():,} more were drawn. With so few {groups.many}, rows added later may "
        "move some."
    ]


def _trim(parts: IntArray, part: int, groups: Groups, cap: int | None) -> list[str]:
    """Gives to train, in place, what is over ``cap`` rows: highest hashes first, in every class alike."""
    members = groups.by_unit(parts == part)
    rows = int(groups.sizes[members].sum())
    if cap is None or rows <= cap:
        return []
    if groups.classes is not None:
        members = members[np.argsort(_relative_ranks(groups.classes[members]), kind="stable")]
    over = np.cumsum(groups.sizes[members]) > cap
    over[:1] = False
    parts[members[over]] = TRAIN
    kept = int(groups.sizes[members[~over]].sum())
    return [
        f"{PART_NAMES[part]} is capped at {cap:,} rows: of {rows:,} drawn it keeps {kept:,}, the rest trains."
    ]


def _relative_ranks(kinds: IntArray) -> FloatArray:
    """(M,) how far along its class each member comes, in (0, 1)."""
    order = np.argsort(kinds, kind="stable")
    counts = np.bincount(kinds)
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(kinds))
    ranks[order] = (np.arange(len(kinds)) - starts[kinds[order]] + 0.5) / counts[kinds[order]]
    return ranks
