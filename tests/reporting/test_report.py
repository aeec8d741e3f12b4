from __future__ import annotations

import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.reporting.report import write_report
from sbert_triplet.reporting.sections import SECTIONS
from sbert_triplet.reporting.tables import Cell, Column, Table

Write = Callable[..., Path]
KEYS = ["verdict", "results", "training-distance", "dimensions", "weight-line", "learning-curve", "suite"]
KEYS += ["threshold", "items", "slices", "similarities", "map", "health", "general", "training", "negatives"]
KEYS += ["data", "recipe", "environment"]
OF_A_BAD_RUN = {"causes"}
"""Sections that a run with a better model has not."""
VOID = {"meta", "link", "br", "input"}


class Read(HTMLParser):
    """The page as a parser sees it: sections with their text, every tag, and tags that do not close."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.sections: dict[str, str] = {}
        self._open: list[str] = []
        self._section = ""
        self.feed(markup)
        self.close()
        assert self._open == []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.sections[self._section] = ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._section:
            self.sections[self._section] += f" {data}"


def drawn(folder: Path) -> tuple[Read, str]:
    files = write_report(folder)
    return Read(files.html.read_text(encoding="utf-8")), files.markdown.read_text(encoding="utf-8")


def plain(text: str) -> str:
    return " ".join(text.split())


def test_every_section_says_what_it_should(run_folder: Write) -> None:
    page, _ = drawn(run_folder())
    assert list(page.sections) == KEYS
    assert len(SECTIONS) == len(KEYS) + len(OF_A_BAD_RUN)
    said = {key: plain(text) for key, text in page.sections.items()}
    assert "Of 100 searches, 7 more find the right text among the first 3 (5 to 9)." in said["verdict"]
    assert "model/ holds the tuned model." in said["verdict"]
    assert "nDCG@10 0.631 0.689 0.746 +0.057 +0.049 to +0.065 < 0.001 2,500" in said["results"]
    assert "3.4 % of the test documents were seen in training" in said["results"]
    assert "compared texts by minkowski (p = 3), for which a saved model" in said["training-distance"]
    assert (
        "served with cosine, and the verdict and all other figures are under cosine"
        in said["training-distance"]
    )
    shown = said["training-distance"].index("nDCG@10 0.652 0.718 +0.066 +0.055 to +0.077")
    assert shown < said["training-distance"].index("RR@10 0.598")
    assert "nDCG@10 by dimensions" in said["dimensions"]
    assert "64 0.541 0.688 +0.147 +0.131 to +0.163 < 0.001 2,500" in said["dimensions"]
    assert "Loss" in said["training"]
    assert "nDCG@10 on the dev split" in said["training"]
    assert "Learning rate" in said["training"]
    assert "Mean over the tasks: base 0.800, tuned 0.790." in said["suite"]
    assert "which flatter the tuned model: 12 of STS-B." in said["suite"]
    assert "STS-B (Spearman) 0.820 0.810 −0.010 −0.014 to −0.006 0.002 1,379" in said["suite"]
    assert "No loss is shown" in said["general"]
    assert "cooking 0.950 0.930 −0.020" in said["general"]
    assert "de 310 0.640 0.672 +0.032 −0.004 to +0.066" in said["slices"]
    assert "30 items gained, 12 lost, 18 stayed as they were" in said["items"]
    assert "printer on the second floor prints only half of each page (case 8)" in said["items"]
    assert "✓ relevant Answer 59.3" in said["items"]
    assert "RR@10 0.33 → 0.50 Base: top results" in said["items"]
    assert "anchor {subject}\\n{body}" in said["data"]
    assert "Duplicate rows warning 214" in said["data"]
    assert "19, 20, 21 and 202 more" in said["data"]
    assert "positive 143 120 402 2,210 13 %" in said["data"]
    assert "sbert-triplet train tickets.csv --set train.epochs=1" in said["recipe"]
    assert "learning_rate: 2e-5" in said["recipe"]
    assert "Peak memory 2.7 GiB" in said["environment"]
    assert "AMD EPYC 7R13" in said["environment"]


def test_items_show_ten_of_each_direction_with_both_rankings(run_folder: Write) -> None:
    page, _ = drawn(run_folder(negatives=None))
    assert sum(tag == "details" for tag, _ in page.tags) == 20
    text = page.sections["items"]
    assert text.count("Base: top results") == text.count("Tuned: top results") == 20
    assert "(case 10)" not in text
    assert "(case 49)" not in text


def test_no_attribute_and_no_style_asks_for_anything(run_folder: Write) -> None:
    folder = run_folder()
    page, _ = drawn(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "base", "img", "audio", "video", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href", "action", "srcset"}:
                assert value.startswith("#") or value == "data:,"
            assert all(inner.startswith("#") for inner in re.findall(r"url\(([^)]*)", value))
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"@import|url\(|https?:", style)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_hostile_texts_stay_texts(
    run_folder: Write, report: dict[str, Any], map_of: Callable[..., pa.Table]
) -> None:
    hostile = "</script><script>bad()</script><!-- \" ' & \x00 \ud800 \u202e $style"
    seen = "</script><script>bad()</script><!-- \" ' & ␀ � \u202e $style"
    report.update(name=hostile, task=hostile, sentence=hostile, command=hostile, created=hostile)
    report["metrics"][hostile] = report["metrics"]["AP"]
    report["slices"] = {hostile: {hostile: {"n": 3, "base": 0.1, "tuned": 0.2}}}
    report["general"]["topics"] = {hostile: {"base": 0.1, "tuned": 0.2, "n": 3}}
    report["training_distance"] = {"name": hostile, "metrics": {hostile: report["metrics"]["AP"]}}
    report["dimensions"] = {hostile: {hostile: report["metrics"]["AP"]}}
    report["weight_line"].update(metric=hostile, reason=hostile, measured_on=hostile)
    task = {
        "main_metric": hostile,
        "metrics": {hostile: report["metrics"]["AP"]},
        "items_seen_in_training": 3,
    }
    report["suite"] = {"name": hostile, "tasks": {hostile: task}}
    report["verdict"], report["shipped"] = "worse", "base"
    report["causes"] = [{"cause": hostile, "evidence": hostile, "advice": hostile, "strength": 1}]
    for model in report["similarities"].values():
        model["function"], model["groups"] = hostile, {hostile: model["groups"]["random document"]}
    report["thresholds"]["base"].update(sentence=hostile, pairs=hostile)
    report["learning_curve"].update(metric=hostile, sentence=hostile)
    report["train"]["energy"]["basis"] = hostile
    report["data"].update(sources=[hostile], roles={hostile: hostile}, notes=[hostile], split=hostile)
    report["model"].update(name=hostile, prompts={hostile: hostile})
    data = {
        "findings": [{"code": hostile, "level": hostile, "message": hostile, "count": 1, "rows": [hostile]}],
        "lengths": {hostile: {hostile: 3}},
    }
    items = pa.table({"query": ["</p><script>bad()</script>\x00"], "base": [0.0], "tuned": [1.0]})
    log = ['{"step": 1, "loss": 1.0, "stats": {"</svg><script>bad()</script>": 1}}']
    folder = run_folder(
        report=report,
        data=data,
        log=log,
        items=items,
        recipe=hostile.replace("\ud800", ""),
        texts=map_of(classes=(hostile.replace("\ud800", "")[:30],)),
    )
    page, markdown = drawn(folder)
    assert [tag for tag, _ in page.tags].count("script") == 1
    for key in (
        "verdict",
        "results",
        "training-distance",
        "dimensions",
        "suite",
        "causes",
        "similarities",
        "threshold",
        "learning-curve",
        "general",
        "weight-line",
        "slices",
        "data",
        "recipe",
        "environment",
    ):
        assert seen in page.sections[key], key
    assert "</p><script>bad()</script>␀" in page.sections["items"]
    assert seen.replace("�", "")[:30] in page.sections["map"]
    assert "</svg><script>bad()</script>".capitalize() in page.sections["training"]
    assert not re.search(r"(?<!\\)<[a-z/!]", markdown)
    assert "\x00" not in markdown


def test_long_texts_are_cut_and_the_cut_is_counted(run_folder: Write) -> None:
    items = pa.table(
        {"query": ["word " * 200_000], "base": [0.0], "tuned": [1.0], "base_top": [["y" * 1000]]}
    )
    folder = run_folder(items=items)
    page, _ = drawn(folder)
    assert "999,761 more characters" in plain(page.sections["items"])
    assert "580 more characters" in plain(page.sections["items"])
    assert (folder / "report.html").stat().st_size < 400_000


def test_markdown_holds_the_figures_and_no_text_of_the_person(run_folder: Write) -> None:
    folder = run_folder()
    _, markdown = drawn(folder)
    lines = markdown.splitlines()
    place = lines.index("| Metric | BM25 | Base | Tuned | Difference | p | n |")
    assert lines[place + 1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert lines[place + 2] == (
        r"| nDCG@10 | 0.631 | 0.689 | 0.746 | +0.057 (+0.049 to +0.065) | < 0.001 | 2,500 |"
    )
    assert lines[place + 6].startswith("| P@1 | – | 0.562 | 0.551 | −0.011 (−0.019 to −0.003) | 0.013 |")
    assert "| Duplicate rows | warning | 214 |" in lines
    assert r"| nDCG@10 | 0.652 | 0.718 | +0.066 (+0.055 to +0.077) | < 0.001 | 2,500 |" in lines
    assert r"| 64 | 0.541 | 0.688 | +0.147 (+0.131 to +0.163) | < 0.001 | 2,500 |" in lines
    for private in (
        "printer",
        "Answer",
        "jane",
        "secret",
        "subject",
        "Hello there",
        "query: ",
        "العربية",
        "tickets",
    ):
        assert private not in markdown


def test_table_cells_cannot_break_a_markdown_table() -> None:
    table = Table(
        "t", [Column("a|b"), Column("n", numeric=True), Column("x", drawn=True)], [[Cell("c|\nd"), "1", ""]]
    )
    assert table.markdown() == "| a\\|b | n |\n| --- | ---: |\n| c\\| d | 1 |"


def test_one_item_that_gained_is_one_item(run_folder: Write) -> None:
    items = pa.table(
        {"item": [0, 1], "row": [0, 1], "query": ["a", "b"], "base": [0.0, 1.0], "tuned": [1.0, 1.0]}
    )
    _, markdown = drawn(run_folder(items=items))
    assert "1 item gained, 0 lost, 1 stayed as they were" in markdown


@pytest.mark.parametrize(
    ("verdict", "shipped", "headline", "what"),
    [
        ("not shown better", "base", "The tuned model is not shown to be better", "holds the base model"),
        ("worse", "base", "The tuned model is worse", "holds the base model"),
        ("better", "base", "The tuned model is better", "dev rows and the general check chose it"),
        ("better", "interpolated", "The tuned model is better", "between base and tuned"),
    ],
)
def test_verdicts(
    run_folder: Write, report: dict[str, Any], verdict: str, shipped: str, headline: str, what: str
) -> None:
    report.update(verdict=verdict, shipped=shipped)
    page, markdown = drawn(run_folder(report=report))
    assert headline in page.sections["verdict"]
    assert what in page.sections["verdict"]
    assert headline in markdown
    assert what in markdown


LINE = {"points": [{"at": 0.0, "dev": 0.5}, {"at": 0.4, "dev": 0.6}], "reason": "it is highest there"}


@pytest.mark.parametrize(
    ("recipe", "chosen", "verdict", "what"),
    [
        ("max_length: auto", 1.0, "worse", "the base model, unchanged; the tuned one is in candidate/."),
        ("prompts: {query: auto, document: null}", 1.0, "worse", "the base model, unchanged; "),
        ("not: [yaml", 1.0, "worse", "the base model, unchanged; "),
        ("max_length: 64", 1.0, "worse", "the base model's weights with the max_length of the recipe; "),
        ('prompts: {query: "", document: auto}', 1.0, "worse", "weights with the prompts of the recipe; "),
        (
            'max_length: 64\nprompts: {query: "ask: "}',
            0.4,
            "not shown better",
            "model/ holds the base model's weights with the max_length and prompts of the recipe; candidate/ "
            "holds the weights at 0.4 of the way from base to tuned.",
        ),
        (
            "max_length: 64",
            0.0,
            "better",
            "model/ holds the base model's weights with the max_length of the recipe all the same: dev rows "
            "and the general check chose it before a test row was looked at; the tuned one is in candidate/.",
        ),
    ],
)
def test_what_lies_in_the_folders(
    run_folder: Write, report: dict[str, Any], recipe: str, chosen: float, verdict: str, what: str
) -> None:
    """The base model is saved with what the recipe sets, and the candidate is what the line chose."""
    report.update(verdict=verdict, shipped="base", weight_line={**LINE, "chosen": chosen})
    _, markdown = drawn(run_folder(report=report, recipe=recipe))
    assert what in markdown


def test_a_run_with_little_in_it(run_folder: Write) -> None:
    """Labelled text: no pool, no BM25, an undefined metric, nothing but report.json."""
    report = {
        "name": "topics",
        "task": "labels",
        "metrics": {
            "accuracy": {"base": 0.8, "tuned": float("nan"), "low": None, "high": None, "p_value": None}
        },
        "verdict": "not shown better",
    }
    page, markdown = drawn(
        run_folder(report=report, data=None, log=None, items=None, recipe=None, negatives=None, texts=None)
    )
    assert list(page.sections) == ["verdict", "results"]
    assert "accuracy 0.800 undefined undefined – –" in plain(page.sections["results"])
    assert "| accuracy | 0.800 | undefined |" in markdown


def test_an_empty_report_is_still_a_page(run_folder: Write) -> None:
    page, markdown = drawn(
        run_folder(report={}, data=None, log=None, items=None, recipe=None, negatives=None, texts=None)
    )
    assert page.sections == {}
    assert markdown == "# run: tuned against base\n"


def test_labelled_items_show_their_columns(run_folder: Write) -> None:
    items = pa.table({"text": ["card lost"], "label": ["lost_card"], "base": [0.0], "tuned": [1.0]})
    page, _ = drawn(run_folder(items=items))
    assert "0.00 → 1.00 card lost Label lost_card" in plain(page.sections["items"])
    assert "Items that changed most" in page.sections["items"]


def test_what_the_log_lost_is_said(run_folder: Write) -> None:
    lines = [
        '{"step": 1, "loss": 2.0}',
        '{"step": 2, "loss": 1.5}',
        '{"step": 2, "loss": 1.0}',
        '{"step": 3, "lo',
    ]
    page, markdown = drawn(run_folder(log=lines))
    assert "Resumed after step 1." in page.sections["training"]
    assert "1 line(s) of log.jsonl could not be read" in markdown


def test_a_single_value_is_said_and_not_drawn(run_folder: Write) -> None:
    page, markdown = drawn(run_folder(log=['{"step": 0, "dev": {"RR@10": 0.64}}']))
    assert plain(page.sections["training"]) == "Training RR@10 on the dev split: 0.64 at step 0."
    assert "- RR@10 on the dev split: 0.64 at step 0." in markdown


def test_values_that_cannot_be_drawn_are_counted(run_folder: Write) -> None:
    lines = ['{"step": 1, "loss": 2.0, "grad_norm": NaN}', '{"step": 2, "loss": NaN}']
    page, markdown = drawn(run_folder(log=lines))
    assert "Loss: 1 of 2 values are not finite and not drawn." in page.sections["training"]
    assert "Norm of the gradient: 1 of 1 values are not finite and not drawn." in markdown


def test_the_same_run_gives_the_same_bytes(run_folder: Write) -> None:
    files = write_report(folder := run_folder())
    before = files.html.read_bytes(), files.markdown.read_bytes()
    write_report(folder)
    assert (files.html.read_bytes(), files.markdown.read_bytes()) == before


def test_what_cannot_be_written_leaves_the_old_report(
    run_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_report(folder := run_folder())
    before = sorted(folder.iterdir()), files.html.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"No space left on device"):
        write_report(folder)
    assert (sorted(folder.iterdir()), files.html.read_bytes()) == before


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.json"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
