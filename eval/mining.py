"""Hard negatives at scale beside sentence-transformers' mine_hard_negatives (ST), with faiss and without.

    python eval/mining.py DATA [--documents 10000 100000 300000] [--queries 20000] [--repeats 3]

DATA holds the folder multi30k; docstrings need none. How texts and embeddings are made, once and outside of
what is timed, is said in mining_data.py. Three things are measured, each in a process of its own:

search: 4 negatives of the first 40 ranks for every query, from the same stored embeddings of 384 dimensions,
all ways in turn; time of the search and of the rest, and the peak above the embeddings, which are in memory
already. Rules are those that mean the same on both sides: no margin, the query's positive left out. The
negatives are compared query by query, also with a relative margin of 0.05, and the run stops where they
differ by more than rounding. ST without faiss counts by the faster of its own setting and of blocks of
1,024 queries. Everything runs on the CPU.

encode: the same real texts by this package and by ST's encode in batches of 32, tokenising included.

verb: `sbert-triplet mine` with MiniLM on 100,000 documents (on the smallest size where that is not among
them), its cache empty at first, then once more; the peak is that above its start and the embeddings.

Writes eval/results/mining.json after every case; `--add` leaves the cases in it that are not measured
again, `--table` prints it, `--short` is a trial in one process with a tiny random encoder on a few hundred
made-up texts. `--keep FOLDER` keeps real texts and their embeddings for another time. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isolated import GB, refuse_less_memory, refuse_other_systems
from mining_cases import AT, QUERIES, SIZES, WAYS
from mining_process import SEARCH, VERB, Job, alone, child

if TYPE_CHECKING:
    from mining_data import Texts
    from mining_rounds import Bench

Results = dict[str, Any]
NAME = "mining"
PARTS = {"search": "documents", "encode": "precision", "verb": "documents"}
"""What is measured, and what a case of it differs by from every other."""
SHORT_SIZES, SHORT_QUERIES, SHORT_TEXTS, TEXTS = (150, 400), 200, 60, 2000


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--documents", type=int, nargs="+", help="sizes of the corpus")
    parser.add_argument("--queries", type=int, help="half of them real, half of them edited copies")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--texts", type=int, help="texts of the part encode")
    parser.add_argument("--precisions", nargs="+", choices=["bf16", "fp32"], default=["fp32", "bf16"])
    parser.add_argument("--repeats", type=int, default=3, help="processes for each figure")
    parser.add_argument("--gigabytes", type=float, default=12.0, help="memory of a process that mines")
    parser.add_argument("--seconds", type=float, default=3600.0, help="after which a process is stopped")
    parser.add_argument("--keep", type=Path, help="where real texts and their embeddings are kept")
    parser.add_argument("--short", action="store_true", help="a trial in one process; writes nothing")
    parser.add_argument("--add", action="store_true", help="to the results that there are")
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def measured(
    arguments: argparse.Namespace, earlier: Results | None = None
) -> Iterator[tuple[Results, Results]]:
    """After each case all there are, and that case; ``earlier`` ones stay unless they are measured again."""
    results = {part: list((earlier or {}).get(part, [])) for part in PARTS}
    with bench_of(arguments) as bench:
        for part, case in cases(arguments, bench):
            key = PARTS[part]
            results[part] = [each for each in results[part] if each[key] != case[key]] + [case]
            results[part].sort(key=lambda each: str(each[key]).zfill(9))
            yield results, case


def cases(arguments: argparse.Namespace, bench: Bench) -> Iterator[tuple[str, Results]]:
    """What is measured, one after the other."""
    from mining_rounds import encode_case, search_case, verb_case
    from mining_table import with_verdict, with_verdicts

    sizes = sorted(arguments.documents or (SHORT_SIZES if arguments.short else SIZES))
    if "search" in arguments.parts:
        for size in sizes:
            yield "search", with_verdicts(search_case(size, bench))
    if "encode" in arguments.parts:
        texts = arguments.texts or (SHORT_TEXTS if arguments.short else TEXTS)
        for precision in arguments.precisions:
            yield "encode", encode_case(precision, texts, bench)
    if "verb" in arguments.parts:
        yield "verb", with_verdict(verb_case(AT if AT in sizes else sizes[0], bench))


@contextmanager
def bench_of(arguments: argparse.Namespace) -> Iterator[Bench]:
    """How the arguments say that it is measured, with a folder for texts, embeddings and answers."""
    from mining_rounds import Bench
    from throughput_data import MINILM, TINY, model_folder

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        queries = arguments.queries or (SHORT_QUERIES if arguments.short else QUERIES)
        yield Bench(
            measure=child if arguments.short else partial(alone, seconds=arguments.seconds),
            scratch=folder,
            kept=arguments.keep or folder / "real",
            model=model_folder(TINY if arguments.short else MINILM, folder),
            texts=partial(_texts, arguments, queries // 2),
            queries=2 * (queries // 2),
            repeats=arguments.repeats,
            gigabytes=0.0 if arguments.short else arguments.gigabytes,
            **(_of_a_trial() if arguments.short else {}),
        )


def _of_a_trial() -> dict[str, Any]:
    """Margins mean nothing to a random encoder, and its embeddings are too much alike to be searched."""
    from mining_data import made_up_vectors

    return {"margin": None, "vectors": made_up_vectors}


def _texts(arguments: argparse.Namespace, pairs: int) -> Texts:
    from mining_data import REAL_OTHERS, made_up, real_texts
    from throughput_data import WORDS

    if arguments.short:
        return made_up(WORDS, pairs, pairs)
    return real_texts(arguments.data, pairs, REAL_OTHERS)


def set_up(job: Job) -> None:
    """What a process of ours asks of the system at its start, as that of the command line does."""
    if job.kind == VERB or (job.kind == SEARCH and WAYS[job.told["way"]].ours):
        from sbert_triplet.training.machine import keep_freed_memory

        keep_freed_memory()


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    arguments = parsed(words)
    if arguments.child is not None:
        job = Job(**json.loads(arguments.child))
        set_up(job)
        print(json.dumps(asdict(child(job))))
        return
    from mining_table import table
    from record import measured_by, read, write

    from sbert_triplet.errors import SbertTripletError
    from sbert_triplet.terminal import quiet

    if arguments.table:
        print(table(read(NAME)))
        return
    refuse_other_systems()
    if not arguments.short:
        if arguments.data is None:
            sys.exit("name the folder of the data sets, or give --short")
        refuse_less_memory(int(arguments.gigabytes * GB))
    quiet()
    results: Results = {}
    try:
        for results, case in measured(arguments, read(NAME) if arguments.add else None):
            case["measured"] = measured_by()
            if not (arguments.dry_run or arguments.short):
                write(NAME, results)
    except SbertTripletError as error:
        sys.exit(f"error: {error}")
    print(table(results))


if __name__ == "__main__":
    main()
