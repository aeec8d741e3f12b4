"""Whether an encoder may be given packs: it is tried, on a few rows of tokens."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.attention import NotPackableError, attention_configurations, recomputes
from sbert_triplet.encoding.forward import BORDERS, evaluating, moved, sentence_embeddings
from sbert_triplet.encoding.packing import Rows, first_position, packed, padded
from sbert_triplet.encoding.tokenise import Tokeniser

LONGEST = 300
"""Tokens of the longest row that is tried: one that ends beyond a sliding window, where that is shorter."""
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}
_logger = logging.getLogger(__name__)
_found: WeakKeyDictionary[SentenceTransformer, str] = WeakKeyDictionary()


def why_not_packed(model: SentenceTransformer, tasks: Iterable[str | None] = (None,)) -> str:
    """Why packs of texts cannot be given to ``model``; empty where they can. Tried once for a model.

    Packed and padded rows have to come out equal on each of the routes ``tasks``.
    """
    if model not in _found:
        _found[model] = next((why for task in tasks if (why := _tried(model, task))), "")
        if _found[model]:
            _logger.warning(
                "texts are encoded in padded groups of like length, not packed: %s", _found[model]
            )
    return _found[model]


def _tried(model: SentenceTransformer, task: str | None) -> str:
    if not attention_configurations(model):
        return "the encoder does not look up its attention through transformers"
    if recomputes(model):
        return "gradient checkpointing is on"
    rows = _rows(model)
    pack, device = packed(rows, first_position(model)), model.device
    rectangle = padded(rows, int(model.tokenizer.pad_token_id or 0))
    for features in (pack, rectangle):
        features |= {"task": task} if task is not None else {}
    try:
        # Under autocast, rounding alone would make a difference.
        with (
            evaluating(model),
            torch.inference_mode(),
            torch.autocast(device.type, enabled=False),
            _own_forward(model),
        ):
            found = sentence_embeddings(model, moved(pack, device))
            wanted = sentence_embeddings(model, moved(rectangle, device))
    except NotPackableError as error:
        return str(error)
    except Exception as error:  # code of any model may fail in any way on an input that it does not expect
        return f"the encoder does not take packs ({type(error).__name__})"
    if not pack[BORDERS].asked:
        return "the encoder does not look up its attention through transformers"
    tolerance = TOLERANCE.get(wanted.dtype, 5e-2)
    far = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
    return "" if far <= tolerance else f"its embeddings would change (by {far:.2g} of the largest)"


@contextmanager
def _own_forward(model: SentenceTransformer) -> Iterator[None]:
    """The forward of the model's class: a trainer puts one in its place that switches autocast on."""
    wrapped = vars(model).pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            vars(model)["forward"] = wrapped


def _rows(model: SentenceTransformer) -> Rows:
    """Three rows with the tokenizer's own special tokens and ordinary ones at random."""
    tokenizer = model.tokenizer
    windows = [
        window
        for configuration in attention_configurations(model)
        for name in ("sliding_window", "local_attention")
        if isinstance(window := getattr(configuration, name, None), int) and window < LONGEST
    ]
    longest = min(max([24, *(window + 16 for window in windows)]), model.max_seq_length or LONGEST)
    framed = Tokeniser(model, None, None)([" ".join(["a"] * size) for size in (1, longest, 9)])
    kept = {token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id}
    ordinary = np.array([token for token in range(min(len(tokenizer), 2000)) if token not in kept])
    drawn = np.random.default_rng(0).choice(ordinary, size=len(framed.tokens))
    tokens = np.where(np.isin(framed.tokens, list(kept)), framed.tokens, drawn)
    return Rows(tokens, framed.lengths.astype(np.int64), framed.types)
