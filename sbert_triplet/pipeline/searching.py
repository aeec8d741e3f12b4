"""What proposes and scores the negatives of a run: its searches and its cross-encoder.

Embeddings and answers are kept for later runs, and several processes of one run share the work: all of
them have to ask for the same search and the same scorer at the same time.
"""

from __future__ import annotations

import torch

from sbert_triplet.data.cache import EMBEDDINGS, kept_folder
from sbert_triplet.data.examples import IntArray
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.mining.approximate import ApproximateSearch, measured_recall
from sbert_triplet.mining.kept_search import QUERIES_AT_ONCE, KeptSearch
from sbert_triplet.mining.rescoring import PairScorer, cross_encoder, shared
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch, Search
from sbert_triplet.mining.sharded import QueriesShared, ShardedSearch
from sbert_triplet.mining.space import Space
from sbert_triplet.pipeline.start import located_model
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.processes import from_all, several_processes
from sbert_triplet.recipe.mine import MineRecipe

QUERIES_ON_A_GPU, PAIRS_ON_A_CPU = 32768, 1 << 32
"""What is compared before it is kept: the documents are prepared once for it, and it is lost to a kill."""


def search_of(setting: Setting, documents: IntArray, *, keep: bool = True) -> Search:
    """The search that the recipe asks for, with the encoder's weights of the moment.

    ``documents``: (N,) distinct text ids, ascending. ``keep``: for later runs, which weights that the next
    step changes will not serve.
    """
    keep = all(from_all(keep and kept_folder(*EMBEDDINGS) is not None))
    embedder = _embedder(setting, documents, keep)
    space = Space(embedder, embedder.similarity, device=_device(setting))
    search = _search(setting, search_name(setting.recipe.mine, len(documents)), space, documents)
    return _kept(setting, embedder, search) if keep else search


def search_name(recipe: MineRecipe, documents: int) -> str:
    """What searches so many documents: what the recipe names, its exact part approximate above a size."""
    if recipe.approximate_from is None or documents < recipe.approximate_from:
        return recipe.search
    return {"exact": "approximate", "mixed": "approximate and bm25"}.get(recipe.search, recipe.search)


def recall_of(setting: Setting, search: Search, queries: IntArray, k: int) -> float:
    """How much of the exact answer an approximate search finds; NaN where none takes part."""
    if "approximate" not in search_name(setting.recipe.mine, len(search.documents)):
        return float("nan")
    exact, approximate = _search(setting, "exact", search.space, search.documents), search
    embedder = search.space.embed
    if isinstance(search, KeptSearch):
        approximate = search.search
    if isinstance(approximate, MixedSearch):
        approximate = approximate.first
    if isinstance(search, KeptSearch) and isinstance(embedder, Embedder):
        exact, approximate = (_kept(setting, embedder, each) for each in (exact, approximate))
    return measured_recall(approximate, exact, queries, k)


def spared_seconds(search: Search) -> float:
    """How much longer it would have taken so far, had nothing been kept by earlier runs."""
    embedder, kept = search.space.embed, search
    seconds = embedder.spared_seconds if isinstance(embedder, Embedder) else 0.0
    return seconds + (kept.spared.seconds if isinstance(kept, KeptSearch) else 0.0)


def scorer_of(setting: Setting) -> PairScorer | None:
    """The cross-encoder that the recipe names."""
    name = setting.recipe.mine.rescore
    if name is None:
        return None
    score = cross_encoder(located_model(name, setting.folder), device=str(setting.encoder.model.device))
    return shared(score) if several_processes() else score


def _embedder(setting: Setting, documents: IntArray, keep: bool) -> Embedder:
    precision, together = setting.recipe.evaluate.precision, several_processes()
    return Embedder(
        setting.encoder.model,
        setting.tokens,
        precision="fp32" if precision == "auto" else precision,
        budget=setting.group_tokens,
        progress=setting.telling("encoding"),
        scratch=setting.scratch,
        cache=EmbeddingCache.of_the_person(shared=together) if keep else None,
        at_once=[("document", documents)],
        shared=together,
    )


def _search(setting: Setting, name: str, space: Space, documents: IntArray) -> Search:
    """One search, of which several processes do a share each."""
    recipe, together = setting.recipe.mine, several_processes()
    if name in ("mixed", "approximate and bm25"):
        dense = _search(setting, name.partition(" ")[0].replace("mixed", "exact"), space, documents)
        return MixedSearch(dense, _search(setting, "bm25", space, documents))
    if name == "exact":
        memory = recipe.memory - recipe.memory // 4
        return (ShardedSearch if together else DenseSearch)(space, documents, memory)
    whole: Search = (
        ApproximateSearch(space, documents, recipe.index)
        if name == "approximate"
        else LexicalSearch(space, documents, setting.data.texts.texts)
    )
    return QueriesShared(whole) if together else whole


def _device(setting: Setting) -> str | torch.device:
    """Where embeddings are compared: where they are made, but for devices without double precision."""
    device = setting.encoder.model.device
    return device if device.type == "cuda" else "cpu"


def _kept(setting: Setting, embedder: Embedder, search: Search) -> Search:
    """The same search with its answers kept, where the cache is not switched off."""
    folder = kept_folder(*EMBEDDINGS)
    if folder is None:
        return search
    on_a_gpu = embedder.model.device.type == "cuda"
    at_once = QUERIES_ON_A_GPU if on_a_gpu else PAIRS_ON_A_CPU // max(1, len(search.documents))
    return KeptSearch(
        search,
        folder,
        setting.data.texts.texts,
        embedder.fingerprint,
        max(QUERIES_AT_ONCE, at_once),
        shared=several_processes(),
    )
