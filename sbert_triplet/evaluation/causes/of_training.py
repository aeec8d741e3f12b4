"""Causes that lie with the training: its rate, its length, its negatives, and what became of the space."""

from __future__ import annotations

import numpy as np

from sbert_triplet.data.wording import percent
from sbert_triplet.evaluation.causes.figures import NO_VALUES, Cause, Figures, ends, half_mean
from sbert_triplet.evaluation.verdict import verdict

HIGH_RATE = 2e-4
MOVED, STILL = 0.5, 0.98
"""Mean cosine of a text's embeddings before and after: it has become another model, or hardly changed."""
ROSE, SURELY = 1.02, 2.0
"""A loss rose by more than this share of it at the start, and by so many standard errors."""
HARDLY_FELL = 0.03
FEW_ACTIVE, MOST_EASY, MOST_RIGHT = 0.1, 0.9, 0.95
CROWDED = 0.5


def rate_too_high(figures: Figures) -> Cause | None:
    """Training that tore down what the model knew."""
    signs, strength = [], 0.0
    rate = figures.learning_rate
    first, last, error = ends(figures.losses)
    if last > ROSE * first > 0 and last - first > SURELY * error:
        signs.append(f"the loss rose from {first:.3g} to {last:.3g} (first and last tenth of the steps)")
        strength += 0.4
    general = figures.general
    if general is not None and verdict(general) == "worse":
        signs.append(f"the check of everyday text fell from {general.base:.3f} to {general.tuned:.3f}")
        strength += 0.3
    if figures.same_text < MOVED:
        signs.append(f"a text's embedding has a mean cosine of {figures.same_text:.2f} to what it was before")
        strength += 0.25
    if rate is not None and rate > HIGH_RATE:
        signs.append(f"the learning rate of {rate:g} is higher than encoders are usually trained with")
        strength += 0.3
    if not signs:
        return None
    at = "" if rate is None else f" of {rate:g}"
    return Cause(
        "a learning rate that is too high, or too many steps",
        "; ".join(signs),
        f"take a third of the learning rate{at}, a longer train.warmup, or fewer steps",
        min(0.2 + strength, 0.95),
    )


def rate_too_low(figures: Figures) -> Cause | None:
    """A model that hardly changed."""
    first, last, _ = ends(figures.losses)
    if not (figures.same_text >= STILL and last <= first and first - last <= HARDLY_FELL * abs(first)):
        return None
    at = "" if figures.learning_rate is None else f" of {figures.learning_rate:g}"
    return Cause(
        "a learning rate that is too low, or too few steps",
        f"the loss went from {first:.3g} to {last:.3g}, and a text's embedding has a mean cosine of "
        f"{figures.same_text:.3f} to what it was before",
        f"raise the learning rate{at}, or train longer",
        0.65,
    )


def trained_too_long(figures: Figures) -> Cause | None:
    """The metric on dev that was best long before the end."""
    dev = figures.dev[np.isfinite(figures.dev)]
    if len(dev) < 4:
        return None
    best = int(dev.argmax())
    if best + 1 > 0.6 * len(dev) or not dev[-1] < dev[best]:
        return None
    return Cause(
        "training on after the best point",
        f"on dev the metric was best at evaluation {best + 1} of {len(dev)} ({dev[best]:.3f}), "
        f"and {dev[-1]:.3f} at the end",
        "train fewer epochs, or set train.patience to stop in time",
        0.5,
    )


def easy_negatives(figures: Figures) -> Cause | None:
    """Negatives that teach nothing any more."""
    signs = []
    active = half_mean(figures.stats.get("active_share", NO_VALUES), last=True)
    easy = half_mean(figures.stats.get("easy", NO_VALUES), last=True)
    right = half_mean(figures.stats.get("accuracy", NO_VALUES), last=False)
    if active < FEW_ACTIVE:
        signs.append(
            f"in the second half of training only {percent(active, 1)} of the triplets or pairs had a loss"
        )
    if easy > MOST_EASY:
        signs.append(f"in the second half of training {percent(easy)} of the triplets were easy")
    if right > MOST_RIGHT:
        signs.append(
            f"in the first half already, {percent(right)} of the anchors were nearest to their own positive"
        )
    if not signs:
        return None
    return Cause(
        "negatives that are too easy",
        "; ".join(signs),
        "mine hard ones (mine.negatives), or take larger batches",
        min(0.45 + 0.15 * len(signs), 0.8),
    )


def crowding(figures: Figures) -> Cause | None:
    """Texts that have come together, or lie along few directions."""
    if figures.base is None or figures.tuned is None:
        return None
    signs = []
    before, after = 1 - figures.base.anisotropy, 1 - figures.tuned.anisotropy
    if after < CROWDED * before:
        signs.append(
            f"the mean cosine of two different texts rose from {figures.base.anisotropy:.2f} to "
            f"{figures.tuned.anisotropy:.2f}"
        )
    if figures.tuned.effective_rank < CROWDED * figures.base.effective_rank:
        signs.append(
            f"the effective rank fell from {figures.base.effective_rank:.0f} to "
            f"{figures.tuned.effective_rank:.0f}"
        )
    if not signs:
        return None
    return Cause(
        "embeddings on the way to collapse",
        "; ".join(signs),
        "lower the learning rate or the margin, or begin with all or semi-hard negatives",
        0.6 + 0.15 * (len(signs) - 1),
    )
