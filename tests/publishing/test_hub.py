"""A publish against a Hub on loopback that fails at any request: old content or new, never both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.publishing.hub import Hub, is_of_a_model
from sbert_triplet.publishing.retrying import ATTEMPTS, Retrying

FAILURES = ("500", "503 after it is done", "429", "reset", "lost answer", "cut body")
REPO = "me/tickets"
OLD = {
    "model.safetensors": b"old weights",
    "config.json": b'{"old": 1}',
    "2_Dense/model.safetensors": b"old head",
    "LICENSE": b"of the person",
    ".gitattributes": b"*.safetensors filter=lfs\n",
}
NEW = {
    "model.safetensors": b"new weights",
    "config.json": b'{"new": 1}',
    "README.md": b"---\nlicense: apache-2.0\n---\n# new\n",
    "1_Pooling/config.json": b"{}",
}
AFTER = {**NEW, "LICENSE": OLD["LICENSE"], ".gitattributes": OLD[".gitattributes"]}
REQUESTS = 8
"""Of an update of a repository that is there; a test below counts them."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in NEW.items():
        file = tmp_path / "model" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "model"


Publish = Callable[..., Any]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def publish(hub: Any, folder: Path, said: list[str]) -> Publish:
    def call(repo: str = REPO, *, private: bool = True, tag: str | None = "run-1") -> Any:
        patient = Retrying(said.append, sleep=lambda _: None)
        client = Hub(token=hub.token, endpoint=hub.address, retrying=patient)
        return client.publish(folder, repo, message="tickets, tuned", tag=tag, private=private)

    return call


def sees_old_or_new(hub: Any) -> bool:
    return all(commit.files in (OLD, AFTER) for commit in hub.repositories[REPO].commits)


def test_the_requests_of_an_update(hub: Any, publish: Publish) -> None:
    repository = hub.with_model(REPO, OLD)
    done = publish()
    assert repository.head.files == AFTER
    assert [commit.message for commit in repository.commits] == ["first", "tickets, tuned"]
    assert repository.tags == {"run-1": repository.head.name}
    assert done.commit == repository.head.name
    assert done.removed == ("2_Dense/model.safetensors",)
    assert len(hub.asked) == REQUESTS
    commit = next(n for n, asked in enumerate(hub.asked) if "/commit/" in asked)
    upload = next(n for n, asked in enumerate(hub.asked) if asked.startswith("PUT /lfs/"))
    assert upload < commit


