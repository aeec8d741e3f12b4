"""Triplet, contrastive and multiple-negatives losses at equal time.

    python eval/experiments/loss_families.py DATA

Each trains all-MiniLM-L6-v2 for 40 s: on classes (hwu64), where the triplet loss takes all triplets and the
contrastive loss all pairs of a batch of 16 classes of 4 texts, and the ranking loss pairs of a class; and on
given triplets (nli). Margins and scale are the usual ones: cosine distance with 0.2 for triplets and 0.5 for
contrastive pairs, scale 20. Planned: 18 runs, about 19 minutes.
"""

from __future__ import annotations

from claim import Claim, Experiment, Variant
from command import main

SOHN = "Sohn 2016 (NIPS)"
EXPERIMENT = Experiment(
    name="loss_families",
    title="1. Triplet, contrastive, multiple negatives",
    sets=("hwu64", "nli"),
    seconds=40.0,
    seconds_a_run=40.0,
    variants={
        "triplet": Variant(
            "triplet", {"name": "triplet", "distance": "cosine", "margin": 0.2}, miner="all", pace="triplet"
        ),
        "contrastive": Variant(
            "contrastive", {"name": "contrastive", "distance": "cosine", "margin": 0.5}, pace="contrastive"
        ),
        "ranking": Variant(
            "multiple negatives", {"name": "multiple_negatives_ranking", "scale": 20}, pace="ranking"
        ),
    },
    claims=(
        Claim("many negatives for each anchor do better than a triplet's one", SOHN, "ranking", "triplet"),
        Claim("many negatives for each anchor do better than pairs", SOHN, "ranking", "contrastive"),
        Claim(
            "triplets do better than contrastive pairs",
            "Hoffer, Ailon 2014 (arXiv 1412.6622)",
            "triplet",
            "contrastive",
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
