"""The figures of the mining benchmark: what was aimed at, and a table."""

from __future__ import annotations

from typing import Any

from mining_cases import AT, FASTER, FASTER_THAN_FAISS, PEAK, SECOND, WAYS, WITHOUT_FAISS

Results = dict[str, Any]
MEGABYTE = 10**6


def with_verdicts(case: Results) -> Results:
    """A case of searches with what was reached: speeds at the size that they are aimed at, memory always."""
    done = {name: way for name, way in case["ways"].items() if way["outcome"] == "done"}
    targets: dict[str, Results] = {}
    ours = done.get("ours")
    if ours is not None and case["documents"] == AT:
        plain = min((done[name]["search"] for name in WITHOUT_FAISS if name in done), default=None)
        if plain is not None:
            targets["faster"] = _at_least(plain / ours["search"], FASTER)
        if "st faiss" in done:
            targets["faster_than_faiss"] = _at_least(
                done["st faiss"]["search"] / ours["search"], FASTER_THAN_FAISS
            )
    peaks = [done[name]["peak_bytes"] for name, way in WAYS.items() if way.ours and name in done]
    if peaks:
        targets["peak"] = _at_most(max(peaks), PEAK)
    return {**case, "targets": targets}


def with_verdict(case: Results) -> Results:
    """The verb's runs with the second one's share and the peak."""
    second, peak = _at_most(case["second"] / case["first"], SECOND), _at_most(case["peak_bytes"], PEAK)
    return {**case, "targets": {"second": second, "peak": peak}}


def _at_least(found: float, target: float) -> Results:
    return {"found": found, "target": target, "reached": found >= target}


def _at_most(found: float, target: float) -> Results:
    return {"found": found, "target": target, "reached": found <= target}


def table(results: Results) -> str:
    """The results as Markdown: searches, embeddings, the verb's second run, and targets."""
    parts = [
        _searches(results.get("search", [])),
        _encodings(results.get("encode", [])),
        _verbs(results.get("verb", [])),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _searches(cases: list[Results]) -> list[str]:
    if not cases:
        return []
    columns = ("documents", "mined by", "search", "rest", "whole", "peak above the embeddings", "negatives")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for case in cases:
        for name, way in case["ways"].items():
            cells = [f"{case['documents']:,}", WAYS[name].words, *_cells(way), _same(case, name)]
            lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for case in cases:
        lines += _said(case)
    return lines


def _cells(way: Results) -> list[str]:
    if way["outcome"] != "done":
        return [way["outcome"], *["-"] * 3]
    peak = f"{way['peak_bytes'] / MEGABYTE:,.0f} MB"
    return [f"{way['search']:.1f} s", f"{way['rest']:.1f} s", f"{way['seconds']:.1f} s", peak]


def _same(case: Results, name: str) -> str:
    """How many queries have this package's negatives."""
    found = case["agreement"].get(name)
    if found is None:
        return ""
    words = {"rounding": "equal scores", "window": "end of the ranks", "other": "other"}
    why = [f"{found[reason]:,} {said}" for reason, said in words.items() if found[reason]]
    share = f"same for {found['same']:,} of {found['queries']:,}"
    return f"{share} ({', '.join(why)})" if why else share


def _said(case: Results) -> list[str]:
    words = {
        "faster": "search {:.2f} times as fast as ST without faiss (at least {:g}: {})",
        "faster_than_faiss": "search {:.2f} times as fast as ST with faiss (at least {:g}: {})",
    }
    named, lines = f"- {case['documents']:,} documents: ", []
    for name, target in case["targets"].items():
        if name == "peak":
            found, most = target["found"] / MEGABYTE, target["target"] / MEGABYTE
            lines.append(
                f"{named}peak {found:,.0f} MB above the embeddings (at most {most:,.0f}: {_word(target)})"
            )
        else:
            lines.append(named + words[name].format(target["found"], target["target"], _word(target)))
    if (others := case["differ_by_our_filters"]) is not None:
        lines.append(
            f"{named}near-equal texts and chains of positives, which ST does not look for, change the "
            f"negatives of {others:,} of {case['queries']:,} queries"
        )
    return lines


def _encodings(cases: list[Results]) -> list[str]:
    if not cases:
        return []
    columns = ("texts", "precision", "this package", "ST, batches of 32", "faster", "largest difference")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for case in cases:
        cells = [f"{case['texts']:,} ({case['tokens']:,} tokens)", case["precision"]]
        cells += [
            f"{case[who]['seconds']:.1f} s, {case[who]['peak'] / MEGABYTE:,.0f} MB" for who in ("ours", "st")
        ]
        cells.append(f"{case['st']['seconds'] / case['ours']['seconds']:.2f} x")
        lines.append("| " + " | ".join([*cells, f"{case['largest_difference']:.0e}"]) + " |")
    return lines


def _verbs(cases: list[Results]) -> list[str]:
    lines = []
    for case in cases:
        target, peak = case["targets"]["second"], case["targets"]["peak"]
        lines += [
            f"- sbert-triplet mine, {case['queries']:,} queries, {case['documents']:,} documents: first run "
            f"{case['first']:.1f} s, second run from the cache {case['second']:.1f} s, {target['found']:.1%} "
            f"of it (at most {target['target']:.0%}: {_word(target)}), peak "
            f"{peak['found'] / MEGABYTE:,.0f} MB above the embeddings (at most "
            f"{peak['target'] / MEGABYTE:,.0f}: {_word(peak)})"
        ]
    return lines


def _word(target: Results) -> str:
    return "reached" if target["reached"] else "missed"
