"""Distances of the triplet loss at equal steps, with margins that ask as much of the encoder.

    python eval/experiments/distances.py DATA

The cosine distance has the margin 0.2 and, by |a - b|^2 = 2 (1 - cos) on unit vectors, the squared Euclidean
one 0.4, which is the same loss twice. Every other distance has the margin that as many triplets violate
before training as violate cosine's. The learned Mahalanobis distance starts as the Euclidean one and has its
margin. Each model is measured as it would be served: by its own distance where sentence-transformers has it
(or as a further module, for the learned one), and by cosine for order 3, Chebyshev and Jaccard. Jaccard's
index is that of Ruzicka, with the positive and the negative part of each embedding side by side. hwu64 has
the first three only. Planned: 33 runs, about 36 minutes.
"""

from __future__ import annotations

from typing import Any

from claim import Claim, Experiment, Variant
from command import main
from matching import COSINE_MARGIN

AGGARWAL = "Aggarwal, Hinneburg, Keim 2001 (doi 10.1007/3-540-44503-X_27), of data as they are"
REIMERS = "Reimers, Gurevych 2019 (arXiv 1908.10084), of measuring"
NLI = ("nli",)


def triplet(words: str, distance: Any, sets: tuple[str, ...] | None = NLI) -> Variant:
    """A distance with a matched margin."""
    return Variant(words, {"name": "triplet", "distance": distance}, miner="all", matched=True, sets=sets)


def with_margin(words: str, distance: str, margin: float) -> Variant:
    return Variant(words, {"name": "triplet", "distance": distance, "margin": margin}, miner="all")


EXPERIMENT = Experiment(
    name="distances",
    title="2. Distances",
    sets=("nli", "hwu64"),
    steps={"nli": 50, "hwu64": 100},
    seconds_a_run=43.0,
    variants={
        "cosine": with_margin("cosine, margin 0.2", "cosine", COSINE_MARGIN),
        "squared": with_margin("squared Euclidean, margin 0.4", "squared_euclidean", 2 * COSINE_MARGIN),
        "euclidean": triplet("Euclidean", "euclidean", None),
        "manhattan": triplet("Manhattan", "manhattan"),
        "order-3": triplet("Minkowski of order 3", {"name": "minkowski", "p": 3}),
        "chebyshev": triplet("Chebyshev", "chebyshev"),
        "mahalanobis": triplet("learned Mahalanobis", {"name": "mahalanobis", "form": "full"}),
        "jaccard": triplet("split Jaccard", {"name": "jaccard", "signed": "split"}),
    },
    claims=(
        Claim(
            "the Euclidean distance does better than its square",
            "Hermans, Beyer, Leibe 2017 (arXiv 1703.07737), of stability",
            "euclidean",
            "squared",
        ),
        Claim(
            "cosine and, with twice its margin, the squared Euclidean distance are the same on unit vectors",
            "an identity: the square is twice the cosine distance",
            "cosine",
            "squared",
            "same",
        ),
        Claim("cosine and Euclidean distance do equally well", REIMERS, "cosine", "euclidean", "same"),
        Claim("Manhattan and cosine distance do equally well", REIMERS, "manhattan", "cosine", "same"),
        Claim("in many dimensions order 1 does better than 2", AGGARWAL, "manhattan", "euclidean"),
        Claim("in many dimensions order 2 does better than 3", AGGARWAL, "euclidean", "order-3"),
        Claim("in many dimensions order 2 does better than infinity", AGGARWAL, "euclidean", "chebyshev"),
        Claim(
            "a learned Mahalanobis distance does better than the Euclidean one",
            "Weinberger, Saul 2009 (JMLR 10), of data as they are",
            "mahalanobis",
            "euclidean",
        ),
        Claim(
            "cosine does better than Jaccard's index, which is made for sets",
            "common advice, without a paper",
            "cosine",
            "jaccard",
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
