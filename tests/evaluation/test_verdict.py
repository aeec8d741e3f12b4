"""Verdicts and sentences: sign, singular, scale, digits, and what is said when nothing is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sbert_triplet.data.kinds import Kind
from sbert_triplet.evaluation.metrics import default_metrics
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.evaluation.verdict import plain_sentence, verdict

NAN = float("nan")


def compared(
    metric: str, base: float, tuned: float, low: float, high: float, n: int = 500, groups: int | None = None
) -> Comparison:
    return Comparison(metric, base, tuned, tuned - base, low, high, 0.01, n, groups)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.03, "better"),
        (-0.03, -0.01, "worse"),
        (-0.01, 0.03, "not shown better"),
        (0.0, 0.03, "not shown better"),
        (-0.03, 0.0, "not shown better"),
        (NAN, NAN, "not shown better"),
    ],
)
def test_verdict(low: float, high: float, expected: str) -> None:
    assert verdict(compared("RR@10", 0.5, 0.51, low, high)) == expected


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (
            compared("Success@3", 0.50, 0.57, 0.05, 0.09),
            "Of 100 searches, 7 more find the right text among the first 3 (5 to 9).",
        ),
        (
            compared("Success@3", 0.57, 0.50, -0.09, -0.05),
            "Of 100 searches, 7 fewer find the right text among the first 3 (5 to 9).",
        ),
        (
            compared("Success@3", 0.50, 0.51, 0.006, 0.015),
            "Of 100 searches, 1 more finds the right text among the first 3 (1 to 2).",
        ),
        (
            compared("Success@10", 0.5, 0.504, 0.002, 0.006),
            "Of 1,000 searches, 4 more find the right text among the first 10 (2 to 6).",
        ),
        (
            compared("Success@3", 0.50, 0.52, -0.01, 0.05),
            "Of 100 searches, 2 more find the right text among the first 3, which may be luck "
            "(1 fewer to 5 more).",
        ),
        (
            compared("Success@3", 0.52, 0.51, -0.05, 0.0),
            "Of 100 searches, 1 fewer finds the right text among the first 3, which may be luck "
            "(5 fewer to 0).",
        ),
        (
            compared("Success@3", 0.5, 0.501, -0.01, 0.012),
            "Of 100 searches, as many find the right text among the first 3 as before (1 fewer to 1 more).",
        ),
        (
            compared("Success@1", 0.5, 0.6, 0.08, 0.12),
            "Of 100 searches, 10 more rank a right text first (8 to 12).",
        ),
        (
            compared("R@100", 0.7, 0.75, 0.04, 0.06),
            "Of 100 right texts, 5 more are ranked among the first 100 (4 to 6).",
        ),
        (
            compared("P@5", 0.2, 0.21, 0.006, 0.014),
            "Of 100 texts ranked among the first 5, 1 more is a right one (1 to 1).",
        ),
        (
            compared("triplet accuracy", 0.8, 0.9, 0.09, 0.11),
            "Of 100 triplets, 10 more are ordered right (9 to 11).",
        ),
        (
            compared("1-NN accuracy", 0.8, 0.87, 0.05, 0.09),
            "Of 100 labelled texts, 7 more have a text of their own class as the nearest (5 to 9).",
        ),
        (
            compared("centroid accuracy", 0.87, 0.86, -0.02, -0.006),
            "Of 100 labelled texts, 1 fewer lies nearest to the centre of its own class (1 to 2).",
        ),
        (
            compared("Spearman", 0.82, 0.86, 0.03, 0.05),
            "The ranking of similarity follows the given scores more closely: "
            "Spearman .86 against .82 (difference .03 to .05).",
        ),
        (
            compared("Spearman", 0.86, 0.82, -0.05, -0.03),
            "The ranking of similarity follows the given scores less closely: "
            "Spearman .82 against .86 (difference -.05 to -.03).",
        ),
        (
            compared("Pearson", 0.82, 0.84, -0.01, 0.05),
            "Similarity is not shown to follow the given scores more closely: "
            "Pearson .84 against .82 (difference -.01 to .05).",
        ),
        (
            compared("nDCG@10", 0.6892, 0.6921, 0.0011, 0.0043),
            "Searches rank the right texts higher: nDCG@10 .692 against .689 (difference .001 to .004).",
        ),
        (
            compared("RR@10", 0.5, 0.4, -0.15, -0.05),
            "Searches rank the first right text lower: RR@10 .40 against .50 (difference -.15 to -.05).",
        ),
        (
            compared("pair AP", 0.99, 1.0, -0.001, 0.02),
            "Similarity is not shown to tell pairs that belong together from the others better: "
            "pair AP 1.00 against .99 (difference .00 to .02).",
        ),
        (
            compared("Success@3", 0.25, 0.5, NAN, NAN, n=4),
            "Of 100 searches, 25 more find the right text among the first 3. "
            "4 items are too few to tell whether that is luck.",
        ),
        (
            compared("nDCG@10", 0.25, 0.5, NAN, NAN, n=300, groups=1),
            "Searches are not shown to rank the right texts higher: nDCG@10 .50 against .25. "
            "1 group is too few to tell whether that is luck.",
        ),
        (compared("Spearman", NAN, 0.5, NAN, NAN), "Spearman is undefined for at least one of the models."),
        (
            compared("nDCG@10", 0.5, 0.5, 0.0, 0.0),
            "Searches are not shown to rank the right texts higher: "
            "nDCG@10 .50 against .50 (difference .00 to .00).",
        ),
    ],
)
def test_sentences(comparison: Comparison, sentence: str) -> None:
    assert plain_sentence(comparison) == sentence


def test_too_few_rows_are_told_from_no_gain() -> None:
    unsure = replace(compared("Success@3", 0.50, 0.52, -0.01, 0.05), detectable=0.0423, needed=3_210)
    assert plain_sentence(unsure) == (
        "Of 100 searches, 2 more find the right text among the first 3, which may be luck "
        "(1 fewer to 5 more). 500 items are too few to tell: they can show a difference of about 4.2 in 100 "
        "or more. For one as large as that seen here, about 3,200 items would be needed."
    )
    no_gain = replace(compared("nDCG@10", 0.5, 0.501, -0.004, 0.006, n=9_000), detectable=0.007)
    assert plain_sentence(no_gain) == (
        "Searches are not shown to rank the right texts higher: nDCG@10 .501 against .500 "
        "(difference -.004 to .006). 9,000 items are enough to tell: a gain above .006 is unlikely."
    )
    shown = replace(compared("nDCG@10", 0.5, 0.6, 0.05, 0.15), detectable=0.02, needed=40)
    assert plain_sentence(shown) == plain_sentence(replace(shown, detectable=None))


def test_an_approximate_interval_is_called_so() -> None:
    comparison = replace(compared("triplet accuracy", 0.8, 0.9, 0.09, 0.11), approximate=True)
    assert plain_sentence(comparison) == (
        "Of 100 triplets, 10 more are ordered right (9 to 11). "
        "The interval is approximate: too few items differ, or too unevenly, for an exact one."
    )
    assert comparison.as_json()["approximate"] is True
    assert "approximate" not in replace(comparison, approximate=False).as_json()


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("tuned", [0.4, 0.5, 0.6])
def test_every_default_metric_has_a_sentence(kind: Kind, tuned: float) -> None:
    for metric in default_metrics(kind):
        comparison = compared(metric.name, 0.5, tuned, tuned - 0.52, tuned - 0.48)
        sentence = plain_sentence(comparison)
        assert sentence.endswith(".")
        assert "None" not in sentence


def test_metrics_without_a_name_here_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown metric"):
        plain_sentence(compared("bleu", 0.5, 0.6, 0.05, 0.15))


def test_an_interval_alone_does_not_make_it_better() -> None:
    """Seven gained and one lost of 400: p = .0703 by the exact sign test, whatever the interval says."""
    base, tuned = np.zeros(400), np.zeros(400)
    tuned[:7], base[7] = 1.0, 1.0
    comparison = compare_items("Success@1", base, tuned)
    assert comparison.p_value == pytest.approx(0.0703, abs=0.004)
    assert verdict(replace(comparison, low=0.001)) == "not shown better"
    tuned[8:12] = 1.0
    assert verdict(compare_items("Success@1", base, tuned)) == "better"
