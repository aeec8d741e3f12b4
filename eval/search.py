"""The same search in every store: its top 10 beside the exact one, and what each precision costs.

    python eval/search.py DATA [--only faiss postgresql ...] [--kept FOLDER]

DATA is a folder that holds mlquestions (eval/README.md). The documents are indexed by the `index` and
`search` of the package into every store, at every precision that it can keep; queries of dev and test are
searched, and the top 10 are compared with the exact ones (every pair compared, float64). Recall counts a
document as found when it is as near as the 10th of the exact search, so that ties cost nothing. The stores
with a graph are measured with it as well (`faiss, graph`, `postgresql, graph`). nDCG@10 of each precision is
compared with that of the exact search, query by query.

Texts are embedded once, for all stores; `--kept` keeps the embeddings in a folder for the next time. Writes
eval/results/search.json after each store; `--only` leaves the figures of the others as they are. `--short`
makes 300 texts of its own, with a tiny encoder, and writes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.data.beir import RetrievalFolder
from sbert_triplet.data.sources import load_source
from sbert_triplet.encoding.loading import EMBEDDED_MODEL, load_model
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.retrieval import RetrievalTask, evaluate_run
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.nearest import top_k
from sbert_triplet.search.encoder import Encoder
from sbert_triplet.search.index import Document, Hit, Index
from sbert_triplet.search.ingest import plain_metadata
from sbert_triplet.search.stores import open_store

NAME, K = "search", 10
KINDS = ("faiss", "postgresql", "chroma", "qdrant", "lancedb")
GRAPH_OPTION = {"faiss": "?hnsw_from=100", "postgresql": "&hnsw_from=100"}
AT_ONCE = 100
TOLERANCE = 1e-5
SHORT = 300


@dataclass(frozen=True)
class Data:
    """Documents, queries, and which documents (by number) are relevant to each query."""

    documents: list[Document]
    queries: list[str]
    relevant: list[dict[int, int]]


class Kept(Encoder):
    """An encoder that embeds every text once, and keeps what it embedded in a folder."""

    def __init__(self, model: Any, name: str, folder: Path) -> None:
        super().__init__(model, name)
        self._folder, self._known = folder, {}  # type: ignore[var-annotated]

    def keep(self, side: Any, texts: Sequence[str]) -> None:
        """Embed these, or read what an earlier run embedded."""
        content = hashlib.sha256("\0".join([self.fingerprint, side, *texts]).encode()).hexdigest()
        file = self._folder / f"{content[:32]}.npy"
        if not file.is_file():
            np.save(file, super()._embedded(side, texts))
        self._known |= {(side, text): row for text, row in zip(texts, np.load(file), strict=True)}

    def _embedded(self, side: Any, texts: Sequence[str]) -> Any:
        return np.stack([self._known[side, text] for text in texts])


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--kept", type=Path, metavar="FOLDER")
    parser.add_argument("--short", action="store_true", help="texts of its own; writes nothing")
    arguments = parser.parse_args(words)
    if arguments.data is None and not arguments.short:
        parser.error("name the folder that holds mlquestions")
    return arguments


def real(folder: Path) -> Data:
    """mlquestions, with the number of words of each document as metadata."""
    loaded = load_source(folder / "mlquestions")
    assert isinstance(loaded, RetrievalFolder)
    documents = []
    for row in loaded.corpus:
        text = f"{row['title']}\n{row['text']}".strip() if row["title"] else row["text"]
        documents.append(Document(row["_id"], text, plain_metadata({"words": len(text.split())})))
    places = {document.id: place for place, document in enumerate(documents)}
    relevant: dict[str, dict[int, int]] = {}
    for judged in loaded.judgements.values():
        for row in judged:
            relevant.setdefault(row["query_id"], {})[places[row["document_id"]]] = int(row["score"])
    asked = [row for row in loaded.queries if row["_id"] in relevant]
    return Data(documents, [row["text"] for row in asked], [relevant[row["_id"]] for row in asked])


def made() -> Data:
    """Texts of random words; a query is the half of one."""
    draw, words = np.random.default_rng(1), [f"w{number}" for number in range(200)]
    texts = [" ".join(draw.choice(words, 12)) for _ in range(SHORT)]
    documents = [Document(f"d{n}", text, {"words": 12}) for n, text in enumerate(texts)]
    queries = [" ".join(texts[n].split()[:6]) for n in range(0, SHORT, 10)]
    return Data(documents, queries, [{n: 1} for n in range(0, SHORT, 10)])


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All results so far, after each store."""
    from search_servers import chroma, postgres, with_table

    results: dict[str, Any] = {"stores": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="search-")))
        data = made() if arguments.short else real(arguments.data)
        texts = [document.text for document in data.documents]
        model = tiny_encoder(texts) if arguments.short else load_model(EMBEDDED_MODEL)
        kept = arguments.kept or folder
        kept.mkdir(parents=True, exist_ok=True)
        encoder = Kept(model, EMBEDDED_MODEL, kept)
        encoder.keep("document", texts)
        encoder.keep("query", data.queries)
        exact = Exact(encoder, data)
        results |= {"documents": len(texts), "queries": len(data.queries), "nDCG@10": exact.quality}
        for kind in arguments.only:
            if kind == "postgresql":
                base = stack.enter_context(postgres())
            elif kind == "chroma":
                base = stack.enter_context(chroma())
            for number, (name, precision, option) in enumerate(ways(kind)):
                if kind == "postgresql":
                    url = with_table(base, f"way{number}") + option
                elif kind == "chroma":
                    url = f"chroma://{base}/way{number}"
                else:
                    url = f"{kind}:{folder / f'{kind}-{number}'}{option}"
                results["stores"][name] = one_store(url, precision, encoder, data, exact)
                yield results


