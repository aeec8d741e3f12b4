"""Embeddings of length 1 against embeddings of any length, at equal steps.

    python eval/experiments/normalisation.py DATA

all-MiniLM-L6-v2 ends with a module that brings embeddings to length 1; without it they are as long as they
come. Euclidean distance, with a margin that as many triplets violate before training as violate 0.2 of the
cosine distance, and with a soft margin, which depends on the scale. On classes (hwu64) the hardest triplets
are taken, on nli the given ones. Each model is measured by the Euclidean distance that it was trained with
(on length 1 the order of the cosine). Planned: 24 runs, about 26 minutes.
"""

from __future__ import annotations

from claim import Claim, Experiment, Variant
from command import main

HINGE = {"name": "triplet", "distance": "euclidean"}
SOFT = {"name": "triplet", "distance": "euclidean", "soft": True}
WANG = "Wang et al. 2017 (arXiv 1704.06369)"
HERMANS = "Hermans, Beyer, Leibe 2017 (arXiv 1703.07737), who train so"

EXPERIMENT = Experiment(
    name="normalisation",
    title="8. Normalised output",
    sets=("hwu64", "nli"),
    steps={"hwu64": 100, "nli": 50},
    seconds_a_run=43.0,
    variants={
        "unit": Variant("length 1", HINGE, miner="hard", matched=True),
        "open": Variant("any length", HINGE, miner="hard", matched=True, open=True),
        "unit-soft": Variant("length 1, soft margin", SOFT, miner="hard"),
        "open-soft": Variant("any length, soft margin", SOFT, miner="hard", open=True),
    },
    claims=(
        Claim("embeddings of length 1 do better than those of any length", WANG, "unit", "open"),
        Claim("with a soft margin embeddings of any length do better", HERMANS, "open-soft", "unit-soft"),
        Claim(
            "without length 1 the hardest triplets make training collapse",
            "common advice, without a paper",
            "open",
            says="collapses",
            sets=("hwu64",),
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
