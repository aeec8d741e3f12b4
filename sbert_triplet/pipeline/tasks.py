"""What trains on which rows: a data set with its loss, its batches and its collator."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.contrastive import contrastive_rows
from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.keys import keys
from sbert_triplet.data.kinds import Kind
from sbert_triplet.distances.mahalanobis import FixedMahalanobis
from sbert_triplet.encoding.encode import encode, group_tokens
from sbert_triplet.encoding.loading import load_model, resolve_model
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import LONGEST_QUEUE, Loss
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.losses.several import LossPerDataset, WeightedSum
from sbert_triplet.pipeline.decide import choose_loss, class_batch
from sbert_triplet.pipeline.gathered import Gathered, Rows
from sbert_triplet.pipeline.scores import refuse_scores
from sbert_triplet.pipeline.start import Encoder, located_model
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.losses import LossPart
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.collate import BatchMaker, Collator
from sbert_triplet.training.guide import GuideTable
from sbert_triplet.training.joint import JointCollator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.library_losses import find_loss
from sbert_triplet.training.samplers import Batches, ClassBatches, JointBatches, RowBatches

TEXTS_ALIKE = frozenset({Kind.SCORED, Kind.LABELLED, Kind.TEXTS})
"""Kinds whose texts play one role: no query or document prompt belongs to any of them."""
BASE = "base"
COVARIANCE_TEXTS = 10_000
SAMPLE_PURPOSE = 6


@dataclass(frozen=True)
class Task:
    """A data set and what trains on it. ``recipes``: the losses, as resolved, that ``loss`` is made of."""

    name: str
    recipes: tuple[LossPart, ...]
    loss: Loss
    rows: Examples
    batches: Batches
    batch_size: int
    collator: Collator

    @property
    def losses(self) -> list[Loss]:
        """The loss of each of ``recipes``."""
        return self.loss.each() if isinstance(self.loss, WeightedSum) else [self.loss]


@dataclass(frozen=True)
class Setting:
    """What every data set of a run shares."""

    recipe: Recipe
    data: Gathered
    encoder: Encoder
    tokens: TokenTable
    scratch: Path
    folder: Path | None = None
    progress: Callable[[str, int, int], None] | None = None

    def texts(self, ids: Sequence[int]) -> list[str]:
        return self.data.texts.texts(list(ids))

    def telling(self, what: str) -> Callable[[int, int], None] | None:
        """What is told how much of ``what`` is done, where anybody wants to know."""
        tell = self.progress
        return (lambda done, total: tell(what, done, total)) if tell else None

    @property
    def group_tokens(self) -> int:
        """Tokens of one forward pass; fewer where the graph of fewer is to be kept at a time."""
        train = self.recipe.train
        tokens = train.group_tokens or group_tokens(self.encoder.model.device)
        return min(tokens, train.chunk_tokens or tokens)


def tasks_of(setting: Setting, batch_size: Callable[[int], int], rows: Rows | None = None) -> list[Task]:
    """One task for each data set of the recipe; ``batch_size`` is asked for the rows of the first.

    ``rows``: those of ``data.train`` with what was added to them, where something was.

    Raises InputError for a loss that does not suit its rows.
    """
    recipe, data = setting.recipe, setting.data
    parts = recipe.losses or (LossPart(loss=recipe.loss),)
    main = [part for part in parts if part.dataset is None]
    tasks = [_task(setting, rows or data.main, main, batch_size)] if main else []
    beside = [part for part in parts if part.dataset is not None]
    for number, other in enumerate(data.others):
        own = [part for part, place in zip(beside, data.places, strict=True) if place == number]
        tasks.append(_task(setting, other, own, (lambda _: tasks[0].batch_size) if tasks else batch_size))
    return tasks


def joined(tasks: Sequence[Task], seed: int) -> tuple[Loss, Batches, BatchMaker]:
    """All tasks as one: the loss, the batches and the collator of the run."""
    if len(tasks) == 1:
        return tasks[0].loss, tasks[0].batches, tasks[0].collator
    names = _numbered([task.name for task in tasks])
    return (
        LossPerDataset([task.loss for task in tasks], names),
        JointBatches([task.batches for task in tasks], [len(task.collator) for task in tasks], seed=seed),
        JointCollator([task.collator for task in tasks]),
    )


def _numbered(names: list[str]) -> list[str]:
    """The names, with their place where they come several times."""
    return [f"{name}_{place + 1}" if names.count(name) > 1 else name for place, name in enumerate(names)]


def queue_size(tasks: Sequence[Task]) -> int | None:
    """The keys that the momentum encoder's queue holds, where there is one."""
    for task in tasks:
        momentum = task.loss.needs.momentum
        if momentum is None:
            continue
        if momentum.size is not None and momentum.size > len(task.rows):
            raise InputError(
                f"loss.queue_size: {momentum.size:,} keys, and an epoch has {len(task.rows):,} rows: the "
                f"queue would hold texts several times; set it to at most {len(task.rows)}, or leave it out"
            )
        return min(momentum.size or LONGEST_QUEUE, len(task.rows))
    return None


