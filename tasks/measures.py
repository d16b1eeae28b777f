"""The table of what an evaluation has measured so far, kept up to date while it measures."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from prefect.artifacts import TableArtifact

from sarpipe.tasks.artifact import LiveArtifact

_EVERY_SECONDS = 5.0


class MeasureTable:
    """A table artifact, a row a thing that is measured: what, since when (UTC), and seconds.

    A bar would need to know how many there will be, which depends on what is found.

    Args:
        key: Of the artifact, see `sarpipe.tasks.artifact.artifact_key`.
        what: What is evaluated.
    """

    def __init__(self, key: str, what: str) -> None:
        self._key, self._what = key, what
        self._rows: list[dict[str, Any]] = []
        self._began = time.monotonic()
        self._artifact = LiveArtifact(self._table("begun"), _EVERY_SECONDS)

    def now(self, words: str) -> None:
        """What is measured next. What goes on with the same two words goes on in its row."""
        if not (self._rows and self._rows[-1]["what"].split()[:2] == words.split()[:2]):
            self._end_row()
            self._began = time.monotonic()
            self._rows.append({"what": words, "since": f"{datetime.now(UTC):%H:%M:%S}", "seconds": ""})
        self._rows[-1]["what"] = words
        if self._artifact.due:
            self._artifact.update(self._table(words))

    def close(self, words: str) -> None:
        """All is measured."""
        self._end_row()
        self._artifact.update(self._table(words))

    def _end_row(self) -> None:
        if self._rows:
            self._rows[-1]["seconds"] = round(time.monotonic() - self._began, 1)

    def _table(self, now: str) -> TableArtifact:
        return TableArtifact(key=self._key, table=self._rows, description=f"{self._what}: {now}. Times are UTC.")
