"""What a run leaves behind: the models and the report."""

from __future__ import annotations

import datetime
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.agreement import largest_difference
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.errors import MachineError
from sbert_triplet.evaluation.audit import Audit
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.verdict import plain_sentence, verdict
from sbert_triplet.pipeline.causes import causes_record
from sbert_triplet.pipeline.comparison import Found
from sbert_triplet.pipeline.energy import energy_estimate
from sbert_triplet.pipeline.environment import environment, peak_memory_bytes
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.threshold import write_cuts
from sbert_triplet.publishing.card import card_text

if TYPE_CHECKING:
    from sbert_triplet.pipeline.line_points import Searched
    from sbert_triplet.pipeline.preparing import Prepared
    from sbert_triplet.pipeline.training import Trained

SAME = 1e-6
SENTENCE_METRIC = "Success@3"
SAMPLE_TEXTS, SAMPLE_CHARACTERS = 32, 1_000


def save_models(home: Path, ready: Prepared, found: Found, model: SentenceTransformer) -> str:
    """Write ``candidate/`` and ``model/``; returns what the latter holds: "tuned", "interpolated" or "base".

    ``model`` is the tuned one as it is served, with the weights that the line chose.
    """
    texts = ready.data.texts.texts(list(range(min(len(ready.data.texts), SAMPLE_TEXTS))))
    sample = [text[:SAMPLE_CHARACTERS] for text in texts]
    save(model, home / "candidate", sample)
    better = verdict(found.metrics[found.main.name]) == "better"
    shipped = what_ships(better, ready.recipe.train.never_worse, found.line)
    if shipped == "base":
        save(base_encoder(ready, "cpu").model, home / "model", sample)
    else:
        _copy(home / "candidate", home / "model")
    return shipped


def what_ships(better: bool, never_worse: bool, line: Searched | None) -> str:
    """The point that dev chose; the base where the test rows do not show that ``better``."""
    chosen = 1.0 if line is None else line.chosen
    if never_worse and (not better or chosen == 0):
        return "base"
    return _named(chosen)


def _named(chosen: float) -> str:
    """What ``candidate/`` holds: where dev chose the base, the tuned weights are kept there."""
    return "interpolated" if 0 < chosen < 1 else "tuned"


def base_encoder(ready: Prepared, device: str) -> Encoder:
    """The encoder as it was before training, with the recipe's length and prompts."""
    if ready.encoder.random:
        return Encoder.tiny(ready.recipe, ready.data)
    model = load_model(
        ready.encoder.resolved,
        max_length=ready.recipe.max_length,
        prompts={role: text for role, text in ready.encoder.model.prompts.items() if text},
        device=device,
    )
    return Encoder(model, ready.encoder.resolved)


def _copy(source: Path, target: Path) -> None:
    staged = target.with_name(f".{target.name}.part")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(source, staged)
    staged.replace(target)


def save(model: SentenceTransformer, folder: Path, sample: list[str]) -> None:
    """Save, load again, and compare the embeddings of ``sample`` with those in memory.

    Raises MachineError where they differ by more than 1e-6.
    """
    staged = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(staged, ignore_errors=True)
    model.save(str(staged), create_model_card=False)
    again = SentenceTransformer(str(staged), device=str(model.device))
    difference = largest_difference(model, again, sample)
    if not difference <= SAME:
        raise MachineError(
            f"{folder}: the saved model, loaded again, gives embeddings that differ by {difference:.1e} "
            "from those in memory; the disk or the library that wrote it is at fault"
        )
    staged.replace(folder)


def data_record(data: Gathered, audit: Audit) -> dict[str, Any]:
    """``data.json``."""
    return {
        "sources": list(data.sources),
        "fingerprint": data.fingerprint,
        "kind": data.kind.value,
        "roles": dict(data.roles),
        "rows": data.rows,
        "rows_set_aside": data.rows_set_aside,
        "texts": len(data.texts),
        "documents": len(data.pool),
        "split": data.method,
        "notes": list(data.notes),
        **audit.as_json(),
    }


