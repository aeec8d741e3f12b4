"""Training throughput beside sentence-transformers (ST): the same model, rows, batches, loss and optimizer.

    python eval/throughput.py DATA [--workloads docstrings nli ...] [--precisions bf16 fp32]

DATA holds the folders medquad, multi30k and nli; docstrings need none. Multiple negatives ranking on
all-MiniLM-L6-v2 with its dropout, texts cut at 256 tokens, fused AdamW. ST is measured as it comes and in
its tuned ways, the fastest of which counts: all columns merged into one forward pass, its cached loss with
budgets of tokens. Every measurement is a process of its own, in turn for all systems: warm-up first, then
the timed steps, with the peak of memory above what a loaded model and its data take. A way that is more
than a tenth slower than the fastest of its side is not repeated. The rate of matrix products is measured
in between, and how the operations that a model needs are counted is said in throughput_needs.py.

With --gpu the same is measured on a GPU: bf16, batches of 64, 512 and 4,096, MiniLM and a BERT-base of
random weights, torch.compile tried on both sides, and flash attention for ST where it is installed.
Writes eval/results/throughput.json (throughput-gpu.json) after every case; `--add` leaves the cases in it
that are not measured again, `--table` prints it, `--profile` adds where the time goes, `--short` is a trial
in one process with a tiny random encoder on made-up rows. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isolated import GB, refuse_less_memory, refuse_other_systems
from throughput_cases import CPU_BATCHES, GPU_BATCHES, SYSTEMS, WORKLOADS, Case, cpu_cases, gpu_cases
from throughput_process import Found, Job, alone, child

Results = dict[str, Any]

NAME, GPU_NAME = "throughput", "throughput-gpu"


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--gpu", action="store_true", help="measure on the GPU")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), help="all, on a GPU docstrings")
    parser.add_argument("--batches", type=int, nargs="+", help="64 and 1800, on a GPU 64, 512 and 4096")
    parser.add_argument("--precisions", nargs="+", choices=["bf16", "fp32"], default=["bf16", "fp32"])
    parser.add_argument("--models", nargs="+", help="minilm, bert-base, or what a recipe's model may be")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each figure")
    parser.add_argument("--steps", type=int, help="timed steps of a process")
    parser.add_argument("--warmup", type=int, help="steps before them: 2, on a GPU 3")
    parser.add_argument("--gigabytes", type=float, default=12.0, help="memory of a process on the CPU")
    parser.add_argument("--seconds", type=float, default=1800.0, help="after which a process is stopped")
    parser.add_argument("--profile", action="store_true", help="also measure where our time goes")
    parser.add_argument("--short", action="store_true", help="a trial in one process; writes nothing")
    parser.add_argument("--add", action="store_true", help="to the results that there are")
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def cases_of(arguments: argparse.Namespace) -> list[Case]:
    """What is compared, in the order of measurement."""
    if arguments.short:
        workloads, models = arguments.workloads or list(WORKLOADS), ["tiny"]
        return list(cpu_cases(workloads, [4, 8], arguments.precisions, models, large=8, trial=4))
    if arguments.gpu:
        workloads, models = arguments.workloads or ["docstrings"], arguments.models or ["minilm", "bert-base"]
        flash = find_spec("flash_attn") is not None
        return list(gpu_cases(workloads, arguments.batches or GPU_BATCHES, models, flash))
    workloads, models = arguments.workloads or list(WORKLOADS), arguments.models or ["minilm"]
    return list(cpu_cases(workloads, arguments.batches or CPU_BATCHES, arguments.precisions, models))


def measured(arguments: argparse.Namespace, earlier: Sequence[Results] = ()) -> Iterator[list[Results]]:
    """After each case all there are: ``earlier`` ones, unless measured again, and those of the arguments."""
    from throughput_rounds import compared, profiled, without
    from throughput_table import in_order, with_verdicts

    cases = list(earlier)
    with bench_of(arguments) as bench:
        for case in cases_of(arguments):
            found = compared(without(case, cases), bench)
            if arguments.profile:
                found["profile"] = profiled(found, bench)
            cases = in_order(cases, with_verdicts(found))
            yield cases


@contextmanager
def bench_of(arguments: argparse.Namespace) -> Iterator[Any]:
    """How the arguments say that it is measured, with a folder for rows and models."""
    from throughput_rounds import Bench

    def in_a_process(job: Job) -> Found:
        return alone(job, arguments.seconds)

    with tempfile.TemporaryDirectory() as scratch:
        yield Bench(
            measure=child if arguments.short else in_a_process,
            scratch=Path(scratch),
            data=arguments.data,
            repeats=arguments.repeats,
            warmup=arguments.warmup or (3 if arguments.gpu else 1 if arguments.short else 2),
            steps=arguments.steps or (10 if arguments.gpu else 1 if arguments.short else None),
            gigabytes=0.0 if arguments.gpu or arguments.short else arguments.gigabytes,
            made_up=arguments.short,
        )


def threads() -> int:
    """Threads of torch, as in each process."""
    import torch

    return torch.get_num_threads()


def refuse_what_cannot_be_measured(arguments: argparse.Namespace) -> None:
    refuse_other_systems()
    if arguments.gpu:
        import torch

        if not torch.cuda.is_available():
            sys.exit("--gpu: torch finds no GPU here")
    elif not arguments.short:
        refuse_less_memory(int(arguments.gigabytes * GB))


def set_up(job: Job) -> None:
    """What a process of ours asks of the system at its start, as that of the command line does."""
    if job.system and SYSTEMS[job.system].ours:
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
    from record import measured_by, read, write
    from throughput_table import table

    from sbert_triplet.errors import SbertTripletError
    from sbert_triplet.terminal import quiet

    name = GPU_NAME if arguments.gpu else NAME
    if arguments.table:
        print(table(read(name)["cases"]))
        return
    refuse_what_cannot_be_measured(arguments)
    quiet()
    cases: list[Results] = []
    earlier = read(name)["cases"] if arguments.add else ()
    try:
        for cases in measured(arguments, earlier):
            cases[-1]["measured"] = measured_by()
            if not (arguments.dry_run or arguments.short):
                write(name, {"cases": cases})
    except SbertTripletError as error:
        sys.exit(f"error: {error}")
    print(table(cases))


if __name__ == "__main__":
    main()
