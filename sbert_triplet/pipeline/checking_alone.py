"""The audit by itself: what the verb ``check`` does."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sbert_triplet.pipeline.checking import expected, lengths_in_words
from sbert_triplet.pipeline.failures import machine_failures
from sbert_triplet.pipeline.folder import RunFolder
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.outcome import data_record
from sbert_triplet.pipeline.preparing import Prepared, prepare, refuse_errors
from sbert_triplet.recipe.model import Recipe


def check(
    recipe: Recipe, out: Path, *, folder: Path | None = None, options: Options | None = None
) -> Prepared:
    """The audit alone: nothing is trained; ``data.json`` is written into ``out``.

    Raises InputError, after that, where a finding stands in the way of training.
    """
    options = options or Options()
    home = RunFolder(out)
    home.refuse_unless_for_check()
    with (
        machine_failures(out),
        tempfile.TemporaryDirectory(prefix="sbert-triplet-", ignore_cleanup_errors=True) as scratch,
    ):
        ready = prepare(recipe, Path(scratch), folder, options, set_aside=True)
        for line in lengths_in_words(ready.audit.lengths, ready.encoder.model.max_seq_length):
            options.say(line)
        options.say("Rows: " + ", ".join(f"{split} {rows:,}" for split, rows in ready.data.rows.items()))
        options.say(expected(ready.plan, ready.encoder))
        home.write_json("data.json", data_record(ready.data, ready.audit))
    options.say(f"Written: {out / 'data.json'}")
    refuse_errors(ready.audit, ready.data)
    return ready
