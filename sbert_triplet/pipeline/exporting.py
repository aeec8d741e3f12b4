"""A model to another form, read aloud: load, write, load again, measure on held-out rows, accept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.agreement import encoded
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.suites import LoadedSuite
from sbert_triplet.pipeline.contenders import contenders
from sbert_triplet.pipeline.measured_data import read_held_out
from sbert_triplet.publishing import export as forms
from sbert_triplet.publishing.staging import refuse_unless_free
from sbert_triplet.reporting import numbers

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked(forms.Asked):
    """``data``: whose held-out rows to measure on, else those of the run that made the model.

    Above a loss of ``max_loss`` in the main metric it is refused, unless ``force``.
    """

    model: str = ""
    data: str | None = None
    max_loss: float = 0.01
    force: bool = False


@dataclass
class _Library:
    """Embeddings by the library's own ``encode``, as evaluation asks for them; each text is encoded once."""

    model: SentenceTransformer
    suite: LoadedSuite
    kept: dict[tuple[Side, int], NDArray[np.float32]] = field(default_factory=dict)

    @property
    def similarity(self) -> str:
        return str(self.model.similarity_fn_name)

    def __call__(self, side: Side, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        new = [int(each) for each in np.unique(ids) if (side, int(each)) not in self.kept]
        if new:
            for number, row in zip(new, encoded(self.model, side, self.suite.texts.texts(new)), strict=True):
                self.kept[side, number] = row
        return np.stack([self.kept[side, int(each)] for each in ids])


def export(
    asked: Asked, out: Path | None = None, *, overwrite: bool = False, say: Say = print
) -> forms.Exported:
    """Export a model into ``out``, else into exports/NAME-FORM.

    Raises GainNotShownError where the main metric falls by more than ``asked.max_loss``, and as
    ``publishing.export``; nothing is left behind then.
    """
    asked.refuse_what_does_not_go_together()
    (found,) = contenders([asked.model])
    name = found.label.replace("/", "-")
    folder = out or Path("exports") / f"{name}-{asked.name}"
    refuse_unless_free(folder, overwrite=overwrite)
    model = load_model(found.resolved, device="cpu")
    say(f"Model: {found.resolved.sentence()}")
    source = asked.data or (str(found.run) if found.run is not None and found.recorded is not None else None)

    def accept(made: forms.Exported) -> None:
        for line in described(made):
            say(line)
        if source is None:
            say("Not measured: no run made this model; --data RECIPE|DATA names rows to measure on")
            return
        try:
            compared = measured(model, made.model, source, say)
        except InputError as error:
            if not asked.force:
                raise InputError(
                    f"{error}\nWithout rows to measure on nothing is exported but by --force"
                ) from error
            say(f"warning  not measured: {error}")
            return
        refuse_a_loss(compared, asked, say)

    made = forms.export_model(model, folder, asked, accept=accept, overwrite=overwrite)
    say(f"Written: {folder} ({made.bytes:,} bytes)")
    return made


def described(made: forms.Exported) -> list[str]:
    """How far the embeddings lie from those before."""
    return [
        f"Largest difference of a number of an embedding: {made.difference:.1e}",
        f"Smallest cosine between both forms of a text's embedding: {made.cosine:.6f}",
    ]


def measured(before: SentenceTransformer, after: SentenceTransformer, source: str, say: Say) -> Comparison:
    """The main metric of the rows that ``source`` holds out, before and after."""
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-export-") as scratch:
        suite = read_held_out(source, (), Path(scratch), say).suite
        task = suite.tasks[0]
        one, two = (task.part.score(_Library(each, suite)) for each in (before, after))
        return task.part.compare(one, two)[task.main.name]


def refuse_a_loss(compared: Comparison, asked: Asked, say: Say) -> None:
    """Say what was measured; raise GainNotShownError where it fell too far."""
    interval = numbers.interval(compared.low, compared.high)
    say(
        f"{compared.metric}: before {compared.base:.4f}, after {compared.tuned:.4f}, difference "
        f"{compared.difference:+.4f} (95 % interval {interval}, n = {compared.n:,})"
    )
    if compared.difference >= -asked.max_loss:
        return
    told = f"{compared.metric} falls by {-compared.difference:.4f}, more than --max-loss {asked.max_loss:g}"
    if not asked.force:
        raise GainNotShownError(
            f"{told}; nothing was written: allow more, choose another form, or give --force"
        )
    say(f"warning  {told}; written because of --force")
