"""Embeddings of a frozen guide by text id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, LossOutput
from sbert_triplet.losses.guided import GuidedRankingLoss
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.guide import GuideTable
from sbert_triplet.training.objective import Objective

Encoder = Callable[..., SentenceTransformer]
Make = Callable[..., Collator]


def other_encoder(texts: list[str]) -> SentenceTransformer:
    """An encoder of another size and with another vocabulary."""
    return tiny_encoder(texts[:20], dimensions=24, seed=5)


def test_rows_are_those_of_the_guide_with_its_own_vocabulary_and_prompts(
    texts: list[str], tmp_path: Path
) -> None:
    guide = other_encoder(texts)
    guide.prompts.update(query="red ", document="blue ")
    wanted = [("query", np.array([3, 1])), ("document", np.array([1, 7, 50]))]
    table = GuideTable(guide, lambda ids: [texts[number] for number in ids], wanted, tmp_path)
    expected = guide.encode_query([texts[1], texts[3], texts[1]])
    np.testing.assert_allclose(table("query", np.array([1, 3, 1])), expected, atol=1e-6)
    expected = guide.encode_document([texts[50], texts[1]])
    np.testing.assert_allclose(table("document", np.array([50, 1])), expected, atol=1e-6)
    assert len(list(tmp_path.glob("*.npy"))) == 2
    assert isinstance(table._rows[0], np.memmap)
    with pytest.raises(KeyError, match="9"):
        table("query", np.array([1, 9]))


def test_its_progress_goes_over_all_forms_and_its_own_width_is_kept(texts: list[str], tmp_path: Path) -> None:
    guide, calls = other_encoder(texts), []
    guide.prompts.update(query="red ")
    guide.truncate_dim = 8
    table = GuideTable(
        guide,
        lambda ids: [texts[number] for number in ids],
        [("query", np.array([3, 1])), ("document", np.array([1, 7, 50])), ("query", np.array([4]))],
        tmp_path,
        progress=lambda *call: calls.append(call),
    )
    assert calls[-1] == (6, 6)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    np.testing.assert_allclose(table("text", np.array([7])), guide.encode([texts[7]]), atol=1e-6)


def test_the_loss_sees_the_guide_of_every_column_and_negative(
    pairs: Examples, make_encoder: Encoder, make_collator: Make, texts: list[str], tmp_path: Path
) -> None:
    class Seeing(GuidedRankingLoss):
        seen: Embedded | None = None

        def forward(self, batch: Embedded) -> LossOutput:
            self.seen = batch.guide
            return super().forward(batch)

    model, loss, guide = make_encoder(), Seeing(guide="some/model"), other_encoder(texts)
    collator = make_collator(pairs, model, loss)
    collator.guide = GuideTable(guide, collator.tokens._texts, collator.wanted(), tmp_path)
    rows = np.array([3, 18, 0, 7, 16])
    Objective(model, loss)(collator(rows.tolist())).backward()
    chosen, seen = pairs.select(rows), loss.seen
    assert seen is not None
    assert seen.negatives is not None
    for found, ids in (
        (seen.columns[0], chosen.anchors),
        (seen.columns[1], chosen.positives),
        (seen.negatives, chosen.negatives.values),
    ):
        expected = guide.encode([texts[number] for number in ids])
        torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_a_collator_without_the_guide_says_so(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    collator = make_collator(pairs, make_encoder(), GuidedRankingLoss())
    with pytest.raises(ValueError, match="was given none"):
        collator([1, 2])


def test_the_library_s_collator_has_no_ids_to_look_up(make_encoder: Encoder) -> None:
    model = make_encoder()
    features = [model.preprocess(["dog", "cat"]), model.preprocess(["red", "blue"])]
    with pytest.raises(InputError, match="text id"):
        Objective(model, GuidedRankingLoss())(features)
