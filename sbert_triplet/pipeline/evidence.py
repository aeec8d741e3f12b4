"""One model measured: the held-out rows and the general check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples, FloatArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.tokens import TokenTable, ends_in_routes
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.evaluation.held_out import HeldOut, Scored, hold_out
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.portrait import Portrait, portray
from sbert_triplet.evaluation.probe import load_probe, probe_hits, probe_texts
from sbert_triplet.evaluation.sample import draw_sample
from sbert_triplet.evaluation.suites import LoadedSuite, measure_suite
from sbert_triplet.losses.batch import Loss
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.threshold import SameFrom, same_from
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.fold import nested_dimensions, served_model, unnamed_distance

Progress = Callable[[str, int, int], None]
TOKENS_IN_FP32 = 500_000
"""Up to so many tokens are always embedded in fp32 unless the recipe says otherwise."""


@dataclass(frozen=True)
class Measured:
    """One model: its scores on each part, and its hits on the general check.

    ``under_training``: scores by the training distance, where the model cannot be served with it.
    ``cut``: scores on the first part of the embeddings cut to so many dimensions. ``suite``: scores on each
    task of the recipe's suite, by its name. ``portrait``: what it makes of a sample of the first part.
    ``threshold``: from which similarity on two texts are the same.
    """

    parts: list[Scored]
    general: FloatArray | None
    under_training: list[Scored] | None = None
    cut: Mapping[int, Scored] = field(default_factory=dict)
    suite: Mapping[str, Scored] = field(default_factory=dict)
    portrait: Portrait | None = None
    threshold: SameFrom | None = None


def measured_on(data: Gathered, metrics: Sequence[Metric], split: str = "test") -> HeldOut:
    """The measurement of a held-out split. Raises InputError for what cannot be measured."""
    rows = data.test if split == "test" else data.dev
    if not len(rows):
        why = "" if split == "test" else " (train.eval_steps and train.patience need dev rows)"
        raise DataError(
            f"no row is held out for {split}{why}: set evaluate.{split} above 0, or name data.{split}"
        )
    if rows.kind is Kind.TEXTS:
        raise DataError(
            f"texts alone show nothing of what is near what: name rows of another kind as data.{split} "
            "(scored pairs, questions with answers, texts with classes)"
        )
    if rows.kind is Kind.LABELLED and data.kind is not Kind.LABELLED:
        raise DataError(
            f"data.{split}: holds labelled text, whose classes are looked up among training texts of known "
            f"class, and data.train holds {data.kind.described}; name a {split} file of another kind"
        )
    try:
        return hold_out(
            rows,
            metrics,
            pool=data.pool,
            memory=data.train if data.kind is Kind.LABELLED else None,
            groups=data.groups if split == "test" else None,
        )
    except ValueError as error:
        given = f"data.{split}" if split in data.given else f"the {split} rows"
        raise InputError(f"evaluate.metrics, on {given}: {error}") from error


def refuse_unknown_slices(columns: Sequence[str], test: Examples) -> None:
    """Raise InputError for a column to slice by that the test rows do not have."""
    kept = list(test.kept.column_names) if test.kept is not None else []
    for column in columns:
        if column not in kept:
            known = f"these are {', '.join(kept)}" if kept else "there are none"
            raise InputError(
                f"evaluate.slices: {column!r} is no column without a role of the test rows; {known}"
            )


class Evidence:
    """Measures the encoder with the weights of the moment, and as ``loss`` has it served."""

    def __init__(
        self,
        recipe: Recipe,
        data: Gathered,
        held_out: HeldOut,
        encoder: Encoder,
        tokens: TokenTable,
        *,
        loss: Loss,
        dev: HeldOut | None = None,
        training_precision: str = "fp32",
        progress: Progress | None = None,
        scratch: Path | None = None,
        suite: LoadedSuite | None = None,
    ) -> None:
        self.suite = suite
        self.recipe, self.data, self.held_out, self.encoder = recipe, data, held_out, encoder
        self.metric = held_out.main.name
        self._progress, self.scratch = progress, scratch
        self.tokens = tokens
        self._routed: TokenTable | None = None
        self._probe_tokens: TokenTable | None = None
        self.loss, self._dev = loss, dev
        self.sample = draw_sample(held_out.parts[0], seed=recipe.train.seed)
        self.unnamed = unnamed_distance(loss)
        self.training_precision = training_precision
        self.precision = self._choose(training_precision)

    def _choose(self, training_precision: str) -> str:
        wanted = self.recipe.evaluate.precision
        if wanted != "auto" or training_precision == "fp32":
            return "fp32" if wanted == "auto" else wanted
        total = 0
        for side, ids in self.held_out.wanted:
            self.tokens.add(side, ids)
            total += int(self.tokens.lengths(self.tokens.form(side), np.unique(ids)).sum())
        return training_precision if total > TOKENS_IN_FP32 else "fp32"

    def size(self) -> str:
        """What is measured, in words."""
        part = self.held_out.parts[0]
        if part.retrieval is None:
            labelled = part.task in (Task.LABELS, Task.CLUSTERING)
            what = "labelled texts" if labelled else part.task.value
            return f"{len(part.items):,} held-out {what}"
        return f"{len(part.items):,} held-out queries over {len(part.retrieval.document_ids):,} documents"

    def served(self) -> SentenceTransformer:
        """The model as it would be saved now."""
        return served_model(self.encoder.model, self.loss)

    def measure(self, model: SentenceTransformer, *, keep: bool = False) -> Measured:
        """Score the held-out rows and the general check by ``model``: the encoder, or what is ``served``.

        ``keep``: embeddings, for later runs that begin with the same model.
        """
        embedder = self._embedder(model, EmbeddingCache.of_the_person() if keep else None)
        embedder.prepare(self.held_out.wanted)
        parts = self.held_out.score(embedder)
        distance, main, seed = self.unnamed, self.held_out.parts[0], self.recipe.train.seed
        return Measured(
            parts,
            self.general(model),
            None if distance is None else self.held_out.score(embedder.compared_by(distance)),
            {size: main.score(embedder.cut(size)) for size in nested_dimensions(self.loss)},
            self._on_suite(model, keep),
            portray(self.sample, main, parts[0], embedder, seed=seed),
            self._threshold(parts[0], embedder),
        )

    def _on_suite(self, model: SentenceTransformer, keep: bool) -> Mapping[str, Scored]:
        if self.suite is None:
            return {}
        tell = self._progress
        return measure_suite(
            self.suite,
            model,
            precision=self.precision,
            budget=self.recipe.train.group_tokens,
            cache=EmbeddingCache.of_the_person() if keep else None,
            scratch=self.scratch,
            progress=(lambda done, total: tell("encoding the suite", done, total)) if tell else None,
        )

    def scores(self, model: SentenceTransformer) -> list[Scored]:
        """The scores of each part alone, by ``model``."""
        embedder = self._embedder(model)
        embedder.prepare(self.held_out.wanted)
        return self.held_out.score(embedder)

    def on_dev(self) -> float:
        """The main metric on the dev split, of the model as it would be saved now."""
        return self.score(self.served(), self.dev)

    @property
    def dev(self) -> HeldOut:
        """The dev split as a measurement by the main metric. Raises InputError where it cannot be one."""
        if self._dev is None:
            self._dev = measured_on(self.data, [self.held_out.main], "dev")
        return self._dev

    def score(self, model: SentenceTransformer, dev: HeldOut, precision: str | None = None) -> float:
        """The main metric of ``model`` on a measurement of dev rows; ``precision``: None for that of all."""
        embedder = self._embedder(model, precision=precision)
        embedder.prepare(dev.wanted)
        return dev.score(embedder)[0].values[self.metric].value

    def general(self, model: SentenceTransformer, precision: str = "fp32") -> FloatArray | None:
        """(n,) hits of ``model`` on the general check; None where the recipe leaves it out."""
        if not self.recipe.evaluate.general:
            return None
        texts = probe_texts(load_probe())
        if self._probe_tokens is None or not self._probe_tokens.fits(model):
            self._probe_tokens = TokenTable(model, lambda ids: [texts[number] for number in ids])
        table, every = self._probe_tokens, np.arange(len(texts))
        sentences, paraphrases, near_misses = np.split(every, 3)
        found = encode(model, table, "right", every, precision=precision)
        asked = found[sentences]
        if ends_in_routes(model):
            asked = encode(model, table, "left", sentences, precision=precision)
        return probe_hits(asked, found[paraphrases], found[near_misses], str(model.similarity_fn_name))

    def _threshold(self, scored: Scored, embedder: Embedder) -> SameFrom | None:
        """None where no dev row is there, or none that says what is the same."""
        try:
            dev = self.dev
        except InputError:
            return None
        return same_from(
            dev,
            embedder,
            test=(self.held_out.parts[0], scored),
            precision=self.recipe.evaluate.same_precision,
            seed=self.recipe.train.seed,
        )

    def _embedder(
        self,
        model: SentenceTransformer,
        cache: EmbeddingCache | None = None,
        precision: str | None = None,
    ) -> Embedder:
        tell = self._progress
        return Embedder(
            model,
            self._tokens_of(model),
            precision=precision or self.precision,
            budget=self.recipe.train.group_tokens,
            progress=(lambda done, total: tell("encoding", done, total)) if tell else None,
            scratch=self.scratch,
            cache=cache,
        )

    def _tokens_of(self, model: SentenceTransformer) -> TokenTable:
        """The table that every stage shares, or one beside it for a model with routes of its own."""
        if self.tokens.fits(model):
            return self.tokens
        if self._routed is None:
            texts = self.data.texts.texts
            self._routed = TokenTable(model, lambda ids: texts(list(ids)))
        return self._routed
