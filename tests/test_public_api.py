"""The public names, and the main job in a few lines of Python as the README shows it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

import sbert_triplet
from sbert_triplet import InputError, Options, Recipe, RecipeError, SbertTripletError, train
from sbert_triplet import errors as tree

SMOKE = Options(smoke=True, say=lambda _: None)
FAST = {"general": False}
README = Path(__file__).resolve().parents[1] / "README.md"
TOPICS = ("rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass")
ROWS = [
    {
        "question": f"what is known of {TOPICS[n % 10]} in case {n}?",
        "answer": f"about {TOPICS[n % 10]} the books of case {n} say a lot",
    }
    for n in range(60)
]


@pytest.fixture(autouse=True)
def work(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path_factory.getbasetemp() / "tables"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    yield
    assert list(temporary.iterdir()) == []


def write_csv(name: str) -> str:
    datasets.Dataset.from_list(ROWS).to_csv(name, index=False)
    return name


def example() -> str:
    """The README's Python."""
    found = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return str(next(code for code in found if "train(" in code))


def test_the_example_of_the_readme_is_short() -> None:
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 10


def test_the_example_of_the_readme_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the model that it uses, and fewer steps."""
    write_csv("tickets.csv")
    code = example()
    assert 'train={"max_seconds": 600}' in code
    fewer = 'train={"max_steps": 2}, evaluate={"general": False}'
    exec(compile(code.replace('train={"max_seconds": 600}', fewer), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    verdict = next(line for line in lines if line.startswith(("better", "not shown better", "worse")))
    assert verdict.endswith(".")
    assert any(line.startswith("{'base': ") for line in lines)
    assert "tensor" in lines[-1]
    assert Path("runs/tickets/report.html").is_file()


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(sbert_triplet.__all__) == sbert_triplet.__all__
    for name in sbert_triplet.__all__:
        assert getattr(sbert_triplet, name).__doc__, name
        assert name in dir(sbert_triplet)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = sbert_triplet.trian


def test_every_error_is_in_the_tree_with_its_exit_code() -> None:
    errors = [
        value
        for value in vars(tree).values()
        if isinstance(value, type) and issubclass(value, SbertTripletError)
    ]
    drawn = dict(re.findall(r"(\w+Error) +(\d)\b", str(tree.__doc__)))
    # The signal that stops a run is part of its exit code.
    assert tree.StoppedError("", 15).exit_code == 143
    assert {
        error.__name__: str(error.exit_code) for error in errors if error is not tree.StoppedError
    } == drawn


def test_importing_does_nothing() -> None:
    """No libraries are imported, no signals, warnings or environment variables changed, nothing printed."""
    code = (
        "import os, signal, sys, warnings, logging\n"
        "before = (dict(os.environ), signal.getsignal(signal.SIGTERM), list(warnings.filters),"
        " len(logging.root.handlers))\n"
        "import sbert_triplet\n"
        "after = (dict(os.environ), signal.getsignal(signal.SIGTERM), list(warnings.filters),"
        " len(logging.root.handlers))\n"
        "assert before == after\n"
        "names = {'torch', 'transformers', 'datasets', 'numpy', 'pydantic', 'yaml', 'typer'}\n"
        "assert not names & set(sys.modules), names & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_folder_of_the_package_is_a_package() -> None:
    """A folder without __init__.py is left out of what is installed by some tools."""
    home = Path(sbert_triplet.__file__).parent
    folders = {file.parent for file in home.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("form", ["list", "dataset", "file", "path"])
def test_data_in_every_form(form: str) -> None:
    data: Any = {
        "list": ROWS,
        "dataset": datasets.Dataset.from_list(ROWS),
        "file": write_csv("mine.csv"),
        "path": Path("mine.csv"),
    }[form]
    run = train(data, options=SMOKE, train={"epochs": 2}, evaluate=FAST)
    assert run.folder == Path("runs") / ("mine" if form in ("file", "path") else "rows")
    assert run.report["verdict"] in ("better", "not shown better", "worse")
    assert run.model.is_dir()
    assert yaml.safe_load((run.folder / "recipe.yaml").read_text())["train"]["epochs"] == 2


def test_sections_beside_data_and_beside_a_recipe() -> None:
    write_csv("mine.csv")
    columns = {"anchor": "answer", "positive": "question"}
    run = train("mine.csv", out="turned", options=SMOKE, data={"columns": columns}, evaluate=FAST)
    assert run.report["data"]["roles"] == columns
    Path("r.yaml").write_text(
        "name: mine\ndata: {train: mine.csv, limit: 50}\ntrain: {epochs: 2, seed: 5}\n"
        "evaluate: {general: false}\n"
    )
    run = train(
        "r.yaml", options=SMOKE, train={"epochs": 3}, data={"columns": columns}, loss="symmetric_ranking"
    )
    assert run.folder == Path("runs/mine")
    resolved = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    assert (resolved["train"]["epochs"], resolved["train"]["seed"]) == (3, 5)
    assert (resolved["data"]["limit"], resolved["loss"]["name"]) == (50, "symmetric_ranking")
    assert run.report["data"]["roles"] == columns


def test_a_recipe_object() -> None:
    recipe = Recipe(data=ROWS, train={"epochs": 2}, evaluate=FAST)
    assert train(recipe, options=SMOKE).report["data"]["kind"] == "pairs"
    with pytest.raises(InputError, match="train: a recipe is given and has sections of its own"):
        train(recipe, options=SMOKE, train={"epochs": 3})


def test_what_the_caller_can_mend_is_an_input_error() -> None:
    with pytest.raises(RecipeError, match="trian: unknown key; did you mean train"):
        train(ROWS, options=SMOKE, trian={"epochs": 2})
    with pytest.raises(InputError, match="no file or folder nothing"):
        train("nothing.csv", options=SMOKE)
    with pytest.raises(InputError, match="rows given in Python: row 2 is a str"):
        train([ROWS[0], "text"], options=SMOKE)  # type: ignore[list-item]
    assert not Path("runs").exists()


def test_the_recipe_of_rows_in_memory_says_that_they_are_not_in_it() -> None:
    run = train(ROWS, options=SMOKE, evaluate=FAST)
    with pytest.raises(InputError, match=r"the rows of this recipe were given in Python and are not in it"):
        train(run.folder / "recipe.yaml", out="again", options=SMOKE)
