"""Models side by side, read aloud: find, load the tasks, measure each, compare, time, write."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.encoding.encode import PRECISIONS
from sbert_triplet.encoding.loading import weights_fingerprint
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.mteb import MtebResult, evaluate_mteb, known_to_mteb
from sbert_triplet.evaluation.over_seeds import groups_over_seeds
from sbert_triplet.evaluation.side_by_side import (
    Lexical,
    Row,
    adjust_compressed,
    against_first,
    model_row,
    why_undefined,
)
from sbert_triplet.evaluation.speed import QUERIES, TEXTS, Speed, measure_speed
from sbert_triplet.evaluation.suites import LoadedSuite, suite_embedder
from sbert_triplet.pipeline.contenders import Contender, contenders, loaded, seed_groups
from sbert_triplet.pipeline.evaluation_record import evaluation_record
from sbert_triplet.pipeline.failures import machine_failures
from sbert_triplet.pipeline.folder import EVALUATION, PREDICTIONS, UNFINISHED, RunFolder
from sbert_triplet.pipeline.measured_data import MeasuredOn, measured_data
from sbert_triplet.pipeline.measurements import Asked, Loaded, Measurements
from sbert_triplet.pipeline.options import Options, working_place
from sbert_triplet.pipeline.predictions import write_items
from sbert_triplet.pipeline.seen import items_seen_by_run, seen_in_words
from sbert_triplet.pipeline.start import chosen_threads, device_named
from sbert_triplet.reporting.evaluation import evaluation_lines, evaluation_markdown

MTEB_ALONE = "mteb"


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation: its folder, and ``evaluation.json`` as read."""

    folder: Path
    record: dict[str, Any]


def carry_out(asked: Asked, out: Path | None = None, *, options: Options | None = None) -> Evaluation:
    """Measure models on the same tasks and compare each with the first.

    Writes ``evaluation.json``, ``evaluation.md`` and ``predictions/`` into ``out``, else into
    ``runs/NAME-evaluation``, NAME being that of the suite or data. All models are in memory together, so
    that they can be timed in turns. Raises InputError for what the person can mend, MachineError for a full
    disk or memory.
    """
    if asked.precision not in PRECISIONS:
        raise InputError(f"precision {asked.precision!r}: choose from {', '.join(PRECISIONS)}")
    if asked.mteb:
        known_to_mteb(asked.mteb)
    found = contenders(asked.models)
    options = options or Options()
    if out is not None:
        RunFolder(out).refuse_unless_for_evaluation(options.overwrite)
    with working_place(out or Path("runs"), options) as (scratch, place, options):
        target = _target(asked, found, scratch, options)
        named = place if out is not None else place / f"{target.name if target else MTEB_ALONE}-evaluation"
        home = RunFolder(named)
        home.refuse_unless_for_evaluation(options.overwrite)
        with machine_failures(named), chosen_threads({}):
            measured = _measured(asked, target, found, scratch, options)
            record = evaluation_record(measured, options.command)
            _write(home, measured, record)
    for line in evaluation_lines(record):
        options.say(line)
    options.say(f"Written: {named / EVALUATION}, {named / 'evaluation.md'}")
    return Evaluation(named, record)


def _target(asked: Asked, found: Sequence[Contender], scratch: Path, options: Options) -> MeasuredOn | None:
    """The tasks; None where only tasks of MTEB are wanted."""
    if asked.mteb and asked.suite is None and asked.data is None:
        for option, given, goes_with in (
            ("--set", asked.settings, "--data"),
            ("--local", asked.local, "--suite"),
        ):
            if given:
                raise InputError(f"{option} goes with {goes_with}, and only tasks of MTEB are measured")
        return None
    folder = scratch / "texts"
    folder.mkdir()
    return measured_data(
        asked.suite,
        asked.data,
        found,
        settings=asked.settings,
        local=asked.local,
        scratch=folder,
        say=options.say,
    )


def _measured(
    asked: Asked,
    target: MeasuredOn | None,
    found: Sequence[Contender],
    scratch: Path,
    options: Options,
) -> Measurements:
    models, notes = _load(found, target, options)
    # Before all else: its data is what most likely cannot be had.
    of_mteb = _mteb(asked, models, options)
    if target is None:
        return Measurements(asked, None, models, mteb=of_mteb, notes=tuple(notes))
    suite = target.suite
    notes += [f"{task.name}: {note}" for task in suite.tasks for note in task.notes]
    notes += _leaks(suite, found)
    for note in notes:
        options.say(f"note     {note}")
    rows = _rows(asked, suite, models, scratch, options)
    for note in (undefined := why_undefined(rows)):
        options.say(f"note     {note}")
    notes += undefined
    options.say("Comparing")
    tell = options.progress
    compared = against_first(
        suite,
        rows,
        seed=asked.seed,
        progress=(lambda done, total: tell("comparing", done, total)) if tell else None,
    )
    options.say("Timing the models in turns")
    groups = [[(seed, each.label) for seed, each in group] for group in seed_groups(found)]
    return Measurements(
        asked,
        target,
        models,
        adjust_compressed(rows),
        compared,
        groups_over_seeds(suite, rows, groups, seed=asked.seed),
        _speeds(asked, suite, models),
        of_mteb,
        tuple(notes),
    )


