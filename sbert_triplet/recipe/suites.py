"""A suite as a YAML file: which tasks a model is measured on, and where their rows lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.errors import RecipeError
from sbert_triplet.evaluation.metrics import Task, parse_metric, task_metrics
from sbert_triplet.evaluation.suites import Suite, SuiteTask
from sbert_triplet.recipe.data import Columns
from sbert_triplet.recipe.document import parse_yaml
from sbert_triplet.recipe.model import MetricName
from sbert_triplet.recipe.problems import Places, explain, found
from sbert_triplet.recipe.reading import text_of
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import Count, FilledText, OneOrMany, PathText, said, unexpected

KINDS = {
    "scored_pairs": Task.SCORED,
    "retrieval": Task.RETRIEVAL,
    "duplicate_pairs": Task.PAIRS,
    "labels": Task.LABELS,
    "clustering": Task.CLUSTERING,
    "triplets": Task.TRIPLETS,
}
"""What a task is called in a suite."""
THREE = ("corpus", "queries", "qrels")


class TaskSource(Section):
    """Where the rows of a task are."""

    wanted: ClassVar[str] = "a source (a file, a folder or a Hub id)"

    source: PathText = Field(description="A file, a folder or a Hub id", examples=["mteb/sts12-sts[test]"])
    config: FilledText | None = Field(default=None, description="Configuration of a Hub data set")
    split: FilledText | None = Field(
        default=None, description="Split of a folder or a Hub data set; none: test (of `train`: train)"
    )
    revision: FilledText | None = Field(default=None, description="Branch, tag or commit of a Hub data set")
    limit: Count | None = Field(default=None, description="Take at most this many of its rows")

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str | os.PathLike):
            return {"source": value}
        raise unexpected()

    def spec(self) -> SourceSpec:
        """The source as it is loaded."""
        return SourceSpec(self.source, self.config, self.split, self.revision, limit=self.limit)


class TaskRecipe(Section):
    """One task of a suite."""

    wanted: ClassVar[str] = "a task: keys and values, such as `name:`, `kind:` and `source:`"

    name: FilledText = Field(description="What results call it", examples=["STS-B"])
    kind: Literal["scored_pairs", "retrieval", "duplicate_pairs", "labels", "clustering", "triplets"] = Field(
        description="What is asked of the model"
    )
    source: TaskSource | None = Field(
        default=None,
        description="The rows; for retrieval a folder or Hub data set of corpus, queries and qrels, or pairs",
    )
    local: TaskSource | None = Field(
        default=None,
        description="The same rows as a file or folder, read in place of `source` if it is there",
    )
    train: TaskSource | None = Field(
        default=None, description="Texts of known class (labels); none: the split train of the source"
    )
    corpus: TaskSource | None = Field(default=None, description="Documents, apart from `source` (retrieval)")
    queries: TaskSource | None = Field(default=None, description="Queries, apart from `source` (retrieval)")
    qrels: TaskSource | None = Field(default=None, description="Judgements, apart from `source` (retrieval)")
    columns: Columns = Field(default_factory=Columns, description="Columns by role; else inferred")
    metrics: Annotated[tuple[MetricName, ...], OneOrMany()] = Field(
        default=(), description="Metrics, the main one first; none: those of the kind"
    )

    @property
    def task(self) -> Task:
        return KINDS[self.kind]

    @model_validator(mode="after")
    def _sources(self) -> TaskRecipe:
        apart = [name for name in THREE if getattr(self, name) is not None]
        if apart and self.kind != "retrieval":
            raise said(f"{apart[0]} goes with `kind: retrieval`; the rows of {self.kind} are its `source`")
        if apart and (self.source or self.local):
            raise said(f"source and {apart[0]}: give a source, or corpus, queries and qrels")
        if apart and len(apart) < len(THREE):
            missing = next(name for name in THREE if name not in apart)
            raise said(f"corpus, queries and qrels go together: {missing} is missing")
        if not apart and self.source is None and self.local is None:
            raise said("source: missing; expected a source (a file, a folder or a Hub id)")
        if self.train is not None and self.kind != "labels":
            raise said(f"train goes with `kind: labels`; nothing is looked up for {self.kind}")
        return self

    @model_validator(mode="after")
    def _metrics_of_the_kind(self) -> TaskRecipe:
        for name in self.metrics:
            if parse_metric(name).task is not self.task:
                usual = ", ".join(metric.name for metric in task_metrics(self.task))
                raise said(f"metrics: {name} is no metric of {self.kind}, whose metrics are such as {usual}")
        return self

    def as_task(self) -> SuiteTask:
        """The task as it is loaded."""
        specs = {
            name: value.spec()
            for name in ("source", "local", *THREE)
            if (value := getattr(self, name)) is not None
        }
        return SuiteTask(
            self.name,
            self.task,
            known=self.train.spec() if self.train else None,
            columns=self.columns.given(),
            metrics=tuple(map(parse_metric, self.metrics)),
            **specs,
        )


class SuiteRecipe(Section):
    """A suite."""

    wanted: ClassVar[str] = "keys and values, such as `name:` and `tasks:`"

    name: FilledText | None = Field(default=None, description="Name of the suite; else that of its file")
    tasks: tuple[TaskRecipe, ...] = Field(description="What a model is measured on")

    @model_validator(mode="after")
    def _tasks_apart(self) -> SuiteRecipe:
        if not self.tasks:
            raise said("tasks: an empty list; expected at least one task")
        names = [task.name for task in self.tasks]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise said(f"tasks: two of them are called {twice}; results are told apart by the name")
        return self


def read_suite(path: Path) -> Suite:
    """The suite of a YAML file. Raises RecipeError that names the file, the line and the key."""
    document = parse_yaml(text_of(path, what="suite"), str(path), what="suite")
    if document.data is None:
        raise RecipeError(f"{path}: is empty; a suite needs `tasks:`")
    return _suite(document.data, Places(str(path), document.lines), path.stem, path.parent)


def suite_from(data: Mapping[str, Any], *, origin: str, folder: Path | None = None) -> Suite:
    """The suite of plain data; messages name ``origin``. Raises RecipeError."""
    return _suite(data, Places(origin), origin, folder)


def _suite(data: Any, places: Places, name: str, folder: Path | None) -> Suite:
    if not isinstance(data, Mapping):
        raise RecipeError(f"{places.origin}: expected {SuiteRecipe.wanted}, found {found(data)}")
    try:
        recipe = SuiteRecipe.model_validate(data)
    except ValidationError as error:
        raise RecipeError(explain(SuiteRecipe, data, error, places)) from error
    return Suite(recipe.name or name, tuple(task.as_task() for task in recipe.tasks), folder)
