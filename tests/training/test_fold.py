"""What a loss has learned, folded into the model: the same distances in plain sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from sbert_triplet.distances import Distance, FixedMahalanobis
from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.tokens import Side, TokenTable, form_of
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.learned import OasisLoss, RelativeComparisonsLoss
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.names import build_loss
from sbert_triplet.losses.passive_aggressive import fit_oasis
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.fold import (
    described,
    served_model,
    similarity_name,
    unnamed_distance,
    with_bilinear,
    with_metric,
)

Encoder = Callable[..., SentenceTransformer]
SIZE = 16
ONE = ["a red cat runs", "the green dog sleeps", "blue horse", "house"]
TWO = ["a tree eats slowly", "the cat", "red red red", "a green house number 7", "dog"]


def embeddings(model: SentenceTransformer, texts: list[str]) -> torch.Tensor:
    return torch.from_numpy(model.encode(texts)).double()


def scrambled(loss: Loss) -> Loss:
    """The loss with parameters as training could have left them."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter += 0.4 * torch.rand(parameter.shape, generator=generator)
    loss.after_step()
    return loss


def reloaded(model: SentenceTransformer, folder: Path) -> SentenceTransformer:
    model.save(str(folder), create_model_card=False)
    return SentenceTransformer(str(folder), device="cpu")


def distance_of(loss: Loss) -> Distance:
    assert isinstance(loss.compares_by, Distance)
    return loss.compares_by


METRICS: dict[str, Callable[[], Loss]] = {
    "full": lambda: TripletLoss(distance={"name": "mahalanobis"}, dimensions=SIZE, margin=0.2),
    "low rank": lambda: TripletLoss(
        distance={"name": "mahalanobis", "form": "low_rank", "rank": 5}, dimensions=SIZE, margin=0.2
    ),
    "diagonal": lambda: build_loss(
        "contrastive", distance={"name": "mahalanobis", "form": "diagonal"}, dimensions=SIZE, margin=0.2
    ),
    "weights": lambda: RelativeComparisonsLoss(dimensions=SIZE),
    "weights after a transform": lambda: RelativeComparisonsLoss(
        dimensions=SIZE,
        weights="softplus",
        transform=torch.randn(SIZE, 7, generator=torch.Generator().manual_seed(1)),
    ),
}

SIZES = {"low rank": 5, "weights after a transform": 7}


@pytest.mark.parametrize("name", METRICS)
def test_a_learned_metric_becomes_a_dense_module(name: str, make_encoder: Encoder, tmp_path: Path) -> None:
    encoder, loss = make_encoder(), scrambled(METRICS[name]())
    expected = distance_of(loss).pairwise(embeddings(encoder, ONE), embeddings(encoder, TWO)).detach()
    if isinstance(loss, RelativeComparisonsLoss):
        expected = expected.sqrt()
    assert not torch.allclose(expected, torch.cdist(embeddings(encoder, ONE), embeddings(encoder, TWO)))
    served = served_model(encoder, loss)
    for model in (served, reloaded(served, tmp_path / "saved")):
        last = list(model.children())[-1]
        assert isinstance(last, Dense)
        assert last.linear.bias is None
        assert isinstance(list(model.children())[-2], Normalize)
        assert model.similarity_fn_name == "euclidean"
        found = -model.similarity(model.encode(ONE), model.encode(TWO))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert model.get_embedding_dimension() == SIZES.get(name, SIZE)


def test_a_fitted_metric_becomes_a_dense_module(make_encoder: Encoder, texts: list[str]) -> None:
    encoder = make_encoder()
    loss = TripletLoss(distance={"name": "mahalanobis", "form": "fixed"}, dimensions=SIZE, margin=0.2)
    with pytest.raises(InputError, match="no covariance yet"):
        served_model(encoder, loss)
    fixed = distance_of(loss)
    assert isinstance(fixed, FixedMahalanobis)
    fixed.fit(embeddings(encoder, texts))
    one, two = embeddings(encoder, ONE).numpy(), embeddings(encoder, TWO).numpy()
    inverse = np.linalg.inv(fixed.whitening.double().inverse() @ fixed.whitening.double().inverse().T)
    gaps = one[:, None] - two[None]
    expected = np.sqrt(np.einsum("abi,ij,abj->ab", gaps, inverse, gaps))
    served = served_model(encoder, loss)
    np.testing.assert_allclose(
        -served.similarity(served.encode(ONE), served.encode(TWO)), expected, rtol=1e-5
    )


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_bilinear_similarity(symmetric: bool, make_encoder: Encoder, tmp_path: Path) -> None:
    encoder = make_encoder()
    loss = scrambled(OasisLoss(dimensions=SIZE, rank=3, symmetric=symmetric))
    one, two = embeddings(encoder, ONE), embeddings(encoder, TWO)
    expected = distance_of(loss).pairwise(one, two).detach()
    backwards = distance_of(loss).pairwise(two, one).detach().T
    assert torch.allclose(expected, backwards) == symmetric
    served = served_model(encoder, loss)
    for model in (served, reloaded(served, tmp_path / "saved")):
        assert isinstance(list(model.children())[-1], Dense if symmetric else Router)
        assert model.similarity_fn_name == "dot"
        assert model.get_embedding_dimension() == SIZE
        found = model.similarity(model.encode_query(ONE), model.encode_document(TWO))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        if not symmetric:
            np.testing.assert_allclose(model.encode(TWO), two, atol=1e-6)


