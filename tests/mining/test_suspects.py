"""Suspected false negatives: who is on the list, in which order, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.examples import Examples
from sbert_triplet.errors import MachineError
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.marks import read_marks
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.suspects import WORDS, Reason, Suspects, in_words, write_table

TEXTS = (
    "where is my parcel",  # 0, a query
    "track the parcel with the number in the mail",  # 1, its positive
    "track a parcel with the number in the mail",  # 2, nearly the positive
    "your order can be followed online",  # 3, a positive nobody noted
    "parcels are weighed",  # 4
    "we sell shoes",  # 5
    "do you sell shoes",  # 6, a query
)
VECTORS = np.array([[4, 0], [3, 0], [3, 0], [3, 1], [2, 1], [0, 3], [0, 4]])


def mined(
    world: Callable[..., Any], pairs: Callable[..., Examples], **options: Any
) -> tuple[Any, list[dict[str, Any]]]:
    here = world(TEXTS, VECTORS)
    rules = options.pop("rules", Rules(near_equal=0.7, transitive_hops=0))
    result = mine(pairs((0, 1), (6, 5)), here.search(range(1, 6)), here.texts, rules, **options)
    return result, result.suspects.to_pylist()


def test_what_scores_as_a_positive_and_what_resembles_one(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    """Text 3 ties with the positive and is the nearest to the query, which is the nearest to it."""
    result, rows = mined(world, pairs)
    assert [(row["query_id"], row["document_id"]) for row in rows] == [(0, 2), (0, 3)]
    near, tied = rows
    assert near["reason"] == f"{WORDS[Reason.NEAR_EQUAL]}; {WORDS[Reason.SCORE]}"
    assert tied["reason"] == f"{WORDS[Reason.SCORE]}; {WORDS[Reason.RECIPROCAL]}"
    assert near == {
        "query_id": 0,
        "positive_id": 1,
        "document_id": 2,
        "query": TEXTS[0],
        "positive": TEXTS[1],
        "document": TEXTS[2],
        "score": 12.0,
        "positive_score": 12.0,
        "scored_by": "embedding",
        "rank": None,
        "mined": False,
        "reason": near["reason"],
        "mark": None,
    }
    # Without a margin it was given as a negative all the same, and the table says so.
    assert (tied["rank"], tied["mined"]) == (0, True)
    assert result.negatives.values[0] == 3


def test_a_margin_widens_the_suspicion_and_keeps_them_out(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    rules = Rules(near_equal=None, relative_margin=0.5, transitive_hops=0)
    result, rows = mined(world, pairs, rules=rules)
    assert [row["document_id"] for row in rows] == [2, 3, 4]
    assert [row["mined"] for row in rows] == [False] * 3
    assert result.negatives[0].tolist() == [5]
    # 2 and 3 tie; of them the lower id is the nearest.
    assert [WORDS[Reason.RECIPROCAL] in row["reason"] for row in rows] == [True, False, False]


def test_a_query_that_is_not_the_nearest_to_its_nearest_document(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    """Document 3 is the nearest to both queries, and nearer to query 1."""
    here = world(vectors=np.array([[1, 0], [2, 0], [0, 1], [3, 0]]), count=4)
    table = mine(pairs((0, 2), (1, 2)), here.search([2, 3]), here.texts, Rules(transitive_hops=0)).suspects
    reasons = dict(zip(table["query_id"].to_pylist(), table["reason"].to_pylist(), strict=True))
    assert WORDS[Reason.RECIPROCAL] in reasons[1]
    assert WORDS[Reason.RECIPROCAL] not in reasons[0]


def test_the_cross_encoder_has_its_say_on_its_own_scale(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    """It scores text 4 above the positive, which by the embedding is far below it."""
    scores = {TEXTS[4]: 0.9, TEXTS[1]: 0.5, TEXTS[5]: 0.5}

    def score(given: list[tuple[str, str]]) -> list[float]:
        return [
            scores.get(document, 0.1) if query == TEXTS[0] else 0.5 * (document == TEXTS[5])
            for query, document in given
        ]

    _, rows = mined(world, pairs, rescore=score)
    by_document = {row["document_id"]: row for row in rows if row["query_id"] == 0}
    assert by_document[4]["reason"] == WORDS[Reason.CROSS_ENCODER]
    assert (by_document[4]["score"], by_document[4]["positive_score"]) == pytest.approx((0.9, 0.5))
    assert (by_document[4]["scored_by"], by_document[4]["rank"], by_document[4]["mined"]) == (
        "cross-encoder",
        1,
        True,
    )
    assert by_document[3]["reason"] == f"{WORDS[Reason.SCORE]}; {WORDS[Reason.RECIPROCAL]}"
    assert by_document[3]["scored_by"] == "cross-encoder"
    assert by_document[2]["scored_by"] == "embedding"


def suspects(**changes: list[Any]) -> Suspects:
    count = len(next(iter(changes.values())))
    plain: dict[str, Any] = {
        "queries": list(range(count)),
        "documents": [9] * count,
        "positives": [8] * count,
        "scores": [0.5] * count,
        "positive_scores": [0.5] * count,
        "ranks": [0] * count,
        "reasons": [1] * count,
        "rescored": [False] * count,
        "mined": [False] * count,
    }
    return Suspects(**{name: np.array(values) for name, values in (plain | changes).items()})


def test_more_reasons_come_first_then_the_larger_gap_then_the_lower_ids() -> None:
    found = suspects(
        scores=[0.9, 0.5, 0.5, 0.7, 0.5],
        positive_scores=[0.8, 0.1, 0.5, 0.1, 0.5],
        reasons=[Reason.SCORE, Reason.SCORE, 7, 9, Reason.SCORE],
    )
    assert found.ranked(9).queries.tolist() == [2, 3, 1, 0, 4]
    assert found.ranked(2).queries.tolist() == [2, 3]
    assert len(Suspects.joined([found, found.ranked(2), Suspects.none()])) == 7


def test_at_most_so_many_whatever_the_blocks(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    here = world(count=60, seed=5)
    rows = pairs(*((query, 20 + query) for query in range(15)))
    answers = [
        mine(rows, here.search(range(20, 60)), here.texts, Rules(), memory_bytes=memory, most_suspects=most)
        for memory, most in ((1 << 28, 1000), (1, 1000), (1, 12), (1 << 28, 12))
    ]
    tables = [answer.suspects for answer in answers]
    assert {answer.suspected for answer in answers} == {tables[0].num_rows}
    assert tables[0].num_rows > 12
    assert tables[0].equals(tables[1])
    assert tables[2].equals(tables[0].slice(0, 12))
    assert tables[3].equals(tables[2])


def test_the_table_marked_is_read_back(
    world: Callable[..., Any], pairs: Callable[..., Examples], tmp_path: Path
) -> None:
    here = world(TEXTS, VECTORS)
    result, _ = mined(world, pairs)
    write_table(result.suspects, tmp_path / "new" / "suspects.parquet")
    frame = pd.read_parquet(tmp_path / "new" / "suspects.parquet")
    frame["mark"] = ["ignore", "positive"]
    for name, save in (("marked.csv", frame.to_csv), ("marked.parquet", frame.to_parquet)):
        save(tmp_path / name, index=False)
        marks = read_marks(tmp_path / name, here.texts.lookup, len(here.texts), cache_dir=tmp_path)
        assert (marks.positives.tolist(), marks.ignored.tolist()) == ([[0, 3]], [[0, 2]])
        again, rows = mined(world, pairs, marks=marks)
        assert (0, 3) not in [(row["query_id"], row["document_id"]) for row in rows]
        assert again.negatives[0].tolist() == [4]


def test_a_file_is_complete_or_absent(
    world: Callable[..., Any], pairs: Callable[..., Examples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _ = mined(world, pairs)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(MachineError, match=r"suspects.parquet: cannot be written \(No space left"):
        write_table(result.suspects, tmp_path / "suspects.parquet")
    assert list(tmp_path.iterdir()) == []


def test_reasons_in_words() -> None:
    assert in_words(0) == ""
    assert in_words(Reason.SCORE | Reason.CROSS_ENCODER).count(";") == 1
    assert set(WORDS) == set(Reason)
