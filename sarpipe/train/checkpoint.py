"""Checkpoints: a run on disk between two steps, from which it goes on as if nothing had happened."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sarpipe.codes import Code
from sarpipe.errors import DamagedError
from sarpipe.storage import Artefact, commit, open_verified
from sarpipe.train.state import State

log = logging.getLogger(__name__)
KEEP = 2
TENSORS = "state.safetensors"
HISTORY = "history.json"


def save(folder: Path, key: str, state: State) -> None:
    """Commit the state, then remove all but the `KEEP` newest whole checkpoints of this run.

    Args:
        folder: Where checkpoints are kept; those of other runs there are left alone.
        key: Hash of all that the run is made from (64 hex digits).
        state: Between two steps; at the end of an epoch with its monitors.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """

    def write(temporary: Path) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors().items()}
        save_file(tensors, temporary / TENSORS)
        history = {"step": state.step, "losses": state.losses, "monitors": state.monitors}
        (temporary / HISTORY).write_text(json.dumps(history, allow_nan=False), encoding="utf-8")

    target = folder / f"step-{state.step:09d}-{key[:12]}"
    commit(target, {"stage": "train", "key": key, "step": state.step}, write)
    open_verified(target)  # read back before an older one goes
    kept = [target]
    for step, path in _found(folder, key):
        # What is damaged must not take the place of one that this run could go on from.
        if path != target and len(kept) < KEEP and _is_whole(path, key, step):
            kept.append(path)
        elif path != target:
            shutil.rmtree(path)


def resume(folder: Path, key: str, state: State) -> int:
    """Put the newest whole checkpoint of this run into a fresh state.

    Returns:
        The step that it was taken after; 0: there is none, and the state is as it was.

    Raises:
        DamagedError: There are some, and none is whole.
    """
    damaged = 0
    for step, path in _found(folder, key):
        try:
            artefact = _opened(path, key, step)
        except DamagedError as error:
            log.warning("checkpoint %s cannot be used, going back to the one before: %s", path.name, error.message)
            damaged += 1
            continue
        _load(artefact.path(TENSORS), artefact.path(HISTORY), state)
        return step
    if damaged:
        raise DamagedError(
            f"no checkpoint of this training is whole: all {damaged} in {folder} are damaged",
            f"Look after the disk. To train from the first step again, delete {folder}",
            code=Code.CHECKPOINTS_DAMAGED,
        )
    return 0


def _opened(path: Path, key: str, step: int) -> Artefact:
    """The checkpoint of this run after this step.

    Raises:
        DamagedError: It is damaged, or another one was put in its place.
    """
    artefact = open_verified(path)
    if (artefact.meta.get("key"), artefact.meta.get("step")) != (key, step):
        raise DamagedError(f"{path} is another checkpoint than its name says")
    return artefact


def _is_whole(path: Path, key: str, step: int) -> bool:
    try:
        _opened(path, key, step)
    except DamagedError:
        return False
    return True


def _load(tensors: Path, history: Path, state: State) -> None:
    saved = load_file(tensors)
    with torch.no_grad():
        for name, tensor in state.tensors().items():
            tensor.copy_(saved[name])
    record = json.loads(history.read_bytes())
    state.step, state.losses, state.monitors = record["step"], record["losses"], record["monitors"]


def _found(folder: Path, key: str) -> list[tuple[int, Path]]:
    """The checkpoints of a run, newest first."""
    name = re.compile(rf"step-(\d{{9}})-{key[:12]}")
    matches = [(name.fullmatch(path.name), path) for path in folder.glob("step-*")]
    return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)
