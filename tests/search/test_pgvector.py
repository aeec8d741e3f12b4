"""PostgreSQL: graphs, an application's own table, passwords that are never shown."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbert_triplet.search.filters import conditions_of
from sbert_triplet.search.store import About, Count, Passage, Record, StoreError
from sbert_triplet.search.stores import open_store

D = 32


def rows(count: int, seed: int = 1, dimensions: int = D) -> np.ndarray[Any, Any]:
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def record(id: str, **metadata: Any) -> Record:
    return Record(id, Passage(0, 0, 4), "text", metadata, f"digest of {id}")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "binary"])
def test_graph_finds_what_comparing_finds(new_url: Callable[[str], str], precision: str) -> None:
    found = []
    for option in ("", "&hnsw_from=100"):
        store = open_store(new_url("postgresql") + option)
        collection = store.open(store.create(About("f", "m", D, precision=precision)))
        collection.upsert([record(str(n), n=n) for n in range(400)], rows(400))
        collection.settle()
        assert collection.exact is not bool(option)
        conditions = conditions_of({"n": {"lt": 300}})
        found.append(
            [[one.record.id for one in some] for some in collection.search(rows(20, 3), 10, conditions)]
        )
        store.close()
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(*found, strict=True)]
    assert np.mean(shared) > 0.97


@pytest.fixture
def application(postgres: str) -> Iterator[tuple[Any, str]]:
    """An application's table of articles and its connection; the URL that names its columns."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create extension if not exists vector")
        kept = "sbert_triplet_generations, sbert_triplet_digests"
        connection.execute(f"drop table if exists articles, {kept}")
        columns = "slug int primary key, body text not null, language text, seen timestamptz"
        connection.execute(f"create table articles ({columns})")
        for n in range(30):
            values = (n, f"body {n}", ("en", "de")[n % 2])
            connection.execute("insert into articles values (%s, %s, %s, now())", values)
        mark = "&" if "?" in postgres else "?"
        yield connection, f"{postgres}{mark}table=articles&id=slug&text=body&embedding=embedding"


def test_an_applications_own_sql_goes_on_working(application: tuple[Any, str]) -> None:
    """Its query reads the column `embedding` before, between and after the switch, and after the way back."""
    connection, url = application
    store = open_store(url)
    first = store.create(About("a", "old", D))
    old = store.open(first)
    old.upsert([record(str(n)) for n in range(30)], rows(30))

    def nearest(query: np.ndarray[Any, Any]) -> int:
        spelled = str(query.tolist())
        found = connection.execute("select slug from articles order by embedding <=> %s limit 1", (spelled,))
        return int(found.fetchone()[0])

    assert nearest(rows(30)[7]) == 7
    hit = old.search(rows(30)[7][None], 1, conditions_of({"language": "de"}))[0][0]
    assert (hit.record.id, hit.record.text, hit.record.metadata["language"]) == ("7", "body 7", "de")
    second = store.create(About("b", "new", 16))
    new = store.open(second)
    new.upsert([record(str(n)) for n in range(29)], rows(29, 2, 16))
    assert nearest(rows(30)[7]) == 7
    assert new.count() == Count(29, 29)
    store.switch(second)
    assert nearest(rows(29, 2, 16)[7]) == 7
    assert [one.record.id for one in old.search(rows(30)[8][None], 1)[0]] == ["8"]
    store.switch(first)
    assert nearest(rows(30)[7]) == 7
    store.drop(second)
    assert new.about.dimensions == 16
    with pytest.raises(StoreError, match="dropped"):
        new.count()
    assert old.delete(["7", "99"]) == 1
    assert old.count() == Count(29, 29)
    assert connection.execute("select count(*) from articles").fetchone()[0] == 30
    assert set(old.digests([str(n) for n in range(30)])) == {str(n) for n in range(30)} - {"7"}
    store.close()


def test_a_row_that_is_missing_and_passages_are_refused(application: tuple[Any, str]) -> None:
    _, url = application
    store = open_store(url)
    collection = store.open(store.create(About("a", "m", D)))
    with pytest.raises(StoreError, match="no row whose slug is '31'"):
        collection.upsert([record("1"), record("31")], rows(2))
    assert collection.count() == Count(0, 0)
    cut = Record("1", Passage(1, 4, 8), "more", {}, "d")
    with pytest.raises(StoreError, match="--passage-tokens"):
        collection.upsert([record("1"), cut], rows(2))
    store.close()


def test_wrong_columns_are_named(application: tuple[Any, str]) -> None:
    _, url = application
    with pytest.raises(StoreError, match="no column title"):
        open_store(url.replace("text=body", "text=title")).create(About("a", "m", D))
    with pytest.raises(StoreError, match="no table nothing"):
        open_store(url.replace("table=articles", "table=nothing")).create(About("a", "m", D))
    with pytest.raises(StoreError, match="is no index"):
        open_store(url.partition("&id=")[0]).create(About("a", "m", D))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:secret@127.0.0.1:1/db?table=x",
        "postgresql://127.0.0.1:1/db?user=someone&password=secret&table=x",
        "postgres://someone:secret@127.0.0.1:1/db",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=r"127\.0\.0\.1") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value)


@pytest.mark.parametrize(
    ("query", "named"), [("table=", "empty"), ("text=body", "id="), ("hnsw_from=x", "no number")]
)
def test_wrong_parameters(query: str, named: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=named):
        open_store(f"postgresql://127.0.0.1:1/db?{query}")


def test_a_missing_package_gives_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    from sbert_triplet.search import stores

    def without(name: str) -> Any:
        if name.endswith("pgvector.home"):
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        return import_module(name)

    monkeypatch.setattr(stores, "import_module", without)
    with pytest.raises(StoreError, match=r'pip install "sbert-triplet\[pgvector\]"') as caught:
        open_store("postgresql://127.0.0.1:1/db")
    assert caught.value.exit_code == 2


def test_every_store_has_an_extra() -> None:
    import tomllib

    from sbert_triplet.search.stores import STORES

    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for module, _ in STORES.values():
        assert module.partition(".")[0] in extras
        assert importlib.util.find_spec(f"sbert_triplet.search.stores.{module}") is not None
