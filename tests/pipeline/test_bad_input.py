"""Bad input at the command line: exit code 2 or 3, one clear message, no traceback, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from sbert_triplet.cli import app
from sbert_triplet.pipeline import job

if TYPE_CHECKING:
    from tests.pipeline.conftest import Tables

SMOKE = ("--smoke", "--set", "evaluate.general=false")
LIMIT = 1_000_000
Usage = namedtuple("Usage", "total used free")
Refused = Callable[..., str]


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that leave out the drawing of the report, which takes as long as the rest."""
    monkeypatch.setattr(job, "write_report", lambda _: None)


@pytest.fixture
def refused() -> Refused:
    """``refused(*arguments, code=2)``: the message of a run that was refused and left nothing."""

    def carried_out(*arguments: str, code: int = 2, out: str = "out") -> str:
        before = sorted(Path().rglob("*"))
        result = CliRunner().invoke(app, ["train", *arguments, *(("--out", out) if out else ())])
        assert result.exit_code == code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        message = result.stderr
        assert message.count("error: ") == 1
        assert message.startswith("error: ")
        assert "Traceback" not in message
        assert sorted(Path().rglob("*")) == before
        return message.removeprefix("error: ")

    return carried_out


@pytest.fixture
def good(tables: Tables) -> str:
    return tables.write("good.csv", tables.pairs())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"", "x.csv: is empty"),
        ("x.csv", b"\n\n", "x.csv: is empty"),
        ("x.csv", b"question,answer\n", r"x.csv: has a header (question, answer) and no rows"),
        ("x.jsonl", b"\n", "x.jsonl: is empty"),
        ("x.json", b"[]", "x.json"),
        ("x.json", b"{not json", "x.json: line 1 is not valid JSON"),
        ("x.csv", b"a,b\n1,2,3\n", "x.csv: row 1 (line 2) has 3 cells, the header has 2"),
        ("x.csv", b"PAR1" + bytes(50), "x.csv: is parquet, not text as its name says"),
        ("x.csv", b"PK\x03\x04" + bytes(50), "x.csv: is a zip archive or an Excel workbook"),
        ("x.parquet", b"question,answer\n1,2\n", "x.parquet: is no parquet file"),
        ("x.docx", b"words", "x.docx: cannot tell what it holds by its name"),
        ("x.csv", bytes(range(256)) * 20, "x.csv: is not text: byte 1 is zero"),
        ("x.jsonl", bytes(range(252, 0, -1)) * 20, "x.jsonl: line 1, byte 1 of the line (0xFC) is not UTF-8"),
        ("x.parquet", bytes(range(256)) * 20, "x.parquet: is no parquet file"),
    ],
)
def test_files(name: str, content: bytes, message: str, refused: Refused) -> None:
    Path(name).write_bytes(content)
    assert message in refused(name, *SMOKE)


def test_a_missing_file_and_its_nearest_spelling(good: str, refused: Refused) -> None:
    assert "no file or folder god.csv; did you mean good.csv?" in refused("god.csv", *SMOKE)
    assert "no file or folder nothing-like-it.csv" in refused("nothing-like-it.csv", *SMOKE)
    assert "good.yml: there is no such file" in refused("good.yml", *SMOKE)


@pytest.mark.parametrize(
    ("rows", "message"), [(1, "There is only 1 row"), (2, "2 rows hold only 2 different")]
)
def test_too_few_rows(rows: int, message: str, tables: Tables, refused: Refused) -> None:
    assert message in refused(tables.write("few.csv", tables.pairs(rows)), *SMOKE)


def test_only_duplicates(tables: Tables, refused: Refused) -> None:
    message = refused(tables.write("same.csv", tables.pairs(1) * 50), *SMOKE)
    assert "50 rows hold only 1 chain of shared texts (are they copies of each other?)" in message


def test_a_cell_of_more_than_a_million_characters(tables: Tables, refused: Refused) -> None:
    rows = tables.pairs()
    rows[7]["answer"] = "é" * (LIMIT + 1)
    message = refused(tables.write("long.csv", rows), *SMOKE)
    assert "long.csv: 1 of 60 rows cannot be used" in message
    assert "answer: 1 cell too long (row 8)" in message
    assert "A cell may hold 1,000,000 characters." in message


def test_a_cell_of_exactly_a_million_characters_is_trained_on(tables: Tables) -> None:
    rows = tables.pairs(40)
    rows[7]["answer"] = "é" * LIMIT
    arguments = ["train", tables.write("long.csv", rows), "--out", "out", *SMOKE]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads((Path("out") / "data.json").read_text())["rows_set_aside"] == 0