@pytest.mark.parametrize("failure", FAILURES)
def test_one_failure_at_any_request_is_overcome(
    failure: str, hub: Any, publish: Publish, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number in range(REQUESTS):
        repository = hub.with_model(REPO, OLD)
        hub.objects.clear()
        hub.asked.clear()
        hub.fail_at, hub.failure = number, failure
        publish()
        assert repository.head.files == AFTER, hub.asked
        assert len(repository.commits) == 2, hub.asked
        assert repository.tags == {"run-1": repository.head.name}, hub.asked
        assert len(hub.asked) > REQUESTS
    assert hub.token not in caplog.text + "".join(said)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_hub_that_stays_away_leaves_the_old_or_the_new(
    failure: str, hub: Any, publish: Publish, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number in range(REQUESTS):
        repository = hub.with_model(REPO, OLD)
        hub.objects.clear()
        hub.asked.clear()
        hub.fail_at, hub.failure, hub.lasting = number, failure, True
        with pytest.raises(MachineError, match="the old one or all of the new one") as caught:
            publish()
        assert hub.token not in str(caught.getrepr(chain=True))
        assert "Signature" not in str(caught.value)
        assert sees_old_or_new(hub)
        assert len(repository.commits) <= 2
        hub.fail_at, hub.lasting = -1, False
        publish()
        assert repository.head.files == AFTER
        assert len(repository.commits) == 2, hub.asked
        assert repository.tags == {"run-1": repository.head.name}
    assert hub.token not in caplog.text + "".join(said)


def test_what_was_sent_is_not_sent_again(hub: Any, publish: Publish) -> None:
    hub.with_model(REPO, OLD)
    hub.fail_at, hub.lasting = REQUESTS - 2, True
    with pytest.raises(MachineError):
        publish()
    hub.fail_at, hub.lasting = -1, False
    sent = len([asked for asked in hub.asked if asked.startswith("PUT")])
    publish()
    assert sent == 1
    assert len([asked for asked in hub.asked if asked.startswith("PUT")]) == sent
    hub.asked.clear()
    assert publish().changed is False
    assert not [asked for asked in hub.asked if "/commit/" in asked]


@pytest.mark.parametrize("status", [409, 412])
def test_another_writer_in_between_is_refused(status: int, hub: Any, publish: Publish) -> None:
    repository = hub.with_model(REPO, OLD)
    other = {**OLD, "config.json": b'{"other": 1}'}

    def write(into: object) -> None:
        if len(repository.commits) == 1:
            repository.commit(other, "theirs")

    hub.before_commit, hub.moved = write, status
    with pytest.raises(InputError, match=r"another commit came in between.*publish again to replace it"):
        publish()
    assert repository.head.files == other
    assert repository.tags == {}
    publish()
    assert repository.head.files == AFTER


def test_a_repository_that_is_not_there_is_made_private(hub: Any, publish: Publish) -> None:
    publish()
    assert hub.repositories[REPO].private is True
    assert set(hub.repositories[REPO].head.files) == {*NEW, ".gitattributes"}
    publish("me/open", private=False)
    assert hub.repositories["me/open"].private is False


@pytest.mark.parametrize("failure", FAILURES)
def test_making_it_survives_a_failure_at_any_request(failure: str, hub: Any, publish: Publish) -> None:
    for number in range(REQUESTS + 2):
        hub.repositories.clear()
        hub.objects.clear()
        hub.asked.clear()
        hub.fail_at, hub.failure = number, failure
        publish()
        repository = hub.repositories[REPO]
        assert repository.private
        assert [len(commit.files) for commit in repository.commits] == [1, len(NEW) + 1], hub.asked


def test_a_public_repository_is_not_written_to_unasked(hub: Any, publish: Publish) -> None:
    repository = hub.with_model(REPO, OLD, private=False)
    with pytest.raises(InputError, match="is public, and what is published is private unless --public"):
        publish()
    assert len(repository.commits) == 1
    publish(private=False)
    assert repository.head.files == AFTER


def test_names_and_rights(hub: Any, publish: Publish, folder: Path) -> None:
    with pytest.raises(InputError, match="name the owner too, as OWNER/NAME"):
        publish("tickets")
    with pytest.raises(InputError, match="is no name of a repository"):
        publish("me/../tickets")
    with pytest.raises(InputError, match="someone/tickets: the token may not write there"):
        publish("someone/tickets")
    hub.with_model(REPO, OLD)
    stranger = Hub(token="hf_another", endpoint=hub.address, retrying=Retrying(print, sleep=lambda _: None))
    with pytest.raises(InputError, match="the token may not write there"):
        stranger.publish(folder, REPO, message="x")
    assert hub.repositories[REPO].head.files == OLD


def test_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sbert_triplet.publishing.hub.get_token", lambda: None)
    with pytest.raises(InputError, match="no token of the Hub: log in with"):
        Hub(endpoint="http://127.0.0.1:1")


def test_waits_are_those_that_the_hub_asks_for_or_doubled(hub: Any, folder: Path) -> None:
    hub.with_model(REPO, OLD)
    hub.fail_at, hub.failure, hub.lasting = 0, "503 after it is done", True
    waits: list[float] = []
    client = Hub(token=hub.token, endpoint=hub.address, retrying=Retrying(lambda _: None, sleep=waits.append))
    with pytest.raises(MachineError):
        client.publish(folder, REPO, message="x")
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert len(waits) == ATTEMPTS - 1


def test_which_files_are_of_a_model() -> None:
    of = ("model.safetensors", "2_Dense/notes", "onnx/model.onnx", "vocab.txt", "README.md", "figures/a.png")
    other = ("LICENSE", ".gitattributes", "photo.png", "notes/x.txt", "data.csv")
    assert [is_of_a_model(name) for name in of] == [True] * len(of)
    assert [is_of_a_model(name) for name in other] == [False] * len(other)
