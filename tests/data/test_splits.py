from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.assignment import hash_units
from sbert_triplet.data.binding import binding_of
from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.splits import SplitPlan, Splits, split_examples
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError


def examples(kind: Kind, anchors: Any, positives: Any = None, **more: Any) -> Examples:
    anchors = np.asarray(anchors, dtype=np.int64)
    if positives is not None:
        positives = np.asarray(positives, dtype=np.int64)
    return Examples(kind, anchors, np.arange(len(anchors)), positives, **more)


def labelled(texts: Any, labels: Any) -> Examples:
    labels = np.asarray(labels, dtype=np.int64)
    names = tuple(f"class {number}" for number in range(int(labels.max()) + 1))
    return examples(Kind.LABELLED, texts, labels=labels, label_names=names)


def words(ids: Any) -> list[str]:
    return [f"Text  {number}" for number in ids]


def parts_of(splits: Splits, rows: int) -> np.ndarray:
    """0, 1, 2 for train, dev, test; -1 for rows that are in none."""
    parts = np.full(rows, -1)
    for part, positions in enumerate((splits.train, splits.dev, splits.test)):
        assert np.all(parts[positions] == -1), "a row is in two splits"
        parts[positions] = part
    return parts


def straddling(splits: Splits, columns: list[np.ndarray]) -> set[int]:
    """Text ids that stand in two splits."""
    seen = [
        {int(text) for column in columns for text in column[positions]}
        for positions in (splits.train, splits.dev, splits.test)
    ]
    return (seen[0] & seen[1]) | (seen[0] & seen[2]) | (seen[1] & seen[2])


pair_lists = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=80)
plans = st.builds(
    SplitPlan,
    dev=st.sampled_from([0.0, 0.1, 0.3]),
    test=st.sampled_from([0.0, 0.1, 0.4]),
    seed=st.integers(-5, 5),
    max_test=st.sampled_from([None, 1, 5]),
)


@settings(deadline=None)
@given(pair_lists, plans, st.sampled_from([Kind.PAIRS, Kind.TRIPLETS, Kind.SCORED, Kind.NLI, Kind.RETRIEVAL]))
def test_nothing_that_binds_straddles_and_nothing_is_lost(
    pairs: list[tuple[int, int]], plan: SplitPlan, kind: Kind
) -> None:
    data = examples(
        kind, [pair[0] for pair in pairs], [100 * (kind is Kind.RETRIEVAL) + pair[1] for pair in pairs]
    )
    binding = binding_of(data, plan.dev + plan.test)
    if len(np.unique(binding.groups)) <= (plan.dev > 0) + (plan.test > 0) > 0:
        with pytest.raises(DataError, match="too few"):
            split_examples(data, plan, words)
        return
    splits = split_examples(data, plan, words)
    assert sorted([*splits.train, *splits.dev, *splits.test]) == list(range(len(data)))
    assert len(splits.train)
    assert (len(splits.dev) > 0) == (plan.dev > 0)
    assert (len(splits.test) > 0) == (plan.test > 0)
    assert not straddling(splits, list(binding.columns))
    parts = parts_of(splits, len(data))
    for group in np.unique(splits.groups):
        assert len(set(parts[splits.groups == group])) == 1
    again = split_examples(data, plan, words)
    assert parts_of(again, len(data)).tolist() == parts.tolist()


@settings(deadline=None)
@given(pair_lists, st.integers(1, 79), st.integers(0, 3))
def test_rows_that_are_added_move_no_component(pairs: list[tuple[int, int]], cut: int, seed: int) -> None:
    filler = [(1000 + number, 2000 + number) for number in range(60)]
    rows = filler + pairs
    cut += len(filler)
    data = examples(Kind.SCORED, [row[0] for row in rows], [row[1] for row in rows])
    before, after = data.select(np.arange(min(cut, len(rows)))), data
    plan = SplitPlan(seed=seed)
    old, new = split_examples(before, plan, words), split_examples(after, plan, words)
    if old.notes or new.notes:
        return
    old_parts, new_parts = parts_of(old, len(before)), parts_of(new, len(after))
    old_groups, new_groups = binding_of(before).groups, binding_of(after).groups
    for group in np.unique(old_groups):
        first = np.flatnonzero(old_groups == group)[0]
        merged = np.flatnonzero(new_groups == new_groups[first])[0] != first
        if not merged:
            assert set(old_parts[old_groups == group]) == {new_parts[first]}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3)), max_size=200), st.integers(0, 5))
