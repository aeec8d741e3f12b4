"""What mining keeps for later runs: embeddings and answers, by default and in the folder that is set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.search import DenseSearch, LexicalSearch
from sbert_triplet.pipeline.job import Options, prepare
from sbert_triplet.pipeline.mining import mine_round
from sbert_triplet.pipeline.mining_alone import mine
from sbert_triplet.pipeline.searching import recall_of, search_name, search_of, spared_seconds
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.recipe.mine import MineRecipe
from sbert_triplet.recipe.reading import recipe_from

if TYPE_CHECKING:
    from tests.pipeline.conftest import Tables

QUIET = Options(say=lambda _: None, device="cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = tmp_path / "kept"
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(chosen))
    return chosen


@pytest.fixture
def sections(tables: Tables, tiny_folder: Path) -> dict[str, Any]:
    """Pairs whose documents are worth a file."""
    return {
        "data": tables.write("pairs.csv", tables.pairs(1300)),
        "model": str(tiny_folder),
        "mine": {"negatives": 2},
        "evaluate": {"general": False},
    }


def kinds(folder: Path) -> set[str]:
    return {file.name.split("-")[0] + file.suffix for file in folder.iterdir() if file.suffix != ".lock"}


@pytest.mark.parametrize("search", ["exact", "mixed"])
def test_a_second_mining_reads_what_the_first_found(
    sections: dict[str, Any], folder: Path, passed: list[int], search: str
) -> None:
    sections["mine"]["search"] = search
    recipe = recipe_from(sections, origin="test")
    found = []
    for name in ("first", "second"):
        mine(recipe, Path(name), options=QUIET)
        found.append(pd.read_parquet(Path(name) / "negatives" / "mined.parquet"))
        if name == "first":
            assert kinds(folder) == {"embeddings.npy", "embeddings.json", "search.npz"}
            files = {file: file.read_bytes() for file in folder.iterdir()}
            assert sum(passed) > 2000
            passed.clear()
    assert passed == []
    assert {file: file.read_bytes() for file in folder.iterdir()} == files
    pd.testing.assert_frame_equal(*found)


def test_a_run_reads_what_mining_alone_has_kept(
    sections: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_from(sections, origin="test")
    mine(recipe, Path("alone"), options=QUIET)
    files = set(folder.iterdir())

    def searched(*_: Any) -> None:
        raise AssertionError("everything was found before")

    monkeypatch.setattr(DenseSearch, "__call__", searched)
    scratch = Path("scratch")
    scratch.mkdir()
    ready = prepare(recipe, scratch, None, QUIET)
    assert ready.plan.negatives is not None
    mined = pd.read_parquet(Path("alone") / "negatives" / "mined.parquet")
    assert ready.data.texts.texts(ready.plan.negatives.mined.negatives.values) == list(mined["negative"])
    assert set(folder.iterdir()) == files


def test_switched_off_nothing_is_kept(
    sections: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", "off")
    mine(recipe_from(sections, origin="test"), Path("out"), options=QUIET)
    assert not folder.exists()


def test_a_limit_that_is_no_number_is_said(
    sections: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBERT_TRIPLET_CACHE_LIMIT", "20 GB")
    with pytest.raises(InputError, match="SBERT_TRIPLET_CACHE_LIMIT is '20 GB'"):
        mine(recipe_from(sections, origin="test"), Path("out"), options=QUIET)


@pytest.mark.parametrize("kind", ["exact", "bm25", "approximate"])
def test_what_a_search_was_spared_and_what_it_finds(
    sections: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "approximate":
        pytest.importorskip("faiss")
    scratch = Path("scratch")
    scratch.mkdir()
    recipe = recipe_from(sections, origin="test")
    ready = prepare(recipe, scratch, None, QUIET)
    data, encoder = ready.data, ready.encoder
    recipe = recipe.model_copy(update={"mine": recipe.mine.model_copy(update={"search": kind})})
    setting = Setting(recipe, data, encoder, encoder.tokens(data), scratch)
    documents, queries = np.unique(data.train.known_positives()[:, 1]), np.unique(data.train.anchors)
    search = search_of(setting, documents)
    search(queries, 5)
    # The documents' embeddings were made when the run was planned.
    assert spared_seconds(search) > 0
    recall = recall_of(setting, search, queries, 5)
    assert 0.5 < recall <= 1 if kind == "approximate" else np.isnan(recall)
    again = search_of(setting, documents)
    for searching in (DenseSearch, LexicalSearch, ApproximateSearch):
        monkeypatch.setattr(searching, "__call__", None)
    again(queries, 5)
    assert spared_seconds(again) > 0


@pytest.mark.parametrize(
    ("search", "documents", "expected"),
    [
        ("exact", 99, "exact"),
        ("exact", 100, "approximate"),
        ("mixed", 99, "mixed"),
        ("mixed", 100, "approximate and bm25"),
        ("bm25", 100, "bm25"),
        ("approximate", 99, "approximate"),
    ],
)
def test_from_a_size_on_the_exact_search_is_approximate(search: Any, documents: int, expected: str) -> None:
    recipe = MineRecipe(negatives=2, search=search, approximate_from=100)
    assert search_name(recipe, documents) == expected
    assert search_name(recipe.model_copy(update={"approximate_from": None}), documents) == search


def test_a_round_between_steps_leaves_nothing_behind(sections: dict[str, Any], folder: Path) -> None:
    """Nobody asks for embeddings of such weights again."""
    scratch = Path("scratch")
    scratch.mkdir()
    ready = prepare(recipe_from(sections, origin="test"), scratch, None, QUIET)
    before = set(folder.iterdir())
    encoder, data = ready.encoder, ready.data
    setting = Setting(ready.recipe, data, encoder, encoder.tokens(data), scratch)
    next(encoder.model.parameters()).data.mul_(1.5)
    first = ready.plan.negatives
    assert first is not None
    assert mine_round(setting, 1, first.marks, None).mined.counts.chosen > 0
    assert set(folder.iterdir()) == before
    mine_round(setting, 0, first.marks, None)
    assert set(folder.iterdir()) > before
