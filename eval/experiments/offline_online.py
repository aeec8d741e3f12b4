"""Negatives that are mined before training, picked from the batch, or both, at equal time.

    python eval/experiments/offline_online.py DATA

The triplet loss with cosine distance and margin 0.2 on medical questions and answers, 45 s each, batches of
32 rows. Offline: two mined negatives a row, with the filters of recipes/retrieval-mined.yaml, and no others.
Online: of each batch the semi-hard negative of every row. Both: semi-hard ones among the batch's documents
and the mined ones of all its rows. Rows with mined negatives have more texts and take fewer steps; mining
itself is not counted. Planned: 9 runs, about 11 minutes.
"""

from __future__ import annotations

from claim import Claim, Experiment, Variant
from command import main

LOSS = {"name": "triplet", "distance": "cosine", "margin": 0.2}
MINED = {"negatives": 2, "relative_margin": 0.05}
HERMANS = "Hermans, Beyer, Leibe 2017 (arXiv 1703.07737)"
XIONG = "Xiong et al. 2021 (arXiv 2007.00808)"

EXPERIMENT = Experiment(
    name="offline_online",
    title="6. Offline negatives, online selection",
    sets=("medquad",),
    seconds=45.0,
    seconds_a_run=52.0,
    variants={
        "offline": Variant("mined before", LOSS, mine=MINED, pace="mined"),
        "online": Variant("semi-hard of the batch", LOSS, miner="semi_hard", pace="pairs"),
        "both": Variant("both", LOSS, miner="semi_hard", mine=MINED, pace="mined"),
    },
    claims=(
        Claim("selection in the batch does better than offline mining", HERMANS, "online", "offline"),
        Claim("mined negatives do better than those of the batch alone", XIONG, "both", "online"),
        Claim(
            "both together do better than mining alone", "common advice, without a paper", "both", "offline"
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
