"""Flows of the tests' own process, on a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)


@contextmanager
def flows_on(url: str, results: Path, secret: str | None = None) -> Iterator[None]:
    """Flows that are called meanwhile run on the server with this API, their results go to a folder.

    Prefect sends events, by which a server knows of task runs, and logs from threads that keep to the server for which
    they were started: what is left is sent before and after, and the next server has threads of its own.
    """
    send_what_is_left()
    kept = {PREFECT_LOCAL_STORAGE_PATH: results}
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: secret, **kept}):
        yield
        send_what_is_left()


def send_what_is_left() -> None:
    """What this process still has to send would else wait for a server that is gone."""
    APILogWorker.drain_all()
    EventsWorker.drain_all()
