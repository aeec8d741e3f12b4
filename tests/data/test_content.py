"""Names for what texts say."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_triplet.data import content
from sbert_triplet.data.content import content_of


def of(*texts: str) -> str:
    return content_of(lambda ids: [texts[number] for number in ids], np.arange(len(texts)))


def test_texts_order_and_borders_are_told_apart() -> None:
    names = [of("a", "bc"), of("ab", "c"), of("bc", "a"), of("a", "bc", ""), of("a", "bd"), of()]
    assert len(set(names)) == len(names)
    assert of("a", "bc") == names[0]


def test_parts_and_ids_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {number} \ud800" for number in range(10)]
    whole = of(*texts)
    monkeypatch.setattr(content, "TEXTS_AT_ONCE", 3)
    assert of(*texts) == whole
    assert content_of(lambda ids: [texts[number - 100] for number in ids], np.arange(100, 110)) == whole
