"""How long texts are in tokens, and what of them the encoder never sees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.wording import percent
from sbert_triplet.encoding.tokens import Truncation
from sbert_triplet.evaluation.audit.findings import ROWS_LISTED, Finding

SAMPLE = 5_000
LOST = 0.01
"""Share of a role's tokens from which on what is cut off is a warning."""

CountTokens = Callable[[str, IntArray], tuple[IntArray, IntArray]]
"""For a role and the ids of texts: (n,) token counts without and (n,) with the encoder's limit."""


def lengths_of(
    examples: Examples, count_tokens: CountTokens, max_length: int | None, seed: int
) -> tuple[dict[str, dict[str, float]], list[Finding]]:
    """Token counts of each role, over its rows, and a finding for each role that is cut off.

    Of a role with more than 5,000 texts a sample drawn by ``seed`` is counted. ``max_length``: the
    encoder's limit, None where it has none.
    """
    lengths: dict[str, dict[str, float]] = {}
    findings = []
    for role, (ids, rows) in _roles(examples).items():
        if not len(ids):
            continue
        sample = np.arange(len(ids))
        if len(ids) > SAMPLE:
            sample = np.sort(np.random.default_rng(seed).choice(sample, SAMPLE, replace=False))
        distinct, inverse = np.unique(ids[sample], return_inverse=True)
        full, read = (counts[inverse.reshape(-1)] for counts in count_tokens(role, distinct))
        lengths[role] = _summary(full)
        if max_length is None:
            continue
        truncation = Truncation.of(full, read)
        lengths[role] |= {
            "truncated_texts_share": truncation.texts_share,
            "truncated_tokens_share": truncation.tokens_share,
        }
        if truncation.cut:
            cut = rows[sample[full > read]]
            findings.append(_cut_off(role, truncation, max_length, len(ids), cut))
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


def _summary(counts: IntArray) -> dict[str, float]:
    return {
        "texts": len(counts),
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "p95": float(np.percentile(counts, 95)),
        "max": int(counts.max()),
    }


def _cut_off(role: str, truncation: Truncation, max_length: int, total: int, rows: IntArray) -> Finding:
    measured, long, lost = truncation.texts, truncation.texts_share, truncation.tokens_share
    basis = f" Measured on {measured:,} of {total:,} texts." if measured < total else ""
    message = (
        f"{role}: {percent(long, 1)} of the texts are longer than the {max_length:,} tokens that the encoder "
        f"reads, and {percent(lost, 1)} of all tokens are never seen. Raise max_length if the model allows "
        f"it, or cut the texts into passages.{basis}"
    )
    first = tuple(np.unique(rows)[:ROWS_LISTED].tolist())
    return Finding(
        "truncated-texts", "warning" if lost > LOST else "note", message, round(long * total), first
    )