def test_lone_surrogates(tables: Tables, refused: Refused) -> None:
    rows = tables.pairs()
    rows[3]["question"] = "cut \ud83d off"
    message = refused(tables.write("cut.jsonl", rows), *SMOKE)
    assert "cut.jsonl: column 'question' in row 4 (line 4): half of a surrogate pair" in message


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_label_column_of_nan(ending: str, tables: Tables, refused: Refused) -> None:
    rows = [{"text": tables.question(n), "label": float("nan")} for n in range(60)]
    message = refused(tables.write(f"nan.{ending}", rows), *SMOKE)
    assert "label: the column 'label' cannot be one: it holds no values" in message
    message = refused(tables.write(f"nan.{ending}", rows), "--label", "label", *SMOKE)
    assert "columns.label: 'label' holds no values and cannot be a label" in message


def test_some_labels_of_nan(tables: Tables, refused: Refused) -> None:
    rows = [{"text": tables.question(n), "label": float(n % 3) if n % 10 else None} for n in range(60)]
    message = refused(tables.write("nan.parquet", rows), *SMOKE)
    assert "label: 6 cells null (rows 1, 11, 21, 31, 41, 51)" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "trian.epochs=1"], "--set trian.epochs=1: unknown key; did you mean train?"),
        (["--set", "train.epochs=many"], "expected a number greater than 0, or auto, found 'many'"),
        (["--set", "train.epochs"], "expected KEY=VALUE"),
        (["--set", "evaluate.metrics=nDGC@10"], "unknown metric 'nDGC@10'"),
        (
            ["--set", "evaluate.metrics=Spearman"],
            "evaluate.metrics, on the test rows: Spearman needs a score",
        ),
        (["--set", "evaluate.test=0"], "no row is held out for test: set evaluate.test above 0"),
        (["--set", "evaluate.slices=product"], "evaluate.slices: 'product' is no column without a role"),
        (["--set", "data.split.by=date"], "data.split.by: there is no column 'date' to split by"),
        (["--set", "data.test=none.csv"], "no file or folder none.csv"),
        (["--set", "data.corpus=none.csv"], "no file or folder none.csv"),
        (["--set", "loss=cosent"], "loss.name: cosent works on scored pairs, and these rows are pairs"),
        (
            ["--set", "loss={name: triplet, distance: euclidean, margin: 5, miner: all}"],
            "A margin of 5 can never be met: euclidean lies between 0 and 2 on this encoder's output",
        ),
        (
            ["--set", "loss={name: contrastive, distance: cosine, margin: 2.5}"],
            "A margin of 2.5 can never be met: cosine lies between 0 and 2",
        ),
        (["--set", "train.freeze=['*']"], "train.freeze: every parameter of the model is frozen"),
        (["--anchor", "nothing"], "good.csv: columns.anchor: no column 'nothing'"),
        (["--anchor", "{nothing}: {answer}"], "template '{nothing}: {answer}': no column 'nothing'"),
        (["--positive", "anwser"], "columns.positive: no column 'anwser'; did you mean 'answer'?"),
        (["--weight", "clicks"], "good.csv: columns.weight: no column 'clicks'"),
        (["--name", "../elsewhere"], "expected a name that a folder can have on every system"),
    ],
)
def test_recipes(arguments: list[str], message: str, good: str, refused: Refused) -> None:
    assert message in refused(good, *arguments, *SMOKE)


def test_a_recipe_with_an_unknown_key_and_a_wrong_type(good: str, refused: Refused) -> None:
    Path("r.yaml").write_text("data:\n  train: good.csv\nlos:\n  name: triplet\n", encoding="utf-8")
    assert "r.yaml line 3: los: unknown key; did you mean loss?" in refused("r.yaml", *SMOKE)
    Path("r.yaml").write_text("data:\n  train: good.csv\ntrain:\n  batch_size: [1]\n", encoding="utf-8")
    assert "r.yaml line 4: train.batch_size: expected" in refused("r.yaml", *SMOKE)


def test_sources_of_two_kinds(tables: Tables, good: str, refused: Refused) -> None:
    tables.write("classes.csv", tables.labelled())
    Path("r.yaml").write_text("data: {train: [good.csv, classes.csv]}\n", encoding="utf-8")
    assert "good.csv: pairs, classes.csv: labelled text); one run takes one kind" in refused("r.yaml", *SMOKE)


