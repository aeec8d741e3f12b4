"""Tasks of MTEB (Muennighoff et al. 2023, arXiv 2210.07316) by name, measured by mteb itself.

mteb loads its data, wraps the model and scores it; this reads what it found. It is an extra:
``pip install "sbert-triplet[mteb]"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.wording import first_line
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.evaluation.results import MetricValues

_INSTALL = 'pip install "sbert-triplet[mteb]"'
_NO_SCORE = ("main_score", "hf_subset", "languages", "mteb_version")
"""Keys of mteb's scores that hold something else, or the main score a second time."""


@dataclass(frozen=True)
class MtebResult:
    """One split and subset (a language, mostly) of one task.

    ``values``: by mteb's own name of each metric, as it computes it; ``main`` is the main one's name.
    ``revision``: of the task's data. ``version``: mteb's.
    """

    task: str
    split: str
    subset: str
    main: str
    values: dict[str, MetricValues]
    revision: str
    version: str


def evaluate_mteb(
    model: SentenceTransformer, names: Sequence[str], *, batch_size: int = 32
) -> list[MtebResult]:
    """The model on tasks of MTEB, in the order of ``names``; mteb's own cache of results is not read.

    Raises InputError as ``known_to_mteb`` does, before anything is measured, and DataError for a task whose
    data cannot be had.
    """
    tasks = known_to_mteb(names)
    mteb, wrapper = _library()
    wrapped = wrapper(model)
    results: list[MtebResult] = []
    for task in tasks:
        name = task.metadata.name
        try:
            measured = mteb.evaluate(
                wrapped,
                task,
                cache=None,
                co2_tracker=False,
                encode_kwargs={"batch_size": batch_size, "show_progress_bar": False},
            )
        except (OSError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"MTEB task {name}: its data cannot be had ({first_line(error)})") from error
        if not measured.task_results:
            raise DataError(f"MTEB task {name}: its data cannot be had; it may be private, and need a login")
        results += [
            each for found in measured.task_results for each in _read(found, task.metadata.main_score)
        ]
    return results


def known_to_mteb(names: Sequence[str]) -> list[Any]:
    """mteb's own tasks of these names. Raises InputError where it is not installed or knows no such task."""
    mteb, _ = _library()
    return [_task(mteb, name) for name in names]


def _library() -> tuple[Any, Any]:
    """mteb, and its wrapper of a model."""
    try:
        import mteb
        from mteb.models import SentenceTransformerEncoderWrapper
    except ImportError as error:
        raise InputError(
            f"tasks of MTEB are measured by mteb, which cannot be imported ({error}): {_INSTALL}"
        ) from error
    return mteb, SentenceTransformerEncoderWrapper


def _task(mteb: Any, name: str) -> Any:
    try:
        return mteb.get_task(name)
    except KeyError as error:
        said = str(error.args[0]) if error.args else ""
        said = said.removeprefix("KeyError: ")
        raise InputError(f"MTEB task {name}: there is none of that name. {said}".strip()) from error


def _read(found: Any, main: str) -> Iterator[MtebResult]:
    for split, subsets in found.scores.items():
        for scores in subsets:
            yield MtebResult(
                task=str(found.task_name),
                split=str(split),
                subset=str(scores["hf_subset"]),
                main=main,
                values=_values(scores, main),
                revision=str(found.dataset_revision),
                version=str(found.mteb_version),
            )


def _values(scores: Mapping[str, Any], main: str) -> dict[str, MetricValues]:
    """The single numbers among the scores, the main one first; its repeats over experiments are left out."""
    numbers = {main: scores["main_score"]} | {
        name: value
        for name, value in scores.items()
        if name not in _NO_SCORE and isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {name: MetricValues(name, float(value)) for name, value in numbers.items()}
