"""Texts to rows of tokens: what ``model.preprocess`` gives, without its padding."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import sentence_transformers
import tokenizers
import transformers
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router, Transformer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

AT_ONCE = 1024
"""Texts that the tokenizer is given at a time."""
_UNLIMITED = int(1e20)
AROUND = (transformers.__version__, sentence_transformers.__version__)


@dataclass(frozen=True)
class Tokenised:
    """The tokens of n texts, one after the other: (T,) ``tokens``, and ``types`` where the encoder has some.

    (n,) ``lengths`` count the tokens of each text; (n,) ``full_lengths`` those it has without a limit.
    """

    tokens: NDArray[np.int32]
    types: NDArray[np.int8] | None
    lengths: NDArray[np.int32]
    full_lengths: NDArray[np.int32]


def joined(parts: Sequence[Tokenised]) -> Tokenised:
    """Several as one; at least one is given."""
    types = [part.types for part in parts if part.types is not None]
    return Tokenised(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate(types) if types else None,
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.full_lengths for part in parts]),
    )


class Tokeniser:
    """Texts to tokens as ``model`` preprocesses them under a prompt and a Router's task.

    A plain fast tokenizer is asked itself, without the padded tensors that ``preprocess`` makes; anything
    else (chat templates, query expansion, processing options, tokenizers in Python, other modules) goes
    through ``model.preprocess``. The encoder's limits are those at the time of the call.
    """

    def __init__(self, model: SentenceTransformer, prompt: str | None, task: str | None) -> None:
        self._model, self._prompt, self._task = model, prompt, task
        self._module = _text_module(model, task)

    def __call__(self, texts: list[str]) -> Tokenised:
        """The rows of the texts, in their order; at least one is given."""
        fast = self._fast()
        make = self._preprocessed if fast is None else lambda some: self._encoded(fast, some)
        return joined([make(texts[start : start + AT_ONCE]) for start in range(0, len(texts), AT_ONCE)])

    def prompt_length(self) -> int | None:
        """The tokens of the prompt, where the encoder is told: pooling may leave them out."""
        if not self._prompt:
            return None
        features = self._model.preprocess([""], prompt=self._prompt, task=self._task)
        return int(features["prompt_length"]) if features.get("prompt_length") is not None else None

    def fingerprint(self) -> str | None:
        """SHA-256 over all that the tokens of a text depend on, or None where that cannot be known."""
        module = self._module
        if module is None or "message" in module.modality_config:
            return None
        content = _content(module.processor)
        if content is None:
            return None
        tokenizer, fast = module.processor, self._fast() is not None
        parts = {
            "libraries": [tokenizers.__version__, *([] if fast else AROUND)],
            "tokenizer": content,
            "special": repr(sorted(tokenizer.special_tokens_map.items())),
            "sides": [tokenizer.truncation_side, tokenizer.padding_side],
            "inputs": list(tokenizer.model_input_names),
            "split_special": bool(tokenizer.split_special_tokens),
            "lower": bool(module.do_lower_case),
            "limit": self._limit(),
            "prompt": self._prompt,
            "beside": "" if fast else repr((self._task, module.processing_kwargs, module.query_expansion)),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _fast(self) -> PreTrainedTokenizerFast | None:
        """The tokenizer, where it alone decides what ``preprocess`` gives."""
        module = self._module
        if (
            module is None
            or set(module.modality_config) != {"text"}
            or module.processing_kwargs
            or module.query_expansion is not None
            or module.transformer_task != "feature-extraction"
        ):
            return None
        tokenizer, kind = module.processor, type(module.processor)
        own = (
            kind.__call__ is not PreTrainedTokenizerBase.__call__
            or getattr(kind, "_encode_plus", None) is not PreTrainedTokenizerFast._encode_plus
        )
        return None if own else tokenizer

    def _limit(self) -> int | None:
        """The tokens that the encoder reads of a text, or None for all."""
        module = self._module
        if module is None:
            limit = self._model.max_seq_length
        else:
            by_task = {"query": module.query_length, "document": module.document_length}
            own: Any = module.processing_kwargs.get("text", {}).get("max_length")
            limit = own or by_task.get(self._task or "") or module.max_seq_length
        return None if limit is None or limit > _UNLIMITED else int(limit)

    def _encoded(self, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Tokenised:
        limit = self._limit()
        prompted = [self._prompt + text for text in texts] if self._prompt else texts
        with _set_up(tokenizer, limit) as backend:
            encodings = backend.encode_batch_fast(prompted)
            framing = backend.num_special_tokens_to_add(False)
        rows = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
        full, total = lengths.copy(), int(lengths.sum())
        for place in np.flatnonzero(lengths == limit) if limit is not None else ():
            full[place] += sum(len(rest) - framing for rest in encodings[place].overflowing)
        types = None
        if "token_type_ids" in tokenizer.model_input_names:
            kinds = chain.from_iterable(encoding.type_ids for encoding in encodings)
            types = np.fromiter(kinds, dtype=np.int8, count=total)
        tokens = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=total)
        return Tokenised(tokens, types, lengths, full)

    def _preprocessed(self, texts: list[str]) -> Tokenised:
        features = self._model.preprocess(texts, prompt=self._prompt, task=self._task)
        tokens, kinds = features["input_ids"].numpy(), features.get("token_type_ids")
        if "attention_mask" in features:
            mask = features["attention_mask"].numpy().astype(bool)
            lengths = mask.sum(1)
        else:
            # The library packs the texts itself where flash attention is chosen.
            mask = np.ones(tokens.shape, dtype=bool)
            lengths = np.diff(features["cu_seq_lens_q"].numpy())
        types = None if kinds is None else kinds.numpy()[mask].astype(np.int8)
        lengths = lengths.astype(np.int32)
        return Tokenised(tokens[mask].astype(np.int32), types, lengths, self._uncut(texts, lengths))

    def _uncut(self, texts: list[str], lengths: NDArray[np.int32]) -> NDArray[np.int32]:
        """The lengths without a limit: texts that reach it are counted again."""
        full, limit = lengths.copy(), self._limit()
        reached = np.flatnonzero(lengths >= limit) if limit is not None else np.zeros(0, dtype=np.int64)
        if len(reached):
            prompted = [(self._prompt or "") + texts[place] for place in reached]
            tokenizer = self._model.tokenizer if self._module is None else self._module.processor
            counted = tokenizer(prompted, truncation=False, padding=False, verbose=False)
            full[reached] = np.maximum(lengths[reached], [len(row) for row in counted["input_ids"]])
        return full


def _text_module(model: SentenceTransformer, task: str | None) -> Transformer | None:
    """The module that turns texts into tokens, where it is the library's own and plainly so."""
    module: Any = model[0]
    while isinstance(module, Router):
        routes: Any = module.sub_modules
        route = module.default_route if task is None else task
        if module.route_mappings or "text" in routes or route not in routes:
            return None
        module = routes[route][0]
    known = type(module) is Transformer and isinstance(module.processor, PreTrainedTokenizerBase)
    return module if known else None


