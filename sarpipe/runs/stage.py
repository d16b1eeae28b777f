"""The log of a stage: its units as they end, and what it came to."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from sarpipe.errors import SarpipeError, code_of
from sarpipe.runs.usage import StageMeter, Usage
from sarpipe.settings import Settings
from sarpipe.storage import inspect

_ON_DEVICE = ("train", "embed", "evaluate")
"""Stages that compute on a GPU if there is one."""


class StageLog:
    """What is noted of one stage, for the line at its end.

    Args:
        stage: Its name.
        settings: Of the run.
        write: Adds a line to the log of the run: what kind of line, and its fields.
    """

    def __init__(self, stage: str, settings: Settings, write: Callable[..., None]) -> None:
        self._stage = stage
        self._data, self._device, self._epochs = settings.data, settings.device, settings.train.epochs
        self._write = write
        self._lock = Lock()
        self._started = time.monotonic()
        self._tries: Counter[str] = Counter()
        self._handed_out = 0.0
        self._units: dict[str, dict[str, Any]] = {}
        self._result: dict[str, Any] = {}
        elsewhere = stage == "preprocess" and settings.dask is not None
        self._meter = StageMeter(elsewhere=elsewhere or int(os.environ.get("WORLD_SIZE", "1")) > 1)

    def tried(self, name: str) -> None:
        """A unit is begun, perhaps not for the first time."""
        with self._lock:
            self._tries[name] += 1
            self._handed_out = self._handed_out or time.monotonic()

    def computing(self, name: str) -> None:
        """An artefact is made in this process, by torch perhaps."""
        self.tried(name)
        if self._stage in _ON_DEVICE:
            self._meter.watch_gpu(self._device)

    def unit(self, name: str, state: str, usage: Usage | None = None, **fields: Any) -> None:
        """A unit has ended: ``computed``, ``reused``, ``refused`` or ``failed``. The last of its ends counts."""
        line: dict[str, Any] = {"stage": self._stage, "name": name, "state": state, "places": 0, "quarantined": 0}
        line |= {"seconds": 0.0, "queue_seconds": 0.0, "cpu_seconds": 0.0, "read_bytes": 0, "written_bytes": 0}
        if usage is not None:
            # All are handed out at once: how long each waited until a worker was free for it.
            waited = time.monotonic() - self._handed_out - usage["seconds"]
            line |= {**usage, "queue_seconds": round(max(0.0, waited), 3)}
        with self._lock:
            line |= {"tries": self._tries[name], **fields}
            self._units[name] = line
        self._write("unit", **line)

    def done(self, receipt: Mapping[str, Any], places: int) -> None:
        """The stage has come to its artefact, which has so many places."""
        artefact = inspect(Path(receipt["folder"]))
        inputs = artefact.meta.get("inputs", {})
        self._result = {
            "computed": bool(receipt["computed"]),
            "places": places,
            "places_computed": places,
            "folder": artefact.folder.relative_to(self._data).as_posix(),
            "digest": artefact.digest,
            "code": artefact.meta.get("code"),
            "inputs": {name: value for name, value in inputs.items() if isinstance(value, str)},
            "bytes": artefact.bytes,
            "quarantine": receipt.get("codes", {}),
        }
        if receipt.get("steps"):
            # Of training, each place as often as it was seen in this run.
            share = 1 - receipt["resumed_from_step"] / receipt["steps"]
            self._result["places_computed"] = round(places * self._epochs * share)

    def end(self, error: BaseException | None) -> None:
        """Add the line of the stage."""
        seconds, result, units = time.monotonic() - self._started, self._result, list(self._units.values())
        usage = self._meter.stop(sum(unit["cpu_seconds"] for unit in units))
        made = [unit for unit in units if unit["state"] == "computed"]
        own = result if result.get("computed") else {}
        places = sum(unit["places"] for unit in made) if units else own.get("places_computed", 0)
        state = "failed" if error is not None else "computed" if made or own else "reused"
        self._write(
            "stage",
            stage=self._stage,
            state=state,
            reason="" if error is None else said(error),
            # ``code`` is the version of the code that made it.
            error_code=None if error is None else code_of(error),
            seconds=round(seconds, 3),
            units=_counted(unit["state"] for unit in units),
            refused=_counted(unit["error_code"] for unit in units if unit["state"] == "refused"),
            quarantine=result.get("quarantine", {}),
            places=result.get("places", 0),
            quarantined=sum(unit["quarantined"] for unit in units),
            places_computed=places,
            places_per_second=round(places / seconds, 3) if places else None,
            busy_seconds=round(sum(unit["seconds"] for unit in made), 3) if units else None,
            queue_seconds=round(sum(unit["queue_seconds"] for unit in made) / len(made), 3) if made else None,
            retries=sum(tries - 1 for tries in self._tries.values()),
            read_bytes=sum(unit["read_bytes"] for unit in made),
            written_bytes=sum(unit["written_bytes"] for unit in made) + own.get("bytes", 0),
            worker_peak_memory_bytes=max((unit.get("peak_memory_bytes", 0) for unit in made), default=None),
            **usage,
            **{name: result.get(name) for name in ("folder", "digest", "code", "inputs")},
        )

    def close(self) -> None:
        """Measure no more."""
        self._meter.close()


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))


def said(error: BaseException) -> str:
    """An error in words."""
    if isinstance(error, SarpipeError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