def test_labelled_texts_that_are_added_move_no_text(rows: list[tuple[int, int]], seed: int) -> None:
    start = [(1000 + number, number % 4) for number in range(160)]
    data = labelled([row[0] for row in start + rows], [row[1] for row in start + rows])
    plan = SplitPlan(seed=seed)
    old = split_examples(data.select(np.arange(160)), plan, words)
    new = split_examples(data, plan, words)
    if not old.notes and not new.notes:
        assert parts_of(new, len(data))[:160].tolist() == parts_of(old, 160).tolist()


def test_order_of_rows_does_not_matter_without_classes() -> None:
    data = examples(Kind.PAIRS, np.arange(500), np.arange(1000, 1500))
    shuffled = np.random.default_rng(0).permutation(500)
    parts = parts_of(split_examples(data, SplitPlan(), words), 500)
    assert (
        parts_of(split_examples(data.select(shuffled), SplitPlan(), words), 500).tolist()
        == parts[shuffled].tolist()
    )


def test_the_hash_is_blake2b_of_the_normalised_text_and_stays_so() -> None:
    digest = hashlib.blake2b(b"text 7", digest_size=8, key=b"13").digest()
    assert hash_units(["text 7"], 13)[0] == (int.from_bytes(digest, "little") >> 11) / 2**53
    expected = [0.12923, 0.81025, 0.23346]
    assert hash_units(["a", "b", "\ud800"], 13) == pytest.approx(expected, abs=1e-5)


def test_spelling_that_normalises_away_and_ids_do_not_matter() -> None:
    data = examples(Kind.PAIRS, np.arange(300), np.arange(300, 600))
    parts = parts_of(split_examples(data, SplitPlan(), words), 300)
    reversed_ids = examples(Kind.PAIRS, 599 - data.anchors, np.arange(300))
    spelled = split_examples(
        reversed_ids, SplitPlan(), lambda ids: [f" TEXT {599 - number}" for number in ids]
    )
    assert parts_of(spelled, 300).tolist() == parts.tolist()


def test_seeds_differ_and_shares_come_out() -> None:
    data = examples(Kind.PAIRS, np.arange(2000), np.arange(2000, 4000))
    first, second = (split_examples(data, SplitPlan(seed=seed), words) for seed in (1, 2))
    assert set(first.test) != set(second.test)
    for splits in (first, second):
        # Four standard deviations of 2,000 draws at a tenth are 54.
        assert abs(len(splits.test) - 200) < 54
        assert abs(len(splits.dev) - 200) < 54
    assert not first.notes


