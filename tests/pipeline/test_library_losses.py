"""Losses of sentence-transformers and nested dimensions, in whole runs with the tiny encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sbert_triplet.errors import InputError
from sbert_triplet.training.library_names import LIBRARY_LOSSES

if TYPE_CHECKING:
    from tests.pipeline.conftest import Rows, Tables, Train

ON = {
    "TripletLoss": "triplets",
    "DistillKLDivLoss": "triplets",
    "MarginMSELoss": "triplets",
    "MultipleNegativesRankingLoss": "triplets",
    "EmbedDistillLoss": "labelled",
}
"""What each is run on where it takes more than one kind; ``pairs`` where nothing is said."""
OPTIONS: dict[str, dict[str, Any]] = {
    "TripletLoss": {"distance_metric": "cosine", "triplet_margin": 0.3},
    "BatchAllTripletLoss": {"margin": 0.4},
    "BatchHardTripletLoss": {"distance_metric": "cosine", "margin": 0.2},
    "BatchSemiHardTripletLoss": {"margin": 0.2},
    "EmbedDistillLoss": {"teacher": "base", "projection_dim": 32},
    "MSELoss": {"teacher": "base"},
    "DistillKLDivLoss": {"teacher": "base"},
    "MarginMSELoss": {"teacher": "base"},
}


def rows_of(kind: str, tables: Tables, scores: tuple[float, ...]) -> Rows:
    pairs = tables.pairs()
    if kind == "labelled":
        return tables.labelled()
    if kind == "scored":
        return [
            {"sentence1": row["question"], "sentence2": row["answer"], "score": scores[n % len(scores)]}
            for n, row in enumerate(pairs)
        ]
    negatives = [{"negative": tables.answer(n + 5)} for n in range(len(pairs))] if kind == "triplets" else []
    if not negatives:
        return pairs
    return [
        {"anchor": row["question"], "positive": row["answer"], **negative}
        for row, negative in zip(pairs, negatives, strict=True)
    ]


@pytest.mark.parametrize("name", sorted(LIBRARY_LOSSES))
def test_every_one_of_them_trains(name: str, tables: Tables, train: Train) -> None:
    entry, plain = LIBRARY_LOSSES[name], name.removeprefix("st.")
    kind = next(iter(entry.kinds)) if len(entry.kinds) == 1 else ON.get(plain, "pairs")
    scores = (0.0, 1.0) if entry.target == "yes or no" else (0.0, 0.3, 1.0)
    finished = train(rows_of(kind, tables, scores), loss={"name": name, **OPTIONS.get(plain, {})})
    assert finished.report["train"]["steps"] == 3
    resolved = yaml.safe_load((finished.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert resolved["loss"]["name"] == name
    assert resolved["decisions"]["kind"] == kind


def test_kinds_that_one_of_them_does_not_take(tables: Tables, train: Train) -> None:
    with pytest.raises(
        InputError, match=r"loss\.name: st\.CoSENTLoss works on scored pairs, and these rows are"
    ):
        train(tables.pairs(), loss={"name": "st.CoSENTLoss"})
    with pytest.raises(InputError, match=r"st\.TripletLoss wants 1 negative a row, these rows have 0"):
        train(tables.pairs(), loss={"name": "st.TripletLoss", "triplet_margin": 0.5})


def test_a_margin_that_can_never_be_met(tables: Tables, train: Train) -> None:
    with pytest.raises(InputError, match=r"A margin of 5 can never be met: euclidean lies between 0 and 2"):
        train(rows_of("triplets", tables, ()), loss={"name": "st.TripletLoss"})
    loss = {"name": "triplet", "margin": 2.5, "miner": "all", "matryoshka": [16]}
    with pytest.raises(InputError, match=r"A margin of 2.5 can never be met: cosine lies between 0 and 2"):
        train(tables.labelled(), loss=loss)


def test_nested_dimensions(tables: Tables, train: Train) -> None:
    finished = train(tables.pairs(), loss={"matryoshka": [16, 8], "matryoshka_weights": [1, 0.5]})
    resolved = yaml.safe_load((finished.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert resolved["loss"] == {
        "name": "multiple_negatives_ranking",
        "scale": 20.0,
        "similarity": "cosine",
        "learn_scale": False,
        "matryoshka": [16, 8],
        "matryoshka_weights": [1.0, 0.5],
    }
    again = train(tables.pairs(), "again", loss=resolved["loss"])
    assert again.report["train"]["steps"] == 3
