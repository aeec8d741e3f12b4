"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.overrides import TorchFunctionMode


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What the imports made is never garbage.

    Without this each training, which collects garbage at its start, searches it for a third of a second.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _token_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tokens and embeddings are kept in folders of this session, not in the person's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SBERT_TRIPLET_TOKEN_CACHE", str(tmp_path_factory.mktemp("tokens")))
        patch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path_factory.mktemp("embeddings")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that may stand beside a checkout; tests of it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            f"real data sets are not on this machine ({SHARED_DATA.name}/ beside the checkout's folder)"
        )
    return SHARED_DATA


SeveralProcesses = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="session")
def several_processes() -> SeveralProcesses:
    """Runs ``python WORDS`` as processes of one run on this machine: exit code and output of each."""

    def carried_out(
        *words: str, count: int = 2, limit: float = 240, folder: Path | None = None
    ) -> list[tuple[int, str]]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        processes = [_started(words, rank, count, port, folder) for rank in range(count)]
        end = time.monotonic() + limit
        try:
            outputs = [each.communicate(timeout=max(end - time.monotonic(), 1))[0] for each in processes]
        except subprocess.TimeoutExpired:
            pytest.fail(f"the processes wait for each other: nothing after {limit} s")
        finally:
            for each in processes:
                each.kill()
        return [(each.returncode, output) for each, output in zip(processes, outputs, strict=True)]

    return carried_out


def _started(
    words: tuple[str, ...], rank: int, count: int, port: int, folder: Path | None
) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="session")
def token_rows() -> Callable[[Mapping[str, Any]], list[list[int]]]:
    """Reads the token ids of each text out of an encoder's input, be it a pack or a padded group."""

    def read(features: Mapping[str, Any]) -> list[list[int]]:
        tokens = features["input_ids"]
        if "cu_seq_lens_q" not in features:
            masks = features["attention_mask"].bool()
            return [row[mask].tolist() for row, mask in zip(tokens, masks, strict=True)]
        assert tokens.shape == (1, int(features["cu_seq_lens_q"][-1]))
        return [row.tolist() for row in tokens[0].tensor_split(features["cu_seq_lens_q"][1:-1])]

    return read


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts of each group that was encoded."""
    from sbert_triplet.encoding.tokens import TokenTable

    seen: list[int] = []
    made = TokenTable.group_inputs

    def counted(self: TokenTable, form: int, ids: Any) -> dict[str, Any]:
        seen.append(len(ids))
        return made(self, form, ids)

    monkeypatch.setattr(TokenTable, "group_inputs", counted)
    return seen


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A tab of Chromium, a ``browser.Page``."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get update && apt-get install -y chromium")
    if sys.platform == "win32":
        pytest.skip("drives Chromium over inherited pipes, which Windows does not pass on")
    spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tab = module.Page(program, tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A module of eval/ by name; the Hub is out of reach."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "eval"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return importlib.import_module


class TensorBytes(TorchFunctionMode):
    """The bytes of every tensor that a torch function gives."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.seen.append(result.numel() * result.element_size())
        return result


@pytest.fixture
def tensor_bytes() -> type[TensorBytes]:
    return TensorBytes
