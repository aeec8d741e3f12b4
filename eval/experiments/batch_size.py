"""The batch size of the multiple-negatives loss at equal rows seen.

    python eval/experiments/batch_size.py DATA

Two passes over 3,600 medical questions with their answers, cut at 48 tokens, in batches of at most 32, 128,
512 and 1,800 rows, as even as they can be (512 makes 8 of 450). Larger batches take fewer steps: 226, 58, 16
and 4. At the usual rate of 5e-5 for all, and, for the two largest, at a rate that rises with the root of the
batch size from that of 32. These two sizes go through a gradient cache, which changes memory and time and not
the result. Planned: 18 runs, about 58 minutes.
"""

from __future__ import annotations

import math

from claim import LEARNING_RATE, Claim, Experiment, Variant
from command import main

SIZES = (32, 128, 512, 1800)
CACHED = (512, 1800)
CHUNK = 4096
KARPUKHIN = "Karpukhin et al. 2020 (arXiv 2004.04906)"
QU = "Qu et al. 2021 (arXiv 2010.08191)"
CHEN = "Chen et al. 2020 (arXiv 2002.05709)"


def ranking(size: int, scaled: bool = False) -> Variant:
    rate = LEARNING_RATE * (math.sqrt(size / SIZES[0]) if scaled else 1)
    train = {"batch_size": size, "learning_rate": rate, "chunk_tokens": CHUNK if size in CACHED else 0}
    words = f"{size:,} rows" + (f", rate {rate:.1e}" if scaled else "")
    return Variant(words, {"name": "multiple_negatives_ranking", "scale": 20}, train=train)


EXPERIMENT = Experiment(
    name="batch_size",
    title="5. Batch size",
    sets=("medquad",),
    rows=7200,
    seconds_a_run=170.0,
    variants={
        **{f"rows-{size}": ranking(size) for size in SIZES},
        **{f"rows-{size}-scaled": ranking(size, scaled=True) for size in CACHED},
    },
    claims=(
        Claim("larger batches do better (128 than 32)", KARPUKHIN, "rows-128", "rows-32"),
        Claim("larger batches do better (512 than 128)", QU, "rows-512", "rows-128"),
        Claim("larger batches do better (1,800 than 128)", QU, "rows-1800", "rows-128"),
        Claim(
            "larger batches do better with a larger rate (512 than 32)", CHEN, "rows-512-scaled", "rows-32"
        ),
        Claim(
            "larger batches do better with a larger rate (1,800 than 32)", CHEN, "rows-1800-scaled", "rows-32"
        ),
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT, __doc__)
