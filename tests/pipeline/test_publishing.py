"""From a run folder to the Hub, and to other forms: what is refused, what is sent, what is measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.pipeline.exporting import Asked, export
from sbert_triplet.pipeline.job import Options, run
from sbert_triplet.pipeline.publishing import Wanted, found_run, publish, tag_of
from sbert_triplet.publishing.hub import files_of
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.reporting.record import read_run

SECRET = "zanzibar parcel number"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny encoder on rows whose texts are told by one phrase."""
    home = tmp_path_factory.mktemp("publishing")
    rows = "".join(f"{SECRET} {n} is late,the answer about parcel {n} of zanzibar\n" for n in range(60))
    (home / "tickets.csv").write_text(f"anchor,positive\n{rows}", encoding="utf-8")
    (home / "base").mkdir()
    tiny_encoder([rows]).save(str(home / "base" / "model"), create_model_card=False)
    recipe = Recipe.model_validate(
        {
            "model": str(home / "base" / "model"),
            "data": {"train": str(home / "tickets.csv")},
            "train": {"max_steps": 2, "batch_size": 8, "never_worse": False},
            "evaluate": {"general": False, "bm25": False},
        }
    )
    run(recipe, home / "run", options=Options(say=lambda _: None))
    return home / "run"


@pytest.fixture
def better(trained: Path, tmp_path: Path) -> Path:
    """The same run, had its verdict been better."""
    folder = tmp_path / "tickets"
    shutil.copytree(trained, folder)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    (folder / "report.json").write_text(json.dumps({**report, "verdict": "better", "shipped": "tuned"}))
    return folder


