"""Embeddings by a frozen encoder, made once and looked up by text id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.encode import FloatMatrix, Progress, encode, memory_mapped
from sbert_triplet.encoding.tokens import Side, TokenTable

IntArray = NDArray[np.int64]


class GuideTable:
    """What a guide or teacher makes of every training text: memory-mapped rows by side and text id.

    ``model`` is asked once, with its own tokenizer, prompts and length, so it may be any encoder;
    it is not needed afterwards. ``texts`` gives the texts of ids; the rows lie in ``folder``.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        texts: Callable[[Sequence[int]], list[str]],
        wanted: Iterable[tuple[Side, IntArray]],
        folder: Path,
        *,
        progress: Progress | None = None,
    ) -> None:
        tokens = TokenTable(model, texts)
        by_form = tokens.by_form(wanted)
        self._form: dict[Side, int] = {
            side: tokens.form(side) for side in ("query", "document", "text") if tokens.form(side) in by_form
        }
        self._ids = {form: ids for form, (_, ids) in by_form.items()}
        self._rows: dict[int, NDArray[np.float32]] = {}
        total, done = sum(map(len, self._ids.values())), 0
        width = model.get_embedding_dimension() or 0

        def tell(within: int, _: int) -> None:
            if progress is not None:
                progress(done + within, total)

        for form, (side, ids) in by_form.items():
            rows = memory_mapped(folder / f"guide-{form}.npy", len(ids), width)
            self._rows[form] = encode(model, tokens, side, ids, progress=tell, out=rows)
            done += len(ids)

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, G) rows in the order of ``ids``. Raises KeyError for a text that was not among ``wanted``."""
        form = self._form[side]
        known = self._ids[form]
        places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        if not np.array_equal(known[places], ids):
            missing = ids[known[places] != ids]
            raise KeyError(f"the guide has no row for the text ids {missing[:5].tolist()}")
        return np.asarray(self._rows[form][places])
