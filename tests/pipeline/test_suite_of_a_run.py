"""``evaluate.suite``: base and tuned model on a suite beside the run's own rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sbert_triplet.errors import DataError, RecipeError
from sbert_triplet.reporting.record import read_run
from sbert_triplet.reporting.sections import suite as section

SUITE = """
tasks:
- {name: similar, kind: scored_pairs, source: sts.parquet}
- {name: asked, kind: retrieval, source: faq.parquet}
"""


@pytest.fixture
def files(tables: Any) -> Any:
    """Tickets to train on, and a suite of which half of the questions are among them."""
    tables.write("tickets.csv", tables.pairs(60))
    rows = tables.pairs(100)
    tables.write("faq.parquet", [{"question": row["question"], "answer": row["answer"]} for row in rows[40:]])
    pairs = [
        {"sentence1": row["question"], "sentence2": row["answer"], "score": float(n * 7 % 11)}
        for n, row in enumerate(rows[70:])
    ]
    tables.write("sts.parquet", pairs)
    Path("mine.yaml").write_text(SUITE, encoding="utf-8")
    return tables


def test_in_the_report(files: Any, train: Any) -> None:
    done = train("tickets.csv", evaluate={"suite": "mine.yaml", "test": 0.2})
    entry = done.report["suite"]
    assert (entry["name"], set(entry["tasks"])) == ("mine", {"similar", "asked"})
    asked = entry["tasks"]["asked"]
    assert asked["main_metric"] == "nDCG@10"
    figures = asked["metrics"]["nDCG@10"]
    assert figures["n"] == 60
    assert figures["tuned"] - figures["base"] == pytest.approx(figures["difference"])
    assert figures["adjusted_p"] >= figures["p_value"]
    assert 1 <= asked["items_seen_in_training"] <= 20
    assert entry["tasks"]["similar"]["items_seen_in_training"] == 0
    assert any(line.startswith("asked                base ") for line in done.said)
    recorded = yaml.safe_load((done.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert recorded["evaluate"]["suite"] == str(Path("mine.yaml").absolute())


def test_drawn(files: Any, train: Any) -> None:
    done = train("tickets.csv", drawn=True, evaluate={"suite": "mine.yaml"})
    drawn = section.draw(read_run(done.run.folder))
    assert drawn is not None
    assert "asked (nDCG@10)" in drawn.markdown
    assert "Items whose texts were all trained on, which flatter the tuned model: " in drawn.markdown
    assert "The suite mine, beside the run" in drawn.html
    assert "## Suite" in (done.run.folder / "report.md").read_text(encoding="utf-8")


def test_none_unless_it_is_asked_for(files: Any, train: Any) -> None:
    done = train("tickets.csv")
    assert "suite" not in done.report
    (done.run.folder / "log.jsonl").touch()
    assert section.draw(read_run(done.run.folder)) is None


def test_beside_the_recipe(files: Any, train: Any) -> None:
    """A path that lies beside the recipe and not in the current folder; its files lie beside it."""
    home = Path("elsewhere")
    home.mkdir()
    for name in ("mine.yaml", "faq.parquet", "sts.parquet"):
        Path(name).rename(home / name)
    done = train("tickets.csv", folder=home, evaluate={"suite": "mine.yaml"})
    assert set(done.report["suite"]["tasks"]) == {"similar", "asked"}


def test_what_is_wrong_is_said_before_training(files: Any, train: Any) -> None:
    with pytest.raises(RecipeError, match="suite stss: does not come with the package"):
        train("tickets.csv", evaluate={"suite": "stss"})
    Path("faq.parquet").unlink()
    with pytest.raises(DataError, match=r"task asked: (.|\n)*start the run in the folder in which"):
        train("tickets.csv", evaluate={"suite": "mine.yaml"})
    assert not Path("out").exists()
