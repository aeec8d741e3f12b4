"""Mining without training: load, audit, split, encode, mine, and leave the negatives in a folder."""

from __future__ import annotations

from pathlib import Path

from sbert_triplet.pipeline.checking import audit_data
from sbert_triplet.pipeline.failures import machine_failures
from sbert_triplet.pipeline.folder import NEGATIVES, RECIPE, SUSPECTS, RunFolder
from sbert_triplet.pipeline.marks import refuse_to_lose_marks
from sbert_triplet.pipeline.mining import MINED, Negatives, mine_negatives
from sbert_triplet.pipeline.options import Options, working_place
from sbert_triplet.pipeline.outcome import data_record
from sbert_triplet.pipeline.plan import known_of
from sbert_triplet.pipeline.preparing import load, refuse_errors, tell_findings
from sbert_triplet.pipeline.recorded import recorded_yaml
from sbert_triplet.pipeline.start import chosen_threads
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.recipe.model import Recipe

NEEDED_BYTES = 64 << 20


def mine(recipe: Recipe, out: Path, *, folder: Path | None = None, options: Options | None = None) -> Path:
    """Mine negatives for the training rows of a recipe; returns the folder that they lie in.

    One for each query where the recipe does not say how many. ``out`` holds ``negatives/``, the recipe as
    resolved and ``data.json`` afterwards. ``folder``: as of ``job.run``. Raises InputError for what
    the person can mend, MachineError for a full disk or memory.
    """
    with working_place(out, options or Options()) as (scratch, out, options):
        home = RunFolder(out)
        with home.alone(), machine_failures(out), chosen_threads(options.decisions):
            home.refuse_unless_for_mining(options.overwrite)
            refuse_to_lose_marks(out, recipe, folder)
            found = _carry_out(recipe, home, scratch, folder, options)
        _conclude(found, out, options)
    return out / NEGATIVES


def _carry_out(
    recipe: Recipe, home: RunFolder, scratch: Path, folder: Path | None, options: Options
) -> Negatives:
    if recipe.mine.negatives is None:
        recipe = recipe.model_copy(update={"mine": recipe.mine.model_copy(update={"negatives": 1})})
    if recipe.mine.negatives == 1:
        options.say("One negative for each query: for more, --set mine.negatives=N")
    recipe, data, encoder = load(recipe, scratch, folder, options)
    home.refuse_to_replace(encoder.resolved.path)
    tokens = encoder.tokens(data)
    audit = audit_data(recipe, data, encoder, tokens)
    tell_findings(options, recipe, data, audit)
    refuse_errors(audit, data)
    options.say(f"Mining for {len(data.train):,} training rows")
    found = mine_negatives(Setting(recipe, data, encoder, tokens, scratch, folder, options.progress))
    try:
        home.start(NEEDED_BYTES)
        home.write_text(RECIPE, recorded_yaml(recipe, known_of(data, encoder), folder))
        home.write_json("data.json", data_record(data, audit))
        found.write(home.path)
        home.finish()
    except BaseException:
        home.leave()
        raise
    return found


def _conclude(found: Negatives, out: Path, options: Options) -> None:
    for line in found.lines():
        options.say(line)
    if options.smoke:
        options.say("That was --smoke: a tiny random encoder, so these negatives mean nothing.")
    options.say(f"Negatives: {out / NEGATIVES / MINED} ({len(found.mined.scores):,} triplets)")
    options.say(
        f"Suspects:  {out / NEGATIVES / SUSPECTS} (mark them positive, negative or ignore, "
        "and name the file as mine.marks)"
    )
