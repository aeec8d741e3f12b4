"""The sections on similarities, the map, health, causes, the threshold and the learning curve; and tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.reporting import charts
from sbert_triplet.reporting.record import Change, read_run
from sbert_triplet.reporting.section import Draw, Section
from sbert_triplet.reporting.sections import (
    causes as causes_section,
)
from sbert_triplet.reporting.sections import (
    environment,
    health,
    learning_curve,
    results,
    similarities,
    text_map,
    threshold,
    training,
    verdict,
)

Write = Callable[..., Path]


def drawn(draw: Draw, folder: Path) -> Section:
    section = draw(read_run(folder))
    assert section is not None
    return section


def text_of(section: Section) -> str:
    """What a reader of the page sees, charts apart."""
    plain = re.sub(r"<svg.*?</svg>", " ", section.html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", plain).split())


def charts_of(section: Section) -> list[ElementTree.Element]:
    found = re.findall(r'<svg [^>]*role="img".*?</svg>', section.html, flags=re.DOTALL)
    return [ElementTree.fromstring(svg) for svg in found]


def labels_of(section: Section) -> list[str]:
    return [chart.attrib["aria-label"] for chart in charts_of(section)]


@pytest.mark.parametrize(
    "draw",
    [
        similarities.draw,
        text_map.draw,
        health.draw,
        causes_section.draw,
        threshold.draw,
        learning_curve.draw,
    ],
)
def test_what_a_run_did_not_measure_is_no_section(draw: Draw, run_folder: Write) -> None:
    assert draw(read_run(run_folder(report={"verdict": "better"}, texts=None))) is None


# The verdict.


def test_what_was_found_stands_out_from_what_is_said_of_it(run_folder: Write, report: dict[str, Any]) -> None:
    report["sentence"] = (
        "Of 100 searches, 9 more find it (6 fewer to 23 more). 23 items are too few: .18 or more."
    )
    section = drawn(verdict.draw, run_folder(report=report))
    assert '<p class="sentence">Of 100 searches, 9 more find it (6 fewer to 23 more).</p>' in section.html
    assert "<p>23 items are too few: .18 or more.</p>" in section.html


# Similarities.


def test_similarities_of_both_models(run_folder: Write) -> None:
    section = drawn(similarities.draw, run_folder())
    assert labels_of(section)[0] == (
        "Base: relevant document: mean 0.550 of 2,000 pairs; best other document: mean 0.500 of 2,000 pairs; "
        "random document: mean 0.080 of 2,000 pairs"
    )
    assert len(charts_of(section)) == 2
    assert "relevant document best other document random document" in text_of(section)
    lines = section.markdown.splitlines()
    assert lines[0] == "| Pairs | n | Mean, base | Mean, tuned | Told apart, base | Told apart, tuned |"
    assert lines[2:5] == [
        "| relevant document | 2,000 | 0.550 | 0.700 | – | – |",
        "| best other document | 2,000 | 0.500 | 0.450 | 63 % | 72 % |",
        "| random document | 2,000 | 0.080 | 0.080 | 99 % | 99 % |",
    ]


def test_a_group_that_one_model_has_alone(run_folder: Write, report: dict[str, Any]) -> None:
    """A model that finds nothing but relevant documents has no best other one."""
    del report["similarities"]["tuned"]["groups"]["best other document"]
    section = drawn(similarities.draw, run_folder(report=report))
    assert "| best other document | – | 0.500 | – | 63 % | – |" in section.markdown


def test_both_histograms_have_one_height(run_folder: Write, report: dict[str, Any]) -> None:
    flat = report["similarities"]["tuned"]["groups"]
    for group in flat.values():
        group["counts"] = [10] * len(group["counts"])
    section = drawn(similarities.draw, run_folder(report=report))
    marks = [
        [node.text for node in chart.iter("text") if (node.text or "").endswith("%")]
        for chart in charts_of(section)
    ]
    assert marks[0] == marks[1]
    assert len(marks[0]) > 1


# The map.


def test_the_map_shows_hits_and_misses_of_each_model(
    run_folder: Write, map_of: Callable[..., pa.Table]
) -> None:
    table = map_of()
    section = drawn(text_map.draw, run_folder(texts=table))
    rows = table.to_pylist()
    for chart, model in zip(charts_of(section), ("base", "tuned"), strict=True):
        hits = [row[f"{model}_hit"] for row in rows]
        counts = f"{hits.count(None)} document, {hits.count(True)} hit, {hits.count(False)} miss"
        assert chart.attrib["aria-label"] == (
            f"Held-out texts under the {model} model, by principal components: {counts}"
        )
        assert len(list(chart.iter("use"))) == len(rows)
    assert "document hit miss" in text_of(section)
    assert "shows 14 % of the spread of all dimensions for the base model and 18 % for the tuned one" in (
        text_of(section)
    )
    assert section.markdown == ""
    assert "window.hacked" not in section.html


def test_the_map_shows_the_most_frequent_classes(run_folder: Write, map_of: Callable[..., pa.Table]) -> None:
    names = tuple(f"class {letter}" for letter in "abcdefgh")
    weighted = tuple(name for place, name in enumerate(names) for _ in range(9 - place))
    section = drawn(text_map.draw, run_folder(texts=map_of(len(weighted) * 2, weighted)))
    legend = text_of(section).split("other classes", 1)[1]
    for name in names[:6]:
        assert name in legend
    assert "class g" not in section.html
    label = labels_of(section)[0]
    assert "10 other classes, 18 class a, 16 class b" in label


def test_markers_share_one_style(run_folder: Write, map_of: Callable[..., pa.Table]) -> None:
    """A map of 1,500 texts twice stays below half a megabyte."""
    section = drawn(text_map.draw, run_folder(texts=map_of(1_500)))
    assert len(section.html) < 400_000
    assert all("style" not in use.attrib for chart in charts_of(section) for use in chart.iter("use"))


def test_maps_by_neighbours_are_drawn_where_they_were_made(
    run_folder: Write, map_of: Callable[..., pa.Table]
) -> None:
    table = map_of()
    for model in ("base", "tuned"):
        for axis in "xy":
            table = table.append_column(f"{model}_umap_{axis}", table.column(f"{model}_{axis}"))
    section = drawn(text_map.draw, run_folder(texts=table))
    assert [label.split(":")[0] for label in labels_of(section)] == [
        f"Held-out texts under the {model} model, by {method}"
        for method in ("principal components", "UMAP")
        for model in ("base", "tuned")
    ]


def test_a_map_that_cannot_be_read_is_named(run_folder: Write) -> None:
    folder = run_folder()
    (folder / "predictions" / "map.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"map\.parquet: not readable as parquet"):
        text_map.draw(read_run(folder))


def test_an_empty_map_is_no_section(run_folder: Write, map_of: Callable[..., pa.Table]) -> None:
    folder = run_folder()
    pq.write_table(map_of().slice(0, 0), folder / "predictions" / "map.parquet")
    assert text_map.draw(read_run(folder)) is None


# Health.


def test_health_with_a_reading_of_each_figure(run_folder: Write) -> None:
    section = drawn(health.draw, run_folder())
    lines = section.markdown.splitlines()
    assert lines[0] == (
        "Of 1,500 held-out texts, in 384 dimensions. A text's embeddings before and after have a mean cosine "
        "of 0.913."
    )
    assert lines[4:] == [
        "| Alignment | 0.620 | 0.410 | texts that belong together have moved closer |",
        "| Uniformity | −2.900 | −3.100 | texts fill the space more evenly |",
        "| Anisotropy | 0.110 | 0.070 | different texts are less alike on average |",
        "| Effective rank | 201.3 | 202.1 | about as before |",
    ]


@pytest.mark.parametrize(
    ("name", "base", "tuned", "said"),
    [
        ("alignment", 0.4, 0.6, "texts that belong together have moved apart"),
        ("uniformity", -3.0, -2.0, "texts fill the space less evenly"),
        ("anisotropy", 0.1, 0.9, "different texts are more alike on average"),
        ("anisotropy", 0.0, 0.0001, "about as before"),
        ("effective_rank_centred", 200.0, 90.0, "texts differ along fewer directions"),
        ("effective_rank_centred", 100.0, 120.0, "texts differ along more directions"),
        ("alignment", None, 0.3, "not known"),
    ],
)
def test_readings(name: str, base: float | None, tuned: float | None, said: str) -> None:
    assert health.reading(name, base, tuned) == said


# Causes.


def test_causes_in_their_order(
    run_folder: Write, report: dict[str, Any], causes: list[dict[str, Any]]
) -> None:
    report.update(verdict="not shown better", causes=causes)
    section = drawn(causes_section.draw, run_folder(report=report))
    said = text_of(section)
    assert (
        "Texts that are cut off strong signs 31% of the tokens of the role positive are never read. "
        "Try: Raise max_length if the model allows it, or cut the texts into passages."
    ) in said
    assert said.index("Texts that are cut off") < said.index("Too little training weak signs")
    assert section.markdown.splitlines()[-1] == (
        "2. **too little training** (weak signs). 300 training rows, 12 steps. Try: Add rows."
    )


def test_no_cause_is_said_as_well(run_folder: Write, report: dict[str, Any]) -> None:
    report.update(verdict="not shown better", causes=[])
    assert (
        "No figure of this run points to a cause"
        in drawn(causes_section.draw, run_folder(report=report)).markdown
    )


def test_a_better_model_needs_no_causes(
    run_folder: Write, report: dict[str, Any], causes: list[dict[str, Any]]
) -> None:
    report.update(causes=causes)
    assert causes_section.draw(read_run(run_folder(report=report))) is None


# The threshold.


def test_the_threshold_of_the_model_that_was_shipped(run_folder: Write, report: dict[str, Any]) -> None:
    section = drawn(threshold.draw, run_folder(report=report))
    lines = section.markdown.split("\n\n")
    assert lines[0] == "From a similarity of 0.6400 upwards 0.901 of the pairs are the same."
    assert "Wanted: a precision of 90 %. A pair is a query with its first result" in lines[1]
    assert lines[2].splitlines()[2] == (
        "| Tuned | 0.640 (0.610 to none) | 0.901 (0.872 to 0.930) | 0.740 (0.640 to 0.840) | 2,488 | 0.887 | "
        "0.730 | 2,500 |"
    )
    assert lines[2].splitlines()[3].startswith("| Base | 0.710")


def test_the_base_model_is_told_of_where_it_was_shipped(run_folder: Write, report: dict[str, Any]) -> None:
    report["shipped"] = "base"
    assert drawn(threshold.draw, run_folder(report=report)).markdown.startswith("From a similarity of 0.7100")


# The learning curve.


def test_the_learning_curve(run_folder: Write) -> None:
    section = drawn(learning_curve.draw, run_folder())
    assert "more data would likely help" in text_of(section)
    assert labels_of(section) == ["Gain by rows: 4,990 rows +0.032, 9,981 rows +0.046, 19,968 rows +0.057"]
    assert "| 25 % | 4,990 | 78 | 0.721 | +0.032 (+0.023 to +0.041) |" in section.markdown
    assert "| 100 % | 19,968 | 312 | 0.746 | +0.057 (+0.049 to +0.065) |" in section.markdown


# What the tables of results say beside the figures.


def test_adjusted_p_detectable_and_approximate(run_folder: Write, report: dict[str, Any]) -> None:
    report["metrics"]["P@1"] |= {"adjusted_p": 0.052, "detectable": 0.0113, "approximate": True}
    section = drawn(results.draw, run_folder(report=report))
    line = next(line for line in section.markdown.splitlines() if line.startswith("| P@1"))
    assert line.endswith("| −0.011 (≈ −0.019 to −0.003) | 0.013 (adjusted 0.052) | 2,500 (shows 0.011) |")
    for beginning in (
        "≈: the interval is approximate",
        "Adjusted: the p-value after Holm",
        "Shows: the smallest",
    ):
        assert beginning in section.markdown
        assert beginning in text_of(section)


def test_notes_stand_only_where_there_is_something_to_note(run_folder: Write) -> None:
    section = drawn(results.draw, run_folder())
    for beginning in ("≈", "Adjusted", "Shows:"):
        assert beginning not in section.markdown


def test_a_comparison_is_read_whole() -> None:
    entry = {
        "base": 0.5,
        "tuned": 0.6,
        "adjusted_p": 0.2,
        "detectable": 0.1,
        "needed": 70,
        "approximate": True,
    }
    change = Change.from_json("AP", entry)
    assert (change.adjusted_p, change.detectable, change.needed, change.approximate) == (0.2, 0.1, 70, True)
    assert Change.from_json("AP", {"approximate": "yes"}).approximate is False


# Training and cost.


def test_hard_semi_hard_and_easy_triplets_are_one_chart(run_folder: Write) -> None:
    lines = [
        f'{{"step": {step}, "loss": {1 / step}, "stats": {{"active_share": 0.5, "hard": {0.5 / step}, '
        f'"semi_hard": 0.3, "easy": {0.7 - 0.5 / step}}}}}'
        for step in range(1, 30)
    ]
    section = drawn(training.draw, run_folder(log=lines))
    labels = labels_of(section)
    assert len(labels) == 2
    assert labels[1].startswith("Triplets: hard: 0.5 at step 1, 0.01724 at step 29")
    assert "hard semi-hard easy" in text_of(section)
    assert "- Semi-hard triplets: 0.3 at every step." in section.markdown
    assert "- Active: share of triplets or pairs with a loss: 0.5 at every step." in section.markdown


def test_hard_alone_is_a_curve_of_its_own(run_folder: Write) -> None:
    """A loss without a margin has no semi-hard triplets."""
    lines = [f'{{"step": {step}, "loss": 1.0, "stats": {{"hard": {0.5 / step}}}}}' for step in range(1, 9)]
    section = drawn(training.draw, run_folder(log=lines))
    assert labels_of(section) == [
        "Hard triplets: 0.5 at step 1, 0.0625 at step 8 (lowest 0.0625, highest 0.5)"
    ]


def test_energy_is_said_to_be_an_estimate(run_folder: Write) -> None:
    section = drawn(environment.draw, run_folder())
    assert (
        "- Energy, estimated: 1.286 Wh, reckoned from the time and 2 threads at an assumed 10 W; not measured"
    ) in section.markdown


# Drawing.


def test_legends_tell_by_form_as_well_as_by_colour() -> None:
    legend = charts.legend(
        ("<one>", charts.TUNED, "area"), ("two", charts.WORSE, "dashes"), ("three", charts.CLASSES[0], "D")
    )
    assert "&lt;one&gt;" in legend
    assert "var(--tuned)" in legend
    assert "stroke-dasharray" in legend
    assert "var(--class-1)" in legend
    shapes = {charts.legend(("x", charts.BASE, marker)) for marker in charts.MARKERS}
    assert len(shapes) == len(charts.MARKERS) == len(charts.CLASSES)
