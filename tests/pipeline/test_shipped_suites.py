"""Every suite that comes with the package is read; those over local folders are loaded where these are."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.errors import RecipeError
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.pipeline.shipped import packaged_suite, packaged_suites
from sbert_triplet.recipe.suites import read_suite

SUITES = list(packaged_suites())
ON_THE_HUB = {"nano_beir"}
"""Suites without any local copy of their rows."""


def test_they_are_found_by_name() -> None:
    assert {"sts", "nano_beir", "every_kind"} <= set(SUITES)
    assert packaged_suites()["sts"].startswith("Semantic textual similarity")
    with pytest.raises(RecipeError, match=r"suite stss: does not come with the package; there are .*sts"):
        packaged_suite("stss")


@pytest.mark.parametrize("name", SUITES)
def test_each_is_read(name: str) -> None:
    suite = read_suite(packaged_suite(name))
    assert suite.name == name
    assert len(packaged_suites()[name]) > 20


def test_every_kind_of_task_is_in_the_example() -> None:
    assert {task.task for task in read_suite(packaged_suite("every_kind")).tasks} == set(Task)


def test_nano_beir_is_all_thirteen_sets() -> None:
    tasks = read_suite(packaged_suite("nano_beir")).tasks
    assert len(tasks) == 13
    for task in tasks:
        assert task.source == SourceSpec(f"zeta-alpha-ai/{task.name}", split="train")


@pytest.mark.parametrize("name", [name for name in SUITES if name not in ON_THE_HUB])
def test_each_is_loaded_from_local_folders(shared_data: Path, name: str) -> None:
    suite = read_suite(packaged_suite(name))
    loaded = load_suite(suite, folder=shared_data)
    assert [task.name for task in loaded.tasks] == [task.name for task in suite.tasks]
    for task in loaded.tasks:
        assert len(task.part.items) >= 30
        assert task.part.metrics
