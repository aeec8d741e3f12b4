"""Top negatives against a plain loop over every query, on worlds full of ties."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.search import DenseSearch
from sbert_triplet.mining.space import Space


def plainly(
    vectors: np.ndarray, rows: list[tuple[int, int]], documents: list[int], rules: Rules
) -> dict[int, list[tuple[int, float]]]:
    """Top negatives by a loop over queries, for texts that are all unlike."""
    answer = {}
    for query in {query for query, _ in rows}:
        own = {positive for other, positive in rows if other == query} | {
            other for other, positive in rows if positive == query
        }
        least = min(float(vectors[query] @ vectors[p]) for q, p in rows if q == query)
        ranked = sorted(
            (-float(vectors[query] @ vectors[d]), d) for d in documents if d != query and d not in own
        )
        kept = []
        for rank, (negated, document) in enumerate(ranked):
            score = -negated
            inside = rules.range_min <= rank < rules.depth
            low = rules.max_score is None or score <= rules.max_score
            high = rules.min_score is None or score >= rules.min_score
            apart = rules.absolute_margin is None or score <= least - rules.absolute_margin
            share = rules.relative_margin is None or score <= least - rules.relative_margin * abs(least)
            if inside and low and high and apart and share:
                kept.append((document, score))
        answer[query] = kept[: rules.negatives]
    return answer


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[int], Rules]:
    ids = st.integers(0, 24)
    rows = draw(
        st.lists(st.tuples(ids, ids).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=12)
    )
    documents = sorted(draw(st.sets(ids, min_size=6)))
    negatives, first = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    maybe = st.one_of(st.none(), st.integers(-4, 4).map(float))
    bounds = sorted(draw(st.tuples(st.integers(-5, 9), st.integers(-5, 9))))
    rules = Rules(
        negatives=negatives,
        range_min=first,
        range_max=first + draw(st.integers(negatives, 8)),
        min_score=draw(st.sampled_from([None, float(bounds[0])])),
        max_score=draw(st.sampled_from([None, float(bounds[1])])),
        absolute_margin=draw(maybe),
        relative_margin=draw(st.sampled_from([None, 0.0, 0.25, 0.5])),
        near_equal=None,
        transitive_hops=0,
    )
    return draw(st.integers(0, 2**31)), rows, documents, rules


@settings(deadline=None, max_examples=80)
@given(worlds(), st.sampled_from([1, 3_000, 1 << 28]))
def test_top_negatives_equal_a_plain_loop(world: Any, by_query: Any, case: Any, memory_bytes: int) -> None:
    seed, rows, documents, rules = case
    vectors = np.random.default_rng(seed).integers(-2, 3, size=(25, 3)).astype(np.float32)
    ids = np.array(rows)
    examples = Examples(Kind.PAIRS, ids[:, 0].copy(), np.arange(len(ids)), positives=ids[:, 1].copy())
    search = DenseSearch(Space(lambda _, which: vectors[which], "dot"), np.array(documents))
    if len(documents) < rules.range_min + rules.negatives:
        return
    mined = mine(examples, search, world(count=25).texts, rules, memory_bytes=memory_bytes)
    expected = plainly(vectors, rows, documents, rules)
    assert by_query(mined) == expected
    assert mined.rows.tolist() == list(range(len(rows)))
    assert mined.positive_scores.tolist() == [float(vectors[q] @ vectors[p]) for q, p in rows]
    counts = mined.counts
    assert counts.queries == len(expected)
    assert counts.chosen == sum(map(len, expected.values()))
    assert counts.asked == rules.negatives * len(expected)
    assert counts.short == sum(len(found) < rules.negatives for found in expected.values())
    assert counts.empty == sum(not found for found in expected.values())
    assert counts.chosen <= counts.left <= counts.looked_at
