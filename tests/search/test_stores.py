"""What every store has to do alike."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sbert_triplet.search.filters import conditions_of, meets
from sbert_triplet.search.store import Collection, Count, Store, StoreError
from sbert_triplet.search.stores import STORES, open_store

_spec = importlib.util.spec_from_file_location("search_conftest", Path(__file__).with_name("conftest.py"))
assert _spec is not None
assert _spec.loader is not None
helpers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(helpers)
about, record, unit = helpers.about, helpers.record, helpers.unit

KINDS = sorted(STORES)
Filtered = tuple[Collection, list[dict[str, object]]]
IDS = [
    "plain",
    "../../etc/passwd",
    "/absolute",
    "a\0b",
    "a\x01b",
    "a\x010b",
    "caf\u00e9",
    "cafe\u0301",
    "x" * 300,
    "quote' \" \\ % {} $1 --",
    "new\nline\ttab",
    " ",
    "\U0001f600",
    "1",
    "01",
]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, new_url: Callable[[str], str]) -> Iterator[Store]:
    opened = open_store(new_url(request.param))
    yield opened
    opened.close()


@pytest.fixture
def collection(store: Store) -> Iterator[Collection]:
    opened = store.open(store.create(about()))
    yield opened
    opened.close()


def test_no_index_at_first(store: Store) -> None:
    assert store.current() is None
    assert store.generations() == []


def test_what_it_says_of_itself_is_kept(store: Store) -> None:
    name = store.create(about(similarity="dot"))
    assert store.current() == name
    assert store.open(name).about == about(similarity="dot")


def test_ids_texts_and_metadata_come_back_verbatim(collection: Collection) -> None:
    metadata = {
        "k\0ey": "v\0alue",
        "number": 3,
        "share": 0.25,
        "yes": True,
        "no": False,
        "a.b": "dot",
        "large": 2**53 + 1,
        "empty": "",
        "quote'\"": "x",
    }
    records = [record(id, f"text of\0 {id}", **metadata) for id in IDS]
    vectors = unit(len(IDS))
    collection.upsert(records, vectors)
    assert collection.count() == Count(len(IDS), len(IDS))
    for place, row in enumerate(vectors):
        best = collection.search(row[None], 1)[0][0]
        assert best.record == records[place]
        assert best.score == pytest.approx(1, abs=1e-5)
        assert {key: type(value) for key, value in best.record.metadata.items()} == {
            key: type(value) for key, value in metadata.items()
        }
    assert collection.verify() == []
    assert set(collection.digests(IDS)) == set(IDS)
    kept = collection.embeddings(IDS)
    for place, id in enumerate(IDS):
        np.testing.assert_allclose(kept[id, 0], vectors[place], atol=1e-6)
    assert collection.delete(["caf\u00e9", "a\0b", "never there"]) == 2
    assert set(collection.digests(IDS)) == set(IDS) - {"caf\u00e9", "a\0b"}


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_same_order_and_scores_as_by_hand(store: Store, similarity: str) -> None:
    collection = store.open(store.create(about(similarity=similarity)))
    rows, queries = unit(60, seed=2), unit(5, seed=3)
    if similarity != "cosine":
        rows = rows * np.linspace(0.5, 2, 60, dtype=np.float32)[:, None]
    for first in range(0, 60, 25):
        some = [record(f"{n:02}") for n in range(first, min(first + 25, 60))]
        collection.upsert(some, rows[first : first + 25])
    collection.settle()
    if similarity == "euclidean":
        expected = -np.linalg.norm(queries[:, None] - rows[None], axis=2)
    else:
        expected = queries @ rows.T
    for query, found in enumerate(collection.search(queries, 10)):
        order = np.argsort(-expected[query])[:10]
        assert [int(one.record.id) for one in found] == order.tolist()
        np.testing.assert_allclose([one.score for one in found], expected[query][order], atol=1e-5)
    assert [len(found) for found in collection.search(queries, 100)] == [60] * 5


def test_upsert_replaces_all_passages_of_a_document(collection: Collection) -> None:
    collection.upsert([record("a", "one", 0), record("a", "two", 1), record("b", "three")], unit(3))
    assert collection.count() == Count(2, 3)
    fresh = record("a", "four", 0, new=True)
    collection.upsert([fresh], unit(1, seed=9))
    assert collection.count() == Count(2, 2)
    assert collection.search(unit(1, seed=9), 1)[0][0].record == fresh
    assert collection.digests(["a", "b", "c"]) == {"a": fresh.digest, "b": record("b", "three").digest}


WHERES = [
    {"language": "en"},
    {"language": ["en", "de"]},
    {"language": []},
    {"year": 2001},
    {"year": 2001.0},
    {"year": {"gte": 2001}},
    {"year": {"gt": 2001, "lte": 2003}},
    {"year": {"lt": 2001.5}},
    {"share": 0.5},
    {"share": {"gte": 0.25, "lt": 1}},
    {"flag": True},
    {"flag": 1},
    {"flag": [False]},
    {"year": "2001"},
    {"mixed": 1},
    {"mixed": "1"},
    {"mixed": [1, "1", True]},
    {"missing": "x"},
    {"language": "en", "year": {"gte": 2002}},
    {"dotted.key": "v"},
    {"language": 'it\'s "quoted" \\ \0 %s'},
]


@pytest.mark.parametrize("where", WHERES, ids=repr)
def test_filters_agree_with_the_definition(filtered: Filtered, where: dict[str, object]) -> None:
    collection, metadata = filtered
    conditions = conditions_of(where)
    expected = {str(n) for n, one in enumerate(metadata) if meets(one, conditions)}
    found = collection.search(unit(1, seed=5), 100, conditions)[0]
    assert {one.record.id for one in found} == expected


@pytest.fixture(params=KINDS, scope="module")
def filtered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filtered]:
    new_url = helpers.new_url_in(request, tmp_path_factory.mktemp("filters"))
    store = open_store(new_url(request.param))
    collection = store.open(store.create(about()))
    metadata: list[dict[str, object]] = []
    for n in range(24):
        one: dict[str, object] = {"year": 2000 + n % 5, "share": n / 16, "flag": n % 2 == 0}
        one["language"] = ("en", "de", "fr", 'it\'s "quoted" \\ \0 %s')[n % 4]
        one["mixed"] = (1, "1", True, 1.0)[n % 4]
        if n % 3 == 0:
            one["dotted.key"] = "v"
            one["year"] = float(2000 + n % 5)
        metadata.append(one)
    collection.upsert([record(str(n), **one) for n, one in enumerate(metadata)], unit(24))
    yield collection, metadata
    store.close()


def test_two_generations_and_the_switch(store: Store) -> None:
    first = store.create(about())
    old = store.open(first)
    old.upsert([record("a", "old")], unit(1))
    second = store.create(about(16))
    new = store.open(second)
    new.upsert([record("a", "new")], unit(1, 16))
    assert store.current() == first
    assert store.generations() == [first, second]
    store.switch(second)
    assert store.current() == second
    assert store.open(second).search(unit(1, 16), 1)[0][0].record.text == "new"
    # What was opened before goes on with its own model's embeddings.
    assert old.search(unit(1), 1)[0][0].record.text == "old"
    with pytest.raises(StoreError, match="current"):
        store.drop(second)
    store.switch(first)
    assert store.open(first).search(unit(1), 1)[0][0].record.text == "old"
    store.drop(second)
    assert store.generations() == [first]
    with pytest.raises(StoreError):
        store.open(second)


def test_precision_that_it_has_not_is_refused(store: Store) -> None:
    for precision in {"fp32", "fp16", "int8", "binary"} - set(store.precisions):
        with pytest.raises(StoreError, match="faiss:"):
            store.create(about(precision=precision))
    assert store.generations() == []


def test_every_precision_finds_its_own_rows(new_url: Callable[[str], str]) -> None:
    tried = []
    for kind in KINDS:
        for precision in open_store(new_url(kind)).precisions:
            store = open_store(new_url(kind))
            collection = store.open(store.create(about(64, precision=precision)))
            rows = unit(40, 64)
            collection.upsert([record(str(n)) for n in range(40)], rows)
            found = [one[0].record.id for one in collection.search(rows, 1)]
            assert found == [str(n) for n in range(40)], (kind, precision)
            assert collection.verify() == []
            tried.append((kind, precision))
            store.close()
    assert ("faiss", "binary") in tried
