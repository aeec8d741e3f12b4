"""Which losses of sentence-transformers recipes may name, and what each of them takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sbert_triplet.losses.names import ANY, PAIRED

PREFIX = "st."
Target = Literal["nothing", "classes", "scores", "yes or no", "embeddings", "similarities"]
NLI = PAIRED | {"nli"}
LABELLED = frozenset({"labelled"})
SCORED = frozenset({"scored"})


@dataclass(frozen=True)
class LibraryEntry:
    """What a class of sentence-transformers takes as its labels, and how many negatives a row.

    ``embeddings`` and ``similarities`` are those of a teacher. ``kinds`` are values of
    ``data.kinds.Kind``.
    """

    kinds: frozenset[str]
    target: Target
    description: str
    least: int = 0
    most: int | None = None
    embedding_sized: bool = False


LIBRARY_LOSSES: dict[str, LibraryEntry] = {
    "st.MultipleNegativesRankingLoss": LibraryEntry(
        NLI, "nothing", "InfoNCE with choice of directions and hardness; equal texts are not masked"
    ),
    "st.MultipleNegativesSymmetricRankingLoss": LibraryEntry(
        NLI, "nothing", "InfoNCE both ways; equal texts are not masked"
    ),
    "st.TripletLoss": LibraryEntry(
        NLI, "nothing", "hinge on anchor, positive and one negative", least=1, most=1
    ),
    "st.GlobalOrthogonalRegularizationLoss": LibraryEntry(
        ANY, "nothing", "spreads texts over the sphere; a regulariser, to be used beside another loss"
    ),
    "st.BatchAllTripletLoss": LibraryEntry(LABELLED, "classes", "hinge on all triplets of the batch"),
    "st.BatchHardTripletLoss": LibraryEntry(LABELLED, "classes", "hinge on the hardest triplet of each text"),
    "st.BatchHardSoftMarginTripletLoss": LibraryEntry(
        LABELLED, "classes", "soft margin on the hardest triplet of each text"
    ),
    "st.BatchSemiHardTripletLoss": LibraryEntry(LABELLED, "classes", "hinge on semi-hard triplets"),
    "st.CoSENTLoss": LibraryEntry(SCORED, "scores", "similarities in the order of the scores"),
    "st.AnglELoss": LibraryEntry(SCORED, "scores", "angles of complex vectors in the order of the scores"),
    "st.CosineSimilarityLoss": LibraryEntry(
        SCORED, "scores", "squared error of the cosine against the score"
    ),
    "st.ContrastiveLoss": LibraryEntry(
        SCORED, "yes or no", "similar pairs together, others beyond a margin"
    ),
    "st.OnlineContrastiveLoss": LibraryEntry(
        SCORED, "yes or no", "contrastive on the hard pairs of the batch only"
    ),
    "st.EmbedDistillLoss": LibraryEntry(
        ANY, "embeddings", "embeddings near those of a teacher", embedding_sized=True
    ),
    "st.MSELoss": LibraryEntry(
        ANY, "embeddings", "squared error against a teacher's embeddings", embedding_sized=True
    ),
    "st.DistillKLDivLoss": LibraryEntry(
        NLI, "similarities", "a teacher's distribution over a row's texts", least=1
    ),
    "st.MarginMSELoss": LibraryEntry(
        NLI, "similarities", "a teacher's differences of similarity", least=1
    ),
}  # fmt: skip
HERE_INSTEAD = {
    "AdaptiveLayerLoss": "matryoshka beside the options of a loss, which nests dimensions and not layers",
    "CachedGISTEmbedLoss": "guided_ranking",
    "CachedMultipleNegativesRankingLoss": "multiple_negatives_ranking",
    "CachedMultipleNegativesSymmetricRankingLoss": "symmetric_ranking",
    "ContrastiveTensionLoss": "simcse",
    "ContrastiveTensionLossInBatchNegatives": "simcse",
    "DenoisingAutoEncoderLoss": "simcse",
    "GISTEmbedLoss": "guided_ranking",
    "Matryoshka2dLoss": "matryoshka beside the options of a loss",
    "MatryoshkaLoss": "matryoshka beside the options of a loss",
    "MegaBatchMarginLoss": "multiple_negatives_ranking",
    "SoftmaxLoss": "softmax_classification",
}
"""For the classes that encode texts themselves, what does the same or comes nearest."""
