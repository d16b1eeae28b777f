"""What two runs of one recipe with other stores note at the same time is all of one of them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from sarpipe.settings import Settings
from sarpipe.stages import straight
from sarpipe.stages.notes import publish
from sarpipe.stages.preprocess import plan_preprocess
from sarpipe.stages.quarantine import listed_quarantine, quarantine_path

ROUNDS = 20


def noted(settings: Settings) -> tuple[list[str], list[str], str, list[str]]:
    """Stores in both lists of the quarantine, the current set, and the Parquet files."""
    return (
        list(pd.read_csv(quarantine_path(settings))["store"]),
        list(listed_quarantine(settings)["store"]),
        json.loads((settings.cubes_folder / "current.json").read_bytes())["set"],
        (settings.cubes_folder / "parquet" / "files.txt").read_text().split(),
    )


def test_of_two_runs_that_end_at_once_all_notes_are_of_one(fresh: Callable[[], Any], tmp_path: Path) -> None:
    run = fresh()
    settings = run.settings(format="parquet")
    sides = []
    for store in sorted(run.stores.glob("*.zip")):
        source = tmp_path / store.name.removesuffix(".zarr.zip")
        source.mkdir()
        shutil.copy(store, source)
        (source / f"broken-{store.name}").write_bytes(b"nothing")
        made = straight.preprocess(settings, str(source), lambda *_: None)
        steps = plan_preprocess(settings, str(source))
        sides.append((noted(settings), made["cube_set"], made["units"], steps, str(source)))
    expected = [side[0] for side in sides]
    assert all(one != other for one, other in zip(*expected, strict=True))

    start = threading.Barrier(len(sides))

    def publish_at_once(side: tuple[Any, ...]) -> None:
        start.wait()
        publish(settings, *side[1:])

    for _ in range(ROUNDS):
        with ThreadPoolExecutor(len(sides)) as both:
            list(both.map(publish_at_once, sides))
        assert noted(settings) in expected
