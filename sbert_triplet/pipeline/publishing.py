"""A finished run to the Hub, read aloud: allowed, portable, described, listed, sent."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub.utils.tqdm import disable_progress_bars

from sbert_triplet.encoding.loading import EMBEDDED_MODEL, load_model
from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.pipeline.contenders import INSIDE_A_RUN, run_of
from sbert_triplet.pipeline.folder import FINISHED
from sbert_triplet.publishing.card import Beside, card_text, publishable_recipe
from sbert_triplet.publishing.figures import write_figures
from sbert_triplet.publishing.hub import Hub, Published, files_of, refuse_bad_name
from sbert_triplet.publishing.portable import Portable, save_portable
from sbert_triplet.reporting.record import RunRecord, read_run

CARD, CALIBRATION, RECIPE = "README.md", "calibration.json", "recipe.yaml"
EXAMPLES, EXAMPLE_CHARACTERS = 5, 300
_LICENCES = {EMBEDDED_MODEL: "apache-2.0"}
"""Of base models whose licence is known here; of others the person names it."""


@dataclass(frozen=True)
class Wanted:
    """What is to be published where. ``source``: a run folder, or ``model`` or ``candidate`` in one.

    ``force``: though it is not shown better. ``private``: whether the repository is made private, and has to
    be. ``licence`` of the weights and ``data_licence`` of the rows are for the card.
    """

    source: Path
    repo: str
    force: bool = False
    private: bool = True
    include_examples: bool = False
    licence: str | None = None
    data_licence: str | None = None


def publish(
    wanted: Wanted, *, dry_run: bool = False, say: Callable[[str], None] = print, hub: Hub | None = None
) -> Published | None:
    """Publish what a run made; with ``dry_run`` list the files and show the card, and ask the Hub nothing.

    Raises GainNotShownError where the run did not show a gain or its model is the base model, InputError and
    MachineError as ``publishing.hub``.
    """
    refuse_bad_name(wanted.repo)
    run, folder = found_run(wanted.source)
    record = read_run(run)
    shipped = what_is_in(record, folder)
    if not wanted.force:
        refuse_unless_better(record, shipped)
    client = hub if dry_run or hub is not None else Hub(say=say)
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-publish-") as scratch:
        made = prepared(record, folder, shipped, wanted, Path(scratch) / "model")
        files = files_of(made.folder)
        for line in listed(files):
            say(line)
        if client is None or dry_run:
            say((made.folder / CARD).read_text(encoding="utf-8"))
            say(f"Nothing was sent. Without --dry-run this goes to {wanted.repo}")
            return None
        disable_progress_bars()
        tag = tag_of(record, files)
        message = f"{record.name}: {record.report.get('verdict')} on {record.main_metric}"
        done = client.publish(made.folder, wanted.repo, message=message, tag=tag, private=wanted.private)
    say(told(done))
    return done


def found_run(source: Path) -> tuple[Path, Path]:
    """The run folder, and the folder of the model in it. Raises InputError for what is neither."""
    if not source.is_dir():
        raise InputError(f"{source}: there is no such folder; give the folder of a finished run")
    run = run_of(source)
    if run is None:
        raise InputError(
            f"{source}: no {FINISHED}, so this is no finished run, and nothing says how good the model is; "
            "give the folder of one"
        )
    return run, source if source.name in INSIDE_A_RUN and run != source else run / "model"


def what_is_in(record: RunRecord, folder: Path) -> str:
    """What the weights in ``folder`` are: "tuned", "interpolated" or "base"."""
    shipped = str(record.report.get("shipped") or "tuned")
    if folder.name != "candidate":
        return shipped
    chosen = record.part("weight_line").get("chosen")
    return "interpolated" if isinstance(chosen, int | float) and 0 < chosen < 1 else "tuned"


def refuse_unless_better(record: RunRecord, shipped: str) -> None:
    """Raise GainNotShownError for a base model as it was, and for one that was not shown better."""
    verdict = record.report.get("verdict")
    if shipped == "base":
        raise GainNotShownError(
            f"{record.folder}: model/ holds the base model itself (verdict: {verdict}); publish a run that "
            f"is better, or {record.folder / 'candidate'} with --force"
        )
    if verdict != "better":
        raise GainNotShownError(
            f"{record.folder}: the verdict on {record.main_metric} is {verdict!r}; publish a run that is "
            "better, or give --force"
        )


def prepared(record: RunRecord, source: Path, shipped: str, wanted: Wanted, folder: Path) -> Portable:
    """Write everything that is published into ``folder``."""
    model = load_model(str(source), device="cpu")
    saved = save_portable(model, folder, dimensions=_dimensions(record))
    base = str(record.part("model").get("name") or "unknown")
    if (source / CALIBRATION).is_file():
        shutil.copyfile(source / CALIBRATION, folder / CALIBRATION)
    recipe = record.recipe or ""
    (folder / RECIPE).write_text(publishable_recipe(recipe), encoding="utf-8")
    beside = Beside(
        name=wanted.repo,
        folder=folder,
        limits=saved.limits,
        figures=tuple(write_figures(record, folder)),
        data_licence=wanted.data_licence,
        examples=_examples(record) if wanted.include_examples else (),
    )
    report = dict(record.report)
    report["model"] = {**record.part("model"), **_described(model)}
    card = card_text(
        report,
        recipe,
        base_model=base,
        licence=wanted.licence or _LICENCES.get(base),
        shipped=shipped,
        beside=beside,
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    return saved


def listed(files: dict[str, Path]) -> list[str]:
    """A line for each file with its size, and their sum."""
    sizes = {name: file.stat().st_size for name, file in files.items()}
    width = max(len(name) for name in sizes)
    lines = [f"  {name:<{width}}  {size:>13,} bytes" for name, size in sizes.items()]
    return [*lines, f"  {len(sizes)} files, {sum(sizes.values()):,} bytes"]


def tag_of(record: RunRecord, files: dict[str, Path]) -> str:
    """A name of the run, the same at every publish of it: its own, and a digest of report and weights."""
    digest = hashlib.sha256((record.folder / FINISHED).read_bytes())
    for name, file in files.items():
        if file.suffix == ".safetensors":
            digest.update(name.encode() + file.read_bytes())
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", record.name).strip("-") or "run"
    return f"{plain[:60]}-{digest.hexdigest()[:8]}"


def told(done: Published) -> str:
    """What was done, in lines."""
    what = "Published" if done.changed else "Was there already"
    removed = f"\nRemoved: {', '.join(done.removed)}" if done.removed else ""
    tag = f" (tag {done.tag})" if done.tag else ""
    return f"{what}: {done.url}, commit {done.commit[:12]}{tag}{removed}"


def _dimensions(record: RunRecord) -> list[int]:
    return [int(size) for size in record.part("dimensions") if str(size).isdecimal()]


def _described(model: Any) -> dict[str, Any]:
    """Of the model as it is published: a base model with other prompts is not what the report tells of."""
    return {
        "dimensions": model.get_embedding_dimension(),
        "max_length": model.max_seq_length,
        "similarity": str(model.similarity_fn_name),
        "prompts": {role: prompt for role, prompt in model.prompts.items() if prompt},
    }


def _examples(record: RunRecord) -> tuple[str, ...]:
    """The first held-out texts of the first column that holds texts."""
    if record.items_file is None:
        return ()
    schema = pq.read_schema(record.items_file)
    names = [name for name in schema.names if str(schema.field(name).type) in ("string", "large_string")]
    if not names:
        return ()
    table = pq.read_table(record.items_file, columns=names[:1]).slice(0, EXAMPLES)
    return tuple(str(text)[:EXAMPLE_CHARACTERS] for text in table.column(0).to_pylist() if text)
