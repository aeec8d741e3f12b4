"""Which triplets of a batch to take, at equal steps, and whether the hardest from the first step collapse.

    python eval/experiments/selection_of_triplets.py DATA

Batches of 16 classes of 4 texts, cosine distance with margin 0.2, or a soft margin under the Euclidean
distance as its authors have it. "After a warm-up": a third of the steps with all triplets in a run of its
own, then the hardest in one that goes on with its weights; its rate rises and falls twice, and so does that
of what it is compared with, the hardest in both runs. "High rate" is 5e-4, ten times the usual one, where a
collapse is likelier. These pairs are trained on hwu64 alone. Planned: 36 runs, about 43 minutes.
"""

from __future__ import annotations

from claim import LEARNING_RATE, Claim, Experiment, Variant
from command import main

COSINE = {"name": "triplet", "distance": "cosine", "margin": 0.2}
SOFT = {"name": "triplet", "distance": "euclidean", "soft": True}
HIGH = {"learning_rate": 10 * LEARNING_RATE}
HWU64 = ("hwu64",)
SCHROFF = "Schroff, Kalenichenko, Philbin 2015 (arXiv 1503.03832)"
DANGER = f"{SCHROFF}, who say that they can"
RISING = f"common advice, after {SCHROFF}"
HERMANS = "Hermans, Beyer, Leibe 2017 (arXiv 1703.07737)"

EXPERIMENT = Experiment(
    name="selection_of_triplets",
    title="4. Selection of triplets",
    sets=("hwu64", "banking77"),
    steps={"hwu64": 100, "banking77": 100},
    seconds_a_run=43.0,
    variants={
        "all": Variant("all", COSINE, miner="all"),
        "semi-hard": Variant("semi-hard", COSINE, miner="semi_hard"),
        "hard": Variant("hard", COSINE, miner="hard"),
        "soft": Variant("hard, soft margin", SOFT, miner="hard"),
        "hard-twice": Variant("hard in both runs", COSINE, miner="hard", first="hard", sets=HWU64),
        "warmed": Variant("hard after a warm-up", COSINE, miner="hard", first="all", sets=HWU64),
        "hard-twice-high": Variant(
            "hard in both runs, high rate", COSINE, miner="hard", first="hard", train=HIGH, sets=HWU64
        ),
        "warmed-high": Variant(
            "hard after a warm-up, high rate", COSINE, miner="hard", first="all", train=HIGH, sets=HWU64
        ),
    },
    claims=(
        Claim(
            "the hardest negatives from the first step make training collapse",
            DANGER,
            "hard",
            says="collapses",
        ),
        Claim(
            "the hardest negatives from the first step make training collapse, at a high rate",
            DANGER,
            "hard-twice-high",
            says="collapses",
        ),
        Claim("semi-hard triplets do better than the hardest", SCHROFF, "semi-hard", "hard"),
        Claim("the hardest triplets do better than all", HERMANS, "hard", "all"),
        Claim("for the hardest triplets a soft margin does better than a hinge", HERMANS, "soft", "hard"),
        Claim("the hardest triplets do better after a warm-up", RISING, "warmed", "hard-twice"),
        Claim(
            "the hardest triplets do better after a warm-up, at a high rate",
            RISING,
            "warmed-high",
            "hard-twice-high",
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