def test_tiny_data_fills_every_split() -> None:
    for seed in range(20):
        splits = split_examples(examples(Kind.PAIRS, [1, 2, 3, 4], [5, 6, 7, 8]), SplitPlan(seed=seed), words)
        assert [len(splits.train), len(splits.dev), len(splits.test)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("anchors", "positives", "message"),
    [
        ([], [], "no rows"),
        ([1], [2], "There is only 1 row, and every chain of shared texts stays in one split"),
        ([1, 1, 1], [2, 2, 2], "3 rows hold only 1 chain of shared texts .are they copies"),
        (
            [1, 3],
            [2, 4],
            "2 rows hold only 2 different chains of shared texts.*too few for train and dev and test",
        ),
    ],
    ids=["empty", "one row", "only duplicates", "two components"],
)
def test_too_little_to_split_is_refused(anchors: list[int], positives: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_examples(examples(Kind.PAIRS, anchors, positives), SplitPlan(), words)


def test_two_components_do_for_train_and_test() -> None:
    splits = split_examples(examples(Kind.PAIRS, [1, 3], [2, 4]), SplitPlan(dev=0), words)
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (1, 0, 1)


@pytest.mark.parametrize(
    "plan",
    [
        SplitPlan(dev=0.5, test=0.5),
        SplitPlan(test=1.0),
        SplitPlan(dev=-0.1),
        SplitPlan(dev=float("nan")),
        SplitPlan(max_dev=0),
    ],
)
def test_impossible_plans_are_refused(plan: SplitPlan) -> None:
    with pytest.raises(DataError):
        split_examples(examples(Kind.PAIRS, np.arange(50), np.arange(50, 100)), plan, words)


def test_nothing_held_out_trains_everything() -> None:
    splits = split_examples(examples(Kind.PAIRS, [1], [2]), SplitPlan(dev=0, test=0, by="absent"), words)
    assert splits.train.tolist() == [0]


def test_a_cap_returns_the_rest_to_train_and_keeps_a_subset() -> None:
    data = examples(Kind.PAIRS, np.arange(2000), np.arange(2000, 4000))
    free, capped = (split_examples(data, SplitPlan(max_test=cap), words) for cap in (None, 50))
    assert len(capped.test) == 50
    assert set(capped.test) < set(free.test)
    assert set(capped.train) == set(free.train) | (set(free.test) - set(capped.test))
    assert any("capped at 50 rows" in note for note in capped.notes)


def test_few_shared_positives_bind() -> None:
    positives = np.arange(1000, 1100)
    positives[:5] = 1000
    splits = split_examples(examples(Kind.PAIRS, np.arange(100), positives), SplitPlan(), words)
    assert splits.documents_seen_in_training is None
    assert len(set(splits.groups[:5])) == 1


def test_positives_that_many_anchors_share_are_documents() -> None:
    anchors, positives = np.arange(300), 1000 + np.arange(300) % 6
    data = examples(Kind.PAIRS, anchors, positives)
    splits = split_examples(data, SplitPlan(), words)
    assert splits.documents_seen_in_training == 1.0
    assert any("100 % of the test documents" in note for note in splits.notes)
    assert len(set(splits.groups)) == 300
    assert "share documents" in splits.method


def test_documents_seen_counts_distinct_documents_and_negatives() -> None:
    negatives = Ragged.from_lists([[500 + row] for row in range(40)])
    data = examples(
        Kind.RETRIEVAL, np.arange(40), 500 + np.arange(40)[::-1], negatives=negatives, scores=np.ones(40)
    )
    splits = split_examples(data, SplitPlan(test=0.3), words)
    train = set(data.positives[splits.train]) | set(500 + splits.train)
    test = set(data.positives[splits.test])
    assert 0 < len(test & train) < len(test)
    assert splits.documents_seen_in_training == len(test & train) / len(test)


def test_one_anchor_with_many_positives_is_no_retrieval() -> None:
    anchors = np.concatenate([np.zeros(30, dtype=np.int64), np.arange(1, 100)])
    splits = split_examples(examples(Kind.PAIRS, anchors, np.arange(1000, 1129)), SplitPlan(), words)
    assert splits.documents_seen_in_training is None
    assert set(range(30)) <= set(splits.train), "a giant component trains"
    assert any("holds 30 of 129 rows" in note for note in splits.notes)


def test_retrieval_splits_by_query() -> None:
    data = examples(
        Kind.RETRIEVAL, np.repeat(np.arange(100), 3), np.tile(np.arange(200, 250), 6), scores=np.ones(300)
    )
    splits = split_examples(data, SplitPlan(), words)
    assert not straddling(splits, [data.anchors])
    assert splits.groups.tolist() == np.repeat(np.arange(100), 3).tolist()


def test_negatives_never_bind() -> None:
    negatives = Ragged.from_lists([[5000]] * 200)
    plain = examples(Kind.TRIPLETS, np.arange(200), np.arange(200, 400))
    shared = examples(Kind.TRIPLETS, np.arange(200), np.arange(200, 400), negatives=negatives)
    one, other = (parts_of(split_examples(data, SplitPlan(), words), 200) for data in (plain, shared))
    assert one.tolist() == other.tolist()


def test_scored_pairs_keep_both_sides_apart_beside_a_giant() -> None:
    giant = [(0, number) for number in range(1, 301)]
    rest = [(1000 + number, 2000 + number) for number in range(100)]
    data = examples(Kind.SCORED, *zip(*(giant + rest), strict=True))
    splits = split_examples(data, SplitPlan(), words)
    assert splits.documents_seen_in_training is None
    assert not straddling(splits, [data.anchors, data.positives])
    assert 20 <= len(splits.test) <= 80
    assert 20 <= len(splits.dev) <= 80


def test_scored_pairs_in_one_component_fall_back_to_anchors() -> None:
    data = examples(Kind.SCORED, np.arange(100), np.r_[np.arange(1, 100), 0])
    splits = split_examples(data, SplitPlan(), words)
    assert "share documents" in splits.method
    assert len(set(splits.groups)) == 100


@pytest.mark.parametrize("test", [0.1, 0.2, 0.45])
def test_classes_are_stratified(test: float) -> None:
    sizes = [200, 60, 20]
    labels = np.repeat(np.arange(3), sizes)[np.random.default_rng(1).permutation(280)]
    for seed in range(5):
        splits = split_examples(labelled(np.arange(280), labels), SplitPlan(test=test, seed=seed), words)
        for positions, share in ((splits.dev, 0.1), (splits.test, test)):
            counts = np.bincount(labels[positions], minlength=3)
            for count, size in zip(counts, sizes, strict=True):
                assert int(3 / 4 * share * size) <= count <= np.ceil(4 / 3 * share * size)
                assert count >= 1


def test_equal_texts_stay_together_whatever_their_labels() -> None:
    texts = np.r_[np.arange(100), np.arange(100)]
    splits = split_examples(labelled(texts, np.arange(200) % 3), SplitPlan(), words)
    assert not straddling(splits, [texts])


def test_a_single_class_splits() -> None:
    splits = split_examples(labelled(np.arange(40), np.zeros(40)), SplitPlan(), words)
    assert 3 <= len(splits.test) <= 6


def test_classes_of_one_text_still_split() -> None:
    splits = split_examples(labelled(np.arange(6), np.arange(6)), SplitPlan(), words)
    assert [len(splits.train), len(splits.dev), len(splits.test)] == [4, 1, 1]


def with_column(data: Examples, values: Any) -> Examples:
    return Examples(**{**vars(data), "kept": pa.table({"by": values})})


def test_time_order_with_ties_and_without_leaks() -> None:
    times = [9, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, None]
    anchors = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 50]
    data = with_column(examples(Kind.PAIRS, anchors, np.arange(100, 112)), pa.array(times))
    splits = split_examples(data, SplitPlan(by="by"), words)
    assert splits.test.tolist() == [0, 1]
    assert splits.dev.tolist() == [2]
    assert splits.train.tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert any("1 training rows were left out" in note for note in splits.notes)
    assert any("1 row has no 'by'" in note for note in splits.notes)
    assert "oldest rows train" in splits.method


