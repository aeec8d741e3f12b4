"""How long texts are in tokens, and what of them the encoder never sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.splits import Texts
from sbert_triplet.evaluation.audit.findings import ROWS_LISTED, Finding

SAMPLE = 5_000
LOST = 0.01
"""Share of a role's tokens from which on what is cut off is a warning."""

CountTokens = Callable[[list[str]], list[int]]


def lengths_of(
    examples: Examples, texts: Texts, count_tokens: CountTokens, max_length: int | None, seed: int
) -> tuple[dict[str, Mapping[str, float]], list[Finding]]:
    """Token counts of each role, over its rows, and a finding for each role that is cut off.

    Of a role with more than 5,000 texts a sample drawn by ``seed`` is counted. ``max_length``:
    the tokens that the encoder reads, special tokens included as in ``count_tokens``.
    """
    lengths: dict[str, Mapping[str, float]] = {}
    findings = []
    for role, (ids, rows) in _roles(examples).items():
        if not len(ids):
            continue
        sample = np.arange(len(ids))
        if len(ids) > SAMPLE:
            sample = np.sort(np.random.default_rng(seed).choice(sample, SAMPLE, replace=False))
        counts = _count(ids[sample], texts, count_tokens)
        lengths[role] = _summary(counts, max_length)
        if max_length is not None and counts.max() > max_length:
            cut = rows[sample[counts > max_length]]
            findings.append(_cut_off(role, lengths[role], max_length, len(ids), cut))
    return lengths, findings


def _roles(examples: Examples) -> dict[str, tuple[IntArray, IntArray]]:
    """For each role its text ids and their source rows."""
    first = "text" if examples.kind in (Kind.LABELLED, Kind.TEXTS) else "anchor"
    roles = {first: (examples.anchors, examples.row_numbers)}
    if examples.positives is not None:
        roles["positive"] = (examples.positives, examples.row_numbers)
    if examples.negatives is not None:
        owners = np.repeat(examples.row_numbers, np.diff(examples.negatives.offsets))
        roles["negative"] = (examples.negatives.values, owners)
    return roles


def _count(ids: IntArray, texts: Texts, count_tokens: CountTokens) -> IntArray:
    distinct, inverse = np.unique(ids, return_inverse=True)
    counts = np.asarray(count_tokens(list(texts(distinct))), dtype=np.int64)
    each: IntArray = counts[inverse.reshape(-1)]
    return each


def _summary(counts: IntArray, max_length: int | None) -> dict[str, float]:
    summary = {
        "texts": len(counts),
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "p95": float(np.percentile(counts, 95)),
        "max": int(counts.max()),
    }
    if max_length is not None:
        lost = np.maximum(counts - max_length, 0)
        summary["truncated_texts_share"] = float((lost > 0).mean())
        summary["truncated_tokens_share"] = float(lost.sum() / max(counts.sum(), 1))
    return summary


def _cut_off(role: str, summary: Mapping[str, float], max_length: int, total: int, rows: IntArray) -> Finding:
    measured = int(summary["texts"])
    long, lost = summary["truncated_texts_share"], summary["truncated_tokens_share"]
    basis = f" Measured on {measured:,} of {total:,} texts." if measured < total else ""
    message = (
        f"{role}: {long:.1%} of the texts are longer than the {max_length:,} tokens that the encoder reads, "
        f"and {lost:.1%} of all tokens are never seen. Raise max_length if the model allows it, or cut the "
        f"texts into passages.{basis}"
    )
    first = tuple(np.unique(rows)[:ROWS_LISTED].tolist())
    return Finding(
        "truncated-texts", "warning" if lost > LOST else "note", message, round(long * total), first
    )
