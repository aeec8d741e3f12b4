"""What models are measured on: a suite by name or file, or the held-out rows of a recipe, a run or data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.evaluation.suites import LoadedSuite, LoadedTask, Suite
from sbert_triplet.pipeline.contenders import Contender, run_of
from sbert_triplet.pipeline.decide import choose_metrics
from sbert_triplet.pipeline.evidence import measured_on
from sbert_triplet.pipeline.folder import RECIPE as RUN_RECIPE
from sbert_triplet.pipeline.folder import RunFolder
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.request import read_request, run_name
from sbert_triplet.pipeline.shipped import packaged_suite, packaged_suites
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import ENDINGS
from sbert_triplet.recipe.suites import read_suite

Say = Callable[[str], None]


@dataclass(frozen=True)
class MeasuredOn:
    """Tasks, and what they are called. ``recipe`` and ``data``: those they are the held-out rows of."""

    suite: LoadedSuite
    name: str
    recipe: Recipe | None = None
    data: Gathered | None = None


def named_suite(name: str) -> Suite:
    """The suite of a YAML file, or of a name that comes with the package. Raises RecipeError."""
    path = Path(name)
    if path.suffix.lower() in ENDINGS:
        return read_suite(path)
    return read_suite(packaged_suite(name))


def read_tasks(name: str, *, local: Path | None = None, scratch: Path | None = None) -> LoadedSuite:
    """The tasks of a suite by its name or file, their rows read.

    ``local``: the folder in which its relative paths start, after the current one. Raises RecipeError for a
    suite that is none, DataError for rows that cannot be had, with how to give them.
    """
    if local is not None and not local.is_dir():
        raise InputError(f"--local {local}: there is no such folder")
    return _read(named_suite(name), local, scratch, "--local FOLDER, in which they are called")


def suite_of(recipe: Recipe, folder: Path | None) -> LoadedSuite | None:
    """The suite that a recipe measures on beside its own rows, or None.

    ``folder``: where a path that the recipe gives starts after the current folder.
    """
    name = recipe.evaluate.suite
    if name is None:
        return None
    if Path(name).suffix.lower() in ENDINGS:
        return _read(named_suite(suite_named_in(name, folder)), None, None, _IN_A_RECIPE)
    return _read(named_suite(name), folder, None, _IN_A_RECIPE)


def suite_named_in(name: str, folder: Path | None) -> str:
    """A file's path where it lies beside the recipe and not in the current folder; else the name."""
    beside = None if folder is None else folder / name
    is_file = Path(name).suffix.lower() in ENDINGS
    return str(beside) if is_file and not Path(name).exists() and beside and beside.is_file() else name


def read_held_out(source: str, settings: Sequence[str], scratch: Path, say: Say) -> MeasuredOn:
    """The test rows that a recipe, a run's recipe or data without one hold out, by the recipe's metrics."""
    folder = Path(source)
    if folder.is_dir():
        run = run_of(folder) or (folder if RunFolder(folder).holds_run() else None)
        if run is not None and (run / RUN_RECIPE).is_file():
            source = str(run / RUN_RECIPE)
    request = read_request(source, None, settings)
    say(request.sentence)
    recipe = request.recipe
    set_aside = recipe.data.on_bad_row == "skip"
    data = Gatherer(recipe, request.folder, scratch, say, set_aside=set_aside).gather()
    held_out = measured_on(data, choose_metrics(recipe, data))
    say(data.method)
    name = request.name or run_name(source)
    several = len(held_out.parts) > 1
    tasks = tuple(
        LoadedTask(
            f"{name}, {part.task.value}" if several else name,
            part,
            ", ".join(data.sources),
            data.fingerprint,
            tuple(data.notes),
        )
        for part in held_out.parts
    )
    return MeasuredOn(LoadedSuite(name, tasks, data.texts), name, recipe, data)


def measured_data(
    suite: str | None,
    data: str | None,
    models: Sequence[Contender],
    *,
    settings: Sequence[str],
    local: Path | None,
    scratch: Path,
    say: Say,
) -> MeasuredOn:
    """What was asked for: a suite, or data; else the data of the first model that a run made.

    Raises InputError where nothing is named and no model has data of its own.
    """
    if suite is not None and data is not None:
        raise InputError("--suite and --data: give one of them")
    if suite is not None:
        if settings:
            raise InputError("--set goes with --data: it changes a value of a recipe, and a suite has none")
        read = read_tasks(suite, local=local, scratch=scratch)
        say(f"Suite: {read.name}, {len(read.tasks)} task{'s' if len(read.tasks) != 1 else ''}")
        return MeasuredOn(read, read.name)
    if local is not None:
        raise InputError("--local goes with --suite: it is where the files of a suite lie")
    if data is None:
        made = [each for each in models if each.recorded is not None]
        if not made:
            raise InputError(
                "nothing to measure on: give --suite NAME (of those that come with the package: "
                f"{', '.join(packaged_suites())}; or a YAML file), or --data RECIPE|DATA"
            )
        data = str(made[0].run)
        say(f"Measured on the held-out rows of {made[0].label}'s own recipe")
    return read_held_out(data, settings, scratch, say)


_IN_A_RECIPE = "start the run in the folder in which they are called"


def _read(suite: Suite, folder: Path | None, scratch: Path | None, where: str) -> LoadedSuite:
    try:
        return load_suite(suite, texts=None if scratch is None else TextTable(scratch), folder=folder)
    except DataError as error:
        raise DataError(f"{error}\n{_how_to_give(suite, where)}") from error


def _how_to_give(suite: Suite, where: str) -> str:
    """Where the rows of a suite may lie instead; ``where``: how a folder is named that they start in."""
    paths = [task.local.source for task in suite.tasks if task.local is not None]
    if not paths:
        paths = [task.source.source for task in suite.tasks if task.source is not None]
        if not any(Path(path).suffix or path.count("/") == 0 for path in paths):
            return (
                "Its rows come from the Hub. To give them as files, copy the suite, name the files in it as "
                "`source`, and name the copy in place of it."
            )
    return (
        f"To give its rows as files: {where} {', '.join(paths[:3])}{' and so on' if len(paths) > 3 else ''}; "
        "or copy the suite, name your files in it, and name the copy in place of it."
    )
