"""SIGKILL at random moments of upserts: every acknowledged document is there, with its embedding.

    python eval/search_kills.py [--kills 50] [--only faiss postgresql]

A process writes batches of documents into a store and notes the ids of each batch once `upsert` has returned;
it is killed at a random moment, most of them within an upsert. Then the store is opened: each noted id is to
be there with the embedding that it was given, nothing is to be half there, and the next process goes on. Half
of the batches replace documents that are there already. Writes eval/results/search_kills.json; `--short` is a
trial of 3 kills that writes nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

NAME = "search_kills"
KINDS = ("faiss", "postgresql")
DIMENSIONS, BATCH, SHORT = 128, 40, 3
LONGEST_WAIT = 0.4


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help=f"{SHORT} kills; writes nothing")
    return parser.parse_args(words)


def embedding(id: str, version: int) -> np.ndarray[Any, Any]:
    """(D,) float32 of length 1: always the same for a version of a document."""
    seed = np.frombuffer(f"{id} {version}".encode(), dtype=np.uint8)
    row = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)
    return row / np.linalg.norm(row)


def write(url: str, notes: Path, begun: Path, seed: int) -> None:
    """Upsert until killed. ``begun``: what was handed to the store; ``notes``: what it acknowledged."""
    from sbert_triplet.search.ingest import digest_of
    from sbert_triplet.search.store import Passage, Record
    from sbert_triplet.search.stores import open_store

    store, draw = open_store(url), random.Random(seed)
    current = store.current()
    assert current is not None
    collection, known = store.open(current), sorted(acknowledged(notes))
    with notes.open("a") as noted, begun.open("a") as handed:
        for batch in range(10_000):
            ids = [f"{seed}-{batch}-{place}" for place in range(BATCH)]
            if batch % 2 and known:
                ids[: BATCH // 2] = draw.sample(known, min(BATCH // 2, len(known)))
            version = seed * 100_000 + batch
            records = [
                Record(
                    id,
                    Passage(0, 0, 4),
                    "text",
                    {"version": version},
                    digest_of("text", {"version": version}),
                )
                for id in dict.fromkeys(ids)
            ]
            lines = "".join(f"{record.id} {version}\n" for record in records)
            handed.write(lines)
            handed.flush()
            collection.upsert(records, np.stack([embedding(record.id, version) for record in records]))
            noted.write(lines)
            noted.flush()


def acknowledged(notes: Path) -> dict[str, int]:
    """The last version of each id that was noted; a line that was cut short is none."""
    if not notes.exists():
        return {}
    lines = [line for line in notes.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return {id: int(version) for id, version in (line.split() for line in lines)}


def handed_over(begun: Path) -> dict[str, list[int]]:
    """All versions of each id that were handed to the store."""
    found: dict[str, list[int]] = {}
    for line in begun.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            id, version = line.split()
            found.setdefault(id, []).append(int(version))
    return found


def _last_line(file: Path) -> str:
    return file.read_text().rpartition("\n")[0].rpartition("\n")[2]


def kills(url: str, folder: Path, count: int, seed: int) -> dict[str, Any]:
    """What was found after each of ``count`` kills, summed up."""
    from sbert_triplet.search.store import About
    from sbert_triplet.search.stores import open_store

    store = open_store(url)
    store.create(About("f" * 64, "none", DIMENSIONS))
    store.close()
    notes, begun, draw = folder / "notes", folder / "begun", random.Random(seed)
    found = {
        "kills": 0,
        "within an upsert": 0,
        "acknowledged": 0,
        "missing": 0,
        "other embedding": 0,
        "faults": 0,
    }
    for number in range(count):
        before = acknowledged(notes)
        process = _begun(lambda turn=number: write(url, notes, begun, turn + 1))
        end = time.monotonic() + 120
        while acknowledged(notes) == before and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(draw.uniform(0, LONGEST_WAIT))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        found["kills"] += 1
        found["within an upsert"] += _last_line(begun) != _last_line(notes)
        _look(url, acknowledged(notes), handed_over(begun), found)
    found["acknowledged"] = len(acknowledged(notes))
    return found


def _begun(work: Callable[[], None]) -> int:
    """The number of a process that does the work: a copy of this one, which has everything loaded."""
    process = os.fork()
    if process:
        return process
    try:
        work()
    finally:
        os._exit(1)


def _look(url: str, noted: dict[str, int], handed: dict[str, list[int]], found: dict[str, Any]) -> None:
    from sbert_triplet.search.stores import open_store

    store = open_store(url)
    current = store.current()
    assert current is not None
    collection = store.open(current)
    kept = collection.embeddings(list(noted))
    for id, version in noted.items():
        if (id, 0) not in kept:
            found["missing"] += 1
            continue
        # A later version that was handed over when a process was killed may have been written.
        possible = [one for one in handed[id] if one >= version]
        if not any(np.allclose(kept[id, 0], embedding(id, one), atol=1e-6) for one in possible):
            found["other embedding"] += 1
    found["faults"] += len(collection.verify())
    collection.close()
    store.close()


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """By kind of store."""
    from search_servers import postgres, with_table

    import sbert_triplet.search.stores.faiss.home
    import sbert_triplet.search.stores.pgvector.home  # noqa: F401

    count = SHORT if arguments.short else arguments.kills
    results = {}
    for kind in arguments.only:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
            if kind == "faiss":
                url = f"faiss:{folder / 'index'}"
            else:
                url = with_table(stack.enter_context(postgres()), "kills")
            results[kind] = kills(url, folder, count, arguments.seed)
    return results


def table(results: dict[str, Any]) -> str:
    """What was found."""
    lines = [
        "| store | kills | within an upsert | acknowledged documents | missing | other embedding | faults |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, one in results.items():
        lines.append(
            f"| {kind} | {one['kills']} | {one['within an upsert']} | {one['acknowledged']:,} "
            f"| {one['missing']} | {one['other embedding']} | {one['faults']} |"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    arguments = parsed(words)
    results = measured(arguments)
    if not arguments.short:
        from record import write as keep

        keep(NAME, results)
    print(table(results))


if __name__ == "__main__":
    main()
