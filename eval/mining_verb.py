"""The whole of mining by the package's own verb, which keeps embeddings and search results on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from isolated import peak_above
from mining_cases import NEGATIVES
from mining_process import only_cache

from sbert_triplet.pipeline.folder import NEGATIVES as FOLDER
from sbert_triplet.pipeline.mining import COUNTS, MINED
from sbert_triplet.pipeline.mining_alone import mine
from sbert_triplet.pipeline.options import Options
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import recipe_from


def carried_out(
    rows: str, corpus: str, model: str, out: str, cache: str, margin: float | None
) -> dict[str, float]:
    """Mine for the pairs of ``rows`` among these and the texts of ``corpus``; seconds from recipe to files.

    ``cache``: the folder that everything is kept in. ``digest``: a number made of the negatives. ``peak``:
    bytes above what there was before, embeddings included, of which there are ``embeddings``.
    """
    recipe = recipe_from(
        {
            "model": model,
            "data": {"train": rows, "corpus": corpus},
            "mine": {"negatives": NEGATIVES, "relative_margin": margin},
            "evaluate": {"dev": 0, "test": 0},
        },
        origin="the benchmark",
    )
    with only_cache(Path(cache)):
        seconds, peak = peak_above(lambda: _mine(recipe, Path(out)))
        embeddings = sum(file.stat().st_size for file in Path(cache).rglob("*.npy"))
    written = Path(out) / FOLDER
    counts = json.loads((written / COUNTS).read_text(encoding="utf-8"))
    digest = hashlib.sha256((written / MINED).read_bytes()).digest()
    return {
        "seconds": seconds,
        "peak": peak,
        "embeddings": embeddings,
        "documents": counts["documents"],
        "queries": counts["queries"],
        "chosen": counts["chosen"],
        "digest": int.from_bytes(digest[:6], "big"),
    }


def _mine(recipe: Recipe, out: Path) -> None:
    mine(recipe, out, options=Options(say=lambda _: None))
