"""The model that is served: the encoder, with what its loss has learned of the metric folded into it."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import Tensor, nn

from sbert_triplet.distances import Cosine, Distance, Dot, Mahalanobis, Minkowski, SquaredEuclidean
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.learned import Bilinear, WeightedSquares
from sbert_triplet.losses.matryoshka import MatryoshkaLoss

ALIKE_ON_THE_SPHERE = frozenset({"cosine", "dot", "euclidean"})
"""Similarities that put pairs of unit vectors in one and the same order."""
TOLERANCE = 1e-6
"""Share of the largest singular value of W up to which asymmetry and negative eigenvalues are rounding."""


def served_model(model: SentenceTransformer, loss: Loss) -> SentenceTransformer:
    """A new model that shares the encoder's modules and compares texts as ``loss`` has learned to.

    A learned or fitted metric |L (x - y)| becomes a Dense module at the end with the Euclidean
    similarity; a bilinear similarity q^T W d becomes one of ``with_bilinear``. Everything else keeps
    the modules, and the model's own similarity unless the loss compares by another of
    sentence-transformers' that orders the model's output in another way. Call it again after more
    training: the encoder is shared, what is folded in is a copy. A token table made for ``model``
    does not suit a model with routes.

    Raises InputError for a fixed Mahalanobis distance that was not fitted.
    """
    distance = loss.compares_by
    if isinstance(distance, Mahalanobis | WeightedSquares):
        return with_metric(model, distance.matrix())
    if isinstance(distance, Bilinear):
        if distance.symmetric:
            return _with(model, _dense(distance.factor()), "dot")
        return with_bilinear(model, distance.matrix())
    return _with(model, None, _similarity(model, loss))


def learns_metric(loss: Loss) -> bool:
    """Whether a metric of the loss is folded into the model that is served."""
    return isinstance(loss.compares_by, Mahalanobis | WeightedSquares | Bilinear)


def with_metric(model: SentenceTransformer, matrix: Tensor) -> SentenceTransformer:
    """The model with L (R, D) after it, so that its Euclidean distances are |L (x - y)|."""
    return _with(model, _dense(matrix), "euclidean")


def with_bilinear(model: SentenceTransformer, matrix: Tensor) -> SentenceTransformer:
    """The model with W (D, D) after it, so that its dot products are q^T W d.

    A symmetric positive semi-definite W = L^T L becomes one Dense module, any other one the route of
    queries beside a route of documents that leaves them as they are. ``encode_query`` and
    ``encode_document`` choose the route, plain ``encode`` gives documents.
    """
    root = _root(matrix)
    if root is not None:
        return _with(model, _dense(root), "dot")
    routes = Router.for_query_document([_dense(matrix.T)], [], default_route="document")
    return _with(model, routes, "dot")


def similarity_name(measure: Distance | str | None) -> str | None:
    """The similarity of sentence-transformers that orders pairs as ``measure`` does; None if none does."""
    if isinstance(measure, Minkowski):
        return {1.0: "manhattan", 2.0: "euclidean"}.get(measure.p)
    if isinstance(measure, SquaredEuclidean):
        return "euclidean"
    if isinstance(measure, Cosine | Dot):
        return measure.name
    return measure if isinstance(measure, str) else None


def unnamed_distance(loss: Loss) -> Distance | None:
    """The distance of ``loss``, where no model can serve it: neither named nor folded into modules."""
    distance = loss.compares_by
    if not isinstance(distance, Distance) or similarity_name(distance) is not None:
        return None
    return None if isinstance(distance, Mahalanobis | WeightedSquares | Bilinear) else distance


def nested_dimensions(loss: Loss) -> tuple[int, ...]:
    """The dimensions that ``loss`` trains embeddings to be cut to, the largest first; none without any."""
    return tuple(sorted({size for each in _nested(loss) for size, _ in each.steps}, reverse=True))


def described(distance: Distance) -> str:
    """The distance's name, with its order where it has one: ``minkowski (p = 3)``."""
    if isinstance(distance, Minkowski) and distance.name == Minkowski.name:
        return f"{distance.name} (p = {distance.p:g})"
    return distance.name


def _similarity(model: SentenceTransformer, loss: Loss) -> str:
    own, wanted = str(model.similarity_fn_name), similarity_name(loss.compares_by)
    if wanted is None:
        return own
    cut = _nested(loss)
    unit = isinstance(list(model.children())[-1], Normalize) and model.truncate_dim is None and not cut
    if unit and {own, wanted} <= ALIKE_ON_THE_SPHERE:
        return own
    if any(each.normalize for each in cut) and wanted in ALIKE_ON_THE_SPHERE:
        # The loss saw cut embeddings of length 1; those of a model that cuts are shorter.
        return "cosine"
    return wanted


def _nested(loss: Loss) -> list[MatryoshkaLoss]:
    return [each for each in loss.modules() if isinstance(each, MatryoshkaLoss)]


def _with(model: SentenceTransformer, module: nn.Module | None, similarity: str) -> SentenceTransformer:
    modules = OrderedDict(model.named_children())
    if module is not None:
        number = len(modules)
        while str(number) in modules:
            number += 1
        modules[str(number)] = module
    served = SentenceTransformer(
        modules=modules,  # type: ignore[arg-type]
        device=str(model.device),
        prompts={name: text or "" for name, text in model.prompts.items()},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=similarity,  # type: ignore[arg-type]
        # A cut of the folded embeddings would be another metric than the one learned.
        truncate_dim=model.truncate_dim if module is None else None,
        trust_remote_code=model.trust_remote_code,
        # Registers itself in its card's data, and those of the encoder stay the encoder's.
        model_card_data=copy.copy(model.model_card_data),
        backend=model.get_backend(),
    )
    served.module_kwargs = model.module_kwargs
    served.training = model.training
    return served


def _dense(weight: Tensor) -> Dense:
    rows, columns = weight.shape
    return Dense(
        columns,
        rows,
        bias=False,
        activation_function=nn.Identity(),
        init_weight=weight.detach().clone(memory_format=torch.contiguous_format),
    )


def _root(matrix: Tensor) -> Tensor | None:
    """L (D, D) with L^T L = W; None where W is not symmetric and positive semi-definite."""
    # On the CPU: not every device has fp64.
    exact = matrix.detach().cpu().double()
    even = (exact + exact.T) / 2
    limit = TOLERANCE * float(torch.linalg.matrix_norm(exact, ord=2))
    if float((exact - even).abs().max()) > limit:
        return None
    values, vectors = torch.linalg.eigh(even)
    if float(values[0]) < -limit:
        return None
    root: Tensor = values.clamp(min=0).sqrt()[:, None] * vectors.T
    return root.to(matrix)
