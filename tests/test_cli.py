"""The command line as people use it: verbs, what they print and write, exit codes, signals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

import sbert_triplet.cli
from sbert_triplet import terminal
from sbert_triplet.cli import app
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.pipeline import job
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.callbacks import StepLog

SMOKE = ("--smoke", "--set", "evaluate.general=false")
TOPICS = ("rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass")
VERBS = {
    "train": {
        "--anchor",
        "--positive",
        "--negative",
        "--label",
        "--score",
        "--weight",
        "--model",
        "--set",
        "--out",
        "--name",
        "--max-steps",
        "--force",
        "--overwrite",
        "--require-gain",
        "--resume",
        "--smoke",
        "--device",
        "--debug",
    },
    "check": {
        "--anchor",
        "--positive",
        "--negative",
        "--label",
        "--score",
        "--weight",
        "--model",
        "--set",
        "--out",
        "--smoke",
        "--debug",
    },
    "mine": {
        "--anchor",
        "--positive",
        "--negative",
        "--label",
        "--score",
        "--weight",
        "--model",
        "--set",
        "--out",
        "--name",
        "--overwrite",
        "--smoke",
        "--device",
        "--debug",
    },
    "init": {
        "--anchor",
        "--positive",
        "--negative",
        "--label",
        "--score",
        "--weight",
        "--out",
        "--overwrite",
        "--debug",
    },
    "evaluate": {
        "--suite",
        "--local",
        "--data",
        "--set",
        "--mteb",
        "--list-suites",
        "--out",
        "--overwrite",
        "--precision",
        "--seed",
        "--device",
        "--debug",
    },
    "report": {"--debug"},
    "export": {
        "--to",
        "--int8",
        "--float16",
        "--dimensions",
        "--data",
        "--max-loss",
        "--out",
        "--overwrite",
        "--force",
        "--debug",
    },
    "publish": {
        "--dry-run",
        "--public",
        "--licence",
        "--license",
        "--data-licence",
        "--data-license",
        "--include-examples",
        "--force",
        "--debug",
    },
    "index": {
        "--store",
        "--id",
        "--text",
        "--metadata",
        "--precision",
        "--passage-tokens",
        "--passage-overlap",
        "--migrate",
        "--queries",
        "--switch",
        "--verify",
        "--device",
        "--debug",
    },
    "search": {"--where", "--model", "--json", "--device", "--debug"},
    "serve": {
        "--base",
        "--beside",
        "--debug",
        "--device",
        "--dimensions",
        "--host",
        "--max-connections",
        "--max-texts",
        "--max-tokens",
        "--model",
        "--port",
        "--votes",
        "--without-keys",
    },
    "recipe": {"--schema", "--show", "--debug"},
}
"""What people's scripts rely on: options are added with care and never renamed lightly."""
Call = Callable[..., Result]


def write_csv(name: str, rows: list[dict[str, Any]]) -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def tickets(count: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "subject": f"what of {TOPICS[n % 10]}, case {n}?",
            "body": f"since day {n} there is trouble with {TOPICS[n % 10]}",
            "reply": f"about {TOPICS[n % 10]} the books of case {n} say a lot",
            "language": ("en", "de")[n % 2],
        }
        for n in range(count)
    ]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that leave out the drawing of the report, which takes as long as the rest."""
    monkeypatch.setattr(job, "write_report", lambda _: None)


@pytest.fixture(autouse=True)
def work(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A current folder with tickets.csv in it; temporary files are gone when a test ends."""
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path_factory.getbasetemp() / "tables"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    write_csv("tickets.csv", tickets())
    yield tmp_path
    assert list(temporary.iterdir()) == []