class Remembered:
    """A Hub that keeps what it is given."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: dict[str, Any] = {}

    def publish(self, folder: Path, repo: str, **asked: Any) -> Any:
        self.files = {name: file.read_bytes() for name, file in files_of(folder).items()}
        self.asked = {"repo": repo, **asked}
        from sbert_triplet.publishing.hub import Published

        return Published("c" * 40, f"https://hub/{repo}", asked["tag"], True)


def test_what_is_published(better: Path) -> None:
    hub, said = Remembered(), []
    publish(Wanted(better, "me/tickets", data_licence="internal"), hub=hub, say=said.append)  # type: ignore[arg-type]
    assert {"README.md", "recipe.yaml", "model.safetensors", "modules.json", "figures/loss.svg"} <= set(
        hub.files
    )
    assert hub.asked["private"] is True
    assert "sentence_transformers.models.Pooling" in hub.files["modules.json"].decode()
    assert yaml.safe_load(hub.files["recipe.yaml"])["data"]["train"] == "tickets.csv"
    assert any("model.safetensors" in line and "bytes" in line for line in said)
    assert said[-1].startswith("Published: https://hub/me/tickets, commit cccccccccccc (tag run-")


def test_no_text_of_the_person_is_sent_unasked(better: Path, trained: Path) -> None:
    hub = Remembered()
    publish(Wanted(better, "me/tickets"), hub=hub, say=lambda _: None)  # type: ignore[arg-type]
    for name, content in hub.files.items():
        assert SECRET.encode() not in content, name
        assert str(trained.parent).encode() not in content, name
    publish(Wanted(better, "me/tickets", include_examples=True), hub=hub, say=lambda _: None)  # type: ignore[arg-type]
    holding = [name for name, content in hub.files.items() if SECRET.encode() in content]
    assert holding == ["README.md"]


def test_the_card_that_is_sent(better: Path) -> None:
    hub = Remembered()
    asked = Wanted(better, "me/tickets", licence="mit", data_licence="CC-BY-4.0")
    publish(asked, hub=hub, say=lambda _: None)  # type: ignore[arg-type]
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.license == "mit"
    assert card.data.eval_results
    for part in (
        "## Use",
        "## Results",
        "## Data",
        "## Intended use",
        "## Limits",
        "## Training",
        "## Citation",
    ):
        assert part in card.text
    for said in (
        "HuggingFaceEmbeddings",
        "AutoModel",
        "Licence: CC-BY-4.0",
        "(figures/differences.svg)",
        "1908.10084",
    ):
        assert said in card.text
    assert 'SentenceTransformer("me/tickets")' in card.text


def test_published_again_it_is_the_same(better: Path) -> None:
    hub = Remembered()
    found = []
    for _ in range(2):
        publish(Wanted(better, "me/tickets"), hub=hub, say=lambda _: None)  # type: ignore[arg-type]
        found.append((hub.files, hub.asked["tag"]))
    assert found[0] == found[1]


def test_a_dry_run_asks_nobody(better: Path) -> None:
    hub, said = Remembered(), []
    done = publish(Wanted(better, "me/tickets"), dry_run=True, hub=hub, say=said.append)  # type: ignore[arg-type]
    assert done is None
    assert hub.asked == {}
    assert any(line.startswith("---\nlibrary_name") or "# tickets" in line for line in said)
    assert said[-1] == "Nothing was sent. Without --dry-run this goes to me/tickets"


def test_what_is_not_better_is_refused(better: Path) -> None:
    report = json.loads((better / "report.json").read_text(encoding="utf-8"))
    for verdict, shipped, said in (
        ("not shown better", "tuned", "the verdict on nDCG@10 is 'not shown better'"),
        ("worse", "tuned", "is 'worse'"),
        ("not shown better", "base", "model/ holds the base model itself"),
        ("better", "base", "model/ holds the base model itself"),
    ):
        (better / "report.json").write_text(json.dumps({**report, "verdict": verdict, "shipped": shipped}))
        hub = Remembered()
        with pytest.raises(GainNotShownError, match=said):
            publish(Wanted(better, "me/tickets"), hub=hub, say=lambda _: None)  # type: ignore[arg-type]
        assert hub.asked == {}
    publish(Wanted(better / "candidate", "me/tickets", force=True), hub=hub, say=lambda _: None)  # type: ignore[arg-type]
    assert "The weights here are the tuned ones." in hub.files["README.md"].decode()


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        found_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no report\.json, so this is no finished run"):
        found_run(tmp_path)
    with pytest.raises(InputError, match="as OWNER/NAME"):
        publish(Wanted(tmp_path, "tickets"))


def test_a_tag_is_of_the_run(better: Path) -> None:
    record, files = read_run(better), files_of(better / "model")
    before = tag_of(record, files)
    assert before.startswith("run-")
    (better / "report.json").write_text((better / "report.json").read_text() + " ")
    assert tag_of(record, files) != before


def test_an_export_is_measured_on_the_rows_of_its_run(trained: Path, tmp_path: Path) -> None:
    said: list[str] = []
    export(Asked(model=str(trained / "candidate")), tmp_path / "out", say=said.append)
    report = json.loads((trained / "report.json").read_text(encoding="utf-8"))
    tuned = report["metrics"]["nDCG@10"]["tuned"]
    line = next(line for line in said if line.startswith("nDCG@10: before"))
    assert f"before {tuned:.4f}, after {tuned:.4f}, difference +0.0000" in line
    assert (tmp_path / "out" / "modules.json").is_file()


def test_a_loss_is_refused_and_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    asked = {"model": str(trained / "candidate"), "dimensions": 1}
    with pytest.raises(
        GainNotShownError, match=r"nDCG@10 falls by .* more than --max-loss 0\.01; nothing was"
    ):
        export(Asked(**asked), tmp_path / "out", say=lambda _: None)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    said: list[str] = []
    export(Asked(**asked, force=True), tmp_path / "out", say=said.append)  # type: ignore[arg-type]
    assert any("written because of --force" in line for line in said)


def test_rows_that_are_gone(better: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((better / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["data"]["train"] = str(tmp_path / "gone.csv")
    (better / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    with pytest.raises(InputError, match=r"gone\.csv.*\nWithout rows to measure on nothing is exported"):
        export(Asked(model=str(better)), tmp_path / "out", say=lambda _: None)
    assert not (tmp_path / "out").exists()
    export(Asked(model=str(better), force=True), tmp_path / "out", say=lambda _: None)
    assert (tmp_path / "out" / "modules.json").is_file()


def test_a_model_without_a_run_is_not_measured(trained: Path, tmp_path: Path) -> None:
    said: list[str] = []
    alone = tmp_path / "alone"
    shutil.copytree(trained / "candidate", alone)
    export(Asked(model=str(alone)), tmp_path / "out", say=said.append)
    assert any(line.startswith("Not measured: no run made this model") for line in said)
    with pytest.raises(InputError, match="holds a model; name another folder"):
        export(Asked(model=str(alone)), tmp_path / "out", say=lambda _: None)
