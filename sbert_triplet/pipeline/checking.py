"""The audit of a run's data, and what training will take."""

from __future__ import annotations

from collections.abc import Mapping

from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.wording import percent
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.evaluation.audit import Audit, audit_examples, known_prompts
from sbert_triplet.pipeline.decide import class_batch
from sbert_triplet.pipeline.environment import peak_memory_bytes
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.plan import Plan
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.tasks import TEXTS_ALIKE
from sbert_triplet.recipe.model import Recipe


def audit_data(
    recipe: Recipe, data: Gathered, encoder: Encoder, tokens: TokenTable, plan: Plan | None = None
) -> Audit:
    """Everything doubtful about the training rows, and leaks into given dev and test rows.

    ``plan``: of the training, where there is to be one.
    """
    model = encoder.model

    def count(role: str, ids: IntArray) -> tuple[IntArray, IntArray]:
        side: Side = "text" if data.kind in TEXTS_ALIKE else "query" if role == "anchor" else "document"
        tokens.add(side, ids)
        form = tokens.form(side)
        return tokens.full_lengths(form, ids), tokens.lengths(form, ids)

    return audit_examples(
        data.train,
        lambda ids: data.texts.texts(list(ids)),
        bad_cells=data.bad_cells,
        set_aside=recipe.data.on_bad_row == "skip",
        exact_rows=data.exact,
        other=data.given,
        tokenise=count,
        max_length=model.max_seq_length,
        prompts_expected=known_prompts(encoder.resolved.name),
        prompts_set=any(model.prompts.values()),
        batch_plan=_batch_plan(data, plan) if plan else None,
        margin=plan.margin if plan else None,
        seed=recipe.train.seed,
    )


def notes_on_prompts(recipe: Recipe, data: Gathered) -> list[str]:
    """A note where prompts are set that nothing is encoded with."""
    if data.kind not in TEXTS_ALIKE or not (recipe.prompts.query or recipe.prompts.document):
        return []
    return [
        f"prompts.query and prompts.document are saved with the model, and nothing is put before the texts "
        f"in training and measuring: {data.kind.described} has neither queries nor documents"
    ]


def lengths_in_words(lengths: Mapping[str, Mapping[str, float]], max_length: int | None) -> list[str]:
    """One line a role: how long its texts are, and what of them is cut off."""
    lines = []
    for role, figures in lengths.items():
        lost = figures.get("truncated_tokens_share", 0.0)
        cut = f"; {percent(lost, 1)} of all tokens are cut off" if lost else ""
        lines.append(
            f"{role:<9}{figures['median']:.0f} tokens at the median, {figures['p95']:.0f} at 95 %, "
            f"{figures['max']:.0f} at most{cut}"
        )
    if max_length is not None and lines:
        lines.append(f"         the encoder reads {max_length:,} of a text")
    return lines


def expected(plan: Plan, encoder: Encoder) -> str:
    """Time and memory of the training to come, in words."""
    used = peak_memory_bytes(encoder.model.device)
    memory = f", about {used / 1e9:.1f} GB of memory" if used else ""
    return (
        f"Expected: {plan.settings.steps:,} steps of {plan.pace.per_step:.2f} s, "
        f"{duration(plan.seconds)} of training{memory}"
    )


def duration(seconds: float) -> str:
    """Seconds in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _batch_plan(data: Gathered, plan: Plan) -> tuple[int, int] | None:
    if data.kind is not Kind.LABELLED:
        return None
    return class_batch(plan.settings.batch_size, len(data.train.label_names))
