"""A run of sentence-transformers' own trainer, which goes on from its newest checkpoint where there is one.

python eval/crash_stock.py FOLDER OUT
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any


def main(folder: Path, out: Path) -> None:
    """Train on the pairs of ``folder`` and save the model in ``out``."""
    from crash_runs import SAVED, STEPS
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    class Trace(TrainerCallback):
        """Grows a file with each step, and marks the time of a save."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            with (out / "log.txt").open("a") as log:
                log.write(f"{state.global_step}\n")

    class Trainer(SentenceTransformerTrainer):
        def _save_checkpoint(self, *given: Any, **named: Any) -> None:
            mark = out / ".saving"
            mark.touch()
            super()._save_checkpoint(*given, **named)
            mark.unlink()

    out.mkdir(exist_ok=True)
    (out / ".saving").unlink(missing_ok=True)
    with (folder / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    model = SentenceTransformer(str(folder / "tiny"), device="cpu")
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        save_strategy="steps",
        save_steps=SAVED,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=Dataset.from_list(rows),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Trace()],
    )
    begun = any((out / "checkpoints").glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=begun)
    model.save(str(out / "model"), create_model_card=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
