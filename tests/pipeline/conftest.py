"""Small tables of every kind, and runs of them with the tiny random encoder."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pytest

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.pipeline import job
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.options import Options, Run
from sbert_triplet.recipe.reading import recipe_from

Rows = list[dict[str, Any]]
TOPICS = ("rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass")


class Tables:
    """Rows of each kind, about ten topics in turn, and files of them in the current folder."""

    @staticmethod
    def question(number: int) -> str:
        return f"what is known of {TOPICS[number % 10]} in case {number}?"

    @staticmethod
    def answer(number: int) -> str:
        return f"about {TOPICS[number % 10]} the books of case {number} say a lot"

    def pairs(self, count: int = 60) -> Rows:
        return [
            {"question": self.question(n), "answer": self.answer(n), "language": ("en", "de")[n % 2]}
            for n in range(count)
        ]

    def labelled(self, count: int = 60, classes: int = 3) -> Rows:
        return [{"text": self.question(n), "label": f"class {n % classes}"} for n in range(count)]

    def write(self, name: str, rows: Rows) -> str:
        """A csv, jsonl or parquet file in the current folder; returns its name."""
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".csv"):
            with file.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        elif name.endswith(".parquet"):
            datasets.Dataset.from_list(rows).to_parquet(name)
        else:
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    def retrieval(self, name: str, judged: Mapping[str, range], documents: int = 60) -> str:
        """A folder in the BEIR layout: query n is judged with document n, in the split that has n."""
        texts = [{"_id": f"d{n}", "title": TOPICS[n % 10], "text": self.answer(n)} for n in range(documents)]
        self.write(f"{name}/corpus.jsonl", texts)
        queries = [{"_id": f"q{n}", "text": self.question(n)} for numbers in judged.values() for n in numbers]
        self.write(f"{name}/queries.jsonl", queries)
        for split, numbers in judged.items():
            lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in numbers)]
            file = Path(name) / "qrels" / f"{split}.tsv"
            file.parent.mkdir(exist_ok=True)
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return name


@dataclass
class Finished:
    """A run, what it said, and what it left."""

    run: Run
    said: list[str] = field(default_factory=list)

    @property
    def report(self) -> Mapping[str, Any]:
        return self.run.report

    @property
    def data(self) -> Mapping[str, Any]:
        return dict(json.loads((self.run.folder / "data.json").read_text(encoding="utf-8")))

    @property
    def text(self) -> str:
        return "\n".join(self.said)


Train = Callable[..., Finished]


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture(autouse=True)
def nothing_is_left(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every test works in a folder of its own, and leaves the folder of temporary files empty."""
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path_factory.getbasetemp() / "tables"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random encoder saved as a model, whose vocabulary is letters: for runs without --smoke."""
    letters = [" ".join("abcdefghijklmnopqrstuvwxyz0123456789?.,-")]
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_encoder(letters, max_length=96).save(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    """``train(data, out=..., smoke=..., **sections)``: a run of a recipe with these sections.

    The general check and the drawing of the report take longest and are left out, the latter unless
    ``drawn``.
    """

    def carried_out(
        data: Any, out: str = "out", *, folder: Path | None = None, drawn: bool = False, **given: Any
    ) -> Finished:
        said: list[str] = []
        if not drawn:
            monkeypatch.setattr(job, "write_report", lambda _: None)
        names = ("overwrite", "resume", "force", "require_gain", "smoke", "decisions", "device")
        options = Options(
            say=said.append, **{"smoke": True, **{name: given.pop(name) for name in names if name in given}}
        )
        sections = {"data": data if isinstance(data, dict) else {"train": data}, **given}
        sections["evaluate"] = {"general": False, **sections.get("evaluate", {})}
        recipe = recipe_from(sections, origin="test")
        return Finished(run(recipe, Path(out), folder=folder, options=options), said)

    return carried_out
