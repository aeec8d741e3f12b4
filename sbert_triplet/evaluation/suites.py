"""Suites: named collections of tasks that a model is measured on in one pass over their texts.

A ``Suite`` says what there is and where it lies; ``suite_data.load_suite`` reads it. In a ``LoadedSuite`` the
texts of all tasks are ids of one table, so a text that several tasks share is one id and is encoded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sentence_transformers import SentenceTransformer

from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.encoding.encode import Progress
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.metrics import Metric, Task, task_metrics
from sbert_triplet.evaluation.parts import Embed, IntArray, Part, Scored
from sbert_triplet.evaluation.results import Comparison


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite.

    ``source``: a table, or for retrieval queries, corpus and judgements in one place; retrieval may name
    the three one by one instead. ``local``: a file or folder of the same rows, read in place of ``source``
    where it is there. ``known``: for labels, texts whose class is known; None for the split ``train`` of
    the source. ``columns``: by role, as ``data.columns.infer_roles`` takes them. ``metrics``: the main one
    first; none for those of the task. Raises ValueError for metrics of another task.
    """

    name: str
    task: Task
    source: SourceSpec | None = None
    local: SourceSpec | None = None
    known: SourceSpec | None = None
    corpus: SourceSpec | None = None
    queries: SourceSpec | None = None
    qrels: SourceSpec | None = None
    columns: Mapping[str, str | list[str]] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        for metric in self.metrics:
            if metric.task is not self.task:
                raise ValueError(
                    f"{metric.name} is a metric of {metric.task.value}, and task {self.name} is "
                    f"{self.task.value}, whose metrics are {', '.join(map(str, task_metrics(self.task)))}"
                )


@dataclass(frozen=True)
class Suite:
    """Tasks under one name. ``folder``: where relative paths are looked for, after the current folder.

    Raises ValueError for no task, and for two of one name.
    """

    name: str
    tasks: tuple[SuiteTask, ...]
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError(f"suite {self.name} has no task")
        names = [task.name for task in self.tasks]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise ValueError(f"suite {self.name}: two tasks are called {twice}")


@dataclass(frozen=True)
class LoadedTask:
    """A task whose rows are read. ``source``: what they were read from; ``fingerprint``: of the rows."""

    name: str
    part: Part
    source: str
    fingerprint: str
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> Metric:
        """The metric that the task is summed up by."""
        return self.part.metrics[0]


@dataclass(frozen=True)
class LoadedSuite:
    """All tasks of a suite over one table of texts."""

    name: str
    tasks: tuple[LoadedTask, ...]
    texts: TextTable

    @property
    def wanted(self) -> list[tuple[Side, IntArray]]:
        """Everything that has to be embedded."""
        return [each for task in self.tasks for each in task.part.wanted]

    def score(self, embed: Embed) -> dict[str, Scored]:
        """One model on every task, by the task's name. Raises InputError that names the task."""
        return {task.name: self._score(task, embed) for task in self.tasks}

    def compare(
        self, base: Mapping[str, Scored], tuned: Mapping[str, Scored], *, seed: int = 13
    ) -> dict[str, dict[str, Comparison]]:
        """Every metric of every task, of two models on the same items."""
        return {
            task.name: task.part.compare(base[task.name], tuned[task.name], seed=seed) for task in self.tasks
        }

    def average(self, scored: Mapping[str, Scored]) -> float | None:
        """The mean over tasks of their main metric; None where these are not the same for all.

        NaN where it is undefined for one of them: a mean of the others would not say the same.
        """
        if len({task.main.name for task in self.tasks}) != 1:
            return None
        values = [scored[task.name].values[task.main.name].value for task in self.tasks]
        return sum(values) / len(values)

    def _score(self, task: LoadedTask, embed: Embed) -> Scored:
        try:
            return task.part.score(embed)
        except InputError as error:
            raise InputError(f"suite {self.name}, task {task.name}: {error}") from error


def measure_suite(
    suite: LoadedSuite,
    model: SentenceTransformer,
    *,
    precision: str = "fp32",
    budget: int | None = None,
    cache: EmbeddingCache | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Scored]:
    """The model on every task, by the task's name; each text is encoded once.

    Arguments as of ``suite_embedder``. Raises InputError for embeddings that are not finite.
    """
    return suite.score(
        suite_embedder(
            suite,
            model,
            precision=precision,
            budget=budget,
            cache=cache,
            scratch=scratch,
            progress=progress,
        )
    )


def suite_embedder(
    suite: LoadedSuite,
    model: SentenceTransformer,
    *,
    precision: str = "fp32",
    budget: int | None = None,
    cache: EmbeddingCache | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Embedder:
    """The embeddings of every text of the suite, made in one pass for each form (as query, as document).

    With a ``cache`` the embeddings are kept by the fingerprint of the weights, so that measuring the same
    model again reads them. The other arguments are those of ``Embedder``.
    """
    embedder = Embedder(
        model,
        TokenTable(model, lambda ids: suite.texts.texts(list(ids))),
        precision=precision,
        budget=budget,
        cache=cache,
        scratch=scratch,
        progress=progress,
    )
    embedder.prepare(suite.wanted)
    return embedder
