"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that may stand beside a checkout; tests of it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            f"real data sets are not on this machine ({SHARED_DATA.name}/ beside the checkout's folder)"
        )
    return SHARED_DATA
