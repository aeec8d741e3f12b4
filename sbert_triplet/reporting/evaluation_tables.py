"""The tables of models side by side: quality, compressed quality, cost, MTEB."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.plain_table import Cell
from sbert_triplet.reporting.record import Change, mapping

DIGITS = 4
FORMS = ("fp32", "fp16", "int8", "binary")
NAN = float("nan")
Columns = list[tuple[Cell, list[Cell]]]


def tables(record: Mapping[str, Any]) -> list[tuple[str, list[str], Columns, str]]:
    """Title, names of the rows, columns and legend of each table that there is something for."""
    found = [_quality(record), _compressed(record), _cost(record), _mteb(record)]
    return [table for table in found if table is not None]


def _quality(record: Mapping[str, Any]) -> tuple[str, list[str], Columns, str] | None:
    rows, tasks = record["models"], record["tasks"]
    if not tasks:
        return None
    columns: Columns = []
    for task in tasks:
        name, metric = task["name"], task["main_metric"]
        cells = [
            compared_cell(
                value_of(row, name, metric),
                mapping(mapping(row.get("against_first")).get(name)).get(metric),
            )
            for row in rows
        ]
        columns.append(((name, f"{metric}, n = {numbers.count(counted_items(task))}"), cells))
    averages = [_average(row, tasks) for row in rows]
    if any(value is not None for value in averages):
        columns.append((("average", "of the tasks"), [(numbers.fixed(value, DIGITS),) for value in averages]))
    main = {task["name"]: task["main_metric"] for task in tasks}
    compared = [
        mapping(of.get(main[name])) for row in rows for name, of in mapping(row.get("against_first")).items()
    ]
    made = len(compared)
    tested = sum(numbers.number(each.get("p_value")) is not None for each in compared)
    legend = ""
    if made:
        legend = (
            f"Below a value: its difference from {record['first']} with p and the 95 % interval (paired "
            "bootstrap). p: paired randomisation, adjusted by Holm for the "
            f"{tested} comparison{'' if tested == 1 else 's'} of this table that have one. "
            "▲ better, ▼ worse: interval and p are clear of chance. ~: the interval is approximate."
        )
    title = "Quality" + (f", and the difference from {record['first']}" if made else "")
    return title, [row["label"] for row in rows], columns, legend


def _compressed(record: Mapping[str, Any]) -> tuple[str, list[str], Columns, str] | None:
    rows = [row for row in record["models"] if mapping(row.get("compressed"))]
    if not rows:
        return None
    tasks = [task for task in record["tasks"] if any(task["name"] in row["compressed"] for row in rows)]
    names: list[str] = []
    cells: dict[str, list[Cell]] = {task["name"]: [] for task in tasks}
    for row in rows:
        forms = dict.fromkeys(form for found in row["compressed"].values() for form in found)
        names += [row["label"], *(f"  {form}" for form in forms)]
        for task in tasks:
            found = mapping(row["compressed"].get(task["name"]))
            full = value_of(row, task["name"], task["main_metric"])
            cells[task["name"]].append((numbers.fixed(full, DIGITS),))
            for form in forms:
                entry = mapping(found.get(form))
                value = undefined_if_null(entry.get("value")) if entry else None
                cells[task["name"]].append(compared_cell(value, entry or None))
    columns: Columns = [((task["name"], task["main_metric"]), cells[task["name"]]) for task in tasks]
    made = sum(len(mapping(found)) for row in rows for found in row["compressed"].values())
    per_result = mapping(record.get("settings")).get("candidates_for_each_result")
    legend = (
        "Below a value: its difference from the same model's full precision, p adjusted by Holm for the "
        f"{made} comparison{'s' if made > 1 else ''} of this table. Queries are never compressed. "
        f"binary: {per_result} candidates for each result by Hamming distance, put in order against the "
        "documents' signs; then int8: against their int8 form."
    )
    return "Retrieval with compressed documents", names, columns, legend


def _cost(record: Mapping[str, Any]) -> tuple[str, list[str], Columns, str] | None:
    rows = [row for row in record["models"] if row.get("kind") == "model" and row.get("dimensions")]
    if not rows:
        return None
    columns: Columns = [
        (("dims",), [(numbers.count(row["dimensions"]),) for row in rows]),
        (("tokens",), [(numbers.count(row.get("max_length")),) for row in rows]),
        (("weights",), [(_millions(row.get("parameters")),) for row in rows]),
    ]
    if any(row.get("speed") for row in rows):
        speeds = [mapping(row.get("speed")) for row in rows]
        columns += [
            (("query", "ms"), [(numbers.fixed(speed.get("query_ms"), 1),) for speed in speeds]),
            (("texts", "/ s"), [(numbers.count(speed.get("texts_per_second")),) for speed in speeds]),
        ]
    for form in FORMS:
        sizes = [mapping(row.get("bytes_per_million_texts")).get(form) for row in rows]
        columns.append(((form,), [(_megabytes(size),) for size in sizes]))
    settings, machine = mapping(record.get("settings")), mapping(record.get("environment"))
    legend = (
        "dims: numbers of an embedding; tokens: the longest text that is read whole. Speed on this machine ("
        f"{machine.get('processor') or machine.get('platform')}, "
        f"{settings.get('device')}, {settings.get('precision')}): medians, the models in turns; texts in "
        f"batches of {settings.get('batch_size')}. Last four: bytes of the embeddings of a million texts."
    )
    return "Cost", [row["label"] for row in rows], columns, legend


def _mteb(record: Mapping[str, Any]) -> tuple[str, list[str], Columns, str] | None:
    measured = mapping(record.get("mteb"))
    if not measured:
        return None
    keys = {
        (each["task"], each["split"], each["subset"], each["main_metric"]): None
        for results in measured.values()
        for each in results
    }
    first = next(iter(measured))
    columns: Columns = []
    for task, split, subset, metric in keys:
        values = {
            label: next(
                (
                    undefined_if_null(each["metrics"].get(metric))
                    for each in results
                    if (each["task"], each["split"], each["subset"]) == (task, split, subset)
                ),
                None,
            )
            for label, results in measured.items()
        }
        cells: list[Cell] = []
        for label, value in values.items():
            known = [each for each in (values[first], value) if each is not None and not math.isnan(each)]
            both = label != first and len(known) == 2
            shown = [numbers.signed(known[1] - known[0])] if both else []
            cells.append((numbers.fixed(value, DIGITS), *shown))
        where = ", ".join([split, *([subset] if subset != "default" else [])])
        columns.append(((f"{task} ({where})", metric), cells))
    legend = "By mteb itself, whose results have no values of single items: differences without intervals."
    return "MTEB", list(measured), columns, legend


def value_of(row: Mapping[str, Any], task: str, metric: str) -> float | None:
    """What a row scored: NaN where that is undefined, None where it was not measured."""
    results = mapping(mapping(row.get("results")).get(task))
    return undefined_if_null(results[metric]) if metric in results else None


def undefined_if_null(value: object) -> float:
    """A measured value as JSON has it, which has no NaN."""
    figure = numbers.number(value)
    return NAN if figure is None else figure


def _average(row: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> float | None:
    """None as well where the tasks have no metric in common."""
    values = [value_of(row, task["name"], task["main_metric"]) for task in tasks]
    alike = len(tasks) > 1 and len({task["main_metric"] for task in tasks}) == 1
    if alike and None not in values and row.get("average") is None:
        return NAN
    return numbers.number(row.get("average"))


def counted_items(task: Mapping[str, Any]) -> int:
    """The items that the metrics of a task are means of."""
    return int(task["items"]) - int(task.get("left_out") or 0)


def compared_cell(value: object, comparison: Mapping[str, Any] | None) -> Cell:
    """A value; under it the difference with p, and its interval."""
    shown = numbers.fixed(value, DIGITS)
    if comparison is None:
        return (shown,)
    change = Change.from_json("", comparison)
    known = change.low is not None and change.high is not None
    mark = {"better": " ▲", "worse": " ▼"}.get(change.reading, "") if known else ""
    p_shown = numbers.p_value(change.decisive_p)
    p_shown = f", p {p_shown}" if p_shown.startswith("<") else f", p = {p_shown}"
    interval = numbers.interval(change.low, change.high) + (" ~" if change.approximate else "")
    return (
        f"{shown}{mark}",
        numbers.signed(change.difference) + (p_shown if change.decisive_p is not None else ""),
        interval if known else "no interval",
    )


def _megabytes(size: object) -> str:
    figure = numbers.number(size)
    if figure is None:
        return numbers.NONE
    return f"{figure / 1e9:.2f} GB" if figure >= 1e9 else f"{figure / 1e6:.0f} MB"


def _millions(value: object) -> str:
    figure = numbers.number(value)
    return numbers.NONE if figure is None else f"{figure / 1e6:.1f} M"