def test_a_symmetric_matrix_that_is_semi_definite_needs_no_routes(make_encoder: Encoder) -> None:
    encoder, rng = make_encoder(), np.random.default_rng(4)
    sides = rng.normal(size=(3, 40, SIZE))
    one, two = embeddings(encoder, ONE).numpy(), embeddings(encoder, TWO).numpy()
    for finish, routes in (("none", True), ("positive", False)):
        weight = fit_oasis(*sides, finish=finish).matrix  # type: ignore[arg-type]
        served = with_bilinear(encoder, torch.from_numpy(weight).float())
        assert isinstance(list(served.children())[-1], Router) == routes
        found = served.similarity(served.encode_query(ONE), served.encode_document(TWO))
        np.testing.assert_allclose(found, one @ weight @ two.T, atol=2e-6)
    indefinite = torch.diag(torch.tensor([-1.0] + [1.0] * (SIZE - 1)))
    assert isinstance(list(with_bilinear(encoder, indefinite).children())[-1], Router)
    # Of rank 1, whose zero eigenvalues come out of rounding with either sign.
    line = torch.linspace(-1, 1, SIZE)
    assert isinstance(list(with_bilinear(encoder, torch.outer(line, line)).children())[-1], Dense)


def test_an_untrained_head_serves_the_dot_product(make_encoder: Encoder) -> None:
    encoder = make_encoder()
    served = served_model(encoder, OasisLoss(dimensions=SIZE))
    found = served.similarity(served.encode_query(ONE), served.encode_document(TWO))
    np.testing.assert_allclose(found, embeddings(encoder, ONE) @ embeddings(encoder, TWO).T, atol=1e-6)


def test_the_package_encodes_the_sides_of_routes(make_encoder: Encoder) -> None:
    encoder = make_encoder()
    encoder.prompts = {"query": "red: ", "document": ""}
    served = served_model(encoder, scrambled(OasisLoss(dimensions=SIZE, rank=3)))
    texts = [*ONE, *TWO]
    tokens = TokenTable(served, lambda ids: [texts[number] for number in ids])
    calls: dict[Side, np.ndarray] = {
        "query": served.encode_query(texts),
        "document": served.encode_document(texts),
        "text": served.encode(texts),
        "left": served.encode(texts, task="query"),
        "right": served.encode(texts, task="document"),
    }
    for side, expected in calls.items():
        found = encode(served, tokens, side, np.arange(len(texts)))
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=side)
    assert not np.allclose(calls["left"], calls["right"], atol=1e-2)
    assert not np.allclose(calls["left"], calls["query"], atol=1e-2)
    made_before = TokenTable(encoder, lambda ids: [texts[number] for number in ids])
    assert made_before.fits(encoder)
    assert not made_before.fits(served)
    assert form_of(encoder, "left") == form_of(encoder, "right") == form_of(encoder, "text")


