"""Progress of long work as an artifact of the run, and in its log."""

from __future__ import annotations

import time

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

_EVERY_SECONDS = 3.0
"""Each update is a request to the API."""


class Watch:
    """A progress artifact, kept up to date at most every few seconds.

    Args:
        key: Of the artifact: lower-case letters, digits and dashes.
        description: What is under way.
    """

    def __init__(self, key: str, description: str) -> None:
        self._log = get_run_logger()
        self._artifact = create_progress_artifact(0.0, key=key, description=description)
        self._last = time.monotonic()

    def show(self, done: int, total: int, note: str) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if done < total and now - self._last < _EVERY_SECONDS:
            return
        self._last = now
        self._log.info("%s", note if done == total == 1 else f"{done} of {total}: {note}")
        update_progress_artifact(self._artifact, progress=100.0 * done / max(total, 1))  # type: ignore[arg-type]
