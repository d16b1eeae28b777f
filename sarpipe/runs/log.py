"""The log of a run: JSON lines below ``runs/`` of the output, written as it happens, one a unit and one a stage.

It is best effort: what keeps it from being written is said once, and the run goes on. Where no log is open (in a
notebook, on a Dask worker) the functions that note something do nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from sarpipe.errors import DataError, UsageError, code_of
from sarpipe.runs.cost import Cost
from sarpipe.runs.prometheus import write_metrics
from sarpipe.runs.record import Record, folder_of
from sarpipe.runs.stage import StageLog, said
from sarpipe.runs.table import write_table
from sarpipe.runs.usage import Usage
from sarpipe.settings import Settings
from sarpipe.storage import address, write_small
from sarpipe.storage.durable import fsync_path, make_folder, remove_abandoned, storage_errors, temporaries
from sarpipe.storage.lock import in_use
from sarpipe.versions import versions_here

if TYPE_CHECKING:
    from sarpipe.stages.preprocess import StoreReceipt
    from sarpipe.stages.step import Step

log = logging.getLogger(__name__)

_run: ContextVar[RunLog | None] = ContextVar("sarpipe_run", default=None)
_stage: ContextVar[StageLog | None] = ContextVar("sarpipe_stage", default=None)
_newest: RunLog | None = None
"""The run that this process has begun last; it may have ended."""


class RunLog:
    """The log of one run: a file that is held locked while its process lives.

    Args:
        settings: Of the run.
        command: ``run``, or the one stage.
        source: Where its stores are, if it reads any.
    """

    def __init__(self, settings: Settings, command: str, source: str | None) -> None:
        self._settings = settings
        now = datetime.now(UTC)
        self.id = f"{now:%Y%m%d-%H%M%S}{now.microsecond // 1000:03d}-{secrets.token_hex(2)}"
        self._path = folder_of(settings.data) / f"{self.id}.jsonl"
        self._lock = Lock()
        self._file: FileIO | None = None
        self._given_up = False
        self._stages: list[Mapping[str, Any]] = []
        self._started = time.monotonic()
        self._header = self._line(
            "started",
            command=command,
            source=source,
            recipe=settings.recipe.name,
            preset=settings.train.preset,
            settings=settings.model_dump(mode="json", exclude={"data", "data_url"}),
            versions=versions_here(),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        # A run that is given a wrong path leaves no folder behind.
        if settings.data.is_dir():
            self.quietly(self._open)

    def write(self, event: str, **fields: Any) -> None:
        """Add a line."""
        line = self._line(event, **fields)
        if event == "stage":
            self._stages.append(line)
        self.quietly(lambda: self._append(line))

    def cost(self) -> Cost | None:
        """What its stages took that have ended; None where nothing more is logged: then not all of them are known."""
        return None if self._given_up else Cost(self.id, address(self._settings.data), tuple(self._stages))

    def end(self, error: BaseException | None) -> None:
        """Add the last line, and write what is made of all: ``.parquet``, and the metrics for Prometheus."""
        if self._file is None and isinstance(error, UsageError):
            return
        state, reason = ("completed", "") if error is None else ("failed", said(error))
        if error is not None and not isinstance(error, Exception):
            state, reason = "interrupted", "by Ctrl-C" if isinstance(error, KeyboardInterrupt) else "by a signal"
        seconds, code = round(time.monotonic() - self._started, 3), None if error is None else code_of(error)
        self.write("ended", state=state, reason=reason, error_code=code, seconds=seconds)
        self.quietly(self._finish)

    def close(self) -> None:
        """Let go of the log: if it has no last line now, it never will."""
        if self._file is not None:
            self._file.close()

    def _line(self, event: str, **fields: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": now, "run": self.id, "event": event, **fields}

    def _open(self) -> None:
        """Put the log in place with its first line, held by this process: who sees it sees whether its run lives."""
        folder = self._path.parent
        with storage_errors(self._path):
            make_folder(folder)
            temporary = folder / f".tmp-{self._path.name}-{os.getpid()}-{secrets.token_hex(4)}"
            file = temporary.open("xb", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                _write_all(file, _encoded(self._header))
                os.fsync(file.fileno())
                os.rename(temporary, self._path)
                fsync_path(folder)
            except BaseException:
                file.close()
                temporary.unlink(missing_ok=True)
                raise
        self._file = file

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._lock, storage_errors(self._path):
            if self._file is None:
                self._open()
            if self._file is not None:
                # Unbuffered: a process that is killed takes no line with it.
                _write_all(self._file, _encoded(line))

    def _finish(self) -> None:
        if self._file is None:
            return
        with storage_errors(self._path):
            os.fsync(self._file.fileno())
        content = self._path.read_bytes()
        # At a URL it appears only now: there nothing can be added to a file.
        write_small(self._path, content)
        record = Record.of(self.id, content)
        write_table(self._path.with_suffix(".parquet"), record)
        write_metrics(self._settings, record)
        for left in temporaries(self._path.parent):
            remove_abandoned(left)

    def quietly(self, act: Callable[[], None]) -> None:
        """Do something for the log. What keeps it from being done is said once, and nothing more is logged."""
        if self._given_up:
            return
        try:
            act()
        except Exception as error:
            self._given_up = True
            log.warning("the log of this run cannot be written, which goes on without: %s", said(error))


@contextmanager
def run_log(settings: Settings, command: str, source: str | None = None) -> Iterator[None]:
    """Log what happens in a ``with`` block as one run, unless it is a part of one already. Until its end 'sarpipe gc'
    leaves alone what it may read.
    """
    # Of several processes that torchrun has started, the first speaks for all.
    if _run.get() is not None or os.environ.get("RANK", "0") != "0":
        yield
        return
    with in_use(settings.data):
        yield from _logged(settings, command, source)


def _logged(settings: Settings, command: str, source: str | None) -> Iterator[None]:
    global _newest
    _newest = run = RunLog(settings, command, source)
    token = _run.set(run)
    try:
        yield
    except BaseException as error:
        run.end(error)
        raise
    else:
        run.end(None)
    finally:
        run.close()
        _run.reset(token)


@contextmanager
def stage_log(settings: Settings, stage: str, source: str | None = None) -> Iterator[None]:
    """Log what happens in a ``with`` block as a stage; as a run of this stage alone, if none is logged."""
    with run_log(settings, stage, source):
        run = _run.get()
        if run is None:
            yield
            return
        noted = StageLog(stage, settings, run.write)
        token = _stage.set(noted)
        try:
            yield
        except BaseException as error:
            run.quietly(partial(noted.end, error))
            raise
        else:
            run.quietly(partial(noted.end, None))
        finally:
            noted.close()
            _stage.reset(token)


def run_cost() -> Cost | None:
    """What the run under way took so far; where none is, what the last one took that this process has logged."""
    run = _run.get() or _newest
    return None if run is None else run.cost()


def note_try(name: str) -> None:
    """A unit of the stage under way is begun, perhaps not for the first time."""
    _note(lambda stage: stage.tried(name))


def note_unit(step: Step, receipt: StoreReceipt, usage: Usage, written_bytes: int) -> None:
    """A unit has been made, or found by the worker that was to make it."""
    state = "computed" if receipt["computed"] else "reused"
    done: dict[str, Any] = {name: receipt[name] for name in ("places", "quarantined")}
    if receipt["computed"]:
        done |= {"read_bytes": step.meta["inputs"]["source_bytes"], "written_bytes": written_bytes}
    _note(lambda stage: stage.unit(step.name, state, usage, input=_fingerprint(step), **done))


def note_failure(step: Step, error: Exception) -> None:
    """A unit has not been made: its store is refused, or a try has failed."""
    state = "refused" if isinstance(error, DataError) else "failed"
    why: dict[str, Any] = {"reason": said(error), "error_code": code_of(error)}
    _note(lambda stage: stage.unit(step.name, state, input=_fingerprint(step), **why))


def note_planned(steps: Sequence[Step], receipts: Mapping[str, StoreReceipt]) -> None:
    """The units that the plan has found whole, and the stores that it has refused."""
    for step in steps:
        if step.done and step.name in receipts:
            found = receipts[step.name]
            _note_planned(step, "reused", places=found["places"], quarantined=found["quarantined"])
        elif step.state == "refused":
            _note_planned(step, "refused", reason=step.why, error_code=step.code)


def note_result(receipt: Mapping[str, Any], places: int) -> None:
    """The stage under way has come to its artefact: the set of cubes, or what was made of one."""
    _note(lambda stage: stage.done(receipt, places))


def measured(name: str, write: Callable[[Path], None]) -> Callable[[Path], None]:
    """A writer of an artefact that is noted as a try of this name, and whose energy is measured."""

    def noted(folder: Path) -> None:
        _note(lambda stage: stage.computing(name))
        write(folder)

    return noted


def _note(act: Callable[[StageLog], None]) -> None:
    stage, run = _stage.get(), _run.get()
    if stage is not None and run is not None:
        run.quietly(lambda: act(stage))


def _note_planned(step: Step, state: str, **fields: Any) -> None:
    _note(lambda stage: stage.unit(step.name, state, input=_fingerprint(step), **fields))


def _fingerprint(step: Step) -> str | None:
    """Of the raw store."""
    found: str | None = step.meta.get("inputs", {}).get("store")
    return found


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, default=str, separators=(",", ":")).encode() + b"\n"


def _write_all(file: FileIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
