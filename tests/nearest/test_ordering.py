"""The highest scores of rows by hand."""

from __future__ import annotations

import torch

from sbert_triplet.nearest import highest


def test_highest_breaks_ties_at_and_above_the_cut() -> None:
    scores = torch.tensor([[1.0, 5, 5, 5, 0], [2, 2, 2, 2, 2], [4, 3, 2, 1, 0]])
    values, positions = highest(scores, 2)
    assert positions.tolist() == [[1, 2], [0, 1], [0, 1]]
    assert values.tolist() == [[5, 5], [2, 2], [4, 3]]
