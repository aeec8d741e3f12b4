"""Easy rows first, difficult rows first, random order with the same pacing, or no order, at equal steps.

    python eval/experiments/curriculum.py DATA

On classes, all triplets of a batch, cosine distance, margin 0.2; with all classes right (hwu64-centres) and
with one in five wrong (hwu64-wrong). A row is difficult that the encoder before training finds far from the
others of its class. A fifth of the rows is in use at first, all from half of the steps on (root pacing). A
fifth of the memory that test texts are compared with is wrong too, so that the measure is the nearest centre
of a class, for both. Planned: 24 runs, about 26 minutes.
"""

from __future__ import annotations

from claim import Claim, Experiment, Variant
from command import main

LOSS = {"name": "triplet", "distance": "cosine", "margin": 0.2}
PACED = {"score": "reference", "pacing": "root", "start": 0.2, "full_at": 0.5}
BENGIO = "Bengio et al. 2009 (doi 10.1145/1553374.1553380)"
HACOHEN = "Hacohen, Weinshall 2019 (arXiv 1904.03626)"
WU = "Wu, Dyer, Neyshabur 2021 (arXiv 2012.03107)"
CLEAN, WRONG = ("hwu64-centres",), ("hwu64-wrong",)


def ordered(words: str, order: str) -> Variant:
    return Variant(words, LOSS, miner="all", curriculum={**PACED, "order": order})


EXPERIMENT = Experiment(
    name="curriculum",
    title="7. Curriculum",
    sets=("hwu64-centres", "hwu64-wrong"),
    steps={"hwu64-centres": 100, "hwu64-wrong": 100},
    seconds_a_run=43.0,
    variants={
        "none": Variant("no order", LOSS, miner="all"),
        "curriculum": ordered("easy rows first", "curriculum"),
        "anti": ordered("difficult rows first", "anti"),
        "random": ordered("random order, same pacing", "random"),
    },
    claims=(
        Claim("easy rows first do better than no order", BENGIO, "curriculum", "none"),
        Claim("easy rows first do better than difficult ones first", HACOHEN, "curriculum", "anti"),
        Claim(
            "with right labels and enough time, random order at the same pace does as well as easy first",
            WU,
            "curriculum",
            "random",
            "same",
            CLEAN,
        ),
        Claim(
            "with wrong labels, easy rows first do better than random order under the same pacing",
            WU,
            "curriculum",
            "random",
            sets=WRONG,
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
