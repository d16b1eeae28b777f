"""Flows of the tests' own process, on a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from real_server import PrefectServer


@contextmanager
def flows_on(server: PrefectServer, results: Path) -> Iterator[None]:
    """Flows that are called meanwhile run on this server, their results go to a folder."""
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_LOCAL_STORAGE_PATH: results}):
        yield
