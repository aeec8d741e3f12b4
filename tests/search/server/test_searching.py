"""Search over HTTP: the documents that the index gives, filtered, cut, and side by side."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sbert_triplet.search.server.app import Service
from sbert_triplet.search.server.ballots import sign_test
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.served import ServedModel


def test_the_hits_are_those_of_the_index(searching: Any, indexes: Any) -> None:
    answer = searching.post("/search", {"query": ["moss", "night bread"], "k": 3}).json()
    assert (answer["index"], answer["model"], answer["exact"]) == ("tuned", "tiny-tuned", True)
    about = httpx.get(f"{searching.url}/page/about").json()
    assert [(one["index"], one["documents"]) for one in about["indexes"]] == [("tuned", 4), ("base", 4)]
    for asked, result in zip(
        indexes[0].index.search(["moss", "night bread"], k=3), answer["results"], strict=True
    ):
        assert [hit["id"] for hit in result["hits"]] == [hit.id for hit in asked]
        assert [hit["score"] for hit in result["hits"]] == pytest.approx(
            [hit.score for hit in asked], abs=1e-5
        )
        assert [hit["text"] for hit in result["hits"]] == [hit.text for hit in asked]
    other = searching.post("/search", {"query": "moss", "index": "base"}).json()
    assert [hit["id"] for hit in other["results"][0]["hits"]] == [
        hit.id for hit in indexes[1].index.search(["moss"])[0]
    ]


def test_conditions_and_threshold(searching: Any) -> None:
    def ids(**more: Any) -> set[str]:
        hits = searching.post("/search", {"query": "bread", **more}).json()["results"][0]["hits"]
        return {hit["id"] for hit in hits}

    assert ids() == {"rain", "bread", "chess", "../salt"}
    assert ids(where={"year": {"gte": 2021}}) == {"bread", "chess", "../salt"}
    assert ids(filters=["year>=2021", "kind=food"]) == {"bread"}
    assert ids(where={"kind": "<i>"}, filters=["year>2000"]) == {"../salt"}
    assert ids(filters=["kind=nothing"]) == set()
    assert ids(threshold=1.5) == set()
    assert ids(threshold=-1.5) == ids()


@pytest.mark.parametrize(
    ("content", "status", "param"),
    [
        ({"query": "a", "filters": ["nonsense"]}, 422, "where"),
        ({"query": "a", "where": {"year": {"near": 3}}}, 422, "where"),
        ({"query": "a", "where": {"year": 1}, "filters": ["year=1"]}, 422, "where"),
        ({"query": "a", "k": 0}, 422, "k"),
        ({"query": "a", "k": 101}, 422, "k"),
        ({"query": "a", "index": "third"}, 404, "index"),
        ({"query": []}, 422, "query"),
        ({"query": ["a"] * 33}, 422, "query"),
        ({"query": 4}, 422, "query"),
        ({}, 422, "query"),
    ],
)
def test_what_is_wrong_is_told(searching: Any, content: Any, status: int, param: str) -> None:
    answer = searching.post("/search", content)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert "--where" not in answer.text


def test_without_an_index(start: Any, served: ServedModel) -> None:
    running = start(Service([served]))
    assert running.post("/search", {"query": "a"}).json()["error"]["code"] == "no_index"
    assert running.post("/page/search", {"query": "a"}).status_code == 404
    assert httpx.get(f"{running.url}/page/about").json()["indexes"] == []


def test_both_lists_by_name(searching: Any) -> None:
    found = searching.post("/page/search", {"query": "moss", "k": 2}).json()
    assert [one["index"] for one in found["lists"]] == ["tuned", "base"]
    assert found["ballot"] is None
    assert all("score" in hit for one in found["lists"] for hit in one["hits"])


def test_a_blind_answer_tells_nothing(searching: Any, indexes: Any) -> None:
    """No name, no score; and over many answers each model stands on either side."""
    plain = [[hit.id for hit in one.index.search(["moss"])[0]] for one in indexes]
    assert plain[0] != plain[1]
    sides = set()
    for _ in range(24):
        answer = searching.post("/page/search", {"query": "moss", "blind": True})
        assert "tuned" not in answer.text
        assert "tiny" not in answer.text
        assert "score" not in answer.text
        left, right = ([hit["id"] for hit in one["hits"]] for one in answer.json()["lists"])
        assert {tuple(left), tuple(right)} == {tuple(one) for one in plain}
        sides.add(plain.index(left))
    assert sides == {0, 1}


def test_votes_are_kept_and_counted(searching: Any, indexes: Any) -> None:
    plain = [[hit.id for hit in one.index.search(["moss"])[0]] for one in indexes]

    def vote(wanted: int | None) -> int:
        found = searching.post("/page/search", {"query": "moss", "blind": True, "filters": []}).json()
        left = plain.index([hit["id"] for hit in found["lists"][0]["hits"]])
        choice = "tie" if wanted is None else "left" if left == wanted else "right"
        cast = searching.post("/page/vote", {"ballot": found["ballot"], "choice": choice})
        again = searching.post("/page/vote", {"ballot": found["ballot"], "choice": choice})
        assert again.status_code == 404
        return int(cast.json()["votes"])

    assert [vote(wanted) for wanted in (0, 0, 1, 0, None, 0, 0)] == [1, 2, 3, 4, 5, 6, 7]
    counted = httpx.get(f"{searching.url}/page/votes").json()
    assert [(one["index"], one["votes"]) for one in counted["lists"]] == [("tuned", 5), ("base", 1)]
    assert counted["ties"] == 1
    # Of 64 outcomes of six: 1 + 6 on either side.
    assert counted["p_value"] == pytest.approx(14 / 64)
    lines = searching.service.votes.read_text().splitlines()
    assert len(lines) == 7
    assert json.loads(lines[0])["query"] == "moss"
    assert json.loads(lines[0])["preferred"].startswith("tiny-tuned ")
    assert json.loads(lines[4])["preferred"] is None
    searching.service.votes.write_text(lines[0] + "\n{half a li\n[]\n")
    assert [one["votes"] for one in httpx.get(f"{searching.url}/page/votes").json()["lists"]] == [1, 0]


def test_a_vote_needs_a_ballot(searching: Any) -> None:
    assert searching.post("/page/vote", {"ballot": "made up", "choice": "left"}).status_code == 404
    assert searching.post("/page/vote", {"ballot": "made up", "choice": "both"}).status_code == 422
    assert not searching.service.votes.exists()


def test_sign_test() -> None:
    assert sign_test(0, 0) == 1
    assert sign_test(3, 3) == 1
    assert sign_test(5, 0) == pytest.approx(2 / 32)
    assert sign_test(1, 8) == sign_test(8, 1) == pytest.approx(2 * 10 / 512)
    assert sign_test(900, 0) == pytest.approx(2.0**-899)
    assert sign_test(4000, 0) == 0


def test_limits(start: Any, indexes: Any, tmp_path: Any) -> None:
    running = start(
        Service([one.served for one in indexes], indexes, limits=Limits(results=2), votes=tmp_path / "v")
    )
    assert running.post("/search", {"query": "a", "k": 2}).status_code == 200
    assert running.post("/page/search", {"query": "a", "k": 3}).status_code == 422
