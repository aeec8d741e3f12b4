"""Several processes mine what one does, each with a share of the work."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.long
SCRIPT = Path(__file__).with_name("shared_mining.py")
WAYS = ("exact", "bm25", "mixed", "hnsw", "rescored", "kept", "kept again")
Found = dict[str, dict[str, Any]]
SeveralProcesses = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="module")
def mining() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def one(mining: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What one process mines."""
    pytest.importorskip("faiss")
    assert mining.WAYS == WAYS
    found: Found = mining.everything(tmp_path_factory.mktemp("alone"))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def ranks(one: Found, home: Path, several_processes: SeveralProcesses) -> list[Found]:
    """What each of two processes has in the end."""
    del one
    for code, output in several_processes(str(SCRIPT), str(home)):
        assert code == 0, output[-3000:]
    return [torch.load(home / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_is_mined(way: str, one: Found, ranks: list[Found]) -> None:
    expected = one[way]["mined"]
    assert len(expected["negatives"]) > 200
    assert expected["counts"]["removed"]["absolute_margin"] > 0
    for found in (each[way]["mined"] for each in ranks):
        assert found["counts"] == expected["counts"]
        assert found["suspects"] == expected["suspects"]
        for name in ("rows", "offsets", "negatives", "scores", "positive_scores"):
            np.testing.assert_array_equal(found[name], expected[name])
    assert len(expected["suspects"]["query"]) > 0


@pytest.mark.parametrize("way", WAYS)
def test_embeddings_are_the_same_to_the_last_bit(way: str, one: Found, ranks: list[Found]) -> None:
    for name in ("embeddings", "queries"):
        assert {each[way][name].tobytes() for each in (one, *ranks)} == {one["exact"][name].tobytes()}


def test_each_encodes_half_and_later_nothing(one: Found, ranks: list[Found], mining: ModuleType) -> None:
    for way in WAYS[:-1]:
        assert one[way]["encoded"] == mining.COUNT
        shares = [each[way]["encoded"] for each in ranks]
        assert sum(shares) == mining.COUNT
        assert min(shares) > 0.4 * mining.COUNT
    for found in (one, *ranks):
        assert found["kept again"]["encoded"] == 0
        assert found["kept again"]["seconds"] > 0


def test_each_scores_half_of_the_pairs(one: Found, ranks: list[Found]) -> None:
    shares = [each["rescored"]["scored"] for each in ranks]
    assert sum(shares) == one["rescored"]["scored"]
    assert min(shares) > 0.45 * sum(shares)


def test_one_process_reads_what_two_have_kept(
    one: Found, ranks: list[Found], home: Path, mining: ModuleType
) -> None:
    del ranks
    files = sorted((home / "cache").iterdir())
    assert {file.suffix for file in files} == {".npy", ".npz", ".json", ".lock"}
    found = mining.mined("kept", home / "cache")
    assert found["encoded"] == 0
    assert found["mined"]["suspects"] == one["kept"]["mined"]["suspects"]
    assert sorted((home / "cache").iterdir()) == files


def test_what_two_began_they_finish(one: Found, ranks: list[Found], mining: ModuleType) -> None:
    """Interrupted after a third: the groups that were done are not made again, whoever made them."""
    alone, encoded = one["stopped"], [each["stopped"]["encoded"] for each in ranks]
    assert alone["encoded"] < 0.75 * mining.COUNT
    assert 0.3 * mining.COUNT < sum(encoded) < 0.75 * mining.COUNT
    assert min(encoded) > 0.3 * sum(encoded)
    for found in (alone, *(each["stopped"] for each in ranks)):
        assert found["embeddings"].tobytes() == one["exact"]["embeddings"].tobytes()


@pytest.mark.parametrize("way", ["a cache each", "one cache", "one knows"])
def test_two_machines(way: str, one: Found, ranks: list[Found], home: Path, mining: ModuleType) -> None:
    """A machine whose cache has all encodes with the other one, which has not."""
    folders = {
        "a cache each": ["machine 0", "machine 1"],
        "one cache": ["of both"],
        "one knows": ["nothing yet"],
    }
    assert sum(each[way]["encoded"] for each in ranks) == mining.COUNT
    for found in (each[way] for each in ranks):
        assert found["encoded"] > 0.4 * mining.COUNT
        assert found["embeddings"].tobytes() == one["exact"]["embeddings"].tobytes()
        assert found["mined"]["suspects"] == one["exact"]["mined"]["suspects"]
    for folder in folders[way]:
        assert {file.suffix for file in (home / folder).iterdir()} == {".npy", ".npz", ".json", ".lock"}


@pytest.mark.parametrize("where", ["encoding", "searching", "scoring"])
def test_where_one_fails_all_hear_of_it(where: str, ranks: list[Found]) -> None:
    first, second = (each["failures"][where] for each in ranks)
    assert second == "MemoryError: no memory left"
    assert first == "MachineError: another process of the run stopped (MemoryError: no memory left)"
