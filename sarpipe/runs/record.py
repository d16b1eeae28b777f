"""The record of a run: what its log says, read back; of runs that live, have ended, or were killed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sarpipe.errors import UsageError
from sarpipe.storage import address, read_small, small_files
from sarpipe.storage.durable import is_abandoned

State = Literal["running", "completed", "failed", "interrupted", "died"]

_SUFFIX = ".jsonl"
_LAST = re.compile(r"last(?:-(\d{1,6}))?")
_SHOWN = 5
_READS = 8
"""Logs that are read side by side: at a URL each is waited for."""


def folder_of(data: Path) -> Path:
    """Where the logs of the runs on an output folder lie."""
    return data / "runs"


_USED = {
    "started": {"command", "recipe", "preset", "settings", "versions"},
    "unit": {"stage", "name", "state", "places", "quarantined"},
    "stage": {"stage", "state", "units", "seconds", "places", "places_computed", "places_per_second", "retries"}
    | {"cpu_seconds", "peak_memory_bytes", "read_bytes", "written_bytes", "energy_joules", "energy_estimate_joules"},
    "ended": {"state", "reason", "seconds"},
}
"""Fields without which a line says nothing."""


@dataclass(frozen=True)
class Record:
    """What a log says.

    Attributes:
        id: Of the run: when it began, UTC, and four digits by chance.
        header: The first line: command, source, recipe, preset, settings, versions, host, pid.
        units: The lines of the units, one for each of their ends.
        stages: The lines of the stages that have ended.
        end: The last line; None if it was not written.
        alive: Whether the process lives that writes it, as seen from this machine.
    """

    id: str
    header: Mapping[str, Any]
    units: Sequence[Mapping[str, Any]]
    stages: Sequence[Mapping[str, Any]]
    end: Mapping[str, Any] | None
    alive: bool = False

    @classmethod
    def of(cls, name: str, content: bytes, *, alive: bool = False) -> Record:
        """Read a log. A line that is not whole, as the last one may be after a power cut, is left out."""
        lines = [line for line in map(_parsed, content.splitlines()) if line is not None]
        by_event: dict[str, list[Mapping[str, Any]]] = {}
        for line in lines:
            by_event.setdefault(line["event"], []).append(line)
        header, end = by_event.get("started", [{}])[0], by_event.get("ended", [None])[-1]
        return cls(name, header, by_event.get("unit", []), by_event.get("stage", []), end, alive)

    @property
    def state(self) -> State:
        """How it has ended; ``died``: it was killed, or the disk was full."""
        if self.end is not None:
            state: State = self.end["state"]
            return state
        return "running" if self.alive else "died"

    @property
    def seconds(self) -> float | None:
        """How long it took; None where that is not known."""
        return None if self.end is None else float(self.end["seconds"])

    @property
    def places(self) -> int:
        """Places of the last stage that has come to its end."""
        return next((int(stage["places"]) for stage in reversed(self.stages) if stage["places"]), 0)

    def last_units(self) -> dict[str, Mapping[str, Any]]:
        """How each unit has ended at last, by its name."""
        return {str(unit["name"]): unit for unit in self.units}

    def document(self) -> dict[str, Any]:
        """JSON-able: what ``sarpipe runs`` says of it, without its units."""
        named = ("time", "command", "source", "recipe", "preset", "host", "pid")
        return {
            "run": self.id,
            **{name: self.header.get(name) for name in named},
            "state": self.state,
            "reason": "" if self.end is None else self.end["reason"],
            # Not in a log of an earlier version.
            "error_code": None if self.end is None else self.end.get("error_code"),
            "seconds": self.seconds,
            "places": self.places,
            "stages": {str(stage["stage"]): stage["state"] for stage in self.stages},
        }


def names(data: Path) -> list[str]:
    """The ids of the runs on an output folder or at its URL, the newest first."""
    folder = folder_of(data)
    # What runs here, or was killed here, is not at the URL.
    here = folder.glob(f"[!.]*{_SUFFIX}") if folder.is_dir() else ()
    there = small_files(folder, _SUFFIX)
    return sorted({path.name.removesuffix(_SUFFIX) for path in (*here, *there)}, reverse=True)


def read(data: Path, name: str) -> Record:
    """The record of a run, by its whole id.

    Raises:
        FileNotFoundError: There is no such log any more.
    """
    path = folder_of(data) / f"{name}{_SUFFIX}"
    # Looked at before it is read: a run that ends in between is then not taken for one that was killed.
    alive = path.exists() and not is_abandoned(path)
    try:
        content = read_small(path)
    except FileNotFoundError:
        content = path.read_bytes()
    return Record.of(name, content, alive=alive)


def newest(data: Path, count: int) -> list[Record]:
    """The records of so many runs, the newest first."""
    with ThreadPoolExecutor(_READS) as reading:
        return list(reading.map(partial(read, data), names(data)[:count]))


def find(data: Path, text: str) -> Record:
    """The record of the run that is meant by ``last``, ``last-1``, an id, its beginning or its last four digits.

    Raises:
        UsageError: None is meant, or several are.
    """
    known = names(data)
    if not known:
        raise UsageError(f"no run is logged below {address(data)}", "Give the output folder by --data or SARPIPE_DATA")
    last = _LAST.fullmatch(text)
    if last:
        number = int(last[1] or 0)
        if number >= len(known):
            raise UsageError(f"there is no {text}: {len(known)} runs are logged", "'sarpipe runs' lists them")
        return read(data, known[number])
    meant = [name for name in known if name == text] or [
        name for name in known if text and (name.startswith(text) or name.endswith(f"-{text}"))
    ]
    if len(meant) == 1:
        return read(data, meant[0])
    if meant:
        more = ", ..." if len(meant) > _SHOWN else ""
        raise UsageError(f"{text!r} means {len(meant)} runs: {', '.join(meant[:_SHOWN])}{more}", "Give more of the id")
    likely = get_close_matches(text, [*known, *(name[-4:] for name in known), "last"], n=1, cutoff=0.5)
    said = f"; {likely[0]} is one" if likely else ""
    raise UsageError(f"there is no run {text[:100]!r}{said}", "'sarpipe runs' lists them; 'last' is the newest")


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    used = _USED.get(str(found.get("event")))
    return found if used is not None and used | {"time"} <= found.keys() else None