def test_it_shares_the_encoder_and_carries_over_its_settings(make_encoder: Encoder, tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.prompts, encoder.default_prompt_name = {"query": "q: ", "topic": "t: "}, "topic"
    encoder.max_seq_length = 9
    encoder.model_card_data.language = ["en"]
    encoder.train()
    before, card = list(encoder.named_children()), encoder.model_card_data
    served = served_model(encoder, METRICS["full"]())
    assert list(encoder.named_children()) == before
    assert encoder.model_card_data is card
    assert card.model is encoder
    assert encoder.similarity_fn_name == "cosine"
    assert list(served.children())[:-1] == [child for _, child in before]
    assert served.training
    again = reloaded(served, tmp_path / "saved")
    for model in (served, again):
        assert model.prompts["query"] == "q: "
        assert model.default_prompt_name == "topic"
        assert model.max_seq_length == 9
    assert served.model_card_data.language == ["en"]
    with torch.no_grad():
        next(encoder.parameters()).normal_()
    assert not np.allclose(served.encode(ONE), again.encode(ONE), atol=1e-3)


def test_what_is_folded_in_stays_when_training_goes_on(make_encoder: Encoder) -> None:
    loss = scrambled(METRICS["full"]())
    served = served_model(make_encoder(), loss)
    before = served.encode(ONE)
    scrambled(loss)
    assert np.array_equal(served.encode(ONE), before)


def test_a_cut_is_not_made_after_a_metric(make_encoder: Encoder) -> None:
    encoder = make_encoder()
    encoder.truncate_dim = 4
    assert with_metric(encoder, torch.eye(SIZE)).truncate_dim is None
    plain = build_loss("multiple_negatives_ranking")
    assert served_model(encoder, plain).encode(ONE).shape == (4, 4)


def ranking(**options: Any) -> Loss:
    return build_loss("multiple_negatives_ranking", **options)


def triplet(distance: str | dict[str, Any]) -> Loss:
    return TripletLoss(distance=distance, margin=0.2, dimensions=SIZE)


@pytest.mark.parametrize(
    ("loss", "own", "unit", "expected"),
    [
        (ranking(), "cosine", True, "cosine"),
        (ranking(similarity="dot"), "cosine", True, "cosine"),
        (ranking(similarity="dot"), "cosine", False, "dot"),
        (ranking(), "dot", False, "cosine"),
        (triplet("euclidean"), "cosine", True, "cosine"),
        (triplet("squared_euclidean"), "dot", True, "dot"),
        (triplet("squared_euclidean"), "cosine", False, "euclidean"),
        (triplet({"name": "minkowski", "p": 2}), "cosine", False, "euclidean"),
        (triplet("manhattan"), "cosine", True, "manhattan"),
        (triplet({"name": "minkowski", "p": 1}), "manhattan", True, "manhattan"),
        (triplet({"name": "minkowski", "p": 3}), "cosine", False, "cosine"),
        (triplet("chebyshev"), "dot", True, "dot"),
        (triplet("jaccard"), "cosine", True, "cosine"),
        (build_loss("softmax_classification", classes=3, dimensions=SIZE), "dot", False, "dot"),
        (build_loss("cosent", similarity="euclidean"), "cosine", False, "euclidean"),
        (build_loss("cosine_regression"), "dot", False, "cosine"),
        (build_loss("ladder", similarity="manhattan"), "cosine", True, "manhattan"),
        (build_loss("nt_xent", similarity="dot"), "cosine", False, "dot"),
        (build_loss("supervised_contrastive", similarity="euclidean"), "cosine", False, "euclidean"),
        (MatryoshkaLoss(ranking(), dimensions=[16, 8]), "cosine", True, "cosine"),
        # Cut embeddings are of any length, so these two do not order them alike.
        (MatryoshkaLoss(ranking(), dimensions=[16, 8]), "dot", True, "cosine"),
        (MatryoshkaLoss(triplet("euclidean"), dimensions=[8]), "cosine", True, "euclidean"),
        (MatryoshkaLoss(triplet("euclidean"), dimensions=[8], normalize=True), "dot", True, "cosine"),
        (MatryoshkaLoss(triplet("manhattan"), dimensions=[8], normalize=True), "dot", True, "manhattan"),
    ],
)
def test_the_similarity_that_is_served(
    loss: Loss, own: str, unit: bool, expected: str, make_encoder: Encoder
) -> None:
    encoder = make_encoder()
    if not unit:
        encoder = SentenceTransformer(modules=list(encoder.children())[:-1], device="cpu")
    encoder.similarity_fn_name = own  # type: ignore[assignment]
    served = served_model(encoder, loss)
    assert served is not encoder
    assert list(served.named_children()) == list(encoder.named_children())
    assert served.similarity_fn_name == expected
    assert encoder.similarity_fn_name == own


@pytest.mark.parametrize(
    ("distance", "name", "shown"),
    [
        ({"name": "minkowski", "p": 3}, None, "minkowski (p = 3)"),
        ({"name": "minkowski", "p": float("inf")}, None, "minkowski (p = inf)"),
        ("chebyshev", None, "chebyshev"),
        ("jaccard", None, "jaccard"),
        ({"name": "jaccard", "signed": "tanimoto"}, None, "jaccard"),
        ({"name": "minkowski", "p": 1}, "manhattan", "minkowski (p = 1)"),
        ("squared_euclidean", "euclidean", "squared_euclidean"),
        ("cosine", "cosine", "cosine"),
        ("dot", "dot", "dot"),
    ],
)
def test_distances_without_a_name(distance: str | dict[str, Any], name: str | None, shown: str) -> None:
    loss = triplet(distance)
    assert similarity_name(loss.compares_by) == name
    assert (unnamed_distance(loss) is None) == (name is not None)
    assert described(distance_of(loss)) == shown
    assert unnamed_distance(MatryoshkaLoss(loss, dimensions=[4])) is unnamed_distance(loss)


def test_what_is_folded_needs_no_name() -> None:
    assert unnamed_distance(METRICS["full"]()) is None
    assert unnamed_distance(OasisLoss(dimensions=SIZE)) is None
    assert unnamed_distance(RelativeComparisonsLoss(dimensions=SIZE)) is None
    assert unnamed_distance(ranking()) is None
