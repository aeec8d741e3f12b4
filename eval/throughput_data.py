"""The rows and encoders of the throughput benchmark, read once, for every process to find the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from throughput_cases import Workload

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEED = 13
MINILM, BASE, TINY = "minilm", "bert-base", "tiny"
WORDS = ("red", "green", "blue", "cat", "dog", "horse", "runs", "sleeps", "eats", "slowly", "house", "tree")


@dataclass(frozen=True)
class Batches:
    """Rows in the order in which they are trained on: ``sizes`` of the batches, one more than the steps."""

    sizes: tuple[int, ...]
    warmup: int

    @property
    def timed(self) -> slice:
        """The rows of the timed steps."""
        start = sum(self.sizes[: self.warmup])
        return slice(start, start + sum(self.sizes[self.warmup : -1]))


def planned(batch: int, warmup: int, steps: int, first: int) -> Batches:
    """``warmup`` batches of at most ``first`` rows, ``steps`` batches, and one that is only fetched."""
    return Batches((*[min(batch, first)] * warmup, *[batch] * steps, batch), warmup)


def stored(workload: Workload, data: Path | None, count: int, folder: Path) -> Path:
    """``count`` rows of the data set in shuffled order, as a parquet file in ``folder``."""
    from sbert_triplet.data.sources import Table, load_source
    from sbert_triplet.errors import DataError

    local = ":" not in workload.source
    if local and data is None:
        raise DataError(f"{workload.source}: name the folder of the data sets")
    table = load_source(data / workload.source if local and data else workload.source)
    if not isinstance(table, Table):
        raise DataError(f"{workload.source}: this is a folder of queries and documents, not a table")
    found = table.dataset.select_columns(list(workload.columns))
    if len(found) < count:
        raise DataError(f"{workload.source}: {len(found):,} rows, and {count:,} are wanted; take fewer steps")
    rows = np.random.default_rng(SEED).permutation(len(found))[:count]
    return _written(found.select(rows).to_dict(), folder)


def made_up(workload: Workload, count: int, folder: Path) -> Path:
    """``count`` rows of words, for a trial without data."""
    generator = np.random.default_rng(SEED)
    texts = {
        column: [
            f"{number} " + " ".join(generator.choice(WORDS, generator.integers(1, 30)))
            for number in range(count)
        ]
        for column in workload.columns
    }
    return _written(texts, folder)


def _written(columns: dict[str, list[str]], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.parquet"
    pq.write_table(pa.table(columns), file)
    return file


@dataclass(frozen=True)
class Counts:
    """``lengths``: (rows, columns) real tokens; ``distinct``: texts among those of the timed rows."""

    lengths: NDArray[np.int64]
    texts: int
    distinct: int


def counted(file: Path, timed: slice, model: Path, max_length: int) -> Counts:
    """The tokens of the timed rows, each text counted as often as it comes."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    table = pq.read_table(file).to_pydict()
    columns = [texts[timed] for texts in table.values()]
    lengths = np.stack([_lengths(tokenizer, texts, max_length) for texts in columns], axis=1)
    return Counts(lengths, lengths.size, len({text for texts in columns for text in texts}))


def _lengths(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> NDArray[np.int64]:
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return np.array([len(row) for row in ids], dtype=np.int64)


def model_folder(name: str, scratch: Path) -> Path:
    """The encoder's files: those of a name, of a folder, or of random weights written to ``scratch``."""
    from sbert_triplet.encoding.loading import EMBEDDED_MODEL, resolve_model
    from sbert_triplet.encoding.tiny import tiny_encoder

    if name == MINILM:
        return resolve_model(EMBEDDED_MODEL).path
    if name not in (BASE, TINY):
        return resolve_model(name).path
    folder = scratch / name
    if not folder.is_dir():
        if name == TINY:
            tiny_encoder(WORDS).save(str(folder), create_model_card=False)
        else:
            _random_base(folder)
    return folder


def _random_base(folder: Path) -> None:
    """BERT-base of random weights, with MiniLM's vocabulary."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    from sbert_triplet.encoding.loading import EMBEDDED_MODEL, resolve_model

    tokenizer = AutoTokenizer.from_pretrained(resolve_model(EMBEDDED_MODEL).path)
    config = BertConfig(vocab_size=len(tokenizer))
    torch.manual_seed(SEED)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    modules = [
        Transformer(str(folder)),
        Pooling(config.hidden_size, pooling_mode="mean"),
        Normalize(),
    ]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