def test_an_ambiguous_column_is_settled_by_the_lines_shown(tables: Tables, refused: Refused) -> None:
    rows = [
        {
            "first_words": tables.question(n),
            "other_words": tables.answer(n),
            "more_words": tables.answer(n + 99),
        }
        for n in range(60)
    ]
    message = refused(tables.write("mine.csv", rows), *SMOKE)
    assert "mine.csv: it is not clear which column plays which role." in message
    for name in rows[0]:
        assert name in message
    lines = message.splitlines()
    settled = "\n".join(lines[lines.index("data:") : lines.index("data:") + 2])
    Path("r.yaml").write_text(f"{settled}\n  train: mine.csv\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["train", "r.yaml", "--out", "run", *SMOKE])
    assert result.exit_code == 0, result.output


def pickled(folder: Path) -> None:
    model = SentenceTransformer(str(folder), device="cpu")
    torch.save(model[0].state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5_000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "model ./mine: there is no such folder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights in the safetensors format"),
        (pickled, "no weights in the safetensors format; pickled ones are not read"),
        (truncated, "model ./mine: cannot be loaded"),
        (
            lambda folder: [item.unlink() for item in folder.glob("*.json")],
            "holds neither modules.json nor config.json",
        ),
    ],
)
def test_models(
    damage: Callable[[Path], object], message: str, tiny_folder: Path, good: str, refused: Refused
) -> None:
    shutil.copytree(tiny_folder, "mine")
    damage(Path("mine"))
    assert message in refused(good, "--model", "./mine")


def test_a_model_that_is_a_file_and_a_length_beyond_the_model(
    tiny_folder: Path, good: str, refused: Refused
) -> None:
    assert "model good.csv: this is a file" in refused(good, "--model", "good.csv")
    arguments = ("--model", str(tiny_folder), "--set", "max_length=5000")
    assert "max_length 5000" in refused(good, *arguments)
    assert "--device cuda:1: a GPU is chosen by CUDA_VISIBLE_DEVICES=1" in refused(
        good, "--model", str(tiny_folder), "--device", "cuda:1"
    )
    assert "--device abacus: cannot be used here" in refused(
        good, "--model", str(tiny_folder), "--device", "abacus"
    )


def test_output_folders(good: str, refused: Refused) -> None:
    Path("foreign").mkdir()
    (Path("foreign") / "thesis.tex").write_text("years of work")
    for overwrite in ((), ("--overwrite",)):
        message = refused(good, *SMOKE, *overwrite, out="foreign")
        assert "foreign: holds files that are no run's (thesis.tex)" in message
    assert (Path("foreign") / "thesis.tex").read_text() == "years of work"
    assert "good.csv: is a file; name another folder with --out" in refused(good, *SMOKE, out="good.csv")
    assert "good.csv is a file" in refused(good, *SMOKE, out="good.csv/run")


def test_a_finished_run_is_replaced_only_when_asked(good: str, refused: Refused) -> None:
    arguments = ["train", good, "--out", "out", *SMOKE]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    first = (Path("out") / "report.json").read_bytes()
    message = refused(good, *SMOKE)
    assert (
        "out: holds a finished run; name another folder with --out or --name, or give --overwrite" in message
    )
    assert (Path("out") / "report.json").read_bytes() == first
    result = CliRunner().invoke(app, [*arguments, "--overwrite", "--set", "train.seed=14"])
    assert result.exit_code == 0
    assert "seed: 14" in (Path("out") / "recipe.yaml").read_text()


def test_a_run_that_is_refused_leaves_the_finished_one_alone(
    good: str, tables: Tables, refused: Refused
) -> None:
    assert CliRunner().invoke(app, ["train", good, "--out", "out", *SMOKE]).exit_code == 0
    before = {file: file.read_bytes() for file in Path("out").rglob("*") if file.is_file()}
    bad = tables.write("bad.csv", [{**tables.pairs()[0], "answer": ""}, *tables.pairs()])
    refused(bad, *SMOKE, "--overwrite")
    assert {file: file.read_bytes() for file in Path("out").rglob("*") if file.is_file()} == before


def test_no_room_on_the_disk(good: str, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
    assert "1 MB are free on this disk" in refused(good, *SMOKE, code=3)


def test_a_folder_that_cannot_be_written_to(
    good: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "no permission to write here; name another folder with --out" in refused(good, *SMOKE)


def test_a_cache_that_cannot_be_written_to(
    good: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(Path("good.csv").absolute() / "cache"))
    assert "cannot write to the cache folder" in refused(good, *SMOKE, code=3)


def test_signs_that_steer_a_terminal_are_spelled_out(tables: Tables, refused: Refused) -> None:
    rows = [{"text \u001b[31m": tables.question(n), "tag": "x"} for n in range(20)]
    message = refused(tables.write("odd.jsonl", rows), *SMOKE)
    assert r"text \x1b[31m" in message
    assert all(line.isprintable() for line in message.splitlines())
