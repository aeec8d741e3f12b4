"""Several models on one suite: each, BM25, and BM25 fused with each, against the first of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sbert_triplet.data.bm25 import bm25_rank
from sbert_triplet.evaluation.compressed import evaluate_compressed
from sbert_triplet.evaluation.fusion import Ranking, evaluate_fusion, ranked_for_fusion
from sbert_triplet.evaluation.multiple import adjust
from sbert_triplet.evaluation.parts import Embed, Scored
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.retrieval import depth_for, evaluate_run
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.evaluation.suites import LoadedSuite, LoadedTask
from sbert_triplet.nearest import top_k

BM25 = "BM25"
Compared = dict[str, dict[str, Comparison]]
"""Of one row: by task, by metric."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """One row of the table: ``scored`` by task, without the tasks that it cannot do.

    ``compressed``: by task, by form, the main metric with documents in fewer bytes against all of them.
    """

    label: str
    kind: Literal["model", "bm25", "fusion"]
    scored: Mapping[str, Scored]
    compressed: Mapping[str, Mapping[str, Comparison]] = field(default_factory=dict)


class Lexical:
    """BM25's rankings of the retrieval tasks of a suite, made once for all models."""

    def __init__(self, suite: LoadedSuite) -> None:
        self.suite = suite
        self._rankings: dict[str, Ranking] = {}
        for task in _retrieval(suite):
            judged = task.part.retrieval
            assert judged is not None
            places, scores = bm25_rank(
                suite.texts.texts(judged.query_ids),
                suite.texts.texts(judged.document_ids),
                ranked_for_fusion(judged, task.part.metrics),
            )
            self._rankings[task.name] = judged.document_ids[places], scores

    def row(self) -> Row | None:
        """BM25 alone; None where the suite has no retrieval."""
        scored = {}
        for task in _retrieval(self.suite):
            ids, scores = self._rankings[task.name]
            assert task.part.retrieval is not None
            metrics = task.part.metrics
            result = evaluate_run(task.part.retrieval, ids, scores, metrics, depth=depth_for(metrics))
            scored[task.name] = Scored(result.values, top_ids=result.top_ids)
        return Row(BM25, "bm25", scored) if scored else None

    def fused(self, label: str, embed: Embed) -> Row | None:
        """BM25 fused with a model's own rankings; None where the suite has no retrieval."""
        scored = {}
        for task in _retrieval(self.suite):
            judged, metrics = task.part.retrieval, task.part.metrics
            assert judged is not None
            places, scores = top_k(
                embed("query", judged.query_ids),
                embed("document", judged.document_ids),
                ranked_for_fusion(judged, metrics),
                similarity=embed.similarity,
            )
            own = judged.document_ids[places], scores
            result = evaluate_fusion(judged, [self._rankings[task.name], own], metrics)
            scored[task.name] = Scored(result.values, top_ids=result.top_ids)
        return Row(f"{BM25} + {label}", "fusion", scored) if scored else None


def model_row(suite: LoadedSuite, label: str, embed: Embed, *, seed: int = 13) -> Row:
    """A model on every task, and on the retrieval tasks with its documents compressed too."""
    scored = suite.score(embed)
    compressed = {}
    for task in _retrieval(suite):
        judged = task.part.retrieval
        full = scored[task.name].values[task.main.name].per_item
        assert judged is not None
        assert full is not None
        found = evaluate_compressed(
            judged,
            embed("query", judged.query_ids),
            embed("document", judged.document_ids),
            task.main,
            similarity=embed.similarity,
        )
        compressed[task.name] = {
            form: compare_items(task.main, full, values.per_item, groups=task.part.groups, seed=seed)
            for form, values in found.items()
            if values.per_item is not None
        }
    return Row(label, "model", scored, compressed)


def against_first(
    suite: LoadedSuite, rows: Sequence[Row], *, seed: int = 13, progress: Progress | None = None
) -> list[Compared]:
    """Every row against the first, every metric of every task that both can do; empty for the first.

    ``adjusted_p``: Holm's over the main metrics of all tasks and rows, which are what is looked at; the
    further metrics are a family of their own.
    """
    found: list[Compared] = [{} for _ in rows]
    wanted = [
        (place, row, task)
        for place, row in enumerate(rows[1:], start=1)
        for task in suite.tasks
        if task.name in row.scored and task.name in rows[0].scored
    ]
    for done, (place, row, task) in enumerate(wanted, start=1):
        found[place][task.name] = task.part.compare(
            rows[0].scored[task.name], row.scored[task.name], seed=seed
        )
        if progress is not None:
            progress(done, len(wanted))
    main = {task.name: task.main.name for task in suite.tasks}
    return _adjusted(_adjusted(found, lambda task, name: main[task] == name), lambda t, n: main[t] != n)


def why_undefined(rows: Sequence[Row]) -> list[str]:
    """A sentence for each task and reason for which a metric of a row has no value."""
    found: dict[tuple[str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        for task, scored in row.scored.items():
            for name, values in scored.values.items():
                if values.undefined:
                    metrics, labels = found.setdefault((task, values.undefined), ({}, {}))
                    metrics[name] = labels[row.label] = None
    return [
        f"{task}: {', '.join(metrics)} undefined for {', '.join(labels)}: {reason}"
        for (task, reason), (metrics, labels) in found.items()
    ]


def adjust_compressed(rows: Sequence[Row]) -> list[Row]:
    """The rows with Holm's ``adjusted_p`` over all compressed forms, tasks and models."""
    adjusted = _adjusted([{t: dict(of) for t, of in row.compressed.items()} for row in rows], lambda *_: True)
    return [replace(row, compressed=compressed) for row, compressed in zip(rows, adjusted, strict=True)]


def _adjusted(rows: Sequence[Compared], belongs: Callable[[str, str], bool]) -> list[Compared]:
    """The comparisons with Holm's adjustment over those that belong together by task and name."""
    family = {
        f"{place}\n{task}\n{name}": comparison
        for place, row in enumerate(rows)
        for task, of in row.items()
        for name, comparison in of.items()
        if belongs(task, name)
    }
    found = adjust(family)
    return [
        {
            task: {name: found.get(f"{place}\n{task}\n{name}", comparison) for name, comparison in of.items()}
            for task, of in row.items()
        }
        for place, row in enumerate(rows)
    ]


def _retrieval(suite: LoadedSuite) -> list[LoadedTask]:
    return [task for task in suite.tasks if task.part.retrieval is not None]
