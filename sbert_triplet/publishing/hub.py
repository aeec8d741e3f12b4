"""A folder to a repository on the Hub, in one commit: readers see the old content or the new one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id

from sbert_triplet.errors import InputError, MachineError, SbertTripletError
from sbert_triplet.publishing.retrying import Retrying, passing, status_of

MOVED = frozenset({409, 412})
"""Statuses with which the Hub refuses a commit that does not follow the newest one."""
_OF_A_MODEL = frozenset(
    {".safetensors", ".bin", ".json", ".model", ".onnx", ".xml", ".h5", ".msgpack", ".ot"}
)
_FOLDERS_OF_A_MODEL = frozenset({"onnx", "openvino", "figures"})
_NAMES_OF_A_MODEL = frozenset({"vocab.txt", "merges.txt", "recipe.yaml", "README.md"})


@dataclass(frozen=True)
class Content:
    """What a repository holds: its newest ``commit``, and digests of the ``files``.

    A digest is that of the content for large files (SHA-256) and of the git blob for others (SHA-1).
    """

    commit: str
    private: bool
    files: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Published:
    """``commit`` holds the folder's files; ``tag`` names it. ``changed``: False where it held them before."""

    commit: str
    url: str
    tag: str | None
    changed: bool
    removed: tuple[str, ...] = ()


