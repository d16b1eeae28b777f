"""The small files that say what the last run of a recipe has made: its quarantine, its set, its Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sarpipe.settings import Settings
from sarpipe.stages.cube_set import SetReceipt, publish_set
from sarpipe.stages.cubes_parquet import publish_parquet
from sarpipe.stages.preprocess import StoreReceipt
from sarpipe.stages.quarantine import publish_quarantine
from sarpipe.stages.step import Step
from sarpipe.storage import open_verified
from sarpipe.storage.lock import exclusive


def publish(
    settings: Settings, cube_set: SetReceipt, units: Sequence[StoreReceipt], steps: Sequence[Step], source: str
) -> pd.DataFrame:
    """Note what a run has made as what the recipe has now, and give the list of its quarantine.

    One run at a time: of two that end at once with other stores, all notes are those of the one that is last. Of runs
    on several machines, with output at a URL, no lock tells.

    Args:
        settings: Of the run.
        cube_set: The set.
        units: Of which it was made.
        steps: The plan that it was made by.
        source: As it was given.

    Raises:
        DataError: No place is left; the quarantine says why.
    """
    # The lock is of no artefact: nobody who holds it waits for one that waits for it.
    with exclusive(settings.cubes_folder / "current.json"):
        listed = publish_quarantine(settings, open_verified(Path(cube_set["folder"])), steps, source)
        publish_set(settings, cube_set)
        if settings.format == "parquet":
            publish_parquet(settings, units)
    return listed
