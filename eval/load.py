"""The server under load and under attack, on loopback; it ends by itself.

    python eval/load.py [--only storm pace hostile] [--requests 10000] [--clients 200]

Storm: so many requests from so many clients at a time, of one text and of several, too many texts, too
many tokens, and now and then a client more than the server takes. Every answer is to be 200, 413, 422 or
429; every embedding is compared with that of its own text by plain `encode`; the server's memory is sampled.
Pace: texts a second of requests with 32 texts beside plain `encode` of 32 texts, in turn; and of requests
with one text, from many clients and from one at a time. Hostile: headers and bodies that come a byte at a
time, a body of 60 MB, broken JSON, keys that are missing or wrong; after each, the server answers as before.

Writes eval/results/load.json after each part; `--table` prints it. `--short` is a trial that writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

NAME = "load"
PARTS = ("storm", "pace", "hostile")
ALLOWED = (200, 413, 422, 429)
LEAST_OF_ENCODE, LEAST_OF_SINGLE, MOST_MEMORY = 0.8, 3.0, 500
"""Of plain encode's pace; of the pace of one request at a time; MB that the server may grow by."""
Results = dict[str, Any]


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5, help="of each pace, in turn")
    parser.add_argument("--minutes", type=float, default=30, help="after which each part gives up")
    parser.add_argument("--short", action="store_true", help="a trial; writes nothing")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    return parser.parse_args(words)


def measured(
    arguments: argparse.Namespace,
    results: Results,
    keep: Callable[[Results], object],
    model: str | None = None,
) -> Results:
    """The parts that are asked for, each handed to ``keep`` with all others as soon as it is made."""
    from load_hostile import hostile
    from load_pace import paces
    from load_storm import storm
    from load_texts import MODEL

    named, short = model or MODEL, arguments.short
    clients = min(arguments.clients, 24) if short else arguments.clients
    requests = min(arguments.requests, 300) if short else arguments.requests
    seconds = 60 * arguments.minutes
    make: dict[str, Callable[[], Any]] = {
        "storm": lambda: storm(named, requests, clients, seconds),
        "pace": lambda: paces(named, clients, 1 if short else arguments.rounds, short, seconds),
        "hostile": lambda: hostile(named, short, seconds),
    }
    for part in arguments.only:
        results[part] = make[part]()
        keep(results)
    return results


def table(results: Results) -> str:
    """What was asked and how it was answered, against what is wanted."""
    lines = ["| what | measured | wanted |", "| --- | --- | --- |"]
    if "storm" in results:
        found = results["storm"]
        answers = ", ".join(f"{status}: {count:,}" for status, count in sorted(found["answers"].items()))
        lines += [
            f"| answers to {found['requests']:,} requests of {found['clients']} clients | {answers} "
            f"| {', '.join(map(str, ALLOWED))} |",
            f"| embeddings of another text | {found['wrong']} of {found['embeddings']:,} | 0 |",
            f"| memory of the server | {found['memory_before']:,} MB, at most {found['memory_most']:,} MB "
            f"| {MOST_MEMORY} MB more |",
            f"| seconds to an answer, median and 99 % | {found['median']:.2f}, {found['slow']:.2f} | |",
        ]
    if "pace" in results:
        found = results["pace"]
        lines += [
            f"| texts/s by requests of 32, and by plain encode | {found['served']:.0f}, "
            f"{found['plain']:.0f}: {found['served'] / found['plain']:.2f} | {LEAST_OF_ENCODE} |",
            f"| requests/s of one text, {found['clients']} clients and one | {found['together']:.0f}, "
            f"{found['alone']:.0f}: {found['together'] / found['alone']:.1f} | {LEAST_OF_SINGLE:.0f} |",
        ]
    for case in results.get("hostile", ()):
        lines.append(
            f"| {case['what']} | {case['answer']} after {case['seconds']:.1f} s | {case['wanted']} |"
        )
    return "\n".join(lines)


def main() -> None:
    from record import read_if_there, write

    arguments = parsed()
    results = read_if_there(NAME) or {}
    if not arguments.table:
        measured(
            arguments, results, (lambda found: None) if arguments.short else lambda found: write(NAME, found)
        )
    print(table(results))


if __name__ == "__main__":
    main()
