"""Fixtures for every room's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real imagery that may stand beside the clone; the test is skipped where it doesn't."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real imagery (../shared/data) is not beside this clone")
    return REAL_DATA