def _task(setting: Setting, rows: Rows, parts: Sequence[LossPart], batch_size: Callable[[int], int]) -> Task:
    kind, scores, seed = rows.examples.kind, rows.examples.scores, setting.recipe.train.seed
    chosen = tuple(part.model_copy(update={"loss": choose_loss(part.loss, kind, scores)}) for part in parts)
    label = ", ".join(str(part.loss.name) for part in chosen)
    examples = _training_rows(rows, [part.loss for part in chosen])
    try:
        loss = _loss(setting, chosen, rows.examples).to(setting.encoder.model.device)
        refuse_scores(examples, loss)
        needs = loss.needs_for(kind.value)
        size = batch_size(len(examples))
        batches = _batches(examples, needs.labels and needs.columns == 1, size, seed)
        collator = _collator(setting, rows, examples, loss)
        if not batches.epoch_batches(0):
            raise ValueError("the training rows make no batch, with too few texts of a class")
    except ValueError as error:
        raise InputError(f"loss {label}, on {kind.described}: {error}") from error
    _fit_covariance(setting, loss, collator)
    return Task(rows.name, chosen, loss, examples, batches, size, collator)


def _training_rows(rows: Rows, losses: Sequence[LossRecipe]) -> Examples:
    """The rows as the losses take them, each as often as its source's weight says."""
    kind, train = rows.examples.kind, rows.examples
    contrastive = set()
    for loss in losses:
        suited = find_loss(str(loss.name)).kinds
        if kind.value not in suited:
            others = [name for name, entry in LOSSES.items() if kind.value in entry.kinds]
            raise InputError(
                f"loss.name: {loss.name} works on {_listed(suited)}, and these rows are {kind.described}; "
                f"for these there are {', '.join(others)}"
            )
        contrastive.add(kind is not Kind.NLI or Kind.PAIRS.value in suited)
    if len(contrastive) > 1:
        raise InputError(
            "losses: of these, one takes every NLI pair with its label and another only entailed pairs; "
            "give each a dataset of its own"
        )
    if rows.repeats is not None:
        train = train.select(np.repeat(np.arange(len(train)), rows.repeats))
    taken = contrastive_rows(train) if contrastive == {True} else train
    if not len(taken):
        raise InputError(
            "no training row has a text that belongs to its anchor: there is nothing to learn from"
        )
    return taken


def _listed(kinds: frozenset[str]) -> str:
    return ", ".join(sorted(Kind(kind).described for kind in kinds))


def _loss(setting: Setting, parts: Sequence[LossPart], examples: Examples) -> Loss:
    losses = [
        part.loss.build(
            dimensions=setting.encoder.model.get_embedding_dimension() or 0,
            seed=setting.recipe.train.seed,
            classes=len(examples.label_names) or None,
        )
        for part in parts
    ]
    if len(parts) == 1 and parts[0].weight == 1.0:
        return losses[0]
    names = _numbered([str(part.loss.name) for part in parts])
    return WeightedSum(losses, [part.weight for part in parts], names)


def _batches(rows: Examples, by_class: bool, batch_size: int, seed: int) -> Batches:
    if by_class and rows.labels is not None:
        classes, texts = class_batch(batch_size, len(np.unique(rows.labels)))
        return ClassBatches(rows.labels, classes, texts, seed=seed)
    return RowBatches(len(rows), batch_size, seed=seed)


def _collator(setting: Setting, source: Rows, rows: Examples, loss: Loss) -> Collator:
    given = source.examples
    sides: tuple[Side, Side] = ("text", "text") if given.kind in TEXTS_ALIKE else ("query", "document")
    parts = [given.known_positives(), rows.known_positives()]
    parts += [source.blocked] if source.blocked is not None else []
    known = np.unique(np.concatenate(parts), axis=0)
    collator = Collator(
        rows,
        setting.tokens,
        loss.needs_for(given.kind.value),
        sides,
        setting.group_tokens,
        KnownPositives(known),
        seed=setting.recipe.train.seed,
    )
    collator.prepare()
    if collator.needs.guide is None:
        return collator
    return replace(collator, guide=guide_table(setting, collator.needs.guide, collator, source.later))


def guide_table(setting: Setting, name: str, collator: Collator, later: IntArray | None = None) -> GuideTable:
    """What the frozen encoder ``name``, or the one before training for ``base``, makes of every text.

    ``later``: text ids that are no negatives yet and may become some.
    """
    model = setting.encoder.model if name == BASE or setting.encoder.random else _load(setting, name)
    folder = Path(tempfile.mkdtemp(prefix="guide-", dir=setting.scratch))
    return GuideTable(
        model,
        setting.texts,
        collator.wanted() + ([(collator.sides[1], later)] if later is not None else []),
        folder,
        progress=setting.telling("guide"),
    )


def _load(setting: Setting, name: str) -> SentenceTransformer:
    resolved = resolve_model(located_model(name, setting.folder))
    return load_model(resolved, device=setting.encoder.model.device)


def _fit_covariance(setting: Setting, loss: Loss, collator: Collator) -> None:
    """Fit fixed Mahalanobis distances on what the encoder makes of a sample of the texts."""
    unfitted = [each for each in loss.modules() if isinstance(each, FixedMahalanobis) and not each.fitted]
    if not unfitted:
        return
    side, anchors = collator.wanted()[0]
    ids = np.unique(anchors)
    chosen = ids[np.argsort(keys(ids, collator.seed, SAMPLE_PURPOSE), kind="stable")[:COVARIANCE_TEXTS]]
    sample = torch.from_numpy(encode(setting.encoder.model, setting.tokens, side, chosen))
    for distance in unfitted:
        distance.fit(sample.to(distance.mean.device))
