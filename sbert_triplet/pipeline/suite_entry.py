"""The recipe's suite in ``report.json``: base against tuned on every task of it."""

from __future__ import annotations

from typing import Any

from sbert_triplet.evaluation.multiple import adjust
from sbert_triplet.pipeline.evidence import Evidence, Measured
from sbert_triplet.pipeline.seen import items_seen


def suite_entry(evidence: Evidence, before: Measured, after: Measured) -> dict[str, Any] | None:
    """None where the recipe names no suite.

    ``adjusted_p`` is Holm's over the main metrics of all tasks. ``items_seen_in_training``: items of which
    every text was trained on.
    """
    suite = evidence.suite
    if suite is None:
        return None
    compared = suite.compare(before.suite, after.suite, seed=evidence.recipe.train.seed)
    main = adjust({task.name: compared[task.name][task.main.name] for task in suite.tasks})
    seen = items_seen(suite, evidence.data)
    return {
        "name": suite.name,
        "average": {"base": suite.average(before.suite), "tuned": suite.average(after.suite)},
        "tasks": {
            task.name: {
                "kind": task.part.task.value,
                "main_metric": task.main.name,
                "metrics": {
                    name: dict((main[task.name] if name == task.main.name else each).as_json())
                    for name, each in compared[task.name].items()
                },
                "items_seen_in_training": seen.get(task.name, 0),
                "fingerprint": task.fingerprint,
                "notes": list(task.notes),
            }
            for task in suite.tasks
        },
    }
