"""Losses by name, and their options as data."""

from __future__ import annotations

import inspect

import pytest

from sbert_triplet.data.kinds import Kind
from sbert_triplet.distances import Cosine
from sbert_triplet.distances.options import Range
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.names import LOSSES, build_loss
from sbert_triplet.losses.triplet import TripletLoss

EXPECTED = [
    "triplet",
    "margin_based",
    "hoffer_ailon",
    "multiple_negatives_ranking",
    "symmetric_ranking",
    "nt_xent",
    "simcse",
    "moco",
    "supervised_contrastive",
    "guided_ranking",
    "contrastive",
    "online_contrastive",
    "softmax_classification",
    "cosine_regression",
    "cosent",
    "ladder",
    "relative_comparisons",
    "oasis",
]
REQUIRED = {
    "triplet": {"margin": 0.2},
    "contrastive": {"margin": 0.5},
    "online_contrastive": {"margin": 0.5},
    "softmax_classification": {"classes": 3},
}


def test_the_names_of_recipes() -> None:
    assert sorted(LOSSES) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_loss_builds_with_its_defaults_and_says_what_it_needs(name: str) -> None:
    entry = LOSSES[name]
    loss = build_loss(name, dimensions=8, **REQUIRED.get(name, {}))
    assert isinstance(loss, Loss)
    assert entry.kinds <= {kind.value for kind in Kind}
    assert entry.description
    for kind in entry.kinds:
        needs = loss.needs_for(kind)
        assert needs.columns in (1, 2)
        assert not (needs.scores and kind not in ("scored", "retrieval"))
        assert not (needs.labels and kind not in ("labelled", "nli"))
    missing = {option.name for option in entry.options.values() if option.required}
    assert missing == set(REQUIRED.get(name, {})) - {"margin"} | (
        {"margin"} if "contrastive" in name and "sup" not in name else set()
    )
    for parameter in inspect.signature(entry.constructor).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


def test_options_carry_ranges_choices_and_defaults() -> None:
    options = LOSSES["triplet"].options
    assert options["margin"].range == Range(low=0, low_open=True)
    assert options["margin"].default is None
    assert "distance_weighted" in options["miner"].choices
    assert options["average"].choices == ("all", "active")
    assert LOSSES["contrastive"].options["margin"].required
    assert "dimensions" not in options


def test_unknown_names_and_options_get_the_nearest_spelling() -> None:
    with pytest.raises(ValueError, match="did you mean 'multiple_negatives_ranking'"):
        build_loss("multiple_negative_ranking")
    with pytest.raises(ValueError, match="loss triplet has no option 'magin': did you mean 'margin'"):
        build_loss("triplet", magin=0.1)
    with pytest.raises(ValueError, match="'scale': known: score_at_zero, score_at_one"):
        build_loss("cosine_regression", scale=2)
    with pytest.raises(ValueError, match="softmax_classification needs dimensions"):
        build_loss("softmax_classification", classes=3)
    with pytest.raises(ValueError, match="contrastive needs margin"):
        build_loss("contrastive")


def test_distances_by_name_by_mapping_and_as_they_are() -> None:
    for distance in ("cosine", {"name": "cosine"}, Cosine()):
        loss = build_loss("triplet", distance=distance, margin=0.2)
        assert isinstance(loss, TripletLoss)
        assert loss.distance == Cosine()
    with pytest.raises(ValueError, match="p is"):
        build_loss("triplet", distance={"name": "minkowski", "p": 0.1}, margin=0.2)