def test_dev_rows_that_share_a_text_with_test_are_left_out_of_dev_and_stay_out_of_train() -> None:
    anchors, positives = np.arange(40), np.arange(100, 140)
    anchors[34] = 39
    positives[0] = positives[34]
    data = with_column(examples(Kind.PAIRS, anchors, positives), pa.array(range(40)))
    splits = split_examples(data, SplitPlan(by="by", dev=0.2), words)
    assert splits.test.tolist() == [36, 37, 38, 39]
    assert splits.dev.tolist() == [28, 29, 30, 31, 32, 33, 35]
    assert splits.train.tolist() == list(range(28))
    assert splits.notes == ("1 dev rows were left out because a text of theirs stands in test rows too.",)


def test_ties_that_push_a_split_off_its_share_are_noted() -> None:
    data = with_column(
        examples(Kind.PAIRS, np.arange(20), np.arange(100, 120)), pa.array([0] * 9 + [1] + [2] * 10)
    )
    splits = split_examples(data, SplitPlan(by="by"), words)
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (9, 1, 10)
    assert any("test holds 10 rows where 2 were wanted" in note for note in splits.notes)


def test_too_few_times_are_refused() -> None:
    data = with_column(examples(Kind.PAIRS, np.arange(20), np.arange(100, 120)), pa.array([0, 1] * 10))
    with pytest.raises(DataError, match=r"'by' has only 2 distinct values"):
        split_examples(data, SplitPlan(by="by"), words)


def test_three_times_fill_three_splits_and_caps_shorten_the_end() -> None:
    data = with_column(examples(Kind.PAIRS, np.arange(3), np.arange(10, 13)), pa.array([5, 6, 7]))
    splits = split_examples(data, SplitPlan(by="by", test=0.6), words)
    assert (splits.train.tolist(), splits.dev.tolist(), splits.test.tolist()) == ([0], [1], [2])
    data = with_column(examples(Kind.PAIRS, np.arange(100), np.arange(100, 200)), pa.array(range(100)))
    splits = split_examples(data, SplitPlan(by="by", max_test=3, max_dev=2), words)
    assert (splits.dev.tolist(), splits.test.tolist(), len(splits.train)) == ([95, 96], [97, 98, 99], 95)


