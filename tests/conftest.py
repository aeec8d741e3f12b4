"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.overrides import TorchFunctionMode

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _token_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Rows of tokens are kept in a folder of this session, not in the person's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SBERT_TRIPLET_TOKEN_CACHE", str(tmp_path_factory.mktemp("tokens")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that may stand beside a checkout; tests of it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            f"real data sets are not on this machine ({SHARED_DATA.name}/ beside the checkout's folder)"
        )
    return SHARED_DATA


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
