"""Margins of the triplet loss from too small to too large, at equal steps.

    python eval/experiments/margin_sweep.py DATA

Cosine distance, which reaches 2 on any vectors. On classes (hwu64) the hardest triplet of each anchor is
taken, where a collapse is most likely, and on nli the given triplets. The table has the share of active
triplets in the first and the last tenth of the steps, and how near two different texts are at the start and
at the end; a run whose embeddings all come together is stopped. Planned: 36 runs, about 39 minutes.
"""

from __future__ import annotations

from claim import Claim, Experiment, Variant
from command import main

MARGINS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
HWU64 = ("hwu64",)
NOT_ON_NLI = (0.05, 1.6)
SCHROFF = "Schroff, Kalenichenko, Philbin 2015 (arXiv 1503.03832)"
TABLE = "Hermans, Beyer, Leibe 2017 (arXiv 1703.07737), table 1"
SWEPT = "common advice, without a paper"


def name_of(margin: float) -> str:
    return f"margin-{margin:g}"


EXPERIMENT = Experiment(
    name="margin_sweep",
    title="3. Margins",
    sets=("hwu64", "nli"),
    steps={"hwu64": 100, "nli": 50},
    seconds_a_run=43.0,
    variants={
        name_of(margin): Variant(
            f"margin {margin:g}",
            {"name": "triplet", "distance": "cosine", "margin": margin},
            miner="hard",
            sets=HWU64 if margin in NOT_ON_NLI else None,
        )
        for margin in MARGINS
    },
    claims=(
        Claim(
            "triplets that meet the margin teach nothing and slow training down (0.2 does better than 0.01)",
            SCHROFF,
            name_of(0.2),
            name_of(0.01),
        ),
        Claim("a margin can be too large (0.2 does better than 0.8)", SWEPT, name_of(0.2), name_of(0.8)),
        Claim("a margin can be too large (0.2 does better than 1.6)", SWEPT, name_of(0.2), name_of(1.6)),
        Claim(
            "a margin near the distance's range makes training collapse (1.6)",
            SWEPT,
            name_of(1.6),
            says="collapses",
        ),
        Claim("between 0.1 and 0.4 the margin matters little", TABLE, name_of(0.1), name_of(0.4), "same"),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