def _content(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """What the tokenizer makes of a text, as text; None where it holds code of its own."""
    if isinstance(tokenizer, PreTrainedTokenizerFast):
        try:
            described = json.loads(tokenizer.backend_tokenizer.to_str())
        except Exception:  # parts written in Python cannot be described; the library has no type for it
            return None
        # What the last call left behind; the limit is a part of its own.
        del described["truncation"], described["padding"]
        return json.dumps(described, sort_keys=True)
    named = {"name_or_path", "tokenizer_file"}
    given = {name: _given(value) for name, value in tokenizer.init_kwargs.items() if name not in named}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    kind = f"{type(tokenizer).__module__}.{type(tokenizer).__qualname__}"
    return json.dumps([kind, vocabulary, sorted(given.items())])


def _given(value: Any) -> str:
    """An argument of a tokenizer: of a file what it holds, wherever it lies."""
    if isinstance(value, str) and len(value) < 4096 and "\0" not in value and Path(value).is_file():
        return hashlib.sha256(Path(value).read_bytes()).hexdigest()
    return repr(value)


@contextmanager
def _set_up(tokenizer: PreTrainedTokenizerFast, limit: int | None) -> Iterator[tokenizers.Tokenizer]:
    """The tokenizer's backend cutting off at ``limit`` without padding, put back as it was afterwards."""
    backend = tokenizer.backend_tokenizer
    truncation, padding, split = backend.truncation, backend.padding, backend.encode_special_tokens
    backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    if limit is None:
        backend.no_truncation()
    else:
        backend.enable_truncation(limit, direction=tokenizer.truncation_side)
    try:
        yield backend
    finally:
        backend.encode_special_tokens = split
        if padding is not None:
            backend.enable_padding(**padding)
        if truncation is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(**truncation)
