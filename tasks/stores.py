"""The table of a run's stores: how far each is, kept up to date while they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect.artifacts import TableArtifact

from sarpipe.errors import DataError, code_of
from sarpipe.stages.preprocess import StoreReceipt
from sarpipe.stages.step import Step
from sarpipe.tasks.artifact import LiveArtifact, plain

_EVERY_SECONDS = 5.0
_SHOWN = 1000
"""Stores at most: a table is one row of the server's database. 398 of them take 50 KB."""
_STATES = ("failed", "refused", "to do", "computed", "reused")
"""In the order of the table: first what somebody has to look at."""


class StoreTable:
    """A table artifact, a row a store: its state, when it ended (UTC), seconds of work, places, code and reason if
    refused.

    It is there from the start, and at most some seconds old if the process dies.

    Args:
        key: Of the artifact, see `sarpipe.tasks.artifact.artifact_key`.
        steps: The plan.
    """

    def __init__(self, key: str, steps: Iterable[Step]) -> None:
        self._rows: dict[str, dict[str, Any]] = {step.name: _row(step.name, "to do") for step in steps}
        self._key = key
        self._artifact = LiveArtifact(self._table(), _EVERY_SECONDS)

    def made(self, receipt: StoreReceipt) -> None:
        """A store has its unit."""
        self._rows[receipt["name"]] = _row(receipt["name"], "computed" if receipt["computed"] else "reused") | {
            "ended": _now(),
            "seconds": receipt["seconds"],
            "cubes": receipt["places"],
            "quarantined": receipt["quarantined"],
        }
        self._show()

    def failed(self, name: str, error: BaseException) -> None:
        """A store has none: it cannot be used, or its making has failed."""
        state = "refused" if isinstance(error, DataError) else "failed"
        self._rows[name] = _row(name, state) | {
            "ended": _now(),
            "code": code_of(error).value,
            "reason": plain(str(error)),
        }
        self._show()

    def close(self) -> None:
        """Show how they are now, whatever comes next."""
        self._artifact.update(self._table())

    def _show(self) -> None:
        if self._artifact.due:
            self._artifact.update(self._table())

    def _table(self) -> TableArtifact:
        rows = sorted(self._rows.values(), key=lambda row: _STATES.index(row["state"]))
        counts = Counter(row["state"] for row in rows)
        words = [f"{counts[state]:,} {state}" for state in _STATES if counts[state]]
        shown = f" (the first {_SHOWN:,} are shown)" if len(rows) > _SHOWN else ""
        description = f"{len(rows):,} stores{shown}: {', '.join(words)}. Times are UTC."
        return TableArtifact(key=self._key, table=rows[:_SHOWN], description=description)


def _row(name: str, state: str) -> dict[str, Any]:
    return {
        "store": name,
        "state": state,
        "code": "",
        "reason": "",
        "ended": "",
        "seconds": "",
        "cubes": "",
        "quarantined": "",
    }


def _now() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}"