class Hub:
    """The Hub, asked with patience. ``token``: the person's, else the one that they logged in with.

    Whatever is raised or said here is without the token. Raises InputError where there is none.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        retrying: Retrying | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        secret = token or get_token()
        if not secret:
            raise InputError(
                "no token of the Hub: log in with `hf auth login`, or set HF_TOKEN to one that may write"
            )
        self._api = HfApi(endpoint=endpoint, token=secret)
        self._again = retrying or Retrying(say)
        self._again = Retrying(self._again.say, secret, self._again.attempts, self._again.sleep)

    def publish(
        self, folder: Path, repo: str, *, message: str, tag: str | None = None, private: bool = True
    ) -> Published:
        """Make the files of ``folder`` the content of ``repo`` in one commit, and tag it.

        The repository is made where there is none; of its files those of another model go in the same
        commit, others stay. Large files are sent before it, and those that the Hub has are not sent again,
        so that a publish that was stopped goes on where it was when it is repeated.

        Raises InputError where the person's rights, the name or another writer are in the way, MachineError
        where the Hub cannot be reached; the content is the old one then, or all of the new one.
        """
        refuse_bad_name(repo)
        try:
            return self._publish(folder, repo, message, tag, private)
        except SbertTripletError:
            raise
        except Exception as error:
            # Answers may quote what was sent to them: what is told is looked through, the rest is dropped.
            raise self._explained(repo, error) from None

    def _publish(self, folder: Path, repo: str, message: str, tag: str | None, private: bool) -> Published:
        wanted = files_of(folder)
        found = self._found(repo, private)
        removed = tuple(sorted(name for name in found.files if name not in wanted and is_of_a_model(name)))
        changed = bool(removed) or not holds(found, wanted)
        commit = self._commit(repo, wanted, removed, found, message) if changed else found.commit
        if tag is not None:
            self._again(
                f"tag {tag}",
                lambda: self._api.create_tag(repo, tag=tag, revision=commit, exist_ok=True),
            )
        return Published(commit, f"{self._api.endpoint}/{repo}", tag, changed, removed)

    def _found(self, repo: str, private: bool) -> Content:
        found = self._content(repo)
        if found is None:
            self._again(
                "making the repository", lambda: self._api.create_repo(repo, private=private, exist_ok=True)
            )
            found = self._content(repo)
        if found is None:
            raise InputError(f"{repo}: was made and cannot be read; check what the token may do")
        if private and not found.private:
            raise InputError(
                f"{repo}: is public, and what is published is private unless --public is given: give it, or "
                "make the repository private in its settings"
            )
        return found

    def _content(self, repo: str) -> Content | None:
        try:
            info = self._again(
                "reading the repository", lambda: self._api.model_info(repo, files_metadata=True)
            )
        except RepositoryNotFoundError as error:
            if status_of(error) == 404:
                return None
            raise
        files = {}
        for each in info.siblings or ():
            digests = {each.blob_id, each.lfs.sha256 if each.lfs is not None else None}
            files[each.rfilename] = frozenset(digest for digest in digests if digest)
        return Content(info.sha or "", bool(info.private), files)

    def _commit(
        self, repo: str, wanted: Mapping[str, Path], removed: tuple[str, ...], found: Content, message: str
    ) -> str:
        """One commit on ``found.commit``; a lost answer is told apart from a commit that was not made."""
        for attempt in range(1, self._again.attempts + 1):
            # What was given to a commit may not be given to another one.
            added = [CommitOperationAdd(name, str(file)) for name, file in wanted.items()]
            try:
                self._api.preupload_lfs_files(repo, added)
                made = self._api.create_commit(
                    repo,
                    [*added, *(CommitOperationDelete(name, is_folder=False) for name in removed)],
                    commit_message=message,
                    parent_commit=found.commit or None,
                )
            except Exception as error:
                if not passing(error) and status_of(error) not in MOVED:
                    raise
                now = self._content(repo)
                if now is not None and now.commit != found.commit:
                    return self._of_ours(repo, now, wanted, removed)
                if attempt == self._again.attempts:
                    raise
                self._again.wait("sending", error, attempt)
            else:
                return str(made.oid)
        raise AssertionError("at least one attempt is made")

    @staticmethod
    def _of_ours(repo: str, now: Content, wanted: Mapping[str, Path], removed: tuple[str, ...]) -> str:
        if holds(now, wanted) and not set(removed) & set(now.files):
            return now.commit
        raise InputError(
            f"{repo}: another commit came in between ({now.commit[:12]}), and this one was not made; look at "
            "it, and publish again to replace it"
        )

    def _explained(self, repo: str, error: Exception) -> SbertTripletError:
        status, told = status_of(error), self._again.told(error)
        if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
            return InputError(
                f"{repo}: the token may not write there ({told}); take one with the right to write"
            )
        if passing(error) or (isinstance(error, OSError) and not isinstance(error, HfHubHTTPError)):
            return MachineError(
                f"{repo}: the Hub cannot be reached ({told}); its content is the old one or all of the new "
                "one. Publish again: what was sent is not sent twice"
            )
        return InputError(f"{repo}: the Hub refuses this ({told})")


def refuse_bad_name(repo: str) -> None:
    """Raise InputError where ``repo`` is no OWNER/NAME."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo!r}: is no name of a repository; give OWNER/NAME") from error
    if repo.count("/") != 1:
        raise InputError(f"{repo}: name the owner too, as OWNER/NAME")


def files_of(folder: Path) -> dict[str, Path]:
    """Every file in ``folder`` by its path in there, with forward slashes."""
    found = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file for file in found}


def holds(content: Content, wanted: Mapping[str, Path]) -> bool:
    """Whether the repository has each of these files, with this very content."""
    return all(
        name in content.files and digests_of(file) & content.files[name] for name, file in wanted.items()
    )


def digests_of(file: Path) -> frozenset[str]:
    """The two digests by which the Hub may know a file: SHA-256, and git's of a blob."""
    size = file.stat().st_size
    large, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            large.update(part)
            blob.update(part)
    return frozenset({large.hexdigest(), blob.hexdigest()})


def is_of_a_model(name: str) -> bool:
    """Whether a file would be read as part of a model, so that one left over would mix two of them."""
    path = PurePosixPath(name)
    inside = path.parts[0] if len(path.parts) > 1 else ""
    return (
        path.suffix in _OF_A_MODEL
        or name in _NAMES_OF_A_MODEL
        or inside in _FOLDERS_OF_A_MODEL
        or inside[:1].isdecimal()
    )
