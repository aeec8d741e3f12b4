"""Negatives of a run that are mined anew while it trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sbert_triplet.data.contrastive import contrastive_rows
from sbert_triplet.data.examples import Ragged
from sbert_triplet.mining.mined import Mined
from sbert_triplet.pipeline.folder import NEGATIVES
from sbert_triplet.pipeline.mining import COUNTS, Negatives, mine_round, write_counts
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.training.callbacks import StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.refresh import Mining, NegativesRefresh, Round, give_negatives


@dataclass(frozen=True)
class Refresh:
    """``first``, the negatives of before training, are mined anew every ``every`` steps.

    ``collator``: makes the batches of the rows that they are of.
    """

    setting: Setting
    first: Negatives
    collator: Collator
    every: int

    def sentence(self, times: int) -> str:
        """What it does, in words."""
        unit = "step" if self.every == 1 else f"{self.every:,} steps"
        often = "once" if times == 1 else f"{times:,} times" if times else "never in so few"
        return f"negatives mined anew every {unit} ({often})"

    def callback(self, home: Path, log: StepLog) -> NegativesRefresh:
        """What carries it out in a training whose run folder is ``home``."""
        rounds = _Rounds(self, home)
        mining = Mining(rounds.mine, rounds.use, rounds.write)
        model, first = self.setting.encoder.model, self.first
        return NegativesRefresh(model, first.mined, mining, every=self.every, seconds=first.seconds, log=log)


class _Rounds:
    """The rounds of one training; ``found``: what the last one mined."""

    def __init__(self, refresh: Refresh, home: Path) -> None:
        self.refresh, self.home, self.found = refresh, home, refresh.first

    def mine(self, number: int) -> Mined:
        first = self.refresh.first
        self.found = mine_round(self.refresh.setting, number, first.marks, first.scorer)
        return self.found.mined

    def use(self, negatives: Ragged) -> None:
        """Spread what was mined over the rows of the collator: behind their own, as often as a row comes."""
        first = self.refresh.first
        examples = replace(contrastive_rows(self.refresh.setting.data.train), kept=None)
        rows = replace(first.mined, negatives=negatives).added_to(examples)
        if first.rows.repeats is not None:
            rows = rows.select(np.repeat(np.arange(len(rows)), first.rows.repeats))
        if rows.negatives is not None:
            give_negatives(self.refresh.collator, rows.negatives)

    def write(self, rounds: Sequence[Round]) -> None:
        """Negatives that are used; of a round that found none, that there was one."""
        if rounds[-1].used:
            self.found.write(self.home, rounds)
            return
        # Those that are used lie there, with their counts: a resumed run did not mine them itself.
        counts = json.loads((self.home / NEGATIVES / COUNTS).read_text(encoding="utf-8"))
        write_counts(self.home, counts, rounds)
