"""The rows of a suite: every source read, checked, and turned into ids of one table of texts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sbert_triplet.data.beir import RetrievalFolder
from sbert_triplet.data.binding import groups_of
from sbert_triplet.data.build import build_examples, build_retrieval
from sbert_triplet.data.cells import scan_cells
from sbert_triplet.data.classes import classes_unseen, with_common_classes
from sbert_triplet.data.columns import infer_roles
from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.sources import SourceSpec, Table
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError
from sbert_triplet.evaluation.held_out import hold_out
from sbert_triplet.evaluation.metrics import Task, task_metrics
from sbert_triplet.evaluation.suite_sources import TEST, TRAIN, SuiteSources
from sbert_triplet.evaluation.suites import LoadedSuite, LoadedTask, Suite, SuiteTask

_KINDS = {
    Task.RETRIEVAL: (Kind.PAIRS, Kind.TRIPLETS),
    Task.SCORED: (Kind.SCORED,),
    Task.PAIRS: (Kind.SCORED, Kind.NLI),
    Task.TRIPLETS: (Kind.TRIPLETS, Kind.NLI),
    Task.LABELS: (Kind.LABELLED,),
    Task.CLUSTERING: (Kind.LABELLED,),
}
"""What the rows of a table may be; where it is one kind, they are read as that."""


@dataclass(frozen=True)
class _Rows:
    """What was read for a task. ``pool``: for retrieval, the text ids of all documents."""

    examples: Examples
    name: str
    fingerprint: str
    notes: tuple[str, ...]
    pool: IntArray


def load_suite(
    suite: Suite,
    *,
    texts: TextTable | None = None,
    folder: Path | None = None,
    cache_dir: Path | None = None,
) -> LoadedSuite:
    """Read every task of the suite.

    ``texts``: the table that gets the texts, one in memory unless it is given. ``folder``: where relative
    paths are looked for after the current folder, in place of the suite's own. ``cache_dir``: as in
    ``load_source``. Of a source with several splits and none named, ``test`` is read.

    Raises DataError that names the task for what cannot be found, read or measured.
    """
    reader = _Reader(TextTable() if texts is None else texts, SuiteSources(folder or suite.folder, cache_dir))
    tasks = []
    for task in suite.tasks:
        with _named(suite, task):
            tasks.append(reader.task(task))
    return LoadedSuite(suite.name, tuple(tasks), reader.texts)


@contextmanager
def _named(suite: Suite, task: SuiteTask) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"suite {suite.name}, task {task.name}: {error}") from error


@dataclass(frozen=True)
class _Reader:
    texts: TextTable
    sources: SuiteSources

    def task(self, task: SuiteTask) -> LoadedTask:
        rows, spec = self._rows(task)
        examples, notes, memory = rows.examples, rows.notes, None
        if task.task is Task.LABELS:
            known = self._known(task, spec)
            parts = with_common_classes({TRAIN: known.examples, TEST: examples})
            memory, examples = parts[TRAIN], parts[TEST]
            unseen = classes_unseen(memory, {TEST: examples})
            notes += (*known.notes, *unseen, *_texts_of_both(known.name, memory, examples))
        try:
            held = hold_out(
                examples,
                task.metrics or task_metrics(task.task),
                pool=rows.pool,
                memory=memory,
                groups=groups_of(examples),
            )
        except ValueError as error:
            raise DataError(f"{rows.name}: {error}") from error
        return LoadedTask(task.name, held.parts[0], rows.name, rows.fingerprint, notes)

    def _rows(self, task: SuiteTask) -> tuple[_Rows, SourceSpec | None]:
        """The rows, and the source that they are from where it is one."""
        if task.corpus and task.queries and task.qrels:
            return self._judged(self.sources.apart(task.corpus, task.queries, task.qrels)), None
        spec = self.sources.chosen(task)
        judged = task.task is Task.RETRIEVAL
        loaded = self.sources.judged(spec) if judged else self.sources.load(spec, TEST)
        if isinstance(loaded, Table):
            return self._of_table(task, loaded), spec
        if not judged:
            raise DataError(
                f"{loaded.name}: holds queries, documents and judgements, and so its kind is retrieval"
            )
        if task.columns:
            raise DataError(
                f"{loaded.name}: the columns of queries, documents and judgements have fixed names; leave "
                "`columns` out"
            )
        return self._judged(loaded), spec

    def _known(self, task: SuiteTask, spec: SourceSpec | None) -> _Rows:
        """The texts of known class."""
        loaded = self.sources.known(task.known, spec)
        if isinstance(loaded, RetrievalFolder):
            raise DataError(
                f"{loaded.name}: holds queries and documents, and `train` needs texts with classes"
            )
        return self._of_table(task, loaded)

    def _judged(self, loaded: RetrievalFolder) -> _Rows:
        (split, judgements), *_ = loaded.judgements.items()
        examples, pool = build_retrieval(loaded.queries, loaded.corpus, judgements, self.texts)
        notes = (*loaded.notes, f"judgements of the split {split}")
        return _Rows(examples, loaded.name, loaded.fingerprint, notes, pool)

    def _of_table(self, task: SuiteTask, table: Table) -> _Rows:
        kinds = _KINDS[task.task]
        given = {"kind": kinds[0].value, **task.columns} if len(kinds) == 1 else task.columns
        roles = infer_roles(table.dataset, given, name=table.name, in_suite=True)
        if roles.kind not in kinds:
            raise DataError(
                f"{table.name}: its rows are {roles.kind.described}, where {task.task.value} takes "
                f"{' or '.join(kind.described for kind in kinds)}; name the columns by role as `columns`"
            )
        bad = scan_cells(table.dataset, roles)
        if len(bad):
            lines = "\n".join(f"  {line}" for line in bad.lines())
            raise DataError(
                f"{table.name}: {len(bad.rows):,} of {len(table.dataset):,} rows cannot be used (counted "
                f"from 1, without a header line):\n{lines}\nMend them, or name other columns as `columns`."
            )
        examples = build_examples(table.dataset, roles, self.texts)
        pool = _documents(examples) if task.task is Task.RETRIEVAL else np.zeros(0, dtype=np.int64)
        return _Rows(examples, table.name, table.fingerprint, table.notes, pool)


def _documents(examples: Examples) -> IntArray:
    """Every text that stands as a positive or a negative of a row."""
    parts = [np.zeros(0, dtype=np.int64)]
    parts += [examples.positives] if examples.positives is not None else []
    parts += [examples.negatives.values] if examples.negatives is not None else []
    return np.unique(np.concatenate(parts))


def _texts_of_both(name: str, known: Examples, tested: Examples) -> list[str]:
    """A note where tested texts are among those of known class. Raises DataError where all of them are."""
    shared = int(np.isin(tested.anchors, known.anchors).sum())
    if shared == len(tested):
        raise DataError(
            f"{name}: every tested text is among the texts of known class, and would find itself; name "
            "others as `train`"
        )
    if not shared:
        return []
    return [f"{shared:,} of {len(tested):,} tested texts are also among those of known class"]
