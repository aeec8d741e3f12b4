"""The short form of the server under load and attack, with a tiny encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.encoding.tiny import tiny_encoder

pytestmark = pytest.mark.long
Load = Callable[[str], Any]


def test_short_form(load: Load, tmp_path: Path) -> None:
    """300 requests of 24 clients, one round of each pace, and the quick attacks."""
    command = load("load")
    # Other weights than most: texts of a random encoder are too much alike.
    tiny_encoder(load("load_texts").texts(), dimensions=64).save(str(tmp_path / "tiny"))
    kept: list[int] = []
    results = command.measured(
        command.parsed(["--short"]), {}, lambda found: kept.append(len(found)), str(tmp_path / "tiny")
    )
    assert kept == [1, 2, 3]
    storm = results["storm"]
    assert set(storm["answers"]) <= {"200", "413", "422", "429"}
    assert storm["answers"]["200"] > 250
    assert (storm["wrong"], storm["unexpected"]) == (0, 0)
    assert storm["embeddings"] > 300
    assert storm["memory_most"] - storm["memory_before"] < command.MOST_MEMORY
    assert all(results["pace"][name] > 0 for name in ("served", "plain", "alone", "together"))
    for case in results["hostile"]:
        assert (case["answer"], case["after"]) == (case["wanted"], "200"), case["what"]
    assert len(results["hostile"]) == 6
    assert "| embeddings of another text | 0 of" in command.table(results)


def test_a_wrong_embedding_is_found(load: Load, tmp_path: Path) -> None:
    texts = load("load_texts")
    tiny_encoder(texts.texts(), dimensions=64).save(str(tmp_path / "tiny"))
    known = texts.Known(str(tmp_path / "tiny"))
    assert known.wrong([3, 4, 5], known.embeddings[[3, 4, 5]]) == 0
    assert known.wrong([3, 4, 5], known.embeddings[[3, 5, 4]]) == 2
    assert known.wrong([3, 4, 5], known.embeddings[[3, 4]]) == 3
