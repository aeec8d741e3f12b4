"""Causes that lie with the rows: too few, wrong, cut off, or too easy to tell anything."""

from __future__ import annotations

from sbert_triplet.data.wording import percent, times
from sbert_triplet.evaluation.causes.figures import Cause, Figures
from sbert_triplet.evaluation.power import reason, reason_in_words
from sbert_triplet.evaluation.verdict import verdict

LITTLE_ROOM = 0.02
FEW_ROWS, FEW_STEPS = 1_000, 50
MOVED = 0.9
"""Mean cosine of a text's embeddings before and after: below it they have moved far."""
NOISY = 0.005
"""Of the training rows: a smaller share that contradicts itself is no explanation."""
SUSPECTED = 0.02
LOST_TOKENS = 0.02
CLEAR_GAIN = 0.05
"""A gain on dev that is no matter of a few items."""
CHANCE, CLEAR = 0.5, 0.8
"""Being told apart from random pairs: by nothing, and as far as texts that belong together usually are."""
_NOISE = {
    "conflicting-": "rows that contradict each other",
    "anchor-equals-positive": "rows whose anchor is their positive",
    "negative-is-positive": "rows with a negative that is a known positive",
    "negative-equals-anchor": "rows with a negative that is the anchor",
    "equal-texts-scored-low": "equal texts with a low score",
    "equal-texts-not-entailed": "equal texts that are not entailed",
}


def too_few_to_tell(figures: Figures) -> Cause | None:
    """The held-out rows are too few to show a gain that would be worth having."""
    comparison = figures.comparison
    if verdict(comparison) == "worse" or reason(comparison) != "too few to tell":
        return None
    return Cause(
        "too few held-out rows to tell",
        reason_in_words(comparison),
        "hold out more rows (evaluate.test), or give more data",
        0.9 if comparison.difference > 0 else 0.6,
    )


def little_to_gain(figures: Figures) -> Cause | None:
    """The base model is nearly perfect on these rows."""
    base, shown = figures.comparison.base, figures.comparison.detectable or 0.0
    room = 1.0 - base
    if verdict(figures.comparison) == "worse" or not room <= max(LITTLE_ROOM, min(shown, 0.1)):
        return None
    return Cause(
        "little left to gain",
        f"the base model has {base:.3f} in {figures.comparison.metric} already, of at most 1",
        "the training may be fine: harder held-out rows, or more documents to search, would tell more",
        0.85,
    )


def few_training_rows(figures: Figures) -> Cause | None:
    """Too little was trained on to change much."""
    few = figures.rows < FEW_ROWS
    # Few steps are enough where texts have moved far in them.
    short = figures.steps < FEW_STEPS and not figures.same_text < MOVED
    if not (few or short):
        return None
    missing = max(1 - figures.rows / FEW_ROWS if few else 0, 1 - figures.steps / FEW_STEPS if short else 0)
    advice = ["add rows"] if few else []
    advice += ["train longer (train.epochs, train.max_steps) or with smaller batches"] if short else []
    return Cause(
        "too little training",
        f"{times(figures.rows, 'training row', 'training rows')}, {times(figures.steps, 'step', 'steps')}",
        ", and ".join(advice),
        0.25 + 0.5 * missing,
    )


def label_noise(figures: Figures) -> Cause | None:
    """Rows that the audit finds to contradict themselves or each other."""
    counts = {
        what: sum(count for code, count in figures.findings.items() if code.startswith(begins))
        for begins, what in _NOISE.items()
    }
    wrong = {what: count for what, count in counts.items() if count}
    share = sum(wrong.values()) / max(figures.rows, 1)
    if share <= NOISY:
        return None
    listed = ", ".join(f"{count:,} {what}" for what, count in wrong.items())
    return Cause(
        "wrong or contradicting labels",
        f"the audit finds {listed}, beside {figures.rows:,} training rows",
        "look at these rows (data.json names them) and correct or drop them",
        min(0.3 + 3 * share, 0.9),
    )


def columns_exchanged(figures: Figures) -> Cause | None:
    """The audit takes anchors for documents and positives for queries."""
    if "swapped-columns" not in figures.findings:
        return None
    return Cause(
        "anchor and positive exchanged",
        "the audit finds that anchors look like documents and positives like queries",
        "name the columns under data.columns the other way round",
        0.85,
    )


def not_borne_out(figures: Figures) -> Cause | None:
    """Held-out texts that belong together look like random ones to the base model."""
    if not figures.told_apart:
        return None
    name, apart = list(figures.told_apart.items())[-1]
    if not apart < CLEAR:
        return None
    return Cause(
        "labels or columns that the texts do not bear out",
        f"to the base model, held-out texts that belong together are nearer than those of the group "
        f"“{name}” in only {percent(apart)} of the cases (50 % is chance)",
        "look at some rows (a wrong column, shuffled rows, a likeness that no text tells of), or take "
        "a base model that knows this language and field",
        min(0.4 + (CLEAR - apart) / (CLEAR - CHANCE) / 2, 0.9),
    )


def other_rows(figures: Figures) -> Cause | None:
    """On dev, which is of the training rows' kind, the metric rises well beyond what the test rows allow."""
    comparison, (base, tuned) = figures.comparison, figures.dev_ends
    gain = tuned - base
    if not (gain >= CLEAR_GAIN and gain > comparison.high):
        return None
    return Cause(
        "training rows that teach something else than the test rows ask for",
        f"on dev {comparison.metric} went from {base:.3f} to {tuned:.3f}, and on the test rows from "
        f"{comparison.base:.3f} to {comparison.tuned:.3f}",
        "look at some rows of both (columns in another order, another field or language, labels that mean "
        "something else), or hold test rows of the training data out (leave data.test out)",
        0.8 if verdict(comparison) == "worse" else 0.5,
    )


def false_negatives(figures: Figures) -> Cause | None:
    """Mined negatives that may be right answers."""
    if figures.suspected is None or not figures.suspected[1]:
        return None
    suspects, chosen = figures.suspected
    if suspects <= SUSPECTED * chosen:
        return None
    return Cause(
        "negatives that are right answers",
        f"{suspects:,} candidates are suspected to be positives, beside {chosen:,} mined negatives",
        "judge some in negatives/suspects.parquet (mine.marks), or raise mine.relative_margin",
        min(0.3 + suspects / chosen, 0.8),
    )


def truncation(figures: Figures) -> Cause | None:
    """What tells texts apart may stand behind the encoder's limit."""
    role = max(figures.truncated, key=lambda each: figures.truncated[each], default="")
    share = figures.truncated.get(role, 0.0)
    if not share > LOST_TOKENS:
        return None
    return Cause(
        "texts that are cut off",
        f"{percent(share)} of the tokens of the role {role} lie behind the encoder's limit and are "
        "never read",
        "raise max_length if the model allows it, or cut the texts into passages",
        min(0.2 + 1.5 * share, 0.9),
    )


def wrong_prompts(figures: Figures) -> Cause | None:
    """A model that was made for prompts, and has none."""
    if "prompts-missing" not in figures.findings:
        return None
    return Cause(
        "missing prompts",
        "the base model was trained with prompts before its texts, and none is set",
        "set prompts.query and prompts.document as the audit names them",
        0.7,
    )