def test_groups_stay_whole_and_their_texts_apart() -> None:
    customers = np.repeat([f"customer {number}" for number in range(80)], 5)
    anchors = np.arange(400)
    anchors[::40] = 0
    data = with_column(examples(Kind.RETRIEVAL, anchors, np.arange(1000, 1400)), pa.array(customers))
    splits = split_examples(data, SplitPlan(by="by"), words)
    seen = [set(customers[positions]) for positions in (splits.train, splits.dev, splits.test)]
    assert not seen[0] & seen[1]
    assert not seen[2] & (seen[0] | seen[1])
    assert not straddling(splits, [data.anchors])
    left_out = np.flatnonzero(parts_of(splits, 400) == -1)
    assert len(left_out) > 0
    assert set(anchors[left_out]) == {0}
    assert any(f"{len(left_out)} training rows" in note for note in splits.notes)
    assert splits.groups.tolist() == np.repeat(np.arange(80), 5).tolist()


def test_added_customers_move_none() -> None:
    names = np.repeat([f"customer {number}" for number in range(120)], 4)
    data = with_column(examples(Kind.PAIRS, np.arange(480), np.arange(1000, 1480)), pa.array(names))
    old = split_examples(data.select(np.arange(320)), SplitPlan(by="by"), words)
    new = split_examples(data, SplitPlan(by="by"), words)
    assert not old.notes
    assert not new.notes
    assert parts_of(new, 480)[:320].tolist() == parts_of(old, 320).tolist()


def test_time_order_that_leaves_nothing_to_train_on_is_refused() -> None:
    data = with_column(examples(Kind.RETRIEVAL, [1] * 10 + [2] * 5, np.arange(100, 115)), pa.array(range(15)))
    with pytest.raises(DataError, match="No rows are left for dev"):
        split_examples(data, SplitPlan(by="by"), words)


def load(
    folder: Path, name: str, kind: Kind, *columns: str, label: str | None = None
) -> tuple[Examples, TextTable]:
    table, texts = pq.read_table(folder / name), TextTable()
    ids = [texts.add(table[column].to_pylist()) for column in columns]
    labels, names = None, ()
    if label is not None:
        encoded = table[label].combine_chunks().dictionary_encode()
        labels, names = encoded.indices.to_numpy().astype(np.int64), tuple(encoded.dictionary.to_pylist())
    return examples(kind, *ids, labels=labels, label_names=names), texts


@pytest.mark.parametrize(
    ("name", "kind", "columns"),
    [
        ("stsb/train.parquet", Kind.SCORED, ("sentence1", "sentence2")),
        ("rqe/train.parquet", Kind.SCORED, ("sentence1", "sentence2")),
        ("nli/triplets_train.parquet", Kind.TRIPLETS, ("anchor", "positive")),
        ("medquad/train.parquet", Kind.PAIRS, ("anchor", "positive")),
        ("multi30k/dev.parquet", Kind.PAIRS, ("anchor", "positive")),
    ],
)
def test_real_pairs_share_no_text_between_splits(
    shared_data: Path, name: str, kind: Kind, columns: tuple[str, str]
) -> None:
    data, texts = load(shared_data, name, kind, *columns)
    splits = split_examples(data, SplitPlan(), texts.texts)
    assert not straddling(splits, [data.anchors, data.positives])
    assert len(splits.train) + len(splits.dev) + len(splits.test) == len(data)
    for positions in (splits.dev, splits.test):
        assert 0.05 <= len(positions) / len(data) <= 0.2


def test_real_questions_over_few_faq_entries_share_documents(shared_data: Path) -> None:
    data, texts = load(shared_data, "covid_faq/question_pairs.parquet", Kind.SCORED, "sentence1", "sentence2")
    splits = split_examples(data, SplitPlan(), texts.texts)
    assert not straddling(splits, [data.anchors])
    assert splits.documents_seen_in_training is not None
    assert splits.documents_seen_in_training > 0.5


def test_real_classes_are_in_every_split(shared_data: Path) -> None:
    data, texts = load(shared_data, "banking77/train.parquet", Kind.LABELLED, "text", label="label")
    splits = split_examples(data, SplitPlan(), texts.texts)
    for positions in (splits.train, splits.dev, splits.test):
        assert len(np.unique(data.labels[positions])) == 77
    assert not splits.notes
