"""Each rule speaks where its figure stands out, with the figure, and is silent beside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sbert_triplet.evaluation.causes import RULES, Figures, Shape, likely_causes
from sbert_triplet.evaluation.causes.of_rows import (
    columns_exchanged,
    false_negatives,
    few_training_rows,
    label_noise,
    little_to_gain,
    not_borne_out,
    other_rows,
    too_few_to_tell,
    truncation,
    wrong_prompts,
)
from sbert_triplet.evaluation.causes.of_training import (
    crowding,
    easy_negatives,
    rate_too_high,
    rate_too_low,
    trained_too_long,
)
from sbert_triplet.evaluation.results import Comparison

NOTHING = Comparison("nDCG@10", 0.6, 0.601, 0.001, -0.004, 0.006, 0.7, 2_000, detectable=0.007, needed=90_000)
WORSE = replace(NOTHING, tuned=0.55, difference=-0.05, low=-0.07, high=-0.03, p_value=0.0001)
BETTER = replace(NOTHING, tuned=0.65, difference=0.05, low=0.03, high=0.07, p_value=0.0001)


def figures(**given: Any) -> Figures:
    """A run of which nothing stands out."""
    usual: dict[str, Any] = {
        "comparison": NOTHING,
        "rows": 20_000,
        "steps": 300,
        "learning_rate": 2e-5,
        "losses": np.linspace(2.0, 1.0, 300),
        "stats": {"active_share": np.full(300, 0.4), "accuracy": np.full(300, 0.7), "easy": np.full(30, 0.5)},
        "dev_ends": (0.6, 0.64),
        "dev": np.array([0.60, 0.61, 0.62, 0.62, 0.63]),
        "general": replace(NOTHING, metric="triplet accuracy"),
        "told_apart": {"best other document": 0.6, "random document": 0.97},
        "same_text": 0.85,
        "base": Shape(0.1, 200.0),
        "tuned": Shape(0.12, 190.0),
        "findings": {"few-rows": 0, "duplicate-rows": 40},
        "truncated": {"positive": 0.004},
        "suspected": (20, 4_000),
    }
    return Figures(**{**usual, **given})


def test_a_run_of_which_nothing_stands_out_has_no_causes() -> None:
    assert likely_causes(figures()) == []


def test_a_run_of_which_nothing_is_known_has_no_causes_but_its_size() -> None:
    bare = Figures(comparison=replace(NOTHING, detectable=None, needed=None), rows=5_000, steps=80)
    assert [rule.__name__ for rule in RULES if rule(bare) is not None] == []


def test_no_cause_is_looked_for_where_the_tuned_model_is_better() -> None:
    assert likely_causes(figures(comparison=BETTER, rows=100, steps=3)) == []


def test_the_likeliest_comes_first() -> None:
    found = likely_causes(figures(truncated={"positive": 0.4}, rows=900, steps=300))
    assert [cause.cause for cause in found] == ["texts that are cut off", "too little training"]
    assert found[0].strength > found[1].strength


@pytest.mark.parametrize(
    ("rule", "given", "evidence"),
    [
        (
            too_few_to_tell,
            {"comparison": replace(NOTHING, low=-0.03, high=0.05, n=80, detectable=0.06, needed=4_000)},
            "80 items are too few to tell: they can show a difference of about .06 or more. "
            "For one as large as that seen here, about 4,000 items would be needed.",
        ),
        (
            little_to_gain,
            {"comparison": replace(NOTHING, base=0.985)},
            "the base model has 0.985 in nDCG@10 already, of at most 1",
        ),
        (few_training_rows, {"rows": 300}, "300 training rows, 300 steps"),
        (few_training_rows, {"steps": 10, "same_text": 0.97}, "20,000 training rows, 10 steps"),
        (
            label_noise,
            {"findings": {"conflicting-labels": 800, "negative-is-positive": 200, "duplicate-rows": 9_000}},
            "the audit finds 800 rows that contradict each other, 200 rows with a negative that is a known "
            "positive, beside 20,000 training rows",
        ),
        (
            columns_exchanged,
            {"findings": {"swapped-columns": 0}},
            "the audit finds that anchors look like documents and positives like queries",
        ),
        (
            not_borne_out,
            {"told_apart": {"best other document": 0.5, "random document": 0.61}},
            "to the base model, held-out texts that belong together are nearer than those of the group "
            "“random document” in only 61 % of the cases (50 % is chance)",
        ),
        (
            other_rows,
            {"comparison": WORSE, "dev_ends": (0.031, 0.219)},
            "on dev nDCG@10 went from 0.031 to 0.219, and on the test rows from 0.600 to 0.550",
        ),
        (
            false_negatives,
            {"suspected": (400, 4_000)},
            "400 candidates are suspected to be positives, beside 4,000 mined negatives",
        ),
        (
            truncation,
            {"truncated": {"anchor": 0.0, "positive": 0.25}},
            "25 % of the tokens of the role positive lie behind the encoder's limit and are never read",
        ),
        (
            wrong_prompts,
            {"findings": {"prompts-missing": 0}},
            "the base model was trained with prompts before its texts, and none is set",
        ),
        (
            rate_too_high,
            {"losses": np.linspace(1.0, 2.0, 100), "same_text": 0.2, "learning_rate": 1e-3},
            "the loss rose from 1.05 to 1.95 (first and last tenth of the steps); a text's embedding has a "
            "mean cosine of 0.20 to what it was before; the learning rate of 0.001 is higher than encoders "
            "are usually trained with",
        ),
        (
            rate_too_high,
            {"general": replace(WORSE, base=0.92, tuned=0.8)},
            "the check of everyday text fell from 0.920 to 0.800",
        ),
        (
            rate_too_low,
            {"losses": np.linspace(2.0, 1.99, 100), "same_text": 0.999},
            "the loss went from 2 to 1.99, and a text's embedding has a mean cosine of 0.999 to what it was "
            "before",
        ),
        (
            trained_too_long,
            {"dev": np.array([0.60, 0.65, 0.62, 0.61, 0.60])},
            "on dev the metric was best at evaluation 2 of 5 (0.650), and 0.600 at the end",
        ),
        (
            easy_negatives,
            {"stats": {"active_share": np.concatenate([np.full(50, 0.6), np.full(50, 0.02)])}},
            "in the second half of training only 2.0 % of the triplets or pairs had a loss",
        ),
        (
            easy_negatives,
            {"stats": {"accuracy": np.full(10, 0.99), "easy": np.full(10, 0.95)}},
            "in the second half of training 95 % of the triplets were easy; in the first half already, 99 % "
            "of the anchors were nearest to their own positive",
        ),
        (
            crowding,
            {"tuned": Shape(0.91, 40.0)},
            "the mean cosine of two different texts rose from 0.10 to 0.91; the effective rank fell from 200 "
            "to 40",
        ),
    ],
)
def test_a_rule_speaks_with_its_figure(rule: Any, given: dict[str, Any], evidence: str) -> None:
    cause = rule(figures(**given))
    assert cause is not None
    assert cause.evidence == evidence
    assert 0 < cause.strength <= 1
    assert cause.advice
    assert rule(figures()) is None


def test_a_loss_that_rose_by_chance_speaks_of_no_rate() -> None:
    """In a short run a tenth is a batch or two; in a longer one batches may differ as much as ends."""
    assert rate_too_high(figures(losses=np.linspace(0.0594, 0.158, 10))) is None
    assert rate_too_high(figures(losses=np.linspace(1.0, 2.0, 49))) is None
    assert rate_too_high(figures(losses=np.linspace(1.0, 2.0, 50))) is not None
    spread = np.concatenate([[0.02, 0.05, 0.1, 0.02, 0.11], np.full(40, 0.05), [0.3, 0.02, 0.04, 0.1, 0.03]])
    assert spread[-5:].mean() > 1.5 * spread[:5].mean()
    assert rate_too_high(figures(losses=spread)) is None


def test_few_steps_that_moved_the_texts_far_are_enough() -> None:
    assert few_training_rows(figures(steps=10, same_text=0.8)) is None
    rows_alone = few_training_rows(figures(rows=500, steps=10, same_text=0.8))
    assert rows_alone is not None
    assert rows_alone.advice == "add rows"
    one = few_training_rows(figures(rows=1, steps=1))
    assert one is not None
    assert one.evidence == "1 training row, 1 step"


@pytest.mark.parametrize("rule", [too_few_to_tell, little_to_gain])
def test_a_model_that_is_worse_is_not_excused(rule: Any) -> None:
    assert rule(figures(comparison=replace(WORSE, base=0.99, n=20, detectable=0.5))) is None


def test_values_that_are_not_finite_speak_for_nothing() -> None:
    bad = np.full(100, np.nan)
    run = figures(losses=bad, stats={"active_share": bad, "easy": bad, "accuracy": bad}, dev=bad)
    assert likely_causes(replace(run, same_text=float("nan"), base=None)) == []


def test_more_of_the_same_speaks_louder() -> None:
    for rule, name, little, much in (
        (truncation, "truncated", {"positive": 0.05}, {"positive": 0.4}),
        (false_negatives, "suspected", (100, 4_000), (1_200, 4_000)),
        (label_noise, "findings", {"conflicting-labels": 200}, {"conflicting-labels": 2_000}),
        (few_training_rows, "rows", 900, 90),
        (not_borne_out, "told_apart", {"random document": 0.75}, {"random document": 0.52}),
    ):
        one, two = rule(figures(**{name: little})), rule(figures(**{name: much}))
        assert one is not None
        assert two is not None
        assert one.strength < two.strength


def test_a_gain_on_dev_alone() -> None:
    gained = {"dev_ends": (0.6, 0.7)}
    one, two = other_rows(figures(**gained)), other_rows(figures(**gained, comparison=WORSE))
    assert one is not None
    assert two is not None
    assert one.strength < two.strength
    assert other_rows(figures(**gained, comparison=replace(NOTHING, high=0.11))) is None
    assert other_rows(figures(dev_ends=(float("nan"), 0.7))) is None
