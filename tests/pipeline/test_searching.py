"""What mining keeps for later runs: embeddings and answers, by default and in the folder that is set."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from sbert_triplet.data.examples import IntArray
from sbert_triplet.errors import InputError
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.candidates import Candidates
from sbert_triplet.mining.search import DenseSearch, LexicalSearch
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.mining import mine_round
from sbert_triplet.pipeline.mining_alone import mine
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.preparing import prepare
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


KILLED = """
import os, signal, sys
from sbert_triplet.cli import main
from sbert_triplet.encoding import construction
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.mining.search import DenseSearch
from sbert_triplet.pipeline import searching

construction.EVERY = construction.WRITING = 0.0
searching.QUERIES_AT_ONCE, searching.PAIRS_ON_A_CPU = {at_once}, 1
kind, name = {where}
function, left = getattr(kind, name), [{calls}]
def called(*args, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **options)
setattr(kind, name, called)
sys.argv[1:] = ["mine", "recipe.yaml", "--device", "cpu", "--out", "killed"]
main()
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed in another way here")
@pytest.mark.parametrize("stage", ["encoding", "search"])
def test_a_killed_mining_goes_on_and_gives_the_same_bytes(
    sections: dict[str, Any],
    folder: Path,
    tmp_path: Path,
    passed: list[int],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    recipe = recipe_from(sections, origin="test")
    Path("recipe.yaml").write_text(json.dumps(sections), encoding="utf-8")
    where, calls = {
        "encoding": ("TokenTable, 'group_inputs'", 2),
        "search": ("DenseSearch, '__call__'", 1),
    }[stage]
    script = KILLED.format(at_once=500, where=where, calls=calls)
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=300, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert not list(tmp_path.rglob("mined.parquet"))
    searched: list[int] = []
    search = DenseSearch.__call__

    def counted(self: DenseSearch, queries: IntArray, k: int) -> Candidates:
        searched.append(len(queries))
        return search(self, queries, k)

    monkeypatch.setattr(DenseSearch, "__call__", counted)
    monkeypatch.setattr("sbert_triplet.pipeline.searching.QUERIES_AT_ONCE", 500)
    monkeypatch.setattr("sbert_triplet.pipeline.searching.PAIRS_ON_A_CPU", 1)
    mine(recipe, Path("resumed"), options=QUIET)
    resumed, encoded = list(searched), sum(passed)
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path / "another"))
    searched.clear()
    passed.clear()
    mine(recipe, Path("undisturbed"), options=QUIET)
    if stage == "encoding":
        assert 0 < encoded < sum(passed)
    else:
        assert (encoded, resumed) == (0, searched[1:])
    found = [Path(name, "negatives", "mined.parquet").read_bytes() for name in ("resumed", "undisturbed")]
    assert found[0] == found[1]


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


def test_the_base_model_is_measured_with_the_embeddings_that_an_earlier_run_kept(
    sections: dict[str, Any], folder: Path, passed: list[int]
) -> None:
    del sections["mine"]
    sections["train"] = {"max_steps": 1}
    recipe = recipe_from(sections, origin="test")
    texts, reports = [], []
    for name in ("first", "second"):
        run(recipe, Path(name), options=QUIET)
        reports.append(json.loads(Path(name, "report.json").read_text(encoding="utf-8")))
        texts.append(sum(passed))
        passed.clear()
    assert texts[0] - texts[1] >= 1000
    assert kinds(folder) == {"embeddings.npy", "embeddings.json"}
    assert reports[0]["metrics"] == reports[1]["metrics"]


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
