"""Whether what a model is measured on was trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from sbert_triplet.data.examples import IntArray
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.suites import LoadedSuite
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.recipe.reading import LoadedRecipe

AT_ONCE = 10_000


def items_seen(suite: LoadedSuite, data: Gathered) -> dict[str, int]:
    """By task, the number of items of which every text is one of the training rows; tasks of none left out.

    Of a retrieval task an item is a query: that documents are known is no leak.
    """
    known = np.zeros(len(suite.texts), dtype=bool)
    known[_common(suite, data)] = True
    found = {task.name: int(known[task.part.items].all(axis=1).sum()) for task in suite.tasks}
    return {name: count for name, count in found.items() if count}


def items_seen_by_run(suite: LoadedSuite, recorded: LoadedRecipe) -> dict[str, int] | None:
    """As ``items_seen``, of the data of a run's recipe; None where these cannot be read any more."""
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-", ignore_cleanup_errors=True) as scratch:
        try:
            data = Gatherer(
                recorded.recipe, recorded.folder, Path(scratch), lambda _: None, set_aside=True
            ).gather()
        except (InputError, OSError):
            return None
        return items_seen(suite, data)


def seen_in_words(suite: LoadedSuite, seen: dict[str, int]) -> str:
    """How many items of which tasks."""
    sizes = {task.name: len(task.part.items) for task in suite.tasks}
    return ", ".join(f"{count:,} of {sizes[name]:,} items of {name}" for name, count in seen.items())


def _common(suite: LoadedSuite, data: Gathered) -> IntArray:
    """Ids in the suite's table of every text that was trained on."""
    ids: list[IntArray] = []
    for rows in (data.main, *data.others):
        examples = rows.examples
        ids.append(examples.anchors)
        if examples.positives is not None:
            ids.append(examples.positives)
        if examples.negatives is not None:
            ids.append(examples.negatives.values)
    trained = np.unique(np.concatenate(ids))
    if data.texts is suite.texts:
        return trained
    found: list[int] = []
    for first in range(0, len(trained), AT_ONCE):
        texts = data.texts.texts(trained[first : first + AT_ONCE])
        found += [place for text in texts if (place := suite.texts.lookup(text)) is not None]
    return np.array(found, dtype=np.int64)
