"""Room for what is to be made: looked at before anything is computed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, N_DATES
from sarpipe.codes import Code
from sarpipe.errors import StorageError
from sarpipe.settings import Settings
from sarpipe.stages.step import Step
from sarpipe.storage.durable import make_folder, storage_errors
from sarpipe.storage.lock import hold_uses

PLACE_BYTES = CUBE_SIZE**2 * (len(CHANNELS) * 4 + N_DATES * len(FEATURES) * 2)
"""Of a unit, for each place: its cube as float32 and its frames as float16. The tables are small beside them."""


def check_room(settings: Settings, steps: Sequence[Step]) -> None:
    """See that the units that these steps make can be written, and have room.

    Places of stores at a URL are not known before they are fetched, and are not counted.

    Raises:
        StorageError: The folder cannot be written to, or the disk has too little space.
    """
    todo = [step for step in steps if not step.done and step.state != "refused"]
    if not todo:
        return
    folder = settings.cubes_folder
    with storage_errors(folder):
        make_folder(folder)
    hold_uses()
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"cannot write to {folder}", "Choose another output folder (--data, or OUT)", code=Code.READ_ONLY
        )
    places = sum(step.places for step in todo)
    needed, free = places * PLACE_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"the cubes of {places:,} places need about {_gib(needed)}, and {folder} has {_gib(free)} free",
            "Free some space, give fewer stores, or choose another output folder with --data",
            code=Code.DISK_FULL,
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"
