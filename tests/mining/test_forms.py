"""Normal forms and Jaccard similarities by id, against the functions on strings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.distances.tokens import token_jaccard
from sbert_triplet.mining import forms as module
from sbert_triplet.mining.forms import TextForms

TEXTS = ["Red  apple", "red apple\n", "ＲＥＤ apple", "green apple pie", "", "!?", "red", "straße", "STRASSE"]


def reading(texts: list[str]) -> tuple[TextForms, list[int]]:
    asked: list[int] = []

    def give(ids: np.ndarray) -> list[str]:
        asked.extend(ids.tolist())
        return [texts[i] for i in ids]

    return TextForms(give), asked


def test_equal_after_normalisation() -> None:
    forms, _ = reading(TEXTS)
    numbers = forms.number(np.array([[0, 1, 2, 3], [7, 8, -1, 4]]))
    assert numbers[0, 0] == numbers[0, 1] == numbers[0, 2] != numbers[0, 3]
    assert numbers[1, 0] == numbers[1, 1]
    assert numbers[1, 2] == -1
    assert numbers[1, 3] not in numbers[0]


def test_each_text_is_read_once() -> None:
    forms, asked = reading(TEXTS)
    forms.number(np.array([3, 0, 3]))
    forms.jaccard(np.array([0, 8]), np.array([3, 3]))
    forms.number(np.array([8, 1]))
    assert sorted(asked) == [0, 1, 3, 8]


def test_normal_forms_alone() -> None:
    forms = TextForms(lambda ids: [TEXTS[i] for i in ids], words=False)
    assert forms.number(np.array([0, 2])).tolist() == [0, 0]
    with pytest.raises(ValueError, match="without words"):
        forms.jaccard(np.array([0]), np.array([1]))


words = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=6).map(" ".join)


@given(st.lists(words, min_size=1, max_size=8), st.data())
def test_jaccard_equals_that_of_strings(texts: list[str], data: st.DataObject) -> None:
    ids = st.lists(st.integers(0, len(texts) - 1), min_size=12, max_size=12)
    left, right = np.array(data.draw(ids)), np.array(data.draw(ids))
    forms, _ = reading(texts)
    found = forms.jaccard(left, right)
    expected = [token_jaccard(texts[a], texts[b]) for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    bound = data.draw(st.floats(0.05, 1.0))
    pruned = reading(texts)[0].jaccard(left, right, at_least=bound)
    assert ((pruned >= bound) == (found >= bound)).all()


def test_many_pairs_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 3)
    forms, _ = reading(TEXTS)
    left, right = np.repeat(np.arange(9), 9), np.tile(np.arange(9), 9)
    expected = [token_jaccard(TEXTS[a], TEXTS[b]) for a, b in zip(left, right, strict=True)]
    np.testing.assert_allclose(forms.jaccard(left, right), expected)
