from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.reporting.predictions import Movers, Result, read_movers


def movers(folder: Path, most: int = 10, **columns: object) -> Movers | None:
    path = folder / "items.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return read_movers(path, most)


def test_the_items_that_moved_furthest_against_sorting_all(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    base, tuned = np.round(random.uniform(size=(2, 100)), 1)
    found = movers(
        tmp_path, 6, item=list(range(100)), query=[f"q{i}" for i in range(100)], base=base, tuned=tuned
    )
    assert found is not None
    ranked = sorted(range(100), key=lambda i: (-(tuned[i] - base[i]), i))
    assert [item.number for item in found.gained] == ranked[:6]
    falling = sorted(range(100), key=lambda i: (tuned[i] - base[i], i))
    assert [item.number for item in found.lost] == falling[:6]
    assert [item.fields for item in found.lost] == [(("query", f"q{i}"),) for i in falling[:6]]
    assert (found.better, found.worse) == (int((tuned > base).sum()), int((tuned < base).sum()))
    assert found.better + found.worse + found.equal == 100


def test_rankings_and_their_marks(tmp_path: Path) -> None:
    found = movers(
        tmp_path,
        query=["a", "b"],
        base=[0.0, 0.2],
        tuned=[1.0, 0.2],
        base_top=[["x", "y"], []],
        tuned_top=[["y", None], None],
        tuned_top_relevant=[[True], None],
    )
    assert found is not None
    (item,) = found.gained
    assert item.number == 0
    assert item.base_top == (Result("x", None), Result("y", None))
    assert item.tuned_top == (Result("y", True), Result("", None))
    assert found.lost == ()
    assert found.equal == 1


def test_nearest_texts_and_their_classes(tmp_path: Path) -> None:
    found = movers(
        tmp_path,
        **{"text": ["a"], "class": ["one"], "base": [0.0], "tuned": [1.0]},
        base_top=[["x", "y"]],
        base_top_class=[["two", "one"]],
        base_top_relevant=[[False, True]],
        tuned_top=[["y"]],
        tuned_top_class=[["one"]],
        tuned_top_relevant=[[True]],
    )
    assert found is not None
    (item,) = found.gained
    assert item.fields == (("text", "a"), ("class", "one"))
    assert item.base_top == (Result("x", False, "two"), Result("y", True, "one"))
    assert item.tuned_top == (Result("y", True, "one"),)


def test_undefined_values_move_nowhere(tmp_path: Path) -> None:
    found = movers(tmp_path, text=["a", "b", "c"], base=[None, float("nan"), 0.1], tuned=[0.5, 0.5, 0.0])
    assert found is not None
    assert [item.number for item in found.lost] == [2]
    assert (found.gained, found.better, found.worse, found.equal) == ((), 0, 1, 0)


def test_nothing_to_compare(tmp_path: Path) -> None:
    assert movers(tmp_path, query=["a"], base=[0.1]) is None


def test_binary_junk(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    path.write_bytes(b"PAR1 no parquet at all PAR1")
    with pytest.raises(InputError, match=r"items\.parquet: not readable as parquet"):
        read_movers(path, 3)


def test_an_item_is_known_by_its_text(tmp_path: Path) -> None:
    """As a run writes them: item and row numbers before the text, values of other metrics after it."""
    path = tmp_path / "items.parquet"
    columns = {"item": [0], "row": [41], "gold": [1.0], "text": ["card lost"], "base": [0.0], "tuned": [1.0]}
    others = {"base AP": [0.25], "tuned AP": [None], "base of the column": [0.5]}
    pq.write_table(pa.table({**columns, **others}), path)
    movers = read_movers(path, 3)
    assert movers is not None
    assert movers.gained[0].fields == (("text", "card lost"), ("gold", "1"), ("base of the column", "0.5"))
    ((name, base, tuned),) = movers.gained[0].others
    assert (name, base, math.isnan(tuned)) == ("AP", 0.25, True)
