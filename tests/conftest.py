"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Sentinel-1 data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("SARPIPE_REAL_DATA", ROOT.parent / "shared" / "data" / "sentinel1"))
    if not path.is_dir():
        pytest.skip("no real data: set SARPIPE_REAL_DATA to its folder")
    return path.resolve()
