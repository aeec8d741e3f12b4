"""Mined rows as tables: what is in them, and that other readers see the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.examples import Ragged
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.output import as_dataset, write_dataset
from sbert_triplet.mining.rules import FilterCounts


@pytest.fixture
def texts() -> Callable[[Any], list[str]]:
    return lambda ids: [f"text {i}" for i in ids]


def mined(negatives: list[list[int]]) -> Mined:
    rows = len(negatives)
    ragged = Ragged.from_lists(negatives)
    return Mined(
        rows=np.arange(rows),
        queries=np.arange(rows),
        positives=10 + np.arange(rows),
        positive_scores=0.5 + np.arange(rows),
        negatives=ragged,
        scores=ragged.values / 100,
        counts=FilterCounts(),
        suspects=pa.table({}),
        suspected=0,
    )


def test_triplets(texts: Any) -> None:
    table = as_dataset(mined([[20, 21], [], [22]]), texts)
    assert table.column_names == [
        "anchor",
        "positive",
        "negative",
        "anchor_id",
        "positive_id",
        "negative_id",
        "scores",
    ]
    assert len(table) == 3
    assert table[1] == {
        "anchor": "text 0",
        "positive": "text 10",
        "negative": "text 21",
        "anchor_id": 0,
        "positive_id": 10,
        "negative_id": 21,
        "scores": [0.5, 0.21],
    }
    assert table["anchor_id"][:] == [0, 0, 2]


def test_tuples(texts: Any, recwarn: pytest.WarningsRecorder) -> None:
    table = as_dataset(mined([[20, 21], [22, 23]]), texts, format="n-tuple")
    assert table.column_names[:4] == ["anchor", "positive", "negative_1", "negative_2"]
    assert table[1]["negative_2"] == "text 23"
    assert table[1]["negative_2_id"] == 23
    assert table["scores"][:] == [[0.5, 0.2, 0.21], [1.5, 0.22, 0.23]]
    assert not recwarn.list


def test_tuples_with_fewer_are_left_out_and_counted(texts: Any) -> None:
    with pytest.warns(RuntimeWarning, match="2 of 3 rows have fewer than 2 negatives"):
        table = as_dataset(mined([[20, 21], [22], []]), texts, format="n-tuple")
    assert table["anchor_id"][:] == [0]


def test_nothing_mined_is_an_empty_table(texts: Any) -> None:
    assert len(as_dataset(mined([[], []]), texts)) == 0
    with pytest.warns(RuntimeWarning, match="2 of 2 rows"):
        assert len(as_dataset(mined([[], []]), texts, format="n-tuple")) == 0


def test_an_unknown_format(texts: Any) -> None:
    with pytest.raises(ValueError, match="unknown format 'pairs'"):
        as_dataset(mined([[20]]), texts, format="pairs")  # type: ignore[arg-type]


@pytest.mark.parametrize("format", ["triplet", "n-tuple"])
def test_other_readers_see_the_same(texts: Any, tmp_path: Path, format: Any) -> None:
    table = as_dataset(mined([[20, 21], [22, 23]] * 7_000), texts, format=format)
    assert len(table) == (28_000 if format == "triplet" else 14_000)
    path = tmp_path / "negatives" / "mined.parquet"
    write_dataset(table, path)
    rows = table.to_list()
    assert pq.read_table(path).to_pylist() == rows
    frame = pd.read_parquet(path)
    assert frame["anchor"].tolist() == [row["anchor"] for row in rows]
    assert [list(scores) for scores in frame["scores"]] == [row["scores"] for row in rows]
    again = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert again.to_list() == rows
    assert again.features == table.features
