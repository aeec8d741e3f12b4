"""A cross-encoder's scores in place of similarities: both sides, all pairs together, in its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from sbert_triplet.errors import InputError, ModelError
from sbert_triplet.mining.candidates import Candidates, Source
from sbert_triplet.mining.positives import Positives
from sbert_triplet.mining.rescoring import cross_encoder, rescored

CANDIDATES = Candidates.found(
    np.array([0, 1]),
    np.array([[10, 11, 12], [10, 13, -1]]),
    np.array([[0.9, 0.8, 0.7], [0.6, 0.5, -np.inf]], dtype=np.float32),
    Source.DENSE,
)
POSITIVES = Positives.of(np.array([[0, 20], [0, 21], [1, 10]]))


def texts(ids: np.ndarray) -> list[str]:
    return [f"text {i}" for i in ids]


class Scorer:
    """The score of (query q, document d) is d % 11 - q / 10."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, str]]] = []

    def __call__(self, pairs: list[tuple[str, str]]) -> list[float]:
        self.calls.append(pairs)
        return [int(document.split()[1]) % 11 - int(query.split()[1]) / 10 for query, document in pairs]


def test_both_sides_are_scored_and_candidates_stand_in_the_new_order() -> None:
    scorer = Scorer()
    keep = np.array([[True, True, True], [True, True, False]])
    changed, positives = rescored(CANDIDATES, keep, POSITIVES, texts, scorer)
    assert changed.documents.tolist() == [[10, 12, 11], [10, 13, -1]]
    np.testing.assert_allclose(changed.scores, [[10, 1, 0], [9.9, 1.9, -np.inf]], rtol=1e-6)
    assert changed.ranks.tolist() == [[0, 2, 1], [0, 1, 2]]
    np.testing.assert_allclose(positives, [9, 10, 9.9], rtol=1e-6)
    assert positives[2] == changed.scores[1, 0]
    # (1, 10) is a candidate and a positive, and is scored once.
    assert [len(call) for call in scorer.calls] == [7]


def test_what_is_not_kept_is_not_scored() -> None:
    scorer = Scorer()
    keep = np.array([[False, True, False], [False, False, False]])
    changed, _ = rescored(CANDIDATES, keep, POSITIVES, texts, scorer)
    assert changed.documents[0].tolist() == [11, 10, 12]
    assert changed.scores[0].tolist() == [0, -np.inf, -np.inf]
    assert ("text 0", "text 10") not in scorer.calls[0]


def test_no_more_texts_are_held_than_allowed_and_the_answer_is_the_same() -> None:
    scorer = Scorer()
    whole = rescored(CANDIDATES, CANDIDATES.there, POSITIVES, texts, Scorer())
    parts = rescored(CANDIDATES, CANDIDATES.there, POSITIVES, texts, scorer, pairs_at_once=2)
    assert [len(call) for call in scorer.calls] == [2, 2, 2, 1]
    assert (parts[0].scores == whole[0].scores).all()
    assert (parts[1] == whole[1]).all()


def test_equal_scores_stay_in_the_order_of_the_search() -> None:
    changed, _ = rescored(CANDIDATES, CANDIDATES.there, POSITIVES, texts, lambda pairs: np.zeros(len(pairs)))
    assert changed.documents.tolist() == CANDIDATES.documents.tolist()


def test_scores_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(7, 2\) for 7 pairs"):
        rescored(CANDIDATES, CANDIDATES.there, POSITIVES, texts, lambda pairs: np.zeros((len(pairs), 2)))
    with pytest.raises(InputError, match="not finite, for the query 'text 0' and the document 'text 11'"):
        rescored(
            CANDIDATES,
            CANDIDATES.there,
            POSITIVES,
            texts,
            lambda pairs: [np.nan if pair == ("text 0", "text 11") else 1.0 for pair in pairs],
        )


def tiny_cross_encoder(folder: Path, labels: int) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "text", *map(str, range(30))]
    (folder / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_a_cross_encoder_of_the_library(tmp_path: Path) -> None:
    folder = tiny_cross_encoder(tmp_path, 1)
    pairs = [("text 1", "text 20"), ("text 2", "text 3 text 4 text 5"), ("text 1", "text 7")]
    expected = CrossEncoder(str(folder)).predict(pairs)
    np.testing.assert_allclose(cross_encoder(folder)(pairs), expected, rtol=1e-5)
    np.testing.assert_allclose(
        cross_encoder(CrossEncoder(str(folder)), batch_size=1)(pairs), expected, rtol=1e-5
    )


def test_a_cross_encoder_that_gives_several_scores_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="one score a pair"):
        cross_encoder(tiny_cross_encoder(tmp_path, 3))
    with pytest.raises(ModelError, match="no such folder"):
        cross_encoder("./nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        cross_encoder(empty)
