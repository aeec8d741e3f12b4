"""The verb ``mine`` as two processes: the same negatives as of one, read by either."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from sbert_triplet.pipeline.mining_alone import mine
from sbert_triplet.pipeline.options import Options
from sbert_triplet.recipe.reading import load_recipe

if TYPE_CHECKING:
    from tests.pipeline.conftest import Tables


@pytest.mark.long
@pytest.mark.parametrize("search", ["exact", "mixed"])
def test_two_processes_mine_what_one_does(
    search: str,
    tables: Tables,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    several_processes: Callable[..., list[tuple[int, str]]],
) -> None:
    tables.write("pairs.csv", tables.pairs(1300))
    recipe = {
        "data": "pairs.csv",
        "model": str(tiny_folder),
        "mine": {"negatives": 2, "search": search},
        "evaluate": {"general": False},
    }
    Path("recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path / "alone"))
    mine(
        load_recipe(Path("recipe.yaml")).recipe,
        Path("one"),
        options=Options(say=lambda _: None, device="cpu"),
    )
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path / "together"))
    for name in ("two", "again"):
        words = ("-m", "sbert_triplet", "mine", "recipe.yaml", "--device", "cpu", "--out", name)
        for code, output in several_processes(*words, folder=Path.cwd()):
            assert code == 0, output[-3000:]
    files = [sorted(file.name for file in (tmp_path / name).iterdir()) for name in ("alone", "together")]
    assert files[0] == files[1]
    for file in (tmp_path / "alone").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "together" / file.name).read_bytes()
    one, *others = (
        pd.read_parquet(Path(name) / "negatives" / "mined.parquet") for name in ("one", "two", "again")
    )
    for found in others:
        pd.testing.assert_frame_equal(found, one)