def _load(
    found: Sequence[Contender], target: MeasuredOn | None, options: Options
) -> tuple[list[Loaded], list[str]]:
    device = device_named(options.device)
    models: list[Loaded] = []
    notes: list[str] = []
    by_weights: dict[str, str] = {}
    for contender in found:
        options.say(f"Model: {contender.label} ({contender.resolved.sentence()})")
        model, told = loaded(contender, target.recipe if target else None, device)
        weights = weights_fingerprint(model)
        notes += told
        if weights in by_weights:
            notes.append(f"{by_weights[weights]} and {contender.label} have the same weights")
        by_weights.setdefault(weights, contender.label)
        models.append(Loaded(contender, model, weights))
    return models, notes


def _leaks(suite: LoadedSuite, found: Sequence[Contender]) -> list[str]:
    """A note for each model whose run trained on what it is measured on."""
    notes = []
    for contender in found:
        if (recorded := contender.recorded) is None:
            continue
        seen = items_seen_by_run(suite, recorded)
        if seen is None:
            notes.append(
                f"{contender.label}: the data of its run cannot be read any more, so whether it was "
                "trained on what it is measured on is not known"
            )
        elif seen:
            notes.append(f"{contender.label}: was trained on the texts of {seen_in_words(suite, seen)}")
    return notes


def _rows(
    asked: Asked, suite: LoadedSuite, models: Sequence[Loaded], scratch: Path, options: Options
) -> list[Row]:
    """Each model's embeddings are dropped before the next one's are made."""
    tell, cache = options.progress, EmbeddingCache.of_the_person()
    lexical = Lexical(suite)
    rows, fused = [], []
    for each in models:
        label = each.contender.label
        options.say(f"Measuring {label}")
        embedder = suite_embedder(
            suite,
            each.model,
            precision=asked.precision,
            cache=cache,
            scratch=scratch,
            progress=(lambda done, total: tell("encoding", done, total)) if tell else None,
        )
        rows.append(model_row(suite, label, embedder, seed=asked.seed))
        fused.append(lexical.fused(label, embedder))
    return [*rows, *(row for row in (lexical.row(), *fused) if row is not None)]


def _speeds(asked: Asked, suite: LoadedSuite, models: Sequence[Loaded]) -> list[Speed]:
    """The same texts for every model, spread over those that were measured."""
    wanted = suite.wanted
    sides: tuple[Side, Side] = ("left", "right")
    if any(side == "query" for side, _ in wanted):
        sides = ("query", "document")
    samples = []
    for side, count in zip(sides, (QUERIES, TEXTS), strict=True):
        ids = np.concatenate([ids for other, ids in wanted if other == side] or [ids for _, ids in wanted])
        spread = np.unique(np.linspace(0, len(ids) - 1, count).astype(np.int64))
        samples.append(suite.texts.texts(ids[spread]))
    return measure_speed([each.model for each in models], *samples, sides=sides, precision=asked.precision)


def _mteb(asked: Asked, models: Sequence[Loaded], options: Options) -> dict[str, list[MtebResult]]:
    found = {}
    for each in models if asked.mteb else ():
        options.say(f"MTEB: {', '.join(asked.mteb)} by {each.contender.label}")
        found[each.contender.label] = evaluate_mteb(each.model, asked.mteb)
    return found


def _write(home: RunFolder, measured: Measurements, record: dict[str, Any]) -> None:
    """All of it aside first; ``evaluation.json`` is put in place last: its presence means finished."""
    staged = RunFolder(home.path / UNFINISHED)
    shutil.rmtree(staged.path, ignore_errors=True)
    staged.path.mkdir(parents=True)
    try:
        _write_predictions(staged.path / PREDICTIONS, measured, record)
        staged.write_text("evaluation.md", evaluation_markdown(record))
        staged.write_json(EVALUATION, record)
    except BaseException:
        shutil.rmtree(staged.path, ignore_errors=True)
        raise
    # What is replaced goes whole: its tasks may have been others.
    (home.path / EVALUATION).unlink(missing_ok=True)
    shutil.rmtree(home.path / PREDICTIONS, ignore_errors=True)
    for name in (PREDICTIONS, "evaluation.md", EVALUATION):
        if (staged.path / name).exists():
            (staged.path / name).replace(home.path / name)
    staged.path.rmdir()


def _write_predictions(folder: Path, measured: Measurements, record: dict[str, Any]) -> None:
    if measured.target is None:
        return
    texts = measured.target.suite.texts.texts
    for number, task in enumerate(measured.target.suite.tasks):
        models = {row.label: row.scored[task.name] for row in measured.rows if task.name in row.scored}
        file = folder / record["tasks"][number]["predictions"]
        write_items(file, task.part, models, lambda ids: texts(list(ids)))