def report_of(
    ready: Prepared,
    trained: Trained,
    found: Found,
    model: SentenceTransformer,
    shipped: str,
    out: Path,
    command: str | None,
    precision: str,
) -> dict[str, Any]:
    """``report.json``; the cards of both models, and their thresholds, are written by the way.

    ``model`` is the tuned one as it is served.
    """
    data, line = ready.data, found.line
    main = found.metrics[found.main.name]
    report: dict[str, Any] = {
        "format": 1,
        "name": out.name,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "task": found.task.value,
        "main_metric": found.main.name,
        "metrics": _as_json(found.metrics),
        "bm25": found.bm25 or None,
        "training_distance": _training_distance(found),
        "dimensions": {str(size): _as_json(metrics) for size, metrics in found.dimensions.items()} or None,
        "verdict": verdict(main),
        "sentence": plain_sentence(told_by(found.metrics, main)),
        "shipped": shipped,
        "pool": found.pool,
        "general": _general(found),
        "slices": found.slices or None,
        "weight_line": line.as_json() if line else None,
        "suite": found.suite,
        **found.sample,
        "thresholds": {name: cut.as_json() for name, cut in found.thresholds.items() if cut} or None,
        "learning_curve": found.curve,
        "train": _training(ready, trained),
        "model": _described(ready, model),
        "data": {
            "sources": list(data.sources),
            "fingerprint": data.fingerprint,
            "kind": data.kind.value,
            "roles": dict(data.roles),
            "rows": data.rows,
            "split": data.method,
            "notes": [*data.notes, *found.notes, *(line.notes if line else [])],
        },
        "evaluation": {"precision": precision},
        "environment": environment(),
        "command": command or shlex.join(["sbert-triplet", "train", str(out / "recipe.yaml")]),
        "smoke": ready.encoder.random or None,
    }
    report = {key: value for key, value in report.items() if value is not None}
    report["causes"] = causes_record(out, report, ready.audit, main, found.general)
    tuned = found.thresholds.get("tuned")
    write_cuts(
        out, {"candidate": tuned, "model": found.thresholds.get("base") if shipped == "base" else tuned}
    )
    write_cards(out, report, ready, _named(line.chosen if line else 1.0))
    return report


def told_by(metrics: Mapping[str, Comparison], main: Comparison) -> Comparison:
    """What the sentence beside the verdict speaks of: searches are easier to picture than a mean of nDCG.

    The main metric itself where the other one does not say the same: a verdict of "not shown better" above
    a sentence that tells of a gain reads as a mistake.
    """
    counted = metrics.get(SENTENCE_METRIC, main)
    return counted if verdict(counted) == verdict(main) else main


def write_cards(out: Path, report: Mapping[str, Any], ready: Prepared, candidate: str) -> None:
    """README.md of ``candidate/`` and ``model/``: results, recipe, fingerprint, and no text of the data.

    ``candidate``: what is in there, "tuned" or "interpolated".
    """
    base = {**report, "model": _described(ready, ready.encoder.model)}
    for folder, shipped in (("candidate", candidate), ("model", report["shipped"])):
        card = card_text(
            base if shipped == "base" else report,
            ready.recipe_yaml,
            base_model=ready.encoder.resolved.name,
            licence=None,
            shipped=shipped,
        )
        (out / folder / "README.md").write_text(card, encoding="utf-8")


def _described(ready: Prepared, model: SentenceTransformer) -> dict[str, Any]:
    return {
        "name": ready.encoder.resolved.name,
        "resolved": ready.encoder.sentence,
        "dimensions": model.get_embedding_dimension(),
        "max_length": model.max_seq_length,
        "similarity": str(model.similarity_fn_name),
        "prompts": {role: prompt for role, prompt in model.prompts.items() if prompt},
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def _as_json(metrics: Mapping[str, Comparison]) -> dict[str, Any]:
    return {name: dict(comparison.as_json()) for name, comparison in metrics.items()}


def _training_distance(found: Found) -> dict[str, Any] | None:
    if found.training_distance is None:
        return None
    name, metrics = found.training_distance
    return {"name": name, "metrics": _as_json(metrics)}


def _general(found: Found) -> dict[str, Any] | None:
    if found.general is None:
        return None
    return {"metric": "probe triplets ordered right", **found.general.as_json(), "topics": found.topics}


def _training(ready: Prepared, trained: Trained) -> dict[str, Any]:
    seconds = max(trained.seconds, 1e-9)
    return {
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
        "saving_seconds": round(trained.saving, 2),
        "rows_per_second": round(trained.rows / seconds, 2),
        "tokens_per_second": round(trained.tokens / seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(ready.encoder.model.device),
        "loss": ready.recipe.loss_names,
        "loss_first": trained.losses[0] if trained.losses else None,
        "loss_last": trained.losses[-1] if trained.losses else None,
        "best_step": trained.best_step,
        "left_out": trained.left_out,
        **({"forced": list(trained.forced)} if trained.forced else {}),
        "batch_size": ready.plan.settings.batch_size,
        "learning_rate": ready.plan.settings.learning_rate,
        "precision": ready.plan.settings.precision,
        "threads": torch.get_num_threads(),
        "energy": energy_estimate(seconds, ready.encoder.model.device),
    }
