"""`index` and `search` as people use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from sbert_triplet.cli import app
from sbert_triplet.search.stores import STORES

ROWS = [
    {"id": f"d{n}", "title": f"about {word}", "text": f"{word} and {word} again", "n": n, "odd": bool(n % 2)}
    for n, word in enumerate(("rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees"))
]
Call = Callable[..., Result]
OFTEN = ("faiss", "postgresql")
KINDS = [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.long) for kind in sorted(STORES)]


@pytest.fixture
def call(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    encoder: SentenceTransformer,
    other_encoder: SentenceTransformer,
) -> Call:
    """``call("index", ..., code=0)`` in a folder with two models and docs.jsonl."""
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path_factory.getbasetemp() / "tables"))
    monkeypatch.chdir(tmp_path)
    encoder.save("model")
    other_encoder.save("other")
    write(ROWS)

    def carried_out(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, result.output
        return result

    return carried_out


def write(rows: list[dict[str, object]], name: str = "docs.jsonl") -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_file_to_hits(call: Call, new_url: Callable[[str], str], kind: str) -> None:
    url = new_url(kind)
    lines = call("index", "model", "docs.jsonl", "--store", url).stdout.splitlines()
    assert lines[0] == "docs.jsonl: 9 documents (id: id, text: title, text, metadata: n, odd)"
    assert lines[1].startswith("Indexed: 9 documents embedded, 0 unchanged; ")
    found = json.loads(call("search", url, "bread", "-k", "2", "--json").stdout)
    assert found["hits"][0]["id"] == "d1"
    assert found["hits"][0]["metadata"] == {"n": 1, "odd": True}
    assert found["hits"][0]["text"] == "about bread\nbread and bread again"
    filtered = call("search", url, "bread", "--where", "odd=false", "--where", "n>=4", "--json")
    assert {hit["id"] for hit in json.loads(filtered.stdout)["hits"]} == {"d4", "d6", "d8"}
    shown = call("search", url, "bread", "-k", "1").stdout
    assert shown.split()[0] == "1"
    assert "d1  about bread bread and bread again" in shown
    write([*ROWS[:8], {**ROWS[8], "text": "glass"}])
    again = call("index", "model", "docs.jsonl", "--store", url).stdout
    assert "Indexed: 1 document embedded, 8 unchanged; " in again
    assert call("index", "--store", url, "--verify").stdout == (
        "9 documents: everything is as it was written\n"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_migration_there_and_back(call: Call, new_url: Callable[[str], str], kind: str) -> None:
    url = new_url(kind)
    call("index", "model", "docs.jsonl", "--store", url)
    before = call("search", url, "bread rain", "-k", "9").stdout
    Path("queries.txt").write_text("bread rain\n\nmoss\n", encoding="utf-8")
    words = ("index", "other", "docs.jsonl", "--store", url)
    assert "another model" in call(*words, code=2).stderr
    told = call(*words, "--migrate", "--queries", "queries.txt").stdout
    assert "Indexed: 9 documents embedded" in told
    assert "Of the nearest documents of 2 queries, 100 % stay" in told
    assert "\n  bread rain\n    d" in told
    assert call("search", url, "bread rain", "-k", "9").stdout == before
    # Begun anew, it goes on with what is there.
    assert "Indexed: 0 documents embedded, 9 unchanged" in call(*words, "--migrate").stdout
    assert "in place of those of" in call("index", "--store", url, "--switch").stdout
    after = call("search", url, "bread rain", "-k", "9").stdout
    assert after != before
    assert "nothing to migrate" in call(*words, "--migrate", code=2).stderr
    call("index", "--store", url, "--switch")
    assert call("search", url, "bread rain", "-k", "9").stdout == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["index", "--store", "faiss:x"], "needs MODEL and CORPUS"),
        (["index", "model", "--store", "faiss:x"], "needs MODEL and CORPUS"),
        (["index", "model", "docs.jsonl", "--store", "mysql:x"], "stores are"),
        (["index", "model", "none.jsonl", "--store", "faiss:x"], "no file or folder"),
        (["index", "model", "docs.jsonl", "--store", "faiss:x", "--text", "body"], "--text"),
        (["index", "model", "docs.jsonl", "--store", "faiss:x", "--id", "key"], "'key'"),
        (["index", "model", "docs.jsonl", "--store", "faiss:x", "--metadata", "key"], "'key'"),
        (
            ["index", "model", "docs.jsonl", "--store", "faiss:x", "--passage-overlap", "3"],
            "--passage-tokens",
        ),
        (["index", "model", "docs.jsonl", "--store", "faiss:x", "--passage-tokens", "999"], "1 to 62"),
        (["index", "model", "docs.jsonl", "--store", "faiss:x", "--switch"], "--migrate"),
        (["index", "model", "docs.jsonl", "--store", "faiss:x", "--migrate"], "no index to migrate"),
        (["index", "nowhere/at/all", "docs.jsonl", "--store", "faiss:x"], "no such folder"),
        (["index", "--store", "faiss:x", "--switch"], "nothing to switch"),
        (["search", "faiss:x", "query"], "no index here"),
        (["search", "faiss:x", "query", "--where", "language"], "KEY=VALUE"),
    ],
    ids=" ".join,
)
def test_one_clear_line(call: Call, words: list[str], named: str) -> None:
    pytest.importorskip("faiss")
    result = call(*words, code=2)
    assert named in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_another_form_needs_a_migration(call: Call) -> None:
    pytest.importorskip("faiss")
    words = ("index", "model", "docs.jsonl", "--store", "faiss:x")
    call(*words)
    assert "--precision" in call(*words, "--precision", "int8", code=2).stderr
    assert "--passage-tokens" in call(*words, "--passage-tokens", "5", code=2).stderr
    told = call(*words, "--migrate", "--precision", "int8", "--passage-tokens", "5", "--switch").stdout
    assert "9 documents in " in told
    found = json.loads(call("search", "faiss:x", "bread", "--json").stdout)
    assert len(found["hits"]) == 9


def test_a_folder_of_retrieval_data_and_a_template(call: Call) -> None:
    pytest.importorskip("faiss")
    Path("beir/qrels").mkdir(parents=True)
    write(
        [{"_id": row["id"], "title": row["title"], "text": row["text"]} for row in ROWS], "beir/corpus.jsonl"
    )
    write([{"_id": "q", "text": "bread"}], "beir/queries.jsonl")
    Path("beir/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td1\t1\n", encoding="utf-8")
    words = ("--text", r"{text}\n-- {title}", "--store", "faiss:x")
    assert "beir: 9 documents" in call("index", "model", "beir", *words).stdout
    found = json.loads(call("search", "faiss:x", "bread", "-k", "1", "--json").stdout)
    assert found["hits"][0]["text"] == "bread and bread again\n-- about bread"