@pytest.fixture
def call() -> Call:
    """``call("train", ..., code=0)``: the result of a verb that ended with this exit code."""

    def carried_out(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result

    return carried_out


def test_verbs_and_options() -> None:
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    found = {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in commands.items()
    }
    assert found == VERBS


def test_a_run_goes_elsewhere(call: Call, undrawn: None) -> None:
    """One run: exported, refused where it loses, refused to be published, and shown as it would be."""
    call("train", "tickets.csv", *SMOKE)
    exported = call("export", "runs/tickets").stdout.splitlines()
    assert exported[0] == "Model: runs/tickets, from the folder of that name"
    assert exported[1] == "Largest difference of a number of an embedding: 0.0e+00"
    assert any(line.startswith("nDCG@10: before ") and "difference +0.0000" in line for line in exported)
    assert exported[-1].startswith("Written: exports/tickets-portable (")
    assert "holds a model; name another folder" in call("export", "runs/tickets", code=2).stderr
    assert "--int8 goes with --to onnx" in call("export", "runs/tickets", "--int8", code=2).stderr
    refused = call("publish", "runs/tickets", "me/tickets", "--dry-run", code=1).stderr
    assert "publish a run that is better" in refused or "the base model itself" in refused
    shown = call("publish", "runs/tickets/candidate", "me/tickets", "--dry-run", "--force").stdout
    assert "model.safetensors" in shown
    assert "# tickets" in shown
    assert "what of rain" not in shown
    assert shown.endswith("Nothing was sent. Without --dry-run this goes to me/tickets\n")


def test_train_without_a_recipe(call: Call, undrawn: None) -> None:
    """Roles are inferred and printed, the run lies in runs/NAME, and its recipe is written into it."""
    result = call("train", "tickets.csv", *SMOKE)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "No recipe: one is made for the data tickets.csv"
    assert lines[1] == "tickets.csv (file): 60 rows"
    assert (
        r"  anchor       {subject}\n{body}   (a title and its body read as one text, by their names)" in lines
    )
    assert "  positive     reply               (by its name)" in lines
    assert "  kept         language   (no role: for splitting and slicing)" in lines
    assert any(line.startswith("warning  Only ") and line.endswith("[few-rows]") for line in lines)
    assert any(line.startswith("nDCG@10              base ") for line in lines)
    assert any(line.startswith("nDCG@10              BM25 ") for line in lines)
    assert any(line.startswith("Verdict on nDCG@10: ") for line in lines)
    assert lines[-3:] == [
        "That was --smoke: a tiny random encoder and a few steps, so the figures mean nothing.",
        "Report: runs/tickets/report.html",
        f"Model:  runs/tickets/model (the {shipped('runs/tickets')} model)",
    ]
    recipe = yaml.safe_load(Path("runs/tickets/recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["loss"]["name"] == "multiple_negatives_ranking"
    assert recipe["data"]["train"] == str(Path("tickets.csv").absolute())


def shipped(run: str) -> str:
    return str(json.loads((Path(run) / "report.json").read_text(encoding="utf-8"))["shipped"])


def test_the_recipe_of_a_run_runs_again_under_another_name(call: Call, undrawn: None) -> None:
    call("train", "tickets.csv", *SMOKE, "--name", "first")
    again = ("train", "runs/first/recipe.yaml", "--smoke")
    assert "runs/first: holds a finished run" in call(*again, code=2).stderr
    result = call(*again, "--name", "second")
    assert result.stdout.startswith("Recipe: runs/first/recipe.yaml\n")
    weights = [Path("runs") / name / "candidate" / "model.safetensors" for name in ("first", "second")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_columns_named_on_the_command_line(call: Call, undrawn: None) -> None:
    """A template as a shell passes it, with the new line spelled; several positives."""
    write_csv("mine.csv", [{"a b": row["subject"], "c": row["body"], "d": row["reply"]} for row in tickets()])
    arguments = ["--anchor", r"{a b}\n--", "--positive", "c", "--positive", "d"]
    result = call("train", "mine.csv", *SMOKE, *arguments, "--out", "out")
    assert r"  anchor       {a b}\n--   (as given)" in result.stdout
    report = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert report["data"]["roles"]["positive"] == "c, d"
    assert sum(report["data"]["rows"].values()) == 120


def test_init_writes_a_recipe_that_runs(call: Call, undrawn: None) -> None:
    result = call("init", "tickets.csv")
    assert result.stdout.splitlines()[-1] == (
        "Written: tickets.yaml. Edit it, then: sbert-triplet train tickets.yaml"
    )
    text = Path("tickets.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["data"]["columns"]["positive"] == "reply"
    assert "# " in text
    call("train", "tickets.yaml", *SMOKE, "--set", "train.epochs=2")
    assert yaml.safe_load(Path("runs/tickets/recipe.yaml").read_text())["train"]["epochs"] == 2
    assert "tickets.yaml: exists already" in call("init", "tickets.csv", code=2).stderr
    Path("tickets.yaml").write_text("model: other\n")
    call("init", "tickets.csv", "--overwrite", "--out", "tickets.yaml")
    assert Path("tickets.yaml").read_text(encoding="utf-8") == text
    assert "tickets.yaml: is a recipe already" in call("init", "tickets.yaml", code=2).stderr
    assert "a recipe's file ends in .yaml" in call("init", "tickets.csv", "--out", "x.txt", code=2).stderr


def test_init_goes_on_where_rows_cannot_be_used(call: Call) -> None:
    write_csv("mine.csv", [{**tickets()[0], "reply": ""}, *tickets()])
    call("init", "mine.csv", "--out", "recipes/mine.yaml")
    heading = Path("recipes/mine.yaml").read_text(encoding="utf-8").splitlines()[:3]
    assert any("1 row cannot be used" in line for line in heading)


def test_check_says_everything_and_trains_nothing(call: Call) -> None:
    rows = tickets(80)
    rows[20:30] = rows[10:20]
    write_csv("mine.csv", rows)
    result = call("check", "mine.csv", "--smoke")
    lines = result.stdout.splitlines()
    assert any("[exact-duplicates]" in line for line in lines)
    assert "         (rows are counted from 1, without a header line)" in lines
    assert any(line.startswith("anchor   ") and "tokens at the median" in line for line in lines)
    assert any(line.startswith("Rows: train ") for line in lines)
    assert any(line.startswith("Expected: 3 steps of ") for line in lines)
    assert lines[-1] == "Written: runs/mine-check/data.json"
    assert [item.name for item in Path("runs/mine-check").iterdir()] == ["data.json"]
    record = json.loads(Path("runs/mine-check/data.json").read_text(encoding="utf-8"))
    assert record["rows_set_aside"] == 0
    call("check", "mine.csv", "--smoke")


def test_check_lists_every_bad_row_and_fails(call: Call) -> None:
    rows = tickets(80)
    rows[2]["reply"] = ""
    rows[5]["reply"] = "   "
    write_csv("mine.csv", rows)
    result = call("check", "mine.csv", "--smoke", "--out", "audit", code=2)
    assert "error    Column 'reply': 1 cell is null" in result.stdout
    assert "error    Column 'reply': 1 cell is blank" in result.stdout
    assert result.stderr.startswith("error: mine.csv: Column 'reply': 1 cell is null")
    assert json.loads(Path("audit/data.json").read_text(encoding="utf-8"))["rows_set_aside"] == 2
    lenient = call("check", "mine.csv", "--smoke", "--out", "audit", "--set", "data.on_bad_row=skip")
    assert (
        "note     Column 'reply': 1 cell is blank. 1 row was set aside. (row 6) [bad-cells]" in lenient.stdout
    )


def test_check_spares_runs_and_other_files(call: Call, undrawn: None) -> None:
    call("train", "tickets.csv", *SMOKE, "--out", "run")
    assert (
        "run: holds a finished run" in call("check", "tickets.csv", "--smoke", "--out", "run", code=2).stderr
    )
    Path("data.json").write_text('{"mine": 1}')
    assert "data.json: is no audit's" in call("check", "tickets.csv", "--smoke", "--out", ".", code=2).stderr
    assert Path("data.json").read_text() == '{"mine": 1}'


def test_report_draws_the_pages_again(call: Call) -> None:
    call("train", "tickets.csv", *SMOKE, "--out", "run")
    before = {name: (Path("run") / name).read_bytes() for name in ("report.html", "report.md")}
    for name in before:
        (Path("run") / name).unlink()
    result = call("report", "run")
    assert result.stdout == "Written: run/report.html\nWritten: run/report.md\n"
    assert {name: (Path("run") / name).read_bytes() for name in before} == before
    assert "nowhere: no report.json, so this is no finished run" in call("report", "nowhere", code=2).stderr


def test_suites_that_come_with_the_package(call: Call) -> None:
    listed = call("evaluate", "--list-suites").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        file.stem for file in sorted((Path(__file__).parents[1] / "eval" / "suites").glob("*.yaml"))
    ]


def test_models_side_by_side(call: Call, undrawn: None) -> None:
    """Two runs on the data of the first; what the command says is what the record repeats."""
    for name in ("one", "two"):
        call("train", "tickets.csv", *SMOKE, "--set", "train.precision=fp32", "--name", name)
    models = ("runs/one/candidate", "runs/two/candidate")
    result = call("evaluate", *models, "--set", "evaluate.metrics=[RR@10]", "--device", "cpu")
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert "Measured on the held-out rows of one/candidate's own recipe" in lines
    assert "note     one/candidate and two/candidate have the same weights" in lines
    assert lines[-1] == "Written: runs/one-evaluation/evaluation.json, runs/one-evaluation/evaluation.md"
    record = json.loads(Path("runs/one-evaluation/evaluation.json").read_text(encoding="utf-8"))
    assert record["tasks"][0]["metrics"] == ["RR@10"]
    refused = call("evaluate", models[0], "--data", "tickets.csv", "--out", "runs/one", code=2)
    assert "runs/one: holds other files" in refused.stderr
    assert "invalid value" in call("evaluate", models[0], "--precision", "fp8", code=2).stderr.lower()


def test_recipes_that_come_with_the_package(call: Call) -> None:
    listed = call("recipe").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        file.stem for file in sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
    ]
    shown = call("recipe", "--show", "quickstart").stdout
    assert yaml.safe_load(shown)["name"] == "quickstart"
    assert "quickstart, retrieval" in call("recipe", "--show", "slowstart", code=2).stderr


def test_the_schema_has_every_section(call: Call) -> None:
    schema = json.loads(call("recipe", "--schema").stdout)
    assert set(schema["properties"]) >= set(Recipe.model_fields)


def test_the_gate(call: Call, undrawn: None) -> None:
    result = call("train", "tickets.csv", *SMOKE, "--require-gain", "--out", "run", code=1)
    assert "Verdict on nDCG@10" in result.stdout
    assert result.stderr.startswith("error: the gain that --require-gain asks for is not there: on nDCG@10")
    assert Path("run/report.json").exists()


def test_an_error_of_the_program_is_one_line_and_debug_shows_where(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("by nothing")

    assert "Traceback" in call("train", "nothing.csv", "--smoke", "--debug", code=2).stderr
    monkeypatch.setattr(job, "prepare", broken)
    result = call("train", "tickets.csv", "--smoke", code=70)
    assert result.stderr.splitlines() == [
        "internal error: ZeroDivisionError: by nothing",
        "Run again with --debug and please report what it prints",
    ]
    assert "Traceback" in call("train", "tickets.csv", "--smoke", "--debug", code=70).stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (
            PermissionError(13, "Permission denied", "/a/b"),
            2,
            "error: /a/b: no permission to read or write here",
        ),
        (OSError(28, "No space left on device", "/a/b"), 3, "error: the disk is full (/a/b)"),
        (OSError(5, "Input/output error", "/a/b"), 3, "error: OSError: [Errno 5] Input/output error: '/a/b'"),
        (MemoryError(), 3, "error: memory ran out"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, message: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(job, "prepare", broken)
    assert call("train", "tickets.csv", "--smoke", code=code).stderr.startswith(message)


def test_warnings_of_the_package_are_one_line_and_others_are_left_out(call: Call, undrawn: None) -> None:
    result = call("train", "tickets.csv", *SMOKE, "--set", "train.batch_size=1")
    assert result.stderr.splitlines() == [
        "warning  MultipleNegativesRankingLoss: a batch without a single negative gives loss 0 and teaches "
        "nothing; use larger batches or hard negatives"
    ]


def test_the_handler_of_signals_is_put_back(call: Call) -> None:
    before = signal.getsignal(signal.SIGTERM)
    call("recipe")
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 5.0, 16.0, 20.0, 32.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(moments))
    shown = terminal.Terminal()
    for done in range(5):
        shown.progress("training", 1000 * done, 5000)
    assert capsys.readouterr().err == "  training: 2,000 of 5,000\n  training: 4,000 of 5,000\n"


def children_seconds() -> float:
    """What processes that were waited for have computed: on a busy machine they take longer, not more."""
    times = os.times()
    return times.children_user + times.children_system if os.name == "posix" else time.perf_counter()


def run_python(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    start = children_seconds()
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    return done, children_seconds() - start


@pytest.mark.parametrize("verb", [[], ["train"], ["check"], ["init"], ["evaluate"]])
def test_help_starts_at_once(verb: list[str]) -> None:
    """Without importing torch."""
    done, seconds = run_python("-m", "sbert_triplet", *verb, "--help")
    assert done.returncode == 0
    assert seconds < 2
    text = done.stdout
    assert "Usage: sbert-triplet" in text
    assert all(name in text for name in (VERBS[verb[0]] if verb else VERBS))


def test_help_and_recipe_import_no_torch() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from sbert_triplet.cli import app\n"
        "for arguments in ('--help', 'train --help', 'evaluate --help', 'evaluate --list-suites', 'recipe',\n"
        "                  'recipe --show quickstart'):\n"
        "    assert CliRunner().invoke(app, arguments.split()).exit_code == 0\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy', 'pyarrow'} & set(sys.modules)))\n"
    )
    done, _ = run_python("-c", code)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


LEFT_BY_A_SIGNAL = {"recipe.yaml", "data.json", "log.jsonl", "checkpoints"}


@pytest.fixture
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("model")
    tiny_encoder([" ".join("abcdefghijklmnopqrstuvwxyz")]).save(str(model), create_model_card=False)
    return model


def endless(model: Path) -> list[str]:
    """A run without --smoke that is in the middle of training for as long as nobody stops it."""
    return ["tickets.csv", "--model", str(model), "--out", "run", "--set", "train.epochs=100000", *SMOKE[1:]]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_training(
    number: signal.Signals, call: Call, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, sent when the first step is in the log; what is left is looked at by ``work``, too."""
    write = StepLog.write

    def sent(self: StepLog, entry: Any) -> None:
        write(self, entry)
        if entry["step"] == 1:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(StepLog, "write", sent)
    # A process that runs tests for another one may be deaf to the key of the person.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = call("train", *endless(tiny_model), code=128 + number)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.stderr.startswith(
        "stopped after step 2 of 400,000, with a checkpoint: go on with sbert-triplet"
    )
    assert {item.name for item in Path("run").iterdir()} == LEFT_BY_A_SIGNAL
    assert [item.name for item in Path("run/checkpoints").iterdir()] == ["checkpoint-2"]
    assert len(Path("run/log.jsonl").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_run_and_nothing_half_written_stays(
    number: signal.Signals, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same of a process of its own."""
    temporary = tmp_path_factory.mktemp("temporary")
    process = subprocess.Popen(
        [sys.executable, "-m", "sbert_triplet", "train", *endless(tiny_model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(Path("run") / "log.jsonl", process)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert error.startswith("stopped after step ")
    assert error.endswith(" --resume\n")
    assert not list(temporary.iterdir())
    assert {item.name for item in Path("run").iterdir()} == LEFT_BY_A_SIGNAL


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(1800):
        if file.is_file() and file.stat().st_size:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.kill()
    pytest.fail(f"{file} did not appear")


def test_main_is_the_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sbert-triplet", "recipe"])
    with pytest.raises(SystemExit) as caught:
        sbert_triplet.cli.main()
    assert caught.value.code == 0
