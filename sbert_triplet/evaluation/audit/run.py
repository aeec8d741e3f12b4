"""The audit as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.splits import Texts
from sbert_triplet.evaluation.audit.findings import Audit, Finding, in_order
from sbert_triplet.evaluation.audit.leaks import leaks
from sbert_triplet.evaluation.audit.lengths import CountTokens, lengths_of
from sbert_triplet.evaluation.audit.pairs import equal_sides, false_negatives, swapped_columns
from sbert_triplet.evaluation.audit.plan import (
    Margin,
    constant_labels,
    few_rows,
    refused_cells,
    small_classes,
    unreachable_margin,
)
from sbert_triplet.evaluation.audit.prompts import Prompts, missing_prompts
from sbert_triplet.evaluation.audit.repeats import conflicts, duplicates


def audit_examples(
    examples: Examples,
    texts: Texts,
    *,
    bad_cells: Sequence[tuple[int, str, str]] | None = None,
    set_aside: bool = False,
    exact_rows: IntArray | None = None,
    other: Mapping[str, Examples] | None = None,
    tokenise: CountTokens | None = None,
    max_length: int | None = None,
    prompts_expected: Prompts | str | None = None,
    prompts_set: bool = False,
    batch_plan: tuple[int, int] | None = None,
    margin: Margin | None = None,
    seed: int = 13,
) -> Audit:
    """Everything that is wrong or doubtful about ``examples``, the rows to train on.

    ``texts`` gives the texts of text ids. ``bad_cells``: (source row, column, reason) of cells
    that could not be used; ``set_aside``: whether that is as asked for, else it is an error.
    ``exact_rows``: (N,) as of ``equal_rows``, tells exact duplicates from normalised ones.
    ``other``: given files by name (dev, test), with ids of the same text table. ``tokenise``: for a
    role (anchor, positive, negative, text) and text ids their token counts, special tokens and prompt
    included, without and with the encoder's limit; ``max_length``: that limit.
    ``prompts_expected``: as of ``known_prompts``. ``batch_plan``: classes and texts of a class in a
    batch. ``margin``: that of the loss. ``seed`` chooses the samples.
    """
    other = other or {}
    findings: list[Finding] = refused_cells(bad_cells or (), set_aside)
    findings += missing_prompts(prompts_expected, prompts_set)
    findings += unreachable_margin(margin)
    if len(examples) == 0:
        empty = Finding(
            "no-rows", "error", "There are no rows to train on. Name a file or split that has some."
        )
        return Audit(in_order([*findings, empty]), {})
    findings += few_rows(examples, other)
    findings += constant_labels(examples)
    findings += small_classes(examples, batch_plan)
    findings += duplicates(examples, exact_rows)
    findings += conflicts(examples)
    findings += equal_sides(examples)
    findings += false_negatives(examples)
    findings += swapped_columns(examples, texts, seed)
    findings += leaks(examples, other)
    if tokenise is None:
        return Audit(in_order(findings), {})
    lengths, cut_off = lengths_of(examples, tokenise, max_length, seed)
    return Audit(in_order([*findings, *cut_off]), lengths)
