"""The audit of a run's data, and what training will take."""

from __future__ import annotations

from sbert_triplet.data.kinds import Kind
from sbert_triplet.evaluation.audit import Audit, audit_examples, known_prompts
from sbert_triplet.pipeline.decide import CLASS_TEXTS
from sbert_triplet.pipeline.environment import peak_memory_bytes
from sbert_triplet.pipeline.gather import Gathered
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.training import Plan
from sbert_triplet.recipe.model import Recipe


def audit_data(recipe: Recipe, data: Gathered, encoder: Encoder, plan: Plan) -> Audit:
    """Everything doubtful about the training rows, and leaks into given dev and test rows."""
    model = encoder.model
    tokenizer = model.tokenizer
    prompt = model.prompts.get("query") or ""

    def count(texts: list[str]) -> list[int]:
        if not texts:
            return []
        encoded = tokenizer([prompt + text for text in texts], truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    return audit_examples(
        data.train,
        lambda ids: data.texts.texts(list(ids)),
        bad_cells=data.bad_cells,
        other=data.given,
        tokenise=count,
        max_length=model.max_seq_length,
        prompts_expected=known_prompts(encoder.resolved.name),
        prompts_set=any(model.prompts.values()),
        batch_plan=_batch_plan(data, plan),
        margin=_margin(plan, model.get_embedding_dimension() or 0),
        seed=recipe.train.seed,
    )


def expected(plan: Plan, encoder: Encoder) -> str:
    """Time and memory of the training to come, in words."""
    seconds = plan.seconds_per_step * plan.settings.steps
    used = peak_memory_bytes(encoder.model.device)
    memory = f", about {used / 1e9:.1f} GB of memory" if used else ""
    return (
        f"Expected: {plan.settings.steps} steps of {plan.seconds_per_step:.2f} s, "
        f"{duration(seconds)} of training{memory}"
    )


def duration(seconds: float) -> str:
    """Seconds in words: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _batch_plan(data: Gathered, plan: Plan) -> tuple[int, int] | None:
    if data.kind is not Kind.LABELLED:
        return None
    classes = max(plan.settings.batch_size // CLASS_TEXTS, 2)
    return min(classes, max(len(data.train.label_names), 2)), CLASS_TEXTS


def _margin(plan: Plan, dimensions: int) -> tuple[float, float, str] | None:
    """The margin, the largest value that its distance takes on unit vectors, and the distance's name."""
    margin = plan.recipe.loss.options.get("margin")
    distance = getattr(plan.objective.loss, "distance", None)
    if margin is None or distance is None or not hasattr(distance, "unit_range"):
        return None
    from sentence_transformers.sentence_transformer.modules import Normalize

    if not any(isinstance(module, Normalize) for module in plan.objective.model.children()):
        return None
    name = getattr(distance, "name", type(distance).__name__)
    return float(margin), float(distance.unit_range(dimensions)), str(name)