def ways(kind: str) -> Iterator[tuple[str, str, str]]:
    """Name, precision and option of the URL of each way of a store."""
    precisions = {
        "faiss": ("fp32", "fp16", "int8", "binary"),
        "postgresql": ("fp32", "fp16", "binary"),
        "lancedb": ("fp32", "fp16"),
    }.get(kind, ("fp32",))
    for precision in precisions:
        yield f"{kind}, {precision}", precision, ""
        if kind in GRAPH_OPTION:
            yield f"{kind}, {precision}, graph", precision, GRAPH_OPTION[kind]


class Exact:
    """The answers by which all stores are measured."""

    def __init__(self, encoder: Kept, data: Data) -> None:
        self.documents = encoder.passages([document.text for document in data.documents])
        self.queries = encoder.queries(data.queries)
        self.places, self.scores = top_k(self.queries, self.documents, K, similarity=encoder.similarity)
        self._task = RetrievalTask(
            np.arange(len(data.queries)), np.arange(len(data.documents)), dict(enumerate(data.relevant))
        )
        self.values = self.per_query(self.places, self.scores)
        self.quality = float(self.values.mean())

    def per_query(self, places: Any, scores: Any) -> Any:
        """(Q,) nDCG@10."""
        metric = parse_metric("nDCG@10")
        return evaluate_run(self._task, places, scores, [metric]).values[metric.name].per_item


def one_store(url: str, precision: str, encoder: Kept, data: Data, exact: Exact) -> dict[str, Any]:
    """Index, search and compare."""
    began = time.perf_counter()
    store = open_store(url)
    store.close()
    with Index.create(url, encoder.model, precision=precision) as index:
        index._encoder = encoder
        index.upsert(data.documents)
        index.settle()
        indexed = time.perf_counter() - began
        began, hits = time.perf_counter(), []
        for first in range(0, len(data.queries), AT_ONCE):
            hits += index.search(data.queries[first : first + AT_ONCE], K)
        searched = time.perf_counter() - began
        faults, count, compared = index.verify(), index.count(), index.exact
    return {
        **agreement(hits, data, exact),
        "compared one by one": compared,
        "documents": count.documents,
        "faults": len(faults),
        "seconds to index": indexed,
        "milliseconds a query": 1000 * searched / len(data.queries),
    }


def agreement(hits: Sequence[Sequence[Hit]], data: Data, exact: Exact) -> dict[str, Any]:
    """How far the answers are those of the exact search, and what that costs."""
    numbers = {document.id: place for place, document in enumerate(data.documents)}
    places = np.full((len(hits), K), -1, dtype=np.int64)
    for row, some in enumerate(hits):
        places[row, : len(some)] = [numbers[hit.id] for hit in some]
    there = places >= 0
    true = np.einsum("qd,qkd->qk", exact.queries, exact.documents[places])
    lengths = np.linalg.norm(exact.queries, axis=1, keepdims=True)
    near = there & (true / lengths >= exact.scores[:, -1:] - TOLERANCE)
    scores = np.where(there, -np.arange(K, dtype=np.float32), -np.inf).astype(np.float32)
    compared = compare_items("nDCG@10", exact.values, exact.per_query(places, scores))
    return {
        "recall@10": float(near.mean()),
        "queries with the same 10": float(near.all(axis=1).mean()),
        "nDCG@10": compared.tuned,
        "difference": compared.difference,
        "low": compared.low,
        "high": compared.high,
    }


def table(results: dict[str, Any]) -> str:
    """For people."""
    lines = [
        f"{results['documents']:,} documents, {results['queries']:,} queries, "
        f"nDCG@10 of the exact search {results['nDCG@10']:.4f}",
        "",
        "| store | same top 10 | recall@10 | difference of nDCG@10 (95 % interval) | ms a query |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in results["stores"].items():
        lines.append(
            f"| {name} | {100 * one['queries with the same 10']:.1f} % | {one['recall@10']:.4f} | "
            f"{one['difference']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f}) | "
            f"{one['milliseconds a query']:.1f} |"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    from record import read_if_there, write

    arguments = parsed(words)
    results: dict[str, Any] = {}
    for results in measured(arguments):
        if not arguments.short:
            earlier = (read_if_there(NAME) or {}).get("stores", {})
            results["stores"] = {**earlier, **results["stores"]}
            write(NAME, results)
    print(table(results))


if __name__ == "__main__":
    main()
