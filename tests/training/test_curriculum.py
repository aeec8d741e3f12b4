"""Batches of a curriculum: which rows, how many, and that all of it hangs on the step alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sbert_triplet.data.examples import Examples
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.training.callbacks import StepLog
from sbert_triplet.training.curriculum import PacedBatches, drawn, in_order, paced
from sbert_triplet.training.pacing import Pacing
from sbert_triplet.training.samplers import Batches, ClassBatches, JointBatches, RowBatches

LINEAR = Pacing("linear", steps=40, start=0.2, full_at=0.5)


def as_lists(batches: Batches, epoch: int) -> list[list[int]]:
    return [batch.tolist() for batch in batches.epoch_batches(epoch)]


def backwards(rows: int) -> np.ndarray:
    """An order that no sampler has by chance: the last row first."""
    return np.arange(rows)[::-1].copy()


def labels_of(sizes: list[int]) -> np.ndarray:
    """Classes of these sizes, mixed."""
    labels = np.repeat(np.arange(len(sizes)) * 10, sizes)
    return labels[np.random.default_rng(5).permutation(len(labels))]


def test_orders() -> None:
    scores = np.array([0.5, 0.1, np.nan, 0.9, 0.3])
    assert in_order(5, "curriculum", scores, seed=1).tolist() == [1, 4, 0, 3, 2]
    assert in_order(5, "anti", scores, seed=1).tolist() == [3, 0, 4, 1, 2]


def test_equal_scores_come_in_the_order_of_the_seed() -> None:
    scores = np.repeat([1.0, 0.0], 50)
    one, again, other = (in_order(100, "curriculum", scores, seed=seed) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()
    assert set(one[:50]) == set(other[:50]) == set(range(50, 100))
    assert one[:50].tolist() != sorted(one[:50])


def test_the_random_order_asks_no_scores() -> None:
    order = in_order(1000, "random", None, seed=3)
    assert sorted(order) == list(range(1000))
    assert order.tolist() != in_order(1000, "random", None, seed=4).tolist()
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


@pytest.mark.parametrize("scores", [None, np.zeros(3)])
def test_other_orders_need_a_score_for_each_row(scores: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="one score for each of 4 rows"):
        in_order(4, "anti", scores, seed=1)


@given(st.integers(0, 60), st.integers(0, 200), st.integers(0, 2**31))
def test_drawn_are_different_and_in_range(count: int, more: int, seed: int) -> None:
    found = drawn(count, count + more, seed, 3)
    assert len(set(found.tolist())) == len(found) == count
    assert all(0 <= number < count + more for number in found.tolist())
    assert drawn(count, count + more, seed, 3).tolist() == found.tolist()


def test_every_set_is_drawn_equally_often() -> None:
    found = Counter(tuple(sorted(drawn(3, 6, 9, step).tolist())) for step in range(4000))
    assert set(found) == set(combinations(range(6), 3))
    assert stats.chisquare(list(found.values())).pvalue > 0.001


@settings(deadline=None)
@given(
    st.integers(1, 120),
    st.integers(1, 40),
    st.floats(0.05, 1.0),
    st.floats(0.1, 1.0),
    st.integers(0, 3),
    st.integers(0, 50),
)
def test_rows_are_of_those_in_use(
    rows: int, size: int, start: float, full_at: float, epoch: int, seed: int
) -> None:
    plain = RowBatches(rows, size, seed=seed)
    pacing = Pacing("root", steps=3 * len(plain), start=start, full_at=full_at)
    batches = paced(plain, backwards(rows), pacing)
    assert len(batches) == len(plain)
    for step, batch in enumerate(batches.epoch_batches(epoch), start=epoch * len(plain)):
        in_use = pacing.rows(step, rows, min(size, rows))
        assert batches.in_use(step) == in_use
        assert set(batch.tolist()) <= set(range(rows - in_use, rows))
        assert len(set(batch.tolist())) == len(batch)
        assert batches.state(step) == {"data_share": in_use / rows}


@given(st.integers(1, 120), st.integers(1, 40), st.integers(0, 3))
def test_batches_are_as_large_as_without_a_curriculum(rows: int, size: int, epoch: int) -> None:
    plain = RowBatches(rows, size, seed=1)
    batches = paced(plain, backwards(rows), Pacing("linear", steps=9, start=0.1))
    if (epoch + 1) * len(plain) <= batches.full_from or batches.full_from == 0:
        expected = [len(batch) for batch in plain.epoch_batches(epoch)]
        assert [len(batch) for batch in batches.epoch_batches(epoch)] == expected


def test_with_all_rows_from_the_start_it_is_the_plain_sampler() -> None:
    labels = labels_of([9, 7, 8, 5])
    everything = Pacing("linear", steps=50, start=1.0)
    for plain in (RowBatches(29, 6, seed=4), ClassBatches(labels, 3, 2, seed=4)):
        batches = paced(plain, backwards(29), everything, labels=labels)
        for epoch in range(3):
            assert as_lists(batches, epoch) == as_lists(plain, epoch)


def test_once_all_rows_are_in_use_each_pass_has_every_row_once() -> None:
    plain = RowBatches(50, 8, seed=2)
    batches = paced(plain, backwards(50), Pacing("step", steps=40, start=0.5, full_at=0.25))
    assert batches.full_from == 10
    taken = [batch for epoch in range(6) for batch in as_lists(batches, epoch)]
    for first in (10, 17, 24):
        assert sorted(row for batch in taken[first : first + 7] for row in batch) == list(range(50))
    assert taken[10:17] == as_lists(plain, 0)
    assert taken[17:24] == as_lists(plain, 1)


def test_every_row_in_use_is_drawn_equally_often() -> None:
    batches = paced(RowBatches(40, 4, seed=6), backwards(40), Pacing("step", steps=3000, start=0.5))
    counts = Counter(row for epoch in range(300) for batch in as_lists(batches, epoch) for row in batch)
    assert set(counts) == set(range(20, 40))
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_the_random_control_keeps_the_pacing() -> None:
    plain, scores = RowBatches(60, 8, seed=3), np.arange(60.0)
    orders = [in_order(60, order, scores, seed=3) for order in ("curriculum", "random")]
    one, other = (paced(plain, order, LINEAR) for order in orders)
    for epoch in range(3):
        steps = range(epoch * 8, epoch * 8 + 8)
        assert [one.in_use(step) for step in steps] == [other.in_use(step) for step in steps]
        assert [len(b) for b in as_lists(one, epoch)] == [len(b) for b in as_lists(other, epoch)]
    assert as_lists(one, 0) != as_lists(other, 0)


MAKERS: dict[str, Callable[[], PacedBatches]] = {
    "rows": lambda: paced(RowBatches(70, 8, seed=7), backwards(70), LINEAR),
    "classes": lambda: paced(
        ClassBatches(labels_of([20] * 4), 3, 2, seed=7), backwards(80), LINEAR, labels=labels_of([20] * 4)
    ),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_batch_is_a_function_of_its_step(make: Callable[[], PacedBatches]) -> None:
    """Nothing hangs on what was drawn before: the second epoch alone, or after the first, or skipped to."""
    whole = make()
    length = len(whole)
    run = []
    for epoch in range(4):
        whole.set_epoch(epoch)
        run += list(whole)
    for step in (0, 3, length, length + 2, 3 * length - 1):
        resumed = make()
        resumed.set_epoch(step // length)
        assert list(islice(iter(resumed), step % length, None)) == run[step : (step // length + 1) * length]
    assert 0 < whole.full_from < 4 * length


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 15), min_size=2, max_size=7).filter(lambda sizes: sorted(sizes)[-2] > 1),
    st.integers(2, 4),
    st.integers(2, 4),
    st.integers(0, 40),
    st.integers(0, 3),
)
def test_batches_of_classes_are_classes_times_texts_in_use(
    sizes: list[int], classes: int, texts: int, seed: int, epoch: int
) -> None:
    labels = labels_of(sizes)
    plain = ClassBatches(labels, classes, texts, seed=seed)
    pacing = Pacing("linear", steps=4 * len(plain), start=0.1)
    order = backwards(len(labels))
    batches = paced(plain, order, pacing, labels=labels)
    assert len(batches) == len(plain)
    for step, batch in enumerate(batches.epoch_batches(epoch), start=epoch * len(plain)):
        in_use = batches.in_use(step)
        assert set(batch.tolist()) <= set(order[:in_use].tolist())
        assert len(set(batch.tolist())) == len(batch)
        if step >= batches.full_from:
            continue
        there = Counter(labels[order[:in_use]].tolist())
        found = Counter(labels[batch].tolist())
        assert len(found) == min(classes, sum(count > 1 for count in there.values()))
        assert all(count == min(texts, there[label]) for label, count in found.items())


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=6).filter(lambda sizes: sorted(sizes)[-2] > 1),
    st.integers(2, 4),
    st.integers(2, 4),
)
def test_so_many_rows_are_in_use_that_one_batch_is_whole(sizes: list[int], classes: int, texts: int) -> None:
    labels = labels_of(sizes)
    order = backwards(len(labels))
    batches = paced(
        ClassBatches(labels, classes, texts, seed=0), order, Pacing("step", 99, 0.001), labels=labels
    )
    all_of = Counter(labels.tolist())
    usable = [label for label, count in all_of.items() if count > 1]

    def whole(in_use: int) -> bool:
        there = Counter(labels[order[:in_use]].tolist())
        ready = [label for label in usable if there[label] >= min(texts, all_of[label])]
        return len(ready) >= min(classes, len(usable))

    assert batches.in_use(0) == next(count for count in range(len(labels) + 1) if whole(count))


def test_a_class_is_drawn_with_its_texts_in_use_as_weight() -> None:
    labels = np.array([0] * 30 + [1] * 10 + [2] * 10)
    order = np.argsort(np.random.default_rng(0).random(50))
    batches = paced(ClassBatches(labels, 2, 2, seed=1), order, Pacing("step", 10**6, 0.999), labels=labels)
    in_use = Counter(labels[order[: batches.in_use(0)]].tolist())
    firsts = Counter(labels[batches.early(step, batches.in_use(0))[0]] for step in range(3000))
    expected = [3000 * in_use[label] / sum(in_use.values()) for label in range(3)]
    assert stats.chisquare([firsts[label] for label in range(3)], expected).pvalue > 0.001


def test_batches_that_have_no_curriculum_are_named() -> None:
    with pytest.raises(TypeError, match="no curriculum for Batches"):
        paced(Batches(1), backwards(3), LINEAR)
    with pytest.raises(TypeError, match=r"PacedBatches does not define early"):
        PacedBatches(RowBatches(30, 4, seed=1), backwards(30), LINEAR, least=4).epoch_batches(0)


def test_beside_other_data_sets_the_rows_in_use_still_grow() -> None:
    plain, other = RowBatches(80, 4, seed=1), RowBatches(50, 5, seed=1)
    first = paced(plain, backwards(80), Pacing("linear", steps=60, start=0.1, full_at=0.9))
    joint = JointBatches([first, other], [80, 50], seed=1)
    without = JointBatches([plain, other], [80, 50], seed=1)
    own = []
    for epoch in range(3):
        batches, before = as_lists(joint, epoch), as_lists(without, epoch)
        assert [batch[0] >= 80 for batch in batches] == [batch[0] >= 80 for batch in before]
        assert [b for b in batches if b[0] >= 80] == [b for b in before if b[0] >= 80]
        own += [batch for batch in batches if batch[0] < 80]
        for place, batch in enumerate(batches):
            expected = first.state(len(own) - sum(b[0] < 80 for b in batches[place:]))
            assert joint.state(epoch * len(joint) + place) == (expected if batch[0] < 80 else {})
    assert own == [batch for epoch in range(3) for batch in as_lists(first, epoch)]
    assert without.state(3) == {}


def test_without_a_curriculum_several_data_sets_are_shuffled_as_before() -> None:
    one, other = RowBatches(12, 3, seed=1), RowBatches(9, 3, seed=1)
    joint = JointBatches([one, other], [12, 9], seed=1)
    every = [*as_lists(one, 2), *([row + 12 for row in batch] for batch in as_lists(other, 2))]
    found = as_lists(joint, 2)
    assert sorted(found) == sorted(every)
    assert [batch for batch in found if batch[0] < 12] != as_lists(one, 2)


def test_a_resumed_run_goes_on_with_the_curriculum(
    pairs: Examples, make_encoder: Callable[..., Any], make_trainer: Callable[..., Any], tmp_path: Path
) -> None:
    """From a checkpoint in the second epoch: the same weights in the end, and the same shares in the log."""

    def trainer(file: str) -> Any:
        batches = paced(
            RowBatches(len(pairs), 4, seed=13), backwards(len(pairs)), Pacing("linear", 14, 0.2, 0.8)
        )
        return make_trainer(
            pairs,
            make_encoder(dropout=0.1),
            MultipleNegativesRankingLoss(),
            callbacks=lambda objective: [StepLog(tmp_path / file, objective, also=batches.state)],
            batches=batches,
            batch_size=4,
            save_steps=8,
            steps=14,
        )

    def shares(file: str) -> list[float]:
        lines = [json.loads(line) for line in (tmp_path / file).read_text().splitlines()]
        return [line["stats"]["data_share"] for line in lines]

    whole, rest = trainer("whole"), trainer("rest")
    whole.train()
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoints" / "checkpoint-8"))
    for (name, one), other in zip(
        whole.objective.state_dict().items(), rest.objective.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    # 24 rows from 0.2 on in 11.2 steps; at least the 4 of a batch.
    expected = [min(int((0.2 + 0.8 * step / 11.2) * 24), 24) / 24 for step in range(14)]
    assert shares("whole") == expected
    assert shares("rest") == expected[8:]
