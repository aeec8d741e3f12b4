"""What proposes and scores the negatives of a run: its searches and its cross-encoder."""

from __future__ import annotations

from sbert_triplet.data.examples import IntArray
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.rescoring import PairScorer, cross_encoder
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch, Search
from sbert_triplet.mining.space import Space
from sbert_triplet.pipeline.start import located_model
from sbert_triplet.pipeline.tasks import Setting


def search_of(setting: Setting, documents: IntArray) -> Search:
    """The search that the recipe asks for, with the encoder's weights of the moment.

    ``documents``: (N,) distinct text ids, ascending.
    """
    recipe, model = setting.recipe.mine, setting.encoder.model
    precision = setting.recipe.evaluate.precision
    embedder = Embedder(
        model,
        setting.tokens,
        precision="fp32" if precision == "auto" else precision,
        budget=setting.recipe.train.group_tokens,
        progress=setting.telling("encoding"),
        scratch=setting.scratch,
    )
    space = Space(embedder, embedder.similarity)
    if recipe.search == "approximate":
        return ApproximateSearch(space, documents)
    lexical = LexicalSearch(space, documents, setting.data.texts.texts)
    if recipe.search == "bm25":
        return lexical
    device = model.device if model.device.type == "cuda" else "cpu"
    exact = DenseSearch(space, documents, recipe.memory - recipe.memory // 4, device)
    return MixedSearch(exact, lexical) if recipe.search == "mixed" else exact


def scorer_of(setting: Setting) -> PairScorer | None:
    """The cross-encoder that the recipe names."""
    name = setting.recipe.mine.rescore
    if name is None:
        return None
    return cross_encoder(located_model(name, setting.folder), device=str(setting.encoder.model.device))
