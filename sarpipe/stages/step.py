"""A step of a plan: one artefact, whether it is there, and why it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypedDict

from sarpipe.codes import Code
from sarpipe.errors import DamagedError, DataError, StorageError, UsageError
from sarpipe.runs.log import measured
from sarpipe.settings import flat
from sarpipe.ssl4eo import Source
from sarpipe.storage import Artefact, address, code_version, digest_json, ensure, inspect, synced
from sarpipe.storage.artefact import is_of, left_beside, recoverable, sweep
from sarpipe.storage.lock import exclusive
from sarpipe.versions import versions_here

State = Literal["done", "missing", "damaged", "partial", "forced", "refused", "waits"]

_FINISHED = "finished by a run that was killed: it is put in its place"
_SHOWN = 3
"""So many differences are named."""


@dataclass(frozen=True)
class Step:
    """One artefact that a stage makes.

    Attributes:
        stage: ``preprocess``, ``train``, ``embed``, ``evaluate`` or ``report``.
        name: What it works on: a store, a preset. Names the task run.
        folder: Where the artefact is or will be; None where that cannot be known yet (``refused``, ``waits``).
        key: 64 hex digits, from inputs, settings and code; empty where the folder is None.
        state: ``done`` (there, and verified), ``missing``, ``damaged``, ``partial`` (there, but something beside it is
            not), ``forced`` (there, but to be made again), ``refused`` (its store cannot be used), ``waits`` (for an
            earlier step that is to be made first).
        why: The state in words.
        meta: What the key was made from and with which versions; goes into the manifest.
        source: The raw store, or a group of files, for the steps of ``preprocess``.
        places: How many places it holds, as far as that is known without fetching it; else 0.
        code: Of which kind it is that its store cannot be used, if it is ``refused``.
    """

    stage: str
    name: str
    folder: Path | None
    key: str
    state: State
    why: str
    meta: Mapping[str, Any]
    source: Source | None = None
    places: int = 0
    code: Code | None = None

    @property
    def done(self) -> bool:
        """Whether there is nothing to do."""
        return self.state == "done"

    def refusal(self) -> DataError:
        """The error of a step that is ``refused``."""
        if self.code is None:
            raise ValueError(f"step {self.name} is {self.state}, not refused")
        return DataError(self.why, code=self.code)


class Receipt(TypedDict):
    """What is known of a step after it has run. JSON-able."""

    stage: str
    name: str
    folder: str
    digest: str
    computed: bool
    seconds: float


def plan_step(
    stage: str,
    name: str,
    parent: Path,
    *,
    inputs: Mapping[str, Any],
    settings: Mapping[str, Any],
    code: tuple[str, ...],
    force: bool = False,
    label: str | None = None,
) -> Step:
    """Derive the key and the folder of an artefact, and look whether it is there and whole.

    Args:
        stage: The stage.
        name: What it works on.
        parent: The folder that its folder lies in.
        inputs: Digests of all that it is made from.
        settings: All settings that change its bytes.
        code: Parts of the package that make it (`sarpipe.storage.code_version`).
        force: Make it again although it is there.
        label: Start of the folder's name; ``name`` by default.
    """
    made = made_here(code)
    key = digest_json({"stage": stage, "inputs": inputs, "settings": settings, "code": made["code"]})
    folder = parent / f"{label or name}-{key[:12]}"
    meta = {
        "stage": stage,
        "name": name,
        "key": key,
        "inputs": dict(inputs),
        "settings": dict(settings),
        **made,
    }
    state, why = _look(folder, meta, force=force)
    return Step(stage, name, folder, key, state, why, meta)


@cache
def made_here(code: tuple[str, ...]) -> Mapping[str, Any]:
    """What makes an artefact in this process: the version of the ``code``, and those of the libraries."""
    return {"code": code_version(code), "versions": versions_here()}


def waiting(stage: str, name: str, earlier: str) -> Step:
    """A step whose key is not known before an earlier stage has run."""
    return Step(stage, name, None, "", "waits", f"depends on what {earlier} makes", {})


def refused(stage: str, name: str, error: DataError, source: Source) -> Step:
    """A step whose store cannot be used."""
    return Step(stage, name, None, "", "refused", str(error), {}, source, code=error.code)


def made_from(step: Step, source: Source, places: int) -> Step:
    """The step with its raw store, which holds so many places (0: not known)."""
    return replace(step, source=source, places=places)


def make(step: Step, write: Callable[[Path], None]) -> tuple[Artefact, bool]:
    """Give the artefact of a step, making it unless it is there and whole.

    Returns:
        The artefact, and whether it was made now.
    """
    if step.folder is None:
        raise ValueError(f"step {step.stage} {step.name} has no folder: {step.why}")
    return ensure(step.folder, step.meta, measured(step.name, write), force=step.state == "forced")


def put_away(step: Step) -> None:
    """Remove what killed runs have left beside an artefact that is there and whole, unless another run makes it anew:
    nobody makes it, so nobody else would.
    """
    if step.folder is not None and left_beside(step.folder):
        # Where nothing can be written, nothing is to be put away either.
        with suppress(BlockingIOError, StorageError), exclusive(step.folder, wait=False):
            sweep(step.folder, step.key)


def receipt(step: Step, artefact: Artefact, *, computed: bool, seconds: float) -> Receipt:
    """The receipt of a step."""
    return {
        "stage": step.stage,
        "name": step.name,
        # Not where the artefact was made: that may be the cache of another machine.
        "folder": str(step.folder),
        "digest": artefact.digest,
        "computed": computed,
        "seconds": round(seconds, 2),
    }


def require(step: Step, command: str) -> Artefact:
    """The artefact of an earlier step, which has to be there. Its files were verified by the plan.

    Raises:
        UsageError: It is not; ``command`` makes it.
    """
    if step.folder is None or not step.done:
        raise UsageError(
            f"{step.stage} {step.name} is not done: {step.why}",
            f"Run '{command}' first, with the same --data and settings",
            code=Code.NOT_MADE,
        )
    return inspect(step.folder)


def _look(folder: Path, meta: Mapping[str, Any], *, force: bool) -> tuple[State, str]:
    state: State = "done"
    why = "there, checksums verified"
    try:
        if not is_of(synced(folder), meta):
            state, why = "damaged", f"{address(folder)} has the key of something else"
    except FileNotFoundError:
        return "missing", _why_missing(folder, meta)
    except DamagedError as error:
        state, why = "damaged", error.message
    if state == "damaged" and recoverable(folder, str(meta["key"])) is not None:
        why = _FINISHED
    if force:
        # Also what is damaged now: another run may have mended it until it is this one's turn.
        return "forced", f"{'there' if state == 'done' else why}, but to be made again (--force)"
    return state, why


def _why_missing(folder: Path, meta: Mapping[str, Any]) -> str:
    if recoverable(folder, str(meta["key"])) is not None:
        return _FINISHED
    label = folder.name.rsplit("-", 1)[0]
    same = re.compile(re.escape(label) + "-[0-9a-f]{12}")
    below = folder.parent.iterdir() if folder.parent.is_dir() else ()
    others = [other for other in below if same.fullmatch(other.name)]
    if not others:
        return "not made yet"
    likest = min(filter(None, (_unlike(other, meta) for other in others)), key=len, default=[])
    if not likest:
        return "not made yet; others are there, from other inputs, settings or code"
    # What differs least is what was meant most likely.
    shown = ", ".join(likest[:_SHOWN]) + (", ..." if len(likest) > _SHOWN else "")
    return f"not made yet; the likest of {len(others)} that are there has {shown}"


def _unlike(folder: Path, meta: Mapping[str, Any]) -> list[str]:
    """How an artefact that is there differs from one that is looked for, in words; nothing where that is not known."""
    try:
        there = inspect(folder).meta
    except (FileNotFoundError, DamagedError):
        return []
    theirs, ours = flat(there.get("settings", {})), flat(meta["settings"])
    unlike = [f"{name} {theirs.get(name)}" for name in sorted(ours) if theirs.get(name) != ours[name]]
    unlike += ["other inputs"] if there.get("inputs") != meta["inputs"] else []
    return unlike + (["other code"] if there.get("code") != meta["code"] else [])
