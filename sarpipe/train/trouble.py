"""What to say when training cannot go on: which places a step had, and what to set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarpipe.codes import Code
from sarpipe.errors import StorageError, TrainingError
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.ssl.views import two_views
from sarpipe.storage.durable import write_bytes
from sarpipe.train.places import Places

EXTREME = 1e4
"""No channel or feature of backscatter comes near it; float16 ends at 6.5e4."""
NAMED = 8
"""So many places are named in a message; all of them are in the file."""
_AT_A_TIME = 64


def not_finite(
    what: str,
    step: int,
    steps: int,
    places: Places,
    positions: Tensor,
    views: ViewSettings,
    *,
    seed: int,
    epoch: int,
    folder: Path,
) -> TrainingError:
    """The error of a loss or a gradient that is not finite. Its batch is also written to ``folder``, with all ids.

    Args:
        what: Is not, of which step, as "loss of step 5 is nan".
        step: From 1.
        steps: Of the run.
        places: All.
        positions: ``int64 [B]``, those of the step.
        views: As the step drew them: they are drawn again here, to be looked at.
        seed: The run's.
        epoch: Of the step, from 0.
        folder: Where ``not-finite-step-N.json`` goes. That it cannot be written is said, and is not the error.
    """
    ids = [places.ids[i] for i in positions.tolist()]
    found = strange(places, positions, views, seed=seed, epoch=epoch)
    document = {"step": step, "epoch": epoch + 1, "what": what, "ids": ids, "strange": found}
    noted = _noted(folder / f"not-finite-step-{step:09d}.json", document)
    if found:
        why = f"strange numbers in {_some([f'{name} ({what})' for name, what in found.items()])}"
        hint = "Mend or take away the stores of these places, or raise recipe.min_valid"
    else:
        why = "cubes, frames and views of all of them are in range, so the weights have diverged"
        hint = "Try --set train.learning_rate a third as high, or --set train.precision=fp32"
    return TrainingError(
        f"the {what} ({steps} steps in all, this one of epoch {epoch + 1}); its batch is {_some(ids)}; {why}; {noted}",
        f"{hint}; a rerun goes on from the last checkpoint if settings and cubes are the same",
        code=Code.NOT_FINITE,
    )


def strange(places: Places, positions: Tensor, views: ViewSettings, *, seed: int, epoch: int) -> dict[str, str]:
    """Those of the places whose cube, frames or views hold infinity or more than `EXTREME`: id to what and where.

    NaN is no data, and no fault.
    """
    found: dict[str, str] = {}
    for start in range(0, len(positions), _AT_A_TIME):
        part = positions[start : start + _AT_A_TIME]
        batch = places.batch(part)
        with torch.no_grad():
            first, second = two_views(
                batch.cubes, batch.frames, batch.keys, views, seed=seed, epoch=epoch, dates=batch.dates
            )
        looked = {"cube": batch.cubes, "frames": batch.frames, "first view": first, "second view": second}
        largest = {name: _largest(values) for name, values in looked.items() if values is not None}
        for row, position in enumerate(part.tolist()):
            said = [f"{numbers[row]:g} in its {name}" for name, numbers in largest.items() if numbers[row] > EXTREME]
            if said:
                found[places.ids[position]] = ", ".join(said)
    return found


def _noted(path: Path, document: Mapping[str, Any]) -> str:
    """Write all that is known of a batch; where it can be read, or why it cannot, in words."""
    try:
        write_bytes(path, (json.dumps(document, indent=1) + "\n").encode())
    except (StorageError, OSError) as error:
        return f"no file names all: {error.message if isinstance(error, StorageError) else error}"
    return f"{path} names all"


@contextmanager
def out_of_memory(batch_size: int, device: torch.device) -> Iterator[None]:
    """Say as a `TrainingError` what to set where a step of so many places needs more memory than there is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        smaller = batch_size // 2
        raise TrainingError(
            f"a step of {batch_size} places needs more memory than {device} has left ({_first_line(error)})",
            f"--set train.batch_size={smaller}"
            if smaller >= 2
            else "Free some memory, or use another device (--set device=cpu)",
            code=Code.MEMORY,
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    said = str(error).lower()
    known = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc", "bad allocation")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in known)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _largest(values: Tensor) -> list[float]:
    """The largest magnitude of each place; 0 where there is no data."""
    numbers: list[float] = values.float().abs().nan_to_num(nan=0.0, posinf=torch.inf).flatten(1).amax(1).tolist()
    return numbers


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
