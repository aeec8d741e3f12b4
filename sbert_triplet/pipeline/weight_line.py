"""Never worse: the point of the line between base and tuned weights that the dev split shows as the best.

The main metric is measured on dev at a few points of ``training.weight_line``; a point where the general
check has fallen beyond the interval of the base model's own figure is out. The best of the others is the
tuned model from there on: it is what the test rows measure, once, and what ships where they show it better.
All of it is computed in the precision of the training: points are compared with each other alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import FloatArray
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.pipeline.dev_rows import DevRows, dev_rows
from sbert_triplet.pipeline.evidence import Evidence
from sbert_triplet.pipeline.line_points import MOST_POINTS, Point, Searched, choose, search
from sbert_triplet.processes import processes
from sbert_triplet.training.fold import learns_metric
from sbert_triplet.training.weight_line import WeightLine, keep_weights

CHECK = "triplet accuracy"
SHARE = 0.15
"""The search embeds at most as much as this share of the training computed ..."""
PASSES = 3
"""... of which forward and backward of a token are so many forward passes."""
ALWAYS = 100_000
"""Tokens that a search may take however short the training was."""
GENERAL_TOKENS = 19_000
"""What the general check takes of them at one point."""
FEWEST_ITEMS = 30
"""With fewer dev items (queries, pairs, texts) chance would choose."""


class LineSearch:
    """A search on the line from the weights that the encoder has now, those of the base model.

    ``general``: (n,) the base model's hits on the general check, in fp32. ``scratch``: a folder for both ends
    of the line, so that neither takes the device's memory.
    """

    def __init__(self, evidence: Evidence, general: FloatArray | None, scratch: Path) -> None:
        self._evidence, self._general, self._scratch = evidence, general, scratch
        self._precision = evidence.training_precision
        self._why_not = _why_not(evidence)
        if self._why_not is None:
            keep_weights(evidence.encoder.model, self._file("base"))

    def carry_out(self, trained_tokens: int, say: Callable[[str], None]) -> Searched:
        """Search up to the weights that the encoder has now, and give it those of the point that was chosen.

        Where that is the base, it keeps the tuned ones: they are what is shown beside the base.
        ``trained_tokens``: that training encoded, over all processes.
        """
        metric = self._evidence.metric
        if self._why_not is not None:
            return Searched(metric, (), 1.0, self._why_not)
        say("Searching the line between base and tuned weights on dev")
        start = time.perf_counter()
        cost = Cost.after(trained_tokens, general=self._general is not None)
        dev = dev_rows(self._evidence, cost.tokens_of_dev)
        model, base = self._evidence.encoder.model, self._file("base")
        line = WeightLine(model, base, keep_weights(model, self._file("tuned")))
        if self._general is not None and self._precision != "fp32":
            with line.at(0):
                self._general = self._evidence.general(model, self._precision)

        def measure(at: float) -> Point:
            point = self._on_dev(line, at, dev)
            return self._checked(line, point) if at == 0 or cost.checks_all else point

        points = search(measure, lambda point: self._checked(line, point))
        chosen, reason = choose(metric, points)
        line.move(chosen or 1.0)
        for end in ("base", "tuned"):
            self._file(end).unlink()
        seconds = time.perf_counter() - start
        return Searched(metric, points, chosen, reason, seconds, dev.size, dev.thinned)

    def _file(self, end: str) -> Path:
        return self._scratch / f"weights-{end}.safetensors"

    def _model(self, at: float) -> SentenceTransformer:
        """As it would ship: the base model as it was, every other point as the loss has it served."""
        return self._evidence.served() if at else self._evidence.encoder.model

    def _on_dev(self, line: WeightLine, at: float, dev: DevRows) -> Point:
        with line.at(at):
            value = self._evidence.score(self._model(at), dev.held_out, self._precision)
        return Point(at, value, checked=self._general is None)

    def _checked(self, line: WeightLine, point: Point) -> Point:
        if self._general is None:
            return point
        if point.at == 0:
            value, n = float(self._general.mean()), len(self._general)
            return replace(point, general=Comparison(CHECK, value, value, 0, 0, 0, 1, n), checked=True)
        with line.at(point.at):
            hits = self._evidence.general(self._model(point.at), self._precision)
        assert hits is not None
        seed = self._evidence.recipe.train.seed
        return replace(point, general=compare_items(CHECK, self._general, hits, seed=seed), checked=True)


@dataclass(frozen=True)
class Cost:
    """What a search may take: ``tokens_of_dev`` at one point, and whether it ``checks_all`` points.

    Else the general check is made only at points that would be chosen.
    """

    tokens_of_dev: float
    checks_all: bool

    @classmethod
    def after(cls, trained_tokens: int, *, general: bool) -> Cost:
        """After a training that encoded so many tokens, over all processes; this one searches alone."""
        tokens = max(SHARE * PASSES * trained_tokens / processes(), ALWAYS)
        checks = (MOST_POINTS - 1) * GENERAL_TOKENS
        everywhere = not general or checks <= tokens / 2
        taken = 0 if not general else checks if everywhere else GENERAL_TOKENS
        return cls((tokens - taken) / MOST_POINTS, everywhere)


def _why_not(evidence: Evidence) -> str | None:
    """What stands in the way of a search, if anything does."""
    model = evidence.encoder.model
    if learns_metric(evidence.loss):
        return (
            "the loss learns a metric, which is saved as a module of its own that the base model lacks; the "
            "line is over the encoder's weights alone"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return "the encoder's weights are frozen"
    if not len(evidence.data.dev):
        return "no rows are held out for dev (evaluate.dev)"
    try:
        items = len(evidence.dev.parts[0].items)
    except InputError as error:
        return f"the dev rows cannot be measured ({error})"
    if items < FEWEST_ITEMS:
        return f"with {items} dev items (fewer than {FEWEST_ITEMS}) chance would choose"
    return None
