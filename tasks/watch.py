"""Progress of long work as an artifact of the run, and in its log."""

from __future__ import annotations

import time

from prefect.artifacts import ProgressArtifact
from prefect.logging import get_run_logger

from sarpipe.tasks.artifact import LiveArtifact

_EVERY_SECONDS = 3.0
"""Each update is a request to the API."""


class Watch:
    """A progress artifact, kept up to date: a bar, and in words how far it is and how long it will take.

    Args:
        key: Of the artifact, see `sarpipe.tasks.artifact.artifact_key`.
        what: What is under way.
    """

    def __init__(self, key: str, what: str) -> None:
        self._log = get_run_logger()
        self._key, self._what = key, what
        self._began: tuple[float, int] | None = None
        self._artifact = LiveArtifact(self._bar(0.0, what), _EVERY_SECONDS)

    def show(self, done: int, total: int, note: str) -> None:
        """Say how far it is."""
        # What was done before, by a run that was broken off, says nothing of how long the rest takes.
        self._began = self._began or (time.monotonic(), done)
        if done < total and not self._artifact.due:
            return
        said = note if done == total == 1 else f"{done:,} of {total:,}: {note}{self._left(done, total)}"
        self._log.info("%s", said)
        self._artifact.update(self._bar(100.0 * done / max(total, 1), f"{self._what}: {said}"))

    def _bar(self, percent: float, words: str) -> ProgressArtifact:
        return ProgressArtifact(key=self._key, progress=percent, description=words)

    def _left(self, done: int, total: int) -> str:
        began, before = self._began or (time.monotonic(), done)
        if done >= total or done <= before:
            return ""
        return f", about {_duration((time.monotonic() - began) / (done - before) * (total - done))} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
