"""Scores of a cross-encoder in place of similarities, for candidates and positives alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.data.splits import Texts
from sbert_triplet.data.wording import first_line
from sbert_triplet.encoding.loading import resolve_model
from sbert_triplet.encoding.vetting import vet_model
from sbert_triplet.errors import InputError, ModelError
from sbert_triplet.mining.candidates import BoolArray, Candidates
from sbert_triplet.mining.positives import Positives
from sbert_triplet.processes import place, together

PairScorer = Callable[[list[tuple[str, str]]], Any]
"""Scores (n,) of n pairs (query text, document text), larger is closer."""

PAIRS_AT_ONCE = 1 << 16


def cross_encoder(
    model: CrossEncoder | str | Path, *, batch_size: int = 32, device: str | None = None
) -> PairScorer:
    """The scores of a cross-encoder: one that is loaded, or a folder, cached or Hub model by its name.

    Raises ModelError where it cannot be loaded or gives more than one score a pair.
    """
    loaded = model if isinstance(model, CrossEncoder) else _load(str(model), device)
    if loaded.num_labels != 1:
        raise ModelError(
            f"a cross-encoder that rescores gives one score a pair; {model} gives {loaded.num_labels}"
        )

    def score(pairs: list[tuple[str, str]]) -> Any:
        return loaded.predict(pairs, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)

    return score


def shared(score: PairScorer) -> PairScorer:
    """The same scores, of which each process of the run makes a share; all of them ask for the same pairs."""

    def share(pairs: list[tuple[str, str]]) -> Any:
        rank, processes = place()
        own = np.array_split(np.arange(len(pairs)), processes)[rank]
        parts = together(lambda: np.asarray(score([pairs[pair] for pair in own])) if len(own) else None)
        return np.concatenate([part for part in parts if part is not None])

    return share


def rescored(
    candidates: Candidates,
    keep: BoolArray,
    positives: Positives,
    texts: Texts,
    score: PairScorer,
    *,
    pairs_at_once: int = PAIRS_AT_ONCE,
) -> tuple[Candidates, FloatArray]:
    """Candidates in the order of their new scores, and (P,) the new scores of the positives.

    Both sides get new scores, since scores of two models cannot be compared. Candidates that are not
    kept get none (-inf) and come last; equal scores stay in the order of the search, and ranks stay
    with their documents. The pairs of all queries are scored together, each pair once, and no more
    than ``pairs_at_once`` are held as texts. ``positives``: of the Q queries, in their order.
    Raises InputError where the scorer gives other than one finite number a pair.
    """
    rows, columns = np.nonzero(keep)
    found = np.stack([candidates.queries[rows], candidates.documents[rows, columns]], axis=1)
    pairs, places = np.unique(np.concatenate([found, positives.pairs]), axis=0, return_inverse=True)
    values = _scored(pairs, texts, score, pairs_at_once)[places.reshape(-1)]
    scores = np.full(candidates.scores.shape, -np.inf, dtype=np.float32)
    scores[rows, columns] = values[: len(found)]
    changed = Candidates(
        candidates.queries, candidates.documents, scores, candidates.sources, candidates.ranks
    )
    return changed.reordered(np.argsort(-scores, axis=1, kind="stable")), values[len(found) :]


def _scored(pairs: IntArray, texts: Texts, score: PairScorer, pairs_at_once: int) -> FloatArray:
    values = np.zeros(len(pairs), dtype=np.float64)
    for first in range(0, len(pairs), pairs_at_once):
        part = pairs[first : first + pairs_at_once]
        ids, places = np.unique(part, return_inverse=True)
        words = list(texts(ids))
        given = [(words[query], words[document]) for query, document in places.reshape(-1, 2)]
        scores = np.asarray(score(given), dtype=np.float64)
        if scores.shape != (len(part),):
            raise InputError(
                f"the scorer gave an array of shape {scores.shape} for {len(part)} pairs; it gives one "
                "number a pair"
            )
        if not np.isfinite(scores).all():
            bad = given[int(np.flatnonzero(~np.isfinite(scores))[0])]
            raise InputError(
                f"the scorer gave a score that is not finite, for the query {bad[0][:80]!r} and the document "
                f"{bad[1][:80]!r}"
            )
        # The same precision as the similarities have: a positive ties with an equal candidate.
        values[first : first + pairs_at_once] = scores.astype(np.float32)
    return values


def _load(name: str, device: str | None) -> CrossEncoder:
    resolved = resolve_model(name)
    vet_model(resolved.path, resolved.name)
    try:
        loaded: CrossEncoder = CrossEncoder(
            str(resolved.path),
            device=device,
            model_kwargs={"use_safetensors": True},
            trust_remote_code=False,
            local_files_only=True,
        )
        return loaded
    except Exception as error:
        raise ModelError(
            f"model {name}: cannot be loaded as a cross-encoder ({first_line(error)})"
        ) from error
